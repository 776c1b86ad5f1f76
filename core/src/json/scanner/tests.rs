//! Unit tests of the JSON scanner.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::format;
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
        assert_eq!(whole(text).map(|span| (span.raw, span.has_white_space())), Ok((text, false)), "{text}");
    }
}

#[test]
fn white_space_is_reported() {
    let shown = |text| whole(text).map(|span| (span.raw, span.has_white_space()));
    assert_eq!(shown(" [1] \r\n\t"), Ok(("[1]", false)));
    for text in ["[ ]", "{ }", "[1 ]", "[1, 2]", r#"{"a" :1}"#, r#"{"a": 1}"#, r#"{"a":1 }"#, "{\n\"a\":1}"] {
        assert_eq!(shown(text), Ok((text, true)));
    }
    let mut scanner = Scanner::new(" [1,[ ], [2]]");
    let mut has_white_space = Vec::new();
    let result = scanner.array(|scanner| scanner.value().map(|span| has_white_space.push(span.has_white_space())));
    assert_eq!((result, has_white_space), (Ok(()), [false, true, false].to_vec()));
    assert_eq!(scanner.first_white_space(), Some(0));
}

#[test]
fn depth_and_long_numbers_are_reported() {
    let digits = |count: usize| "7".repeat(count);
    for (text, depth, has_long_number) in [
        ("1", 0, false),
        ("\"[1]\"", 0, false),
        ("[]", 1, false),
        ("{}", 1, false),
        ("[[],[],1]", 2, false),
        (r#"{"a":[1]}"#, 2, false),
        (r#"[{"a":[{}],"b":10},[[]]]"#, 4, false),
        (&digits(1000), 0, false),
        (&digits(1001), 0, true),
        (&format!("[-{}.{}e+{},1]", digits(500), digits(499), digits(1)), 1, false),
        (&format!("[-{}.{}e+{},1]", digits(500), digits(500), digits(1)), 1, true),
        (&format!(r#"[{{"a":{}}},[[]]]"#, digits(1001)), 3, true),
        (&format!(r#"{{"{0}":"{0}"}}"#, digits(1001)), 1, false),
    ] {
        let span = whole(text).unwrap();
        assert_eq!((span.depth(), span.has_long_number()), (depth, has_long_number), "{text}");
        let record = format!(r#"{{"a":[],"b":{text},"c":1}}"#);
        let mut values = Vec::new();
        let members = Scanner::new(&record).members(|_, value| values.push(value));
        assert_eq!(members, whole(&record));
        assert_eq!(values.get(1), Some(&span));
    }
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
    assert_eq!(whole(&closed).map(|span| span.depth()), Ok(200_000));
    assert_eq!(whole(&"[".repeat(100_000)).map_err(|error| error.offset), Err(100_000));
}
