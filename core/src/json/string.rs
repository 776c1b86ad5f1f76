//! Unescapes, compares and writes JSON strings.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::cmp::Ordering;

use thiserror::Error;

use crate::hex;

/// The text between the quotes of a valid string token, with its escapes.
#[derive(Clone, Copy, Debug)]
pub struct RawString<'a> {
    raw: &'a str,
    escaped: bool,
}

/// A string has an escape for one half of a surrogate pair without the other, so it cannot be encoded in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("has a lone surrogate, which is not a character")]
pub struct LoneSurrogate;

impl<'a> RawString<'a> {
    /// `between_quotes` must be valid.
    pub(super) fn from_validated(between_quotes: &'a str) -> Self {
        Self::from_scanned(between_quotes, memchr::memchr(b'\\', between_quotes.as_bytes()).is_some())
    }

    /// Like [`from_validated`](Self::from_validated), with `escaped` if there are escapes.
    pub(super) const fn from_scanned(between_quotes: &'a str, escaped: bool) -> Self {
        Self { raw: between_quotes, escaped }
    }

    /// The length of the text between the quotes, in bytes.
    #[must_use]
    pub(crate) const fn raw_len(&self) -> usize {
        self.raw.len()
    }

    /// The unescaped string. Borrowed from the token if there are no escapes; otherwise built in `scratch`, whose
    /// content is overwritten.
    ///
    /// # Errors
    ///
    /// [`LoneSurrogate`] if the string is not valid Unicode.
    pub fn text<'s>(&self, scratch: &'s mut Vec<u8>) -> Result<&'s str, LoneSurrogate>
    where
        'a: 's,
    {
        if !self.escaped {
            return Ok(self.raw);
        }
        core::str::from_utf8(self.bytes_in(scratch)).map_err(|_| LoneSurrogate)
    }

    /// The unescaped string in UTF-8, except that a lone surrogate becomes three bytes as if it were a character. So no
    /// text equals it.
    #[must_use]
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if !self.escaped {
            return Cow::Borrowed(self.raw.as_bytes());
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        unescape(self.raw, &mut bytes);
        Cow::Owned(bytes)
    }

    /// Like [`bytes`](Self::bytes). Borrowed from the token if there are no escapes; otherwise built in `scratch`,
    /// whose content is overwritten.
    #[must_use]
    pub fn bytes_in<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw.as_bytes();
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }

    /// Whether the unescaped string equals `text`.
    #[must_use]
    #[inline]
    pub fn equals(&self, text: &str) -> bool {
        // An escape is longer than the character it encodes.
        match self.raw.len().cmp(&text.len()) {
            Ordering::Less => false,
            Ordering::Equal => self.raw == text && !self.escaped,
            Ordering::Greater => self.escaped && *self.bytes() == *text.as_bytes(),
        }
    }
}

/// Appends `text` as a JSON string with its quotes. Escapes quotes, backslashes and control characters only,
/// each in its shortest way.
///
/// ```
/// let mut out = Vec::new();
/// argus_core::json::write_string("say \"hi\"\n", &mut out);
/// assert_eq!(out, br#""say \"hi\"\n""#);
/// ```
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_content(text.as_bytes(), out);
    out.push(b'"');
}

/// Appends a string of [unescaped bytes](RawString::bytes), like [`write_string`]. A lone surrogate is written as its
/// escape.
///
/// ```
/// let mut out = Vec::new();
/// argus_core::json::write_bytes(b"a\xed\xa0\x80b", &mut out);
/// assert_eq!(out, br#""a\ud800b""#);
/// ```
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = bytes;
    while let Err(error) = core::str::from_utf8(rest) {
        let (valid, surrogate) = rest.split_at(error.valid_up_to());
        write_content(valid, out);
        let (surrogate, after) = surrogate.split_at(surrogate.len().min(3));
        out.extend_from_slice(b"\\u");
        let unit = surrogate.iter().fold(0, |unit, byte| unit << 6 | u32::from(byte & 0x3f)) | 0xd000;
        out.extend([12, 8, 4, 0].map(|shift| hex::digit((unit >> shift & 15) as u8)));
        rest = after;
    }
    write_content(rest, out);
    out.push(b'"');
}

/// Appends a number in decimal.
///
/// ```
/// let mut out = Vec::new();
/// argus_core::json::write_u64(1042, &mut out);
/// assert_eq!(out, b"1042");
/// ```
pub fn write_u64(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).expect("a 64-bit number has at most 20 digits"));
}

