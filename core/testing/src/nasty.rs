//! Generates payloads around the limits of what databases can hold as documents, and conditions on them.

use argus_core::json::{RawString, Scanner, SyntaxError, Value};
use argus_core::query::{Operand, PayloadFilter, PayloadPath, Test};

use crate::random::Random;

/// How many arrays mostly lie directly within each other at most.
const ARRAY_LEVELS_MAX: usize = 4;

/// Names of members as tokens, without quotes. Some are equal without their escapes.
const NAMES: [&str; 10] = ["a", "b", "a", "\\u0061", "é", "\\u00e9", "", "\\\"", "$.*[0]", "\\\\u0000"];

/// The same names as paths.
const PATHS: [&str; 7] = ["a", "b", "é", "", "\"", r"$\.*\[0\]", r"\\u0000"];

/// Parts of strings, as tokens.
const PARTS: [&str; 20] = [
    "a",
    "b",
    "é",
    "\\u00e9",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b",
    "\\u0008",
    "u0000",
    "\\u001f",
    "\u{7f}",
    "\u{ffff}",
    "\\uFFFF",
    "\\ud83e\\udd80",
    "🦀",
    "\\u0000",
    "\\ud83e",
    "\\udd80",
    "\\u200b",
];

/// Operands that are equal to some values.
const OPERANDS: [&str; 16] = [
    "a",
    "b",
    "é",
    "\\",
    "\"",
    "\u{8}",
    "\"\\u0008\"",
    "🦀",
    "\u{ffff}",
    "u0000",
    "\u{0}",
    "true",
    "null",
    "\"true\"",
    "",
    "/",
];

/// A payload: mostly an object whose names are few, sometimes one chain of containers.
pub fn payload(random: &mut Random<'_>) -> String {
    let mut json = String::new();
    match random.below(10) {
        0 => chain(random, &mut json),
        1 => value(random, &mut json, 4),
        _ => object(random, &mut json, 4),
    }
    json
}

/// A condition of equality.
pub fn condition(random: &mut Random<'_>) -> PayloadFilter {
    let names: Vec<&str> = (0..random.pick(&[1, 1, 1, 2, 3])).map(|_| random.pick(&PATHS)).collect();
    let operand = match random.below(3) {
        0 => number(random),
        _ => random.pick(&OPERANDS).to_owned(),
    };
    let path = PayloadPath::parse(&names.join(".")).expect("dots, brackets and backslashes are escaped");
    PayloadFilter { path, test: Test::Eq(Operand::new(&operand)) }
}

/// A condition that holds for a payload; `None` if there is no value at any path.
///
/// # Panics
///
/// The payload is no JSON.
pub fn condition_in(random: &mut Random<'_>, payload: &str) -> Option<PayloadFilter> {
    let mut found = Vec::new();
    collect(&mut Scanner::new(payload), &mut Vec::new(), &mut found).expect("generators give valid payloads");
    found.retain(|(names, _)| !names.is_empty() && names.len() <= 16);
    let (names, token) = found.get(random.index(found.len()))?;
    let operand = match Value::of(token) {
        Value::String(string) if random.one_in(2) => text(string),
        Value::Number(number) => match random.below(4) {
            0 if !number.contains(['e', 'E']) => format!("{number}E+0"),
            1 if !number.contains(['-', 'e', 'E', '.']) => format!("+00{number}0e-1"),
            _ => number.to_owned(),
        },
        Value::String(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => (*token).to_owned(),
    };
    let path = PayloadPath::parse(&names.join(".")).expect("dots, brackets and backslashes are escaped");
    Some(PayloadFilter { path, test: Test::Eq(Operand::new(&operand)) })
}

/// Finds each scalar value with the names that lead to it, which are escaped for a path.
fn collect<'a>(
    scanner: &mut Scanner<'a>,
    names: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, &'a str)>,
) -> Result<(), SyntaxError> {
    match scanner.peek() {
        Some(b'{') => scanner.object(|name, scanner| {
            let mut escaped = text(name).replace('\\', "\\\\");
            for sign in [".", "[", "]"] {
                escaped = escaped.replace(sign, &format!("\\{sign}"));
            }
            names.push(escaped);
            collect(scanner, names, found)?;
            names.pop();
            Ok(())
        }),
        Some(b'[') => scanner.array(|scanner| collect(scanner, names, found)),
        Some(_) | None => {
            found.push((names.clone(), scanner.value()?.raw));
            Ok(())
        }
    }
}

fn text(string: RawString<'_>) -> String {
    String::from_utf8_lossy(&string.bytes()).into_owned()
}

fn value(random: &mut Random<'_>, json: &mut String, depth: u32) {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => json.push_str(random.pick(&["true", "false", "null"])),
        1 | 2 => json.push_str(&number(random)),
        3 | 4 => string(random, json),
        5 | 6 => array(random, json, depth - 1),
        _ => object(random, json, depth - 1),
    }
}

/// Arrays directly within each other, mostly no more than a document may have.
fn array(random: &mut Random<'_>, json: &mut String, depth: u32) {
    let levels = if random.one_in(20) { ARRAY_LEVELS_MAX + 1 } else { 1 + random.index(ARRAY_LEVELS_MAX) };
    json.push_str(&"[".repeat(levels));
    for index in 0..random.below(4) {
        json.push_str(if index > 0 { "," } else { "" });
        value(random, json, depth);
    }
    json.push_str(&"]".repeat(levels));
}

fn object(random: &mut Random<'_>, json: &mut String, depth: u32) {
    json.push('{');
    for index in 0..random.below(4) {
        json.push_str(if index > 0 { "," } else { "" });
        *json += &format!("\"{}\":", random.pick(&NAMES));
        value(random, json, depth);
    }
    json.push('}');
}

fn string(random: &mut Random<'_>, json: &mut String) {
    json.push('"');
    for _ in 0..random.pick(&[1, 1, 1, 0, 2, 3]) {
        // The last few parts make a document impossible.
        let part = random.pick(&PARTS);
        json.push_str(part);
    }
    json.push('"');
}

/// A number: a common one, or one around the limits of a document, in one of many spellings.
fn number(random: &mut Random<'_>) -> String {
    let sign = random.pick(&["", "-"]);
    match random.below(8) {
        0..=3 => random.pick(&["0", "-0.00", "0E-9", "1", "1.0", "10e-1", "0.1e1", "-1", "12.50", "125e-1"]).to_owned(),
        4 => random.pick(&["1e999", "10e998", "0.1e1000", "1e-999", "0.1e-998", "1e1000", "1e-1000"]).to_owned(),
        5 => format!("{sign}1.5{}{}", random.pick(&["e", "E+", "e-"]), random.below(1_100)),
        6 => format!("{sign}1{}", "0".repeat(random.index(1_010))),
        _ => format!("{sign}0.{}1{}", "0".repeat(random.index(1_010)), random.pick(&["", "e-999", "e999"])),
    }
}

/// Containers within each other, about as many as a document may have.
fn chain(random: &mut Random<'_>, json: &mut String) {
    let (open, close) = random.pick(&[(r#"{"a":"#, "}"), (r#"[{"b":"#, "}]"), (r#"[[[{"":"#, "}]]]")]);
    let count = random.pick(&[10, 30, 50, 60, 100, 150, 200, 250]);
    *json += &open.repeat(count);
    value(random, json, 0);
    *json += &close.repeat(count);
}
