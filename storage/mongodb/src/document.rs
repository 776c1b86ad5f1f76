//! Payloads as values of BSON, for queries that people write.

use std::collections::HashSet;

use argus_core::event::Payload;
use argus_core::json::{Decimal, RawString, Scanner, SyntaxError, Value};
use mongodb::bson::raw::CString;
use mongodb::bson::{Decimal128, RawArrayBuf, RawBson, RawDocumentBuf};

/// The longest payload, in bytes of its text, and the longest value, in bytes of BSON, which has 12 for an element of
/// an array that has 2 in JSON. The text is beside it, and a document of MongoDB has 16 MiB at most.
const TEXT_BYTES_MAX: usize = 512 * 1024;
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The most levels. A server has 100 for a whole document, and drivers of other languages may have fewer.
const DEPTH_MAX: usize = 90;

/// Ends the reading of a payload that BSON cannot hold.
const REFUSED: SyntaxError = SyntaxError { reason: "it cannot be held by BSON", offset: 0 };

/// A payload as a value of BSON that says the same: the same members in the same order, the same strings, and numbers
/// of the same value. `None` if
///
/// - two members of an object have the same name, and queries would find one of them;
/// - a name is empty, begins with `$`, or has U+0000, which queries or servers do not accept;
/// - there is a lone surrogate, which UTF-8 does not have;
/// - a number has more than 34 digits, or is too large or too small for a [`Decimal128`];
/// - there are too many levels, or it is very long.
///
/// This is careful, because an error of the server would abort the transaction of a whole group of batches.
pub(crate) fn value_of(payload: Payload<'_>) -> Option<RawBson> {
    let text = payload.as_str();
    if text.len() > TEXT_BYTES_MAX || Scanner::new(text).value().ok()?.depth() > DEPTH_MAX {
        return None;
    }
    let value = value(&mut Scanner::new(text)).ok()?;
    let document = value.as_document().map(|document| document.as_bytes().len());
    let array = value.as_array().map(|array| array.as_bytes().len());
    // A scalar value is about as long as its text.
    let bytes = document.or(array).unwrap_or_default();
    (bytes <= VALUE_BYTES_MAX).then_some(value)
}

fn value(scanner: &mut Scanner<'_>) -> Result<RawBson, SyntaxError> {
    match scanner.peek() {
        Some(b'{') => object(scanner).map(RawBson::Document),
        Some(b'[') => {
            let mut elements = RawArrayBuf::new();
            scanner.array(|scanner| {
                elements.push(value(scanner)?);
                Ok(())
            })?;
            Ok(RawBson::Array(elements))
        }
        Some(_) | None => scalar(scanner.value()?.raw),
    }
}

fn object(scanner: &mut Scanner<'_>) -> Result<RawDocumentBuf, SyntaxError> {
    let (mut document, mut names) = (RawDocumentBuf::new(), HashSet::new());
    scanner.object(|name, scanner| {
        let name = string(name)?;
        if name.is_empty() || name.starts_with('$') || !names.insert(name.clone()) {
            return Err(REFUSED);
        }
        document.append(CString::try_from(name).map_err(|_| REFUSED)?, value(scanner)?);
        Ok(())
    })?;
    Ok(document)
}

fn scalar(token: &str) -> Result<RawBson, SyntaxError> {
    match Value::of(token) {
        Value::String(text) => string(text).map(RawBson::String),
        Value::Number(number) => self::number(number).ok_or(REFUSED),
        Value::Bool(value) => Ok(RawBson::Boolean(value)),
        Value::Null => Ok(RawBson::Null),
        Value::Object | Value::Array => Err(REFUSED),
    }
}

fn string(string: RawString<'_>) -> Result<String, SyntaxError> {
    String::from_utf8(string.bytes().into_owned()).map_err(|_| REFUSED)
}