/// Appends `mantissa` divided by 10^`places`, with this number of digits after the point.
pub(crate) fn write_scaled(mantissa: i64, places: u32, out: &mut Vec<u8>) {
    let places = places as usize;
    if mantissa < 0 {
        out.push(b'-');
    }
    let start = out.len();
    write_u64(mantissa.unsigned_abs(), out);
    if places > 0 {
        // At least one digit comes before the point.
        let missing = (places + 1).saturating_sub(out.len() - start);
        out.splice(start..start, core::iter::repeat_n(b'0', missing));
        out.insert(out.len() - places, b'.');
    }
}

/// Appends what stands between the quotes of a string of these bytes.
fn write_content(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (before, tail) = rest.split_at(plain);
        out.extend_from_slice(before);
        let Some((&byte, tail)) = tail.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex::digit(byte >> 4), hex::digit(byte)]),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

fn unescape(raw: &str, out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some((plain, tail)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let mut characters = tail.chars();
        let escape = characters.next();
        rest = characters.as_str();
        match escape {
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('n') => out.push(b'\n'),
            Some('r') => out.push(b'\r'),
            Some('t') => out.push(b'\t'),
            Some('u') => rest = unescape_unit(rest, out),
            Some(other) => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Appends the character of the `\u` escape whose digits `text` starts with, or of the surrogate pair that this escape
/// and the next one form. Returns the rest of the text.
fn unescape_unit<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let (unit, rest) = read_unit(text);
    if (0xd800..0xdc00).contains(&unit)
        && let Some(second) = rest.strip_prefix("\\u")
        && let (low @ 0xdc00..0xe000, rest) = read_unit(second)
        && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return rest;
    }
    match char::from_u32(unit) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let six_bits = |shift: u32| 0x80 | u8::try_from(unit >> shift & 0x3f).unwrap_or_default();
            out.extend_from_slice(&[0xed, six_bits(6), six_bits(0)]);
        }
    }
    rest
}

fn read_unit(text: &str) -> (u32, &str) {
    let (digits, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u32::from_str_radix(digits, 16).unwrap_or_default(), rest)
}

/// How many bytes precede the first quote, backslash or control character: bytes that need no escape in a string.
///
/// Tests eight bytes at a time: `(word - LOW) & !word & HIGH` marks zero bytes. A false mark can occur only above a
/// true one, so the lowest mark is always true (Henry S. Warren, "Hacker's Delight", section 6-1).
pub(crate) fn ordinary_len(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * 0x22);
        let backslash = word ^ (LOW * 0x5c);
        let marks = (word.wrapping_sub(LOW * 0x20) & !word)
            | (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash);
        let marks = marks & HIGH;
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let plain = rest.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
    bytes.len() - rest.len() + plain
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::string::{String, ToString};

    use super::*;

    fn text(raw: &str) -> Result<String, LoneSurrogate> {
        RawString::from_validated(raw).text(&mut Vec::new()).map(ToString::to_string)
    }

    #[test]
    fn every_escape_is_decoded() {
        for (raw, expected) in [
            ("", ""),
            ("plain ü", "plain ü"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\u20AC", "Aé€"),
            (r"\ud83d\ude00!", "😀!"),
            (r"a\\u0041", "a\\u0041"),
        ] {
            assert_eq!(text(raw).unwrap(), expected);
        }
    }

    #[test]
    fn lone_surrogates_have_bytes_but_no_text() {
        for raw in [r"\ud800", r"\udc00", r"a\ud800b", r"\ud800\n", r"\ud800\u0041", r"\ude00\ud83d"] {
            assert_eq!(text(raw), Err(LoneSurrogate), "{raw}");
        }
        assert_eq!(*RawString::from_validated(r"a\ud800b").bytes(), *b"a\xed\xa0\x80b");
        assert_eq!(*RawString::from_validated(r"\udfff").bytes(), *b"\xed\xbf\xbf");
        assert_eq!(*RawString::from_validated(r"\ud800\u0041").bytes(), *b"\xed\xa0\x80A");
    }

    #[test]
    fn strings_and_numbers_are_written_as_json() {
        let mut out = Vec::new();
        write_string("a\"b\\c\n\u{8}\u{c}\u{1}\u{7f}ü", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\b\\f\\u0001\u{7f}ü\"".as_bytes());
        for number in [0, 9, 10, 12_345, u64::MAX] {
            out.clear();
            write_u64(number, &mut out);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn every_byte_that_needs_an_escape_is_found_anywhere() {
        for place in 0..20 {
            for byte in 0..=255_u8 {
                let mut bytes = [b'x'; 20];
                bytes[place] = byte;
                let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(ordinary_len(&bytes), if special { place } else { 20 }, "{byte} at {place}");
            }
        }
    }
}
