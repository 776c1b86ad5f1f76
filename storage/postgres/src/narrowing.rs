//! Conditions on payloads as SQL/JSON paths, which an index answers.

use argus_core::json::{Decimal, write_string};
use argus_core::query::{Operand, PayloadFilter, PayloadPath, Test};

use super::document::{ARRAY_LEVELS_MAX, EXPONENT_DIGITS_MAX, NUMBER_BYTES_MAX};

/// The longest path of a condition, in names, and the most conditions; a part of the conditions narrows, too.
/// `PostgreSQL` evaluates both recursively, and fails where its stack ends: from 20 names on at the smallest
/// `max_stack_depth` that it allows, 100 kB; between 200 and 500 at 2 MB, which is usual.
const NAMES_MAX: usize = 16;
const CONDITIONS_MAX: usize = 16;

/// The predicate `path` for `document @@ path::jsonpath` that holds for each [`document`](super::document::document)
/// whose payload fulfils all of these conditions. `None` if the conditions narrow nothing.
///
/// Only [`Test::Eq`] narrows, because a GIN index with `jsonb_path_ops` knows nothing but which scalar values there are
/// at which names. The predicate says nothing about the other conditions, so the core must test each event that is
/// found, and each event without a document.
///
/// `@@` rather than `@?`: several conditions in a path for `@?` need a filter of the whole document, and if that is an
/// array, `PostgreSQL` evaluates them once for each element, each time on the whole.
pub(crate) fn narrowing(conditions: &[PayloadFilter]) -> Option<String> {
    let mut predicate = String::new();
    for (path, operand) in conditions.iter().filter_map(equality).take(CONDITIONS_MAX) {
        if !predicate.is_empty() {
            predicate.push_str(" && ");
        }
        push_equality(path, operand, &mut predicate);
    }
    (!predicate.is_empty()).then_some(predicate)
}

/// The path and the operand of a condition that an index can answer.
fn equality(condition: &PayloadFilter) -> Option<(&PayloadPath, &Operand)> {
    match &condition.test {
        Test::Eq(operand) => (condition.path.names().count() <= NAMES_MAX).then_some((&condition.path, operand)),
        Test::Ne(_)
        | Test::Gt(_)
        | Test::Gte(_)
        | Test::Lt(_)
        | Test::Lte(_)
        | Test::Exists(_)
        | Test::Prefix(_)
        | Test::Contains(_) => None,
    }
}

/// Appends the predicate that any value at the path equals the operand, as [`Operand`] says.
fn push_equality(path: &PayloadPath, operand: &Operand, predicate: &mut String) {
    // Each step leads into the elements of an array, and from any other value to itself: paths are lax.
    let elements = "[*]".repeat(ARRAY_LEVELS_MAX);
    predicate.push_str("exists($");
    predicate.push_str(&elements);
    for name in path.names() {
        predicate.push('.');
        push_string(name, predicate);
        predicate.push_str(&elements);
    }
    predicate.push_str(" ? (@ == ");
    push_string(&String::from_utf8_lossy(operand.string()), predicate);
    if let Some(other) = literal(operand).or_else(|| number(operand)) {
        predicate.push_str(" || @ == ");
        predicate.push_str(&other);
    }
    predicate.push_str("))");
}

/// Appends a string of SQL/JSON, which has the escapes of JSON.
///
/// Neither U+0000 nor a lone surrogate can be in it, and neither can be in a document. Another character stands for
/// them: whatever it finds, the core tests.
fn push_string(text: &str, predicate: &mut String) {
    let mut string = Vec::with_capacity(text.len() + 2);
    write_string(&text.replace('\0', "\u{fffd}"), &mut string);
    predicate.push_str(&String::from_utf8_lossy(&string));
}

/// The literal that equals the operand.
fn literal(operand: &Operand) -> Option<String> {
    matches!(operand.as_str(), "true" | "false" | "null").then(|| operand.as_str().to_owned())
}

