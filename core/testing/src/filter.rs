//! The meaning of payload filters, implemented in the simplest way and without the engine's matcher.

use std::cmp::Ordering;

use argus_core::query::{PayloadFilter, Test};

use super::decimal;
use super::tree::{self, Text, Tree};

/// Whether a payload matches the filter.
pub(super) fn matches(filter: &PayloadFilter, payload: &str) -> bool {
    let root = tree::parse(payload).expect("payloads are valid JSON without white space");
    let names: Vec<Text> = filter.path.names().map(Text::from).collect();
    let found = values_at(&root, &names);
    let any = |holds: &dyn Fn(&Tree) -> bool| found.iter().copied().flat_map(with_elements).any(holds);

    match &filter.test {
        Test::Eq(operand) => any(&|value| equal(value, operand.as_str())),
        Test::Ne(operand) => !any(&|value| equal(value, operand.as_str())),
        Test::Gt(operand) => any(&|value| order(value, operand.as_str()).is_some_and(Ordering::is_gt)),
        Test::Gte(operand) => any(&|value| order(value, operand.as_str()).is_some_and(Ordering::is_ge)),
        Test::Lt(operand) => any(&|value| order(value, operand.as_str()).is_some_and(Ordering::is_lt)),
        Test::Lte(operand) => any(&|value| order(value, operand.as_str()).is_some_and(Ordering::is_le)),
        Test::Exists(wanted) => found.is_empty() != *wanted,
        Test::Prefix(part) => {
            any(&|value| text_of(value).is_some_and(|text| text.0.starts_with(&Text::from(&**part).0)))
        }
        Test::Contains(part) => {
            any(&|value| text_of(value).is_some_and(|text| contains(&text.0, &Text::from(&**part).0)))
        }
    }
}

/// All values at a path. A path follows every member of a name and every element of an array on the way.
pub(super) fn values_at<'t>(value: &'t Tree, names: &[Text]) -> Vec<&'t Tree> {
    let Some((first, others)) = names.split_first() else {
        return vec![value];
    };
    match value {
        Tree::Object(members, _) => {
            members.iter().filter(|(name, _)| name == first).flat_map(|(_, member)| values_at(member, others)).collect()
        }
        Tree::Array(elements) => elements.iter().flat_map(|element| values_at(element, names)).collect(),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => Vec::new(),
    }
}

/// The value itself and, if it is an array, everything in it at any depth.
pub(super) fn with_elements(value: &Tree) -> Box<dyn Iterator<Item = &Tree> + '_> {
    match value {
        Tree::Array(elements) => Box::new(std::iter::once(value).chain(elements.iter().flat_map(with_elements))),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(..) => {
            Box::new(std::iter::once(value))
        }
    }
}

fn equal(value: &Tree, operand: &str) -> bool {
    match (quoted(operand), value) {
        (Some(string), value) => text_of(value) == Some(&string),
        (None, Tree::Null) => operand == "null",
        (None, Tree::Bool(value)) => operand == if *value { "true" } else { "false" },
        (None, Tree::Number(number)) => decimal::is_number(operand) && decimal::compare(number, operand).is_eq(),
        (None, Tree::Text(text)) => *text == Text::from(operand),
        (None, Tree::Array(_) | Tree::Object(..)) => false,
    }
}

/// How a value compares with the operand. `None` if it does not.
fn order(value: &Tree, operand: &str) -> Option<Ordering> {
    if matches!(operand, "true" | "false" | "null") {
        return equal(value, operand).then_some(Ordering::Equal);
    }
    if decimal::is_number(operand) {
        let number = match value {
            Tree::Number(number) => number.clone(),
            Tree::Text(text) => text.unicode().filter(|text| decimal::is_number(text))?,
            Tree::Null | Tree::Bool(_) | Tree::Array(_) | Tree::Object(..) => return None,
        };
        return Some(decimal::compare(&number, operand));
    }
    let string = quoted(operand).unwrap_or_else(|| Text::from(operand));
    text_of(value).map(|text| text.cmp(&string))
}

/// The string of an operand in JSON quotes.
fn quoted(operand: &str) -> Option<Text> {
    match tree::parse(operand)? {
        Tree::Text(string) => Some(string),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Array(_) | Tree::Object(..) => None,
    }
}

fn text_of(value: &Tree) -> Option<&Text> {
    match value {
        Tree::Text(text) => Some(text),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Array(_) | Tree::Object(..) => None,
    }
}

