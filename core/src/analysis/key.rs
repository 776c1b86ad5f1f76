//! Canonical values: how questions tell the values of payloads apart.
//!
//! A value is encoded as bytes, its *key*. Two values have the same key if they are equal: numbers by value, strings by
//! their unescaped bytes, objects by their JSON text. The bytes of keys are in the order of the values: `null`,
//! `false`, `true`, numbers by value, strings by bytes, objects by text. No key is the beginning of another one, so
//! keys of several values can follow each other, and are then in the order of the first value, then of the second, and
//! so on.
//!
//! | value | bytes |
//! |---|---|
//! | `null`, or no value | 0 |
//! | `false` | 1 |
//! | `true` | 2 |
//! | a number | 3, then its sign: 0 below zero, 1 for zero, 2 above zero; then, except for zero, its magnitude |
//! | a string | 4, then the text |
//! | an object | 5, then its JSON text as it is stored |
//!
//! A magnitude is 0.`digits` × 10^`scale`. It is encoded as the scale, the digits without trailing zeros in ASCII, and
//! a zero byte; below zero, each byte is inverted. A scale from -63 to 63 is one byte, 127 higher. A lower one is a
//! zero byte and a higher one the byte 255, each followed by 8 bytes: the scale plus 2^63, big-endian.
//!
//! A text ends with two zero bytes. A zero byte in it becomes the two bytes 0 and 255.

use alloc::vec::Vec;

use crate::json::{Decimal, Value, write_bytes};
use crate::sketch::value_hash;

pub(super) const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const OBJECT: u8 = 5;

const NEGATIVE: u8 = 0;
const ZERO: u8 = 1;
const POSITIVE: u8 = 2;

/// These scales take one byte.
const SHORT_SCALES: core::ops::RangeInclusive<i64> = -63..=63;
/// The byte of scale 0.
const SCALE_0: i64 = 127;
const LOW_SCALE: u8 = 0;
const HIGH_SCALE: u8 = 255;
/// Follows a zero byte of a text.
const ESCAPED: u8 = 255;

/// A decoded key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Null,
    Bool(bool),
    Number(Number),
    /// The unescaped bytes: UTF-8, except for lone surrogates.
    String(Vec<u8>),
    /// JSON.
    Object(Vec<u8>),
}

/// The parts of a [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    digits: Vec<u8>,
    scale: i64,
}

/// Appends the key of a value. `raw` is its text. An array has no key of its own, and counts as null.
pub(super) fn write(value: Value<'_>, raw: &str, text: &mut Vec<u8>, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Array => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(token) => write_number(&Decimal::from_token(token), out),
        Value::String(string) => write_string(string.bytes_in(text), out),
        Value::Object => {
            out.push(OBJECT);
            write_text(raw.as_bytes(), out);
        }
    }
}

/// Appends the key of a string of these bytes.
pub(super) fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(STRING);
    write_text(bytes, out);
}

/// Appends the key of a number.
pub(super) fn write_number(number: &Decimal<'_>, out: &mut Vec<u8>) {
    out.push(NUMBER);
    if number.digits().is_empty() {
        out.push(ZERO);
        return;
    }
    out.push(if number.is_negative() { NEGATIVE } else { POSITIVE });
    let start = out.len();
    let scale = number.scale();
    if SHORT_SCALES.contains(&scale) {
        out.push(u8::try_from(scale + SCALE_0).expect("a short scale is from -63 to 63"));
    } else {
        out.push(if scale < 0 { LOW_SCALE } else { HIGH_SCALE });
        out.extend(scale.wrapping_add(i64::MIN).to_be_bytes());
    }
    out.extend(number.digits().bytes().filter(u8::is_ascii_digit));
    out.push(0);
    if number.is_negative() {
        out.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
    }
}

/// Appends bytes for the texts of the values that `keys` has, one after another. The bytes are in the order of the JSON
/// texts of the first value, then of the second, and so on, where strings compare unescaped and without the quote at
/// their end: in the order of their bytes. So `10` is before `9`, and `"a"` before `"a b"` and before all numbers.
pub(super) fn write_texts(mut keys: &[u8], out: &mut Vec<u8>) {
    while !keys.is_empty() {
        let begun = keys;
        let decoded = decode(&mut keys);
        // With its end, so that a text compares lower than a longer one that begins with it.
        let text = begun.get(1..begun.len() - keys.len()).unwrap_or_default();
        match decoded {
            Decoded::String(_) => {
                out.push(b'"');
                out.extend_from_slice(text);
            }
            Decoded::Object(_) => out.extend_from_slice(text),
            Decoded::Null | Decoded::Bool(_) | Decoded::Number(_) => {
                decoded.write_json(out);
                out.push(0);
            }
        }
    }
}

/// The hash of a key, for counting different values.
pub(super) fn hash(key: &[u8]) -> u64 {
    let (tag, content) = key.split_first().unwrap_or((&NULL, &[]));
    value_hash(*tag, content)
}

/// Whether a key is that of null.
pub(super) fn is_null(key: &[u8]) -> bool {
    key.first() == Some(&NULL)
}

/// Whether a key is that of a number.
pub(super) fn is_number(key: &[u8]) -> bool {
    key.first() == Some(&NUMBER)
}