/// The number, of the first of these types that has it. MongoDB compares numbers of all types by value.
///
/// A double has it if the shortest decimal number that stands for the double is this one: so `0.1` is a double, as in
/// every other program, and `0.10000000000000001` is not.
fn number(token: &str) -> Option<RawBson> {
    if let Ok(integer) = token.parse::<i64>() {
        return Some(i32::try_from(integer).map_or(RawBson::Int64(integer), RawBson::Int32));
    }
    // Infinity is no JSON, so it equals no token.
    let double = token.parse::<f64>().ok()?;
    if Decimal::parse(&format!("{double:e}")) == Decimal::parse(token) {
        return Some(RawBson::Double(double));
    }
    token.parse::<Decimal128>().ok().map(RawBson::Decimal128)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::json::write_string;
    use argus_testing::{Random, generate, nasty};
    use mongodb::bson::{Bson, Document, doc};

    use super::*;

    fn of(payload: &str) -> Option<Bson> {
        value_of(Payload::parse(payload).unwrap()).map(|value| value.try_into().unwrap())
    }

    #[test]
    fn payloads_become_values() {
        let expected: Document = doc! {
            "user": "ada é🦀\0",
            "http.status": 200_i32,
            "big": [i64::from(i32::MAX) + 1, 0.1, 1e300, 2.0, true],
            "_id": { "none": Bson::Null, "empty": [[], {}] },
        };
        let payload = r#"{"user":"ada \u00e9\ud83e\udd80\u0000","http.status":200,"big":[2147483648,0.1,1e300,2.0,true],
            "_id":{"none":null,"empty":[[],{}]}}"#;
        assert_eq!(of(&payload.replace("\n            ", "")), Some(Bson::Document(expected)));
        assert_eq!(of("null"), Some(Bson::Null));
        assert_eq!(of("[]"), Some(Bson::Array(Vec::new())));
    }

    #[test]
    fn numbers_have_the_type_that_has_their_value() {
        for (token, expected) in [
            ("-0", Bson::Int32(0)),
            ("-2147483648", Bson::Int32(i32::MIN)),
            ("9223372036854775807", Bson::Int64(i64::MAX)),
            ("18446744073709551616", Bson::Decimal128("18446744073709551616".parse().unwrap())),
            ("1e22", Bson::Double(1e22)),
            ("0.10000000000000001", Bson::Decimal128("0.10000000000000001".parse().unwrap())),
            ("1E+400", Bson::Decimal128("1E+400".parse().unwrap())),
        ] {
            assert_eq!(of(token), Some(expected), "{token}");
        }
        for token in
            ["12345678901234567890123456789012345", "1e9999", "1e-9999", "1e99999999999999999999999999999999999999999"]
        {
            assert_eq!(of(token), None, "{token}");
        }
    }

    #[test]
    fn what_bson_cannot_hold_is_refused() {
        let deep = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        for (payload, is_held) in [
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"{"a":[{"b":{"a":1},"a":1},{"a":1}]}"#, true),
            (r#"{"":1}"#, false),
            (r#"{"a":{"$a":1}}"#, false),
            (r#"{"a$":1,".":1}"#, true),
            (r#"{"a\u0000":1}"#, false),
            (r#"{"\ud800":1}"#, false),
            (r#"["\ud800"]"#, false),
            (&deep(DEPTH_MAX), true),
            (&deep(DEPTH_MAX + 1), false),
            (&deep(10_000), false),
            (&long(TEXT_BYTES_MAX), true),
            (&long(TEXT_BYTES_MAX + 1), false),
            (&format!("[{}1]", "1,".repeat(80_000)), true),
            (&format!("[{}1]", "1,".repeat(100_000)), false),
        ] {
            assert_eq!(of(payload).is_some(), is_held, "{}", payload.get(..60).unwrap_or(payload));
        }
    }

    /// The JSON text of a value.
    #[expect(clippy::wildcard_enum_match_arm, reason = "payloads become no others")]
    fn write(value: &Bson, out: &mut Vec<u8>) {
        match value {
            Bson::Document(members) => {
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push(if index == 0 { b'{' } else { b',' });
                    write_string(name, out);
                    out.push(b':');
                    write(value, out);
                }
                out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
            }
            Bson::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    write(value, out);
                }
                out.extend_from_slice(if elements.is_empty() { b"[]" } else { b"]" });
            }
            Bson::String(text) => write_string(text, out),
            Bson::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Bson::Null => out.extend_from_slice(b"null"),
            Bson::Int32(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Bson::Int64(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Bson::Double(number) => out.extend_from_slice(format!("{number:e}").as_bytes()),
            Bson::Decimal128(number) => out.extend_from_slice(number.to_string().as_bytes()),
            other => panic!("{other:?}"),
        }
    }

    /// The tokens of a JSON text, with strings and numbers in one spelling each.
    fn tokens(text: &str) -> Vec<u8> {
        fn read(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
            match scanner.peek() {
                Some(b'{') => {
                    out.push(b'{');
                    scanner.object(|name, scanner| {
                        write_string(&string(name)?, out);
                        read(scanner, out)
                    })?;
                    out.push(b'}');
                }
                Some(b'[') => {
                    out.push(b'[');
                    scanner.array(|scanner| read(scanner, out))?;
                    out.push(b']');
                }
                _ => match Value::of(scanner.value()?.raw) {
                    Value::String(text) => write_string(&string(text)?, out),
                    Value::Number(token) => {
                        let number = Decimal::parse(token).unwrap();
                        out.push(if number.is_negative() { b'-' } else { b'+' });
                        out.extend(number.digits().bytes().filter(u8::is_ascii_digit));
                        out.extend_from_slice(format!("e{};", number.scale()).as_bytes());
                    }
                    other @ (Value::Bool(_) | Value::Null | Value::Object | Value::Array) => {
                        out.extend_from_slice(format!("{other:?};").as_bytes());
                    }
                },
            }
            Ok(())
        }
        let mut out = Vec::new();
        read(&mut Scanner::new(text), &mut out).unwrap();
        out
    }

    #[test]
    fn values_say_what_payloads_say() {
        let (mut random, mut held) = (Random::seeded(19), 0);
        for _ in 0..10_000 {
            let payload = if random.one_in(2) { generate::payload(&mut random) } else { nasty::payload(&mut random) };
            let Some(value) = of(&payload) else { continue };
            let mut json = Vec::new();
            write(&value, &mut json);
            let json = String::from_utf8(json).unwrap();
            assert_eq!(tokens(&json), tokens(&payload), "{payload} became {json}");
            held += 1;
        }
        assert!(held > 3_000, "{held}");
    }
}
