//! Unit tests of the JSON scanner.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::string::String;
use std::vec::Vec;

use super::*;

fn whole(text: &str) -> Result<Span<'_>, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let span = scanner.value()?;
    scanner.end()?;
    Ok(span)
}

#[test]
fn every_kind_of_value_is_valid() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "0.0",
        "\"\"",
        "[]",
        "{}",
        "[[],{}]",
        r#"{"a":{"b":[1,2]},"a":null}"#,
        r#""\u0000\ud800 \" 0123456789 \\""#,
        "\"\u{7f}\u{fffe}\"",
    ] {
        assert_eq!(whole(text), Ok(Span { raw: text, has_white_space: false }));
    }
}

#[test]
fn white_space_is_reported() {
    assert_eq!(whole(" [1] \r\n\t"), Ok(Span { raw: "[1]", has_white_space: false }));
    for text in ["[ ]", "{ }", "[1 ]", "[1, 2]", r#"{"a" :1}"#, r#"{"a": 1}"#, r#"{"a":1 }"#, "{\n\"a\":1}"] {
        assert_eq!(whole(text), Ok(Span { raw: text, has_white_space: true }));
    }
    let mut scanner = Scanner::new(" [1,[ ], [2]]");
    let mut has_white_space = Vec::new();
    let result = scanner.array(|scanner| scanner.value().map(|span| has_white_space.push(span.has_white_space)));
    assert_eq!((result, has_white_space), (Ok(()), [false, true, false].to_vec()));
    assert_eq!(scanner.first_white_space(), Some(0));
}

#[test]
fn errors_have_the_offset() {
    for (text, offset) in [
        ("", 0),
        (" ", 1),
        ("nul", 0),
        ("tru e", 0),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("{\"a\"1}", 4),
        ("{\"a\":}", 5),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("01", 1),
        ("-", 1),
        ("-01", 2),
        ("1.", 2),
        ("1.e5", 2),
        ("1e", 2),
        ("1e+", 3),
        ("+1", 0),
        (".5", 0),
        ("\"abc", 4),
        ("\"a\nb\"", 2),
        ("\"0123456789\u{1}\"", 11),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 5),
        ("1 2", 2),
        ("[", 1),
        ("{", 1),
        ("[[1]", 4),
        ("NaN", 0),
        ("'a'", 0),
        ("\u{a0}1", 0),
        ("]", 0),
        ("[1]]", 3),
    ] {
        assert_eq!(whole(text).map_err(|error| error.offset), Err(offset), "{text}");
    }
}

#[test]
fn the_error_names_a_byte_order_mark() {
    let error = whole("\u{feff}{}").map_err(|error| (error.offset, error.reason.contains("byte order mark")));
    assert_eq!(error, Err((0, true)));
}

#[test]
fn any_depth_is_scanned() {
    let deep: String = ["[", "{\"a\":"].iter().cycle().take(200_000).copied().collect();
    assert!(whole(&deep).is_err());
    let closed: String = deep + "1" + &"}]".repeat(100_000);
    assert!(whole(&closed).is_ok());
    assert_eq!(whole(&"[".repeat(100_000)).map_err(|error| error.offset), Err(100_000));
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
