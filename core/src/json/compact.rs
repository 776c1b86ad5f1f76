//! Removes insignificant white space from a JSON text.

use alloc::string::String;

/// Appends a valid JSON text without its insignificant white space. Tokens are copied unchanged. The output for an
/// invalid text is unspecified.
///
/// ```
/// let mut out = String::new();
/// argus_core::json::compact("{ \"a\" : [1.0, \"b c\"] }", &mut out);
/// assert_eq!(out, r#"{"a":[1.0,"b c"]}"#);
/// ```
pub fn compact(json: &str, out: &mut String) {
    out.reserve(json.len());
    let mut rest = json;
    while let Some(start) = rest.find(|character| !is_white(character)) {
        let (_, tail) = rest.split_at(start);
        let end = tail.find(|character| is_white(character) || character == '"').unwrap_or(tail.len());
        let (tokens, tail) = tail.split_at(end);
        out.push_str(tokens);
        let string_len = if tail.starts_with('"') { string_len(tail) } else { 0 };
        let (string, tail) = tail.split_at(string_len);
        out.push_str(string);
        rest = tail;
    }
}

const fn is_white(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// The length of the string token at the start of `text`, including its quotes.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_is_removed() {
        for (json, expected) in [
            (" { \"a b\" : [ 1.0 ,\t2e5 ] ,\r\n\"\\\" \\\\\" : \" \" } ", r#"{"a b":[1.0,2e5],"\" \\":" "}"#),
            ("  null", "null"),
            ("\" \"", "\" \""),
            ("[ ]", "[]"),
            ("[\"\" , \"ü\u{2028} \"]", "[\"\",\"ü\u{2028} \"]"),
        ] {
            let mut out = String::new();
            compact(json, &mut out);
            assert_eq!(out, expected);
        }
    }
}
