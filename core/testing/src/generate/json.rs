//! Generates JSON values.

use super::super::random::Random;

/// Names of members, unescaped.
pub(super) const NAMES: [&str; 8] = ["a", "b", "ä", "日", "a b", "a.b\\", "", "a[b]"];

/// Contents of strings, unescaped.
pub(super) const TEXTS: [&str; 18] = [
    "x", "abc", "abd", "ab", "", "1", "1.0", "true", "null", "größe", "～", "🦀🦀", "\"\\/\n", "a\u{0}b", "007", "+1",
    "-1e2", "1.",
];

/// The deepest nesting of arrays and objects. The model's parser is recursive.
const DEPTH_MAX: u32 = 5;

/// A payload: any JSON value without white space between tokens, mostly an object with few members.
#[must_use]
pub fn payload(random: &mut Random<'_>) -> String {
    let mut json = String::new();
    match random.below(4) {
        0 => value(random, &mut json, DEPTH_MAX),
        _ => object(random, &mut json, DEPTH_MAX),
    }
    json
}

/// A number: one of a few values in one of many notations, or a long one.
pub(super) fn number(random: &mut Random<'_>) -> String {
    match random.below(6) {
        0 => random.below(10).to_string(),
        1 => random.pick(&["0", "-0", "0.0", "0e5", "-0.0E-7", "1", "1.0", "1e0", "10e-1", "0.1e+1", "100E-2"]).into(),
        2 => random.pick(&["0.1", "0.10", "1e-1", "-1", "-1.0", "-1.5", "1.5", "15e-1", "100", "1e2", "1E+2"]).into(),
        // Adjacent integers that a 64-bit float cannot tell apart.
        3 => {
            random.pick(&["9007199254740992", "9007199254740993", "9007199254740993.0", "9.007199254740993e15"]).into()
        }
        // Outside of the range of 64-bit integers and floats.
        4 => random
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
            let sign = random.pick(&["", "-"]);
            let exponent = random.pick(&["", "e0", "e1", "E-1", "e+2", "e-18"]);
            format!("{sign}{}.{}{exponent}", random.below(100), random.below(1_000))
        }
    }
}

fn value(random: &mut Random<'_>, json: &mut String, depth: u32) {
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => json.push_str("null"),
        1 => json.push_str(random.pick(&["true", "false"])),
        2 | 3 => json.push_str(&number(random)),
        4 | 5 => string(random, json),
        6 | 7 => array(random, json, depth - 1),
        _ => object(random, json, depth - 1),
    }
}

fn array(random: &mut Random<'_>, json: &mut String, depth: u32) {
    json.push('[');
    for index in 0..random.below(4) {
        if index > 0 {
            json.push(',');
        }
        value(random, json, depth);
    }
    json.push(']');
}

/// Names may be repeated, since there are few.
fn object(random: &mut Random<'_>, json: &mut String, depth: u32) {
    json.push('{');
    for index in 0..random.below(4) {
        if index > 0 {
            json.push(',');
        }
        match random.below(12) {
            0 => string(random, json),
            _ => {
                let name = random.pick(&NAMES);
                quoted(random, name, json);
            }
        }
        json.push(':');
        value(random, json, depth);
    }
    json.push('}');
}

fn string(random: &mut Random<'_>, json: &mut String) {
    match random.below(10) {
        // Strings of all kinds of characters. RFC 8259, section 8.2, allows unpaired surrogates, but calls their effect
        // unpredictable.
        0 => json.push_str(random.pick(&[
            r#""\ud83e""#,
            r#""\udd80x""#,
            r#""\udd80\ud83e""#,
            r#""\u0000""#,
            "\"\u{7f}\u{2028}\"",
        ])),
        _ => {
            let text = random.pick(&TEXTS);
            quoted(random, text, json);
        }
    }
}

/// Writes a string with the necessary escapes and some unnecessary ones.
pub(super) fn quoted(random: &mut Random<'_>, text: &str, json: &mut String) {
    let escape_all = random.one_in(8);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            '/' if random.one_in(2) => json.push_str("\\/"),
            _ if escape_all || character.is_ascii_control() => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let escape = if random.one_in(2) { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
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
        let mut random = Random::seeded(2);
        let payloads: Vec<String> = (0..5_000).map(|_| payload(&mut random)).collect();
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