/// The number that equals the operand, in a spelling that SQL/JSON has. `None` if no number does, or none that a
/// document may have.
fn number(operand: &Operand) -> Option<String> {
    let number = Decimal::parse_text(operand.as_str().as_bytes())?;
    let digits = number.digits().replace('.', "");
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let exponent_max = 10_u64.pow(EXPONENT_DIGITS_MAX as u32);
    if digits.len() > NUMBER_BYTES_MAX || number.scale().unsigned_abs() > exponent_max + NUMBER_BYTES_MAX as u64 {
        return None;
    }
    let sign = if number.is_negative() { "-" } else { "" };
    Some(format!("{sign}0.{digits}e{}", number.scale()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::slice::from_ref;

    use super::*;

    fn eq(path: &str, operand: &str) -> PayloadFilter {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test: Test::Eq(Operand::new(operand)) }
    }

    fn compared(operand: &str) -> String {
        let predicate = narrowing(&[eq("a", operand)]).unwrap();
        let test = predicate.strip_prefix(r#"exists($[*][*][*][*]."a"[*][*][*][*] ? ("#).unwrap();
        test.strip_suffix("))").unwrap().to_owned()
    }

    #[test]
    fn an_operand_is_a_string_and_what_else_it_equals() {
        for (operand, expected) in [
            ("x", r#"@ == "x""#),
            ("", r#"@ == """#),
            ("\"5\\u0030\"", r#"@ == "50""#),
            ("\"true\"", r#"@ == "true""#),
            ("true", r#"@ == "true" || @ == true"#),
            ("null", r#"@ == "null" || @ == null"#),
            ("1.50", r#"@ == "1.50" || @ == 0.15e1"#),
            ("+007", r#"@ == "+007" || @ == 0.7e1"#),
            ("-1e-400", r#"@ == "-1e-400" || @ == -0.1e-399"#),
            ("-0.0e5", r#"@ == "-0.0e5" || @ == 0"#),
            ("1e5000", r#"@ == "1e5000""#),
            ("1e-99999999999999999999", r#"@ == "1e-99999999999999999999""#),
            ("\\\"ü\n\u{1}/", r#"@ == "\\\"ü\n\u0001/""#),
            ("a\0b", "@ == \"a\u{fffd}b\""),
            (r#""\u0000""#, "@ == \"\u{fffd}\""),
            (r#""a\ud83e""#, "@ == \"a\u{fffd}\u{fffd}\u{fffd}\""),
        ] {
            assert_eq!(compared(operand), expected, "{operand}");
        }
    }

    #[test]
    fn names_are_quoted() {
        let predicate = narrowing(&[eq(r#"a\.b.."\\"#, "x")]);
        let expected = r#"exists($[*][*][*][*]."a.b"[*][*][*][*].""[*][*][*][*]."\"\\"[*][*][*][*] ? (@ == "x"))"#;
        assert_eq!(predicate.as_deref(), Some(expected));
    }

    #[test]
    fn only_equality_narrows() {
        let path = || PayloadPath::parse("a").unwrap();
        let operand = || Operand::new("1");
        let others = [
            Test::Ne(operand()),
            Test::Gt(operand()),
            Test::Gte(operand()),
            Test::Lt(operand()),
            Test::Lte(operand()),
            Test::Exists(true),
            Test::Exists(false),
            Test::Prefix("1".into()),
            Test::Contains("1".into()),
        ]
        .map(|test| PayloadFilter { path: path(), test });
        assert_eq!(narrowing(&[]), None);
        assert_eq!(narrowing(&others), None);
        let [one, other] = [eq("a", "x"), eq("b", "y")];
        let both = [from_ref(&one), &others[..], from_ref(&other)].concat();
        let expected = format!("{} && {}", narrowing(&[one]).unwrap(), narrowing(&[other]).unwrap());
        assert_eq!(narrowing(&both), Some(expected));
    }

    #[test]
    fn long_paths_narrow_nothing() {
        let path = |names: usize| vec!["a"; names].join(".");
        assert!(narrowing(&[eq(&path(NAMES_MAX), "x")]).is_some());
        assert_eq!(narrowing(&[eq(&path(NAMES_MAX + 1), "x")]), None);
        assert_eq!(narrowing(&[eq(&path(NAMES_MAX + 1), "x"), eq("a", "x")]), narrowing(&[eq("a", "x")]));
    }

    #[test]
    fn the_first_of_many_conditions_narrow() {
        let many: Vec<PayloadFilter> = (0..=CONDITIONS_MAX).map(|number| eq("a", &number.to_string())).collect();
        let (_, first) = many.split_last().unwrap();
        assert!(narrowing(first).is_some_and(|predicate| predicate.contains("\"15\"")));
        assert_eq!(narrowing(&many), narrowing(first));
    }
}