fn contains(text: &[u32], part: &[u32]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use argus_core::event::Payload;
    use argus_core::query::{Conditions, Operand, PayloadPath};

    use super::super::{Random, generate};
    use super::*;

    fn holds(payload: &str, path: &str, test: Test) -> bool {
        matches(&PayloadFilter { path: PayloadPath::parse(path).expect("a good path"), test }, payload)
    }

    fn eq(payload: &str, path: &str, operand: &str) -> bool {
        let equal = holds(payload, path, Test::Eq(Operand::new(operand)));
        assert_eq!(holds(payload, path, Test::Ne(Operand::new(operand))), !equal, "ne is the opposite of eq");
        equal
    }

    /// The results of gt, gte, lt and lte.
    fn orders(payload: &str, operand: &str) -> [bool; 4] {
        [Test::Gt, Test::Gte, Test::Lt, Test::Lte].map(|test| holds(payload, "a", test(Operand::new(operand))))
    }

    #[test]
    fn equality_compares_the_operand_as_a_string_and_as_any_other_scalar() {
        assert!(eq(r#"{"a":1.0}"#, "a", "1"));
        assert!(eq(r#"{"a":1}"#, "a", "10e-1"));
        assert!(eq(r#"{"a":"1"}"#, "a", "1"));
        assert!(!eq(r#"{"a":"1.0"}"#, "a", "1"));
        assert!(eq(r#"{"a":1}"#, "a", "01"));
        assert!(eq(r#"{"a":"01"}"#, "a", "01"));
        assert!(!eq(r#"{"a":"1"}"#, "a", "01"));
        assert!(eq(r#"{"a":"1"}"#, "a", "\"1\""));
        assert!(!eq(r#"{"a":1}"#, "a", "\"1\""));
        assert!(!eq(r#"{"a":true}"#, "a", "\"true\""));
        assert!(eq(r#"{"a":"\"x"}"#, "a", "\"x"));
        assert!(eq(r#"{"":{"[]":1}}"#, r".\[\]", "1"));
        assert!(eq(r#"{"a":true}"#, "a", "true"));
        assert!(eq(r#"{"a":"true"}"#, "a", "true"));
        assert!(!eq(r#"{"a":true}"#, "a", "false"));
        assert!(eq(r#"{"a":null}"#, "a", "null"));
        assert!(!eq(r#"{"a":null}"#, "a", ""));
        assert!(eq(r#"{"a":""}"#, "a", ""));
        assert!(eq(r#"{"a":"\u0065\u0301"}"#, "a", "e\u{301}"));
        assert!(!eq(r#"{"a":"é"}"#, "a", "e\u{301}"));
        assert!(!eq("{}", "a", "null"));
        assert!(!eq(r#"{"a":{}}"#, "a", "{}"));
        assert!(!eq(r#"{"a":[]}"#, "a", "[]"));
    }

    #[test]
    fn paths_reach_through_objects_and_arrays() {
        assert!(eq(r#"{"a":{"b":{"c":"x"}}}"#, "a.b.c", "x"));
        assert!(!eq(r#"{"a":{"b":"x"}}"#, "b", "x"));
        assert!(!eq(r#"{"a.b":"x"}"#, "a.b", "x"));
        assert!(eq(r#"{"\u0061":"x"}"#, "a", "x"));
        assert!(eq(r#"{"a":[1,2,3]}"#, "a", "2"));
        assert!(eq(r#"{"a":[[1],[[2]]]}"#, "a", "2"));
        assert!(eq(r#"{"a":[{"b":1},{"b":[5,{"b":6}]}]}"#, "a.b", "5"));
        assert!(!eq(r#"{"a":[{"b":1},{"b":[5,{"b":6}]}]}"#, "a.b", "6"));
        assert!(eq(r#"{"a":[{"b":1},{"b":[5,{"b":6}]}]}"#, "a.b.b", "6"));
        assert!(eq(r#"[{"a":"x"}]"#, "a", "x"));
        assert!(eq(r#"{"a":"first","a":"last"}"#, "a", "first"));
        assert!(eq(r#"{"a":"first","a":"last"}"#, "a", "last"));
        assert!(!eq(r#""a""#, "a", "a"));
    }

    #[test]
    fn order_is_by_value_for_a_number_and_by_bytes_for_a_string() {
        assert_eq!(orders(r#"{"a":2}"#, "1.5"), [true, true, false, false]);
        assert_eq!(orders(r#"{"a":1.50}"#, "1.5"), [false, true, false, true]);
        assert_eq!(orders(r#"{"a":-1}"#, "1.5"), [false, false, true, true]);
        assert_eq!(orders(r#"{"a":"2"}"#, "1.5"), [true, true, false, false]);
        assert_eq!(orders(r#"{"a":"+01.50"}"#, "1.5"), [false, true, false, true]);
        assert_eq!(orders(r#"{"a":"2x"}"#, "1.5"), [false; 4]);
        assert_eq!(orders(r#"{"a":"2"}"#, "\"1.5\""), [true, true, false, false]);
        assert_eq!(orders(r#"{"a":2}"#, "\"1.5\""), [false; 4]);
        assert_eq!(orders(r#"{"a":2}"#, "b"), [false; 4]);
        assert_eq!(orders(r#"{"a":"2"}"#, "b"), [false, false, true, true]);
        assert_eq!(orders(r#"{"a":"b"}"#, "b"), [false, true, false, true]);
        assert_eq!(orders(r#"{"a":"ba"}"#, "b"), [true, true, false, false]);
        // U+FF5E sorts before U+1F980 in UTF-8, but after it in UTF-16.
        assert_eq!(orders(r#"{"a":"～"}"#, "🦀"), [false, false, true, true]);
        assert_eq!(orders(r#"{"a":null}"#, "null"), [false, true, false, true]);
        assert_eq!(orders(r#"{"a":"true"}"#, "true"), [false, true, false, true]);
        assert_eq!(orders(r#"{"a":"z"}"#, "true"), [false; 4]);
        assert_eq!(orders(r#"{"a":true}"#, "false"), [false; 4]);
        assert_eq!(orders(r#"{"a":[1,9]}"#, "5"), [true, true, true, true]);
        assert_eq!(orders("{}", "5"), [false; 4]);
    }

    #[test]
    fn null_and_empty_values_exist() {
        for payload in [r#"{"a":null}"#, r#"{"a":[]}"#, r#"{"a":{}}"#, r#"[[],{"a":0}]"#] {
            assert!(holds(payload, "a", Test::Exists(true)));
            assert!(!holds(payload, "a", Test::Exists(false)));
        }
        for payload in ["{}", "null", r#"{"b":"a"}"#, "[]"] {
            assert!(!holds(payload, "a", Test::Exists(true)));
            assert!(holds(payload, "a", Test::Exists(false)));
        }
        assert!(!holds(r#"{"a":[]}"#, "a.b", Test::Exists(true)));
    }

    #[test]
    fn prefix_and_contains_match_strings_only() {
        let prefix = |payload, part: &str| holds(payload, "a", Test::Prefix(part.into()));
        let contains = |payload, part: &str| holds(payload, "a", Test::Contains(part.into()));
        assert!(prefix(r#"{"a":"abc"}"#, "ab"));
        assert!(prefix(r#"{"a":"abc"}"#, ""));
        assert!(!prefix(r#"{"a":"abc"}"#, "abcd"));
        assert!(!prefix(r#"{"a":123}"#, "1"));
        assert!(prefix(r#"{"a":["x","abc"]}"#, "ab"));
        assert!(contains(r#"{"a":"abc"}"#, "bc"));
        assert!(contains(r#"{"a":"\u0062c"}"#, "bc"));
        assert!(contains(r#"{"a":""}"#, ""));
        assert!(!contains(r#"{"a":"abc"}"#, "ac"));
        assert!(!contains(r#"{"a":null}"#, ""));
        assert!(!contains("{}", ""));
    }

    /// Compares the two matchers without an engine, so that a failure is easy to read.
    #[test]
    fn the_matcher_of_the_core_agrees() {
        let mut random = Random::seeded(4);
        let (mut held, mut failed) = (0, 0);
        for round in 0..10_000 {
            let payload = generate::payload(&mut random);
            let parsed = Payload::parse(&payload).expect("it was generated");
            let count = if round % 2 == 0 { 1 } else { 2 + random.pick(&[0, 1, 2, 3, 4, 5]) };
            let filters: Vec<PayloadFilter> = (0..count).map(|_| generate::payload_filter(&mut random)).collect();
            let each: Vec<bool> = filters.iter().map(|filter| matches(filter, &payload)).collect();
            let all = |filters: &[PayloadFilter]| Conditions::compile(filters).evaluate(parsed).matches;
            assert_eq!(all(&filters), !each.contains(&false), "{filters:?} of {payload}");
            // Check the matching filters together: if one filter failed, it would hide errors in the others.
            let holding: Vec<PayloadFilter> =
                filters.iter().zip(&each).filter(|(_, holds)| **holds).map(|(filter, _)| filter.clone()).collect();
            assert!(all(&holding), "{holding:?} of {payload}");
            for (filter, holds) in filters.iter().zip(&each).filter(|_| count > 1) {
                let one_more = [&holding[..], core::slice::from_ref(filter)].concat();
                assert_eq!(all(&one_more), *holds, "{one_more:?} of {payload}");
            }
            held += holding.len();
            failed += count - holding.len();
        }
        assert!(held.min(failed) > 2_500, "{held} conditions held, {failed} failed");
    }
}
