//! Which payloads `PostgreSQL` can hold as `jsonb` without losing anything that a condition may see.

use std::borrow::Cow;

use argus_core::event::Payload;
use argus_core::json::Value;
use memchr::memchr2;

/// The longest document, in bytes of its text. The limits of `jsonb` are much larger (255 MB for each object or array),
/// but each value becomes an entry of the index: 1 MiB of small numbers takes half a second to insert.
const BYTES_MAX: usize = 1 << 20;

/// The deepest document. `PostgreSQL` parses recursively, and fails where its stack ends: between 500 and 1,000 levels
/// at the smallest `max_stack_depth` that it allows, 100 kB.
const DEPTH_MAX: usize = 200;

/// How many arrays may lie directly within each other. The paths of conditions reach no deeper, see
/// [`narrowing`](super::narrowing). The coordinates of a `MultiPolygon` in `GeoJSON` have four.
pub(crate) const ARRAY_LEVELS_MAX: usize = 4;

/// The longest number, in bytes of its text. `numeric` has up to 131,072 digits before the point, 16,383 after it.
pub(crate) const NUMBER_BYTES_MAX: usize = 1000;

/// The most digits of an exponent, with leading zeros. `PostgreSQL` writes numbers in full, so each more of them would
/// make the text of a `jsonb` ten times as long.
pub(crate) const EXPONENT_DIGITS_MAX: usize = 3;

/// Up to this many bytes, or names, the simplest search is the fastest: a payload of 200 bytes takes 0.22 µs, and
/// 0.34 µs without it.
const SHORT: usize = 16;

/// The text of a payload, if `PostgreSQL` 15 to 18 accepts it as `jsonb` and a condition sees the same in both. The
/// encoding of the database must be UTF8. `None` if
///
/// - `jsonb` would change it: two members of an object have the same name, of which `jsonb` keeps the last;
/// - `jsonb` refuses it: U+0000, a lone surrogate, a number too large or too long, too many levels;
/// - more arrays lie directly within each other than the path of a condition reaches;
/// - it is very long.
///
/// This is careful rather than exact, because an error of the database would abort the transaction of a whole group of
/// batches. What `jsonb` changes otherwise is nothing that a condition sees: the order of members, the spelling of
/// strings, and that of numbers, whose exact value it keeps.
pub(crate) fn document(payload: Payload<'_>) -> Option<&str> {
    let text = payload.as_str();
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut walk = Walk { text, at: 0, open: Vec::with_capacity(8), names: Vec::with_capacity(16) };
    while let Some(byte) = walk.byte() {
        walk.step(byte)?;
    }
    Some(text)
}

/// One pass over a payload. It is compact, so the next byte tells what follows.
#[derive(Debug)]
struct Walk<'a> {
    text: &'a str,
    at: usize,
    /// The containers around the current place.
    open: Vec<Container>,
    /// The names of the members so far of each open object, without escapes.
    names: Vec<Cow<'a, [u8]>>,
}

#[derive(Clone, Copy, Debug)]
enum Container {
    /// An object, whose names begin at this index.
    Object(usize),
    /// An array, within this number of arrays with itself.
    Array(usize),
}

