//! Generates JSON values.

use super::super::source::Source;

/// Names of members, as they are. None is empty, since a path cannot have such a name.
pub(super) const NAMES: [&str; 6] = ["a", "b", "ä", "日", "a b", "a.b\\"];

/// What strings say.
pub(super) const TEXTS: [&str; 14] =
    ["x", "abc", "abd", "ab", "", "1", "1.0", "true", "null", "größe", "～", "🦀🦀", "\"\\/\n", "a\u{0}b"];

/// Deepest nesting, in containers. The model's parser is recursive.
const DEPTH_MAX: u32 = 5;

/// A payload: any JSON value without white space between its tokens, mostly an object with few members.
#[must_use]
pub fn payload(source: &mut Source<'_>) -> String {
    let mut json = String::new();
    match source.below(4) {
        0 => value(source, &mut json, DEPTH_MAX),
        _ => object(source, &mut json, DEPTH_MAX),
    }
    json
}

/// A number: one of few values in one of many forms, or a long one.
pub(super) fn number(source: &mut Source<'_>) -> String {
    match source.below(6) {
        0 => source.below(10).to_string(),
        1 => source.pick(&["0", "-0", "0.0", "0e5", "-0.0E-7", "1", "1.0", "1e0", "10e-1", "0.1e+1", "100E-2"]).into(),
        2 => source.pick(&["0.1", "0.10", "1e-1", "-1", "-1.0", "-1.5", "1.5", "15e-1", "100", "1e2", "1E+2"]).into(),
        // Neighbours that a 64-bit float cannot tell from each other.
        3 => {
            source.pick(&["9007199254740992", "9007199254740993", "9007199254740993.0", "9.007199254740993e15"]).into()
        }
        // Beyond what 64-bit integers and floats hold.
        4 => source
            .pick(&[
                "123456789012345678901234567890",
                "123456789012345678901234567891",
                "1.23456789012345678901234567890e29",
                "1e400",
                "10e399",
                "-1e400",
                "1e-400",
                "0.1e-399",
                "1e99999999999999999",
                "1e-99999999999999999",
                "0e99999999999999999",
            ])
            .into(),
        _ => {
            let sign = source.pick(&["", "-"]);
            let exponent = source.pick(&["", "e0", "e1", "E-1", "e+2", "e-18"]);
            format!("{sign}{}.{}{exponent}", source.below(100), source.below(1_000))
        }
    }
}

fn value(source: &mut Source<'_>, json: &mut String, depth: u32) {
    match source.below(if depth == 0 { 6 } else { 10 }) {
        0 => json.push_str("null"),
        1 => json.push_str(source.pick(&["true", "false"])),
        2 | 3 => json.push_str(&number(source)),
        4 | 5 => string(source, json),
        6 | 7 => array(source, json, depth - 1),
        _ => object(source, json, depth - 1),
    }
}

fn array(source: &mut Source<'_>, json: &mut String, depth: u32) {
    json.push('[');
    for index in 0..source.below(4) {
        if index > 0 {
            json.push(',');
        }
        value(source, json, depth);
    }
    json.push(']');
}

/// Names may come twice, since there are so few of them.
fn object(source: &mut Source<'_>, json: &mut String, depth: u32) {
    json.push('{');
    for index in 0..source.below(4) {
        if index > 0 {
            json.push(',');
        }
        match source.below(12) {
            0 => string(source, json),
            _ => {
                let name = source.pick(&NAMES);
                quoted(source, name, json);
            }
        }
        json.push(':');
        value(source, json, depth);
    }
    json.push('}');
}

fn string(source: &mut Source<'_>, json: &mut String) {
    match source.below(10) {
        // Strings of any kind of character, surrogates without a partner among them: RFC 8259, section 8.2, calls them
        // unpredictable but does not forbid them.
        0 => json.push_str(source.pick(&[
            r#""\ud83e""#,
            r#""\udd80x""#,
            r#""\udd80\ud83e""#,
            r#""\u0000""#,
            "\"\u{7f}\u{2028}\"",
        ])),
        _ => {
            let text = source.pick(&TEXTS);
            quoted(source, text, json);
        }
    }
}

/// Writes a string, with the escapes that it needs and some that it does not.
fn quoted(source: &mut Source<'_>, text: &str, json: &mut String) {
    let escape_all = source.one_in(8);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            '/' if source.one_in(2) => json.push_str("\\/"),
            _ if escape_all || character.is_ascii_control() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let escape = if source.one_in(2) { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                    json.push_str(&escape);
                }
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::tree;
    use super::*;

    #[test]
    fn payloads_are_json_of_every_kind() {
        let mut source = Source::seeded(2);
        let payloads: Vec<String> = (0..5_000).map(|_| payload(&mut source)).collect();
        for payload in &payloads {
            assert!(tree::parse(payload).is_some(), "{payload}");
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok(), "{payload}");
        }
        let distinct: BTreeSet<&String> = payloads.iter().collect();
        assert!(distinct.len() > 2_000, "{} distinct payloads", distinct.len());
        for part in ["\\ud83e\\udd80", "\"a\":", "[[", "{\"a\":{", "1e400", "null"] {
            assert!(payloads.iter().any(|payload| payload.contains(part)), "no payload has {part}");
        }
    }
}
