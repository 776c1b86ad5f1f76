//! Writes comma-separated values (RFC 4180).

use alloc::string::String;
use alloc::vec::Vec;

use crate::json::Value;

/// The end of a line.
pub const LINE_END: &[u8] = b"\r\n";

/// Appends a line of these texts.
pub fn write_row<'t>(texts: impl IntoIterator<Item = &'t str>, out: &mut Vec<u8>) {
    for (at, text) in texts.into_iter().enumerate() {
        out.extend_from_slice(if at > 0 { b"," } else { b"" });
        write_text(text, out);
    }
    out.extend_from_slice(LINE_END);
}

/// Appends a text, in quotes if it needs them. An empty text is two quotes, so that it differs from no value.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends a JSON value: nothing for null, the unescaped text of a string, and the JSON text of anything else. A lone
/// surrogate, which no text can have, becomes three U+FFFD: one for each of the bytes that it would have.
pub fn write_json(json: &str, out: &mut Vec<u8>) {
    match Value::of(json) {
        Value::Null => {}
        Value::String(string) => write_text(&String::from_utf8_lossy(&string.bytes()), out),
        Value::Number(_) | Value::Bool(_) => out.extend_from_slice(json.as_bytes()),
        Value::Object | Value::Array => write_text(json, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_need_it() {
        for (json, expected) in [
            ("null", ""),
            (r#""""#, r#""""#),
            (r#""a b""#, "a b"),
            (r#""a,b""#, r#""a,b""#),
            (r#""a\"b""#, r#""a""b""#),
            (r#""a\r\nb""#, "\"a\r\nb\""),
            ("-1.50", "-1.50"),
            ("true", "true"),
            (r#"{"a":1}"#, r#""{""a"":1}""#),
            ("[1,2]", r#""[1,2]""#),
            ("[1]", "[1]"),
        ] {
            let mut out = Vec::new();
            write_json(json, &mut out);
            assert_eq!(core::str::from_utf8(&out), Ok(expected), "{json}");
        }
        let mut out = Vec::new();
        write_json(r#""x\ud800y""#, &mut out);
        assert_eq!(core::str::from_utf8(&out), Ok("x\u{fffd}\u{fffd}\u{fffd}y"));
    }

    #[test]
    fn lines_end_with_two_characters() {
        let mut out = Vec::new();
        write_row(["time", "a,b"], &mut out);
        assert_eq!(out, b"time,\"a,b\"\r\n");
    }
}