/// Decodes the key that `rest` begins with, and moves `rest` behind it.
pub(super) fn decode(rest: &mut &[u8]) -> Decoded {
    match take(rest) {
        FALSE => Decoded::Bool(false),
        TRUE => Decoded::Bool(true),
        NUMBER => Decoded::Number(decode_number(rest)),
        STRING => Decoded::String(decode_text(rest)),
        OBJECT => Decoded::Object(decode_text(rest)),
        _ => Decoded::Null,
    }
}

impl Number {
    pub(super) fn decimal(&self) -> Decimal<'_> {
        let digits = core::str::from_utf8(&self.digits).expect("a key of a number has ASCII digits");
        Decimal::from_parts(self.negative, digits, self.scale)
    }
}

impl Decoded {
    /// Appends the value as JSON.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(number) => number.decimal().write(out),
            Self::String(bytes) => write_bytes(bytes, out),
            Self::Object(json) => out.extend_from_slice(json),
        }
    }
}

fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    let mut rest = bytes;
    while let Some(zero) = memchr::memchr(0, rest) {
        let (before, after) = rest.split_at(zero + 1);
        out.extend_from_slice(before);
        out.push(ESCAPED);
        rest = after;
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

fn decode_text(rest: &mut &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    loop {
        let end = memchr::memchr(0, rest).unwrap_or(rest.len());
        let (before, after) = rest.split_at(end);
        text.extend_from_slice(before);
        let (end, after) = after.split_at(after.len().min(2));
        *rest = after;
        if end != [0, ESCAPED] {
            return text;
        }
        text.push(0);
    }
}

fn decode_number(rest: &mut &[u8]) -> Number {
    let sign = take(rest);
    if sign == ZERO {
        return Number { negative: false, digits: Vec::new(), scale: 0 };
    }
    let flip = if sign == NEGATIVE { u8::MAX } else { 0 };
    let scale = match take(rest) ^ flip {
        LOW_SCALE | HIGH_SCALE => {
            let mut bytes = [0; 8];
            bytes.iter_mut().for_each(|byte| *byte = take(rest) ^ flip);
            i64::from_be_bytes(bytes).wrapping_add(i64::MIN)
        }
        short => i64::from(short) - SCALE_0,
    };
    let end = memchr::memchr(flip, rest).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    Number { negative: sign == NEGATIVE, digits: digits.iter().map(|byte| byte ^ flip).collect(), scale }
}

fn take(rest: &mut &[u8]) -> u8 {
    match rest.split_first() {
        Some((byte, after)) => {
            *rest = after;
            *byte
        }
        None => NULL,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::String;

    use super::*;

    fn key(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write(Value::of(json), json, &mut Vec::new(), &mut out);
        out
    }

    fn shown(json: &str) -> String {
        let mut out = Vec::new();
        decode(&mut &*key(json)).write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn keys_are_in_the_order_of_values_and_none_begins_another() {
        let ascending = [
            "null",
            "false",
            "true",
            "-1e99999",
            "-1e64",
            "-9e63",
            "-1e63",
            "-100",
            "-20",
            "-12",
            "-1.5",
            "-1",
            "-1e-70",
            "0",
            "1e-99999",
            "1e-70",
            "0.001",
            "0.1",
            "1",
            "1.5",
            "10",
            "12",
            "9007199254740992",
            "9007199254740993",
            "1e62",
            "1e63",
            "1e99999",
            r#""""#,
            r#""\u0000""#,
            r#""\u0000\u0000""#,
            r#""\u0000a""#,
            r#""a""#,
            r#""a\u0000""#,
            r#""ab""#,
            r#""b""#,
            r#""\ud800""#,
            r#"{"a":1}"#,
            "{}",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(key(left).cmp(&key(right)), index.cmp(&other), "{left} {right}");
                assert_eq!(key(right).starts_with(&key(left)), index == other, "{left} {right}");
            }
        }
    }

    #[test]
    fn equal_values_have_one_key() {
        for group in [
            &["1", "1.0", "10e-1", "0.1e1"][..],
            &["0", "-0", "0e9"],
            &["-120", "-1.2e2"],
            &[r#""a""#, r#""\u0061""#],
            &["1e99999", "10e99998"],
        ] {
            for text in group {
                assert_eq!(key(text), key(group.first().unwrap()), "{text}");
                assert_eq!(hash(&key(text)), hash(&key(group.first().unwrap())), "{text}");
            }
        }
        assert_ne!(key("1"), key(r#""1""#));
        assert_ne!(hash(&key("null")), hash(&key("false")));
    }

    #[test]
    fn keys_are_decoded_to_the_shortest_text_of_the_value() {
        for (json, expected) in [
            ("null", "null"),
            ("true", "true"),
            ("1.0", "1"),
            ("-0.50e1", "-5"),
            ("1e400", "1e400"),
            ("-1.50e-70", "-1.5e-70"),
            (r#""\u0061\u0000\"""#, r#""a\u0000\"""#),
            (r#""\ud800x""#, r#""\ud800x""#),
            (r#"{"a":"\u0061"}"#, r#"{"a":"\u0061"}"#),
        ] {
            assert_eq!(shown(json), expected, "{json}");
        }
        let both = [key("-12.5"), key(r#""a\u0000b""#), key("null")].concat();
        let mut rest = &*both;
        for json in ["-12.5", r#""a\u0000b""#, "null"] {
            assert_eq!(decode(&mut rest), decode(&mut &*key(json)), "{json}");
        }
        assert!(rest.is_empty());
    }
}