impl<'a> Walk<'a> {
    /// Reads the token that begins with this byte. `None` if the payload cannot be a document.
    fn step(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            b'{' => self.enter(Container::Object(self.names.len()))?,
            b'[' => {
                let level = match self.open.last() {
                    Some(Container::Array(level)) => level + 1,
                    Some(Container::Object(_)) | None => 1,
                };
                if level > ARRAY_LEVELS_MAX {
                    return None;
                }
                self.enter(Container::Array(level))?;
            }
            b'}' | b']' => self.leave()?,
            // Colons, commas and the letters of literals.
            _ => {}
        }
        self.at += 1;
        Some(())
    }

    fn enter(&mut self, container: Container) -> Option<()> {
        if self.open.len() == DEPTH_MAX {
            return None;
        }
        self.open.push(container);
        Some(())
    }

    fn leave(&mut self) -> Option<()> {
        match self.open.pop()? {
            Container::Object(first) => {
                let are_distinct = are_distinct(self.names.get_mut(first..)?);
                self.names.truncate(first);
                are_distinct.then_some(())
            }
            Container::Array(_) => Some(()),
        }
    }

    /// Reads a string, and notes it if it is the name of a member.
    fn string(&mut self) -> Option<()> {
        let (start, mut has_escape, mut has_unit) = (self.at, false, false);
        self.at += 1;
        loop {
            self.at += plain_len(self.rest())?;
            if self.byte() == Some(b'"') {
                break;
            }
            has_escape = true;
            has_unit |= self.rest().get(1) == Some(&b'u');
            // The character after the backslash may be a quote.
            self.at += 2;
        }
        let between_quotes = self.text.as_bytes().get(start + 1..self.at)?;
        self.at += 1;
        let is_name = self.byte() == Some(b':');
        if !is_name && !has_unit {
            return Some(());
        }
        let string =
            if has_escape { unescaped(self.text.get(start..self.at)?)? } else { Cow::Borrowed(between_quotes) };
        if is_name {
            self.names.push(string);
        }
        Some(())
    }

    /// Reads a number.
    fn number(&mut self) -> Option<()> {
        let length = self.rest().iter().take_while(|byte| !matches!(byte, b',' | b']' | b'}')).count();
        let token = self.rest().get(..length)?;
        self.at += length;
        if length > NUMBER_BYTES_MAX {
            return None;
        }
        let Some(exponent) = token.iter().position(|byte| matches!(byte, b'e' | b'E')) else { return Some(()) };
        let digits = token.get(exponent..)?.iter().filter(|byte| byte.is_ascii_digit()).count();
        (digits <= EXPONENT_DIGITS_MAX).then_some(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// The string of a token, without escapes; `None` if `PostgreSQL` cannot hold it.
fn unescaped(token: &str) -> Option<Cow<'_, [u8]>> {
    let Value::String(string) = Value::of(token) else { return None };
    let bytes = string.bytes();
    // The bytes of a lone surrogate are not UTF-8.
    (!bytes.contains(&0) && std::str::from_utf8(&bytes).is_ok()).then_some(bytes)
}

/// How many bytes precede the first quote or backslash.
fn plain_len(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    let (start, rest) = bytes.split_at_checked(SHORT).unwrap_or((bytes, &[]));
    start.iter().position(is_special).or_else(|| memchr2(b'"', b'\\', rest).map(|found| start.len() + found))
}

/// Whether no two names are equal. Changes their order.
fn are_distinct(names: &mut [Cow<'_, [u8]>]) -> bool {
    if names.len() <= SHORT {
        let mut rest = &*names;
        while let Some((name, others)) = rest.split_first() {
            if others.contains(name) {
                return false;
            }
            rest = others;
        }
        return true;
    }
    names.sort_unstable_by(|left, right| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
    names.windows(2).all(|pair| pair.first() != pair.last())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn is_document(text: &str) -> bool {
        let document = document(Payload::parse(text).unwrap());
        assert!(document.is_none_or(|document| document == text), "{text}");
        document.is_some()
    }

    #[test]
    fn most_payloads_are_documents() {
        for text in [
            "null",
            "-0.0",
            r#""""#,
            "[]",
            "{}",
            r#"{"a":{"a":{"a":1}},"b":[{"a":true},{"a":false}]}"#,
            r#"{"a":[{"b":1,"c":2},{"b":1,"c":2}],"b":{"c":1},"c":[]}"#,
            r#"{"":1,"a":"\\u0000","b":"\ud83e\udd80 \"{[\\","\\u0000":"\u0001\uffff"}"#,
            r#"{"caf\u00e9":1,"caf\u00e8":2,"cafe":"\\"}"#,
            r#"[1e999,-1E-999,1e+12,9007199254740993]"#,
        ] {
            assert!(is_document(text), "{text}");
        }
    }

    #[test]
    fn equal_names_in_one_object_are_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\"":1,"\u0022":2}"#,
            r#"{"":1,"b":2,"":3}"#,
            r#"[{"b":{"a":{"c":1},"b":2,"a":{"c":1}}}]"#,
            r#"{"a":[{"a":1,"b":2}],"b":{"a":1},"a":0}"#,
        ] {
            assert!(!is_document(text), "{text}");
        }
        let members: Vec<String> = (0..1_000).map(|number| format!(r#""name {number}":{number}"#)).collect();
        assert!(is_document(&format!("{{{}}}", members.join(","))));
        assert!(!is_document(&format!(r#"{{{},"name 500":0}}"#, members.join(","))));
    }

    #[test]
    fn what_is_no_text_for_postgresql_is_refused() {
        for text in [
            r#""\u0000""#,
            r#"{"a":"b\u0000"}"#,
            r#"{"\u0000":1}"#,
            r#"["\\\u0000"]"#,
            r#""\ud83e""#,
            r#""\ud83ex\udd80""#,
            r#"{"\udd80\ud83e":1}"#,
        ] {
            assert!(!is_document(text), "{text}");
        }
    }

    #[test]
    fn numbers_and_containers_have_limits() {
        let nested = |open: &str, close: &str, count: usize| format!("{}1{}", open.repeat(count), close.repeat(count));
        let number = |bytes: usize| format!("[0.{}]", "1".repeat(bytes - 2));
        for (text, expected) in [
            ("1e1000", false),
            ("[1e-0001]", false),
            ("0e99999999999999999", false),
            (&number(NUMBER_BYTES_MAX), true),
            (&number(NUMBER_BYTES_MAX + 1), false),
            (&nested("[", "]", ARRAY_LEVELS_MAX), true),
            (&nested("[", "]", ARRAY_LEVELS_MAX + 1), false),
            (&nested(r#"[[[{"a":"#, "}]]]", DEPTH_MAX / 4), true),
            (&nested(r#"{"a":"#, "}", DEPTH_MAX), true),
            (&nested(r#"{"a":"#, "}", DEPTH_MAX + 1), false),
            (&format!("\"{}\"", "x".repeat(BYTES_MAX - 2)), true),
            (&format!("\"{}\"", "x".repeat(BYTES_MAX - 1)), false),
        ] {
            assert_eq!(is_document(text), expected, "{} bytes: {}", text.len(), text.get(..40).unwrap_or(text));
        }
    }
}
