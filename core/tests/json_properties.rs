//! Property tests of the JSON module: it agrees with `serde_json`, on almost valid JSON and on any text.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use argus_core::event::Payload;
use argus_core::json::{self, Decimal, Paths, RawString, Scanner, SyntaxError, Value};
use argus_core::query::{Conditions, Operand, PayloadFilter, PayloadPath, Test};
use proptest::prelude::*;

/// Joins tokens, so that valid and invalid texts are about equally likely.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"\"", "\"", "\\", "\\n", "\\u0041", "0", "-1", "1.5", "1e9", ".", "e",
        "+", "-", "null", "true", "false", "nul", " ", "\n", "\t", "ü", "\u{1}", "{\"a\":", "[1,2]", "{}", "[]",
        "\u{a0}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::vec(("[abc]|\\PC{0,4}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn scan(text: &str) -> Result<bool, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let span = scanner.value()?;
    scanner.end()?;
    Ok(span.has_white_space())
}

fn compacted(text: &str) -> String {
    let mut out = String::new();
    json::compact(text, &mut out);
    out
}

fn text(string: RawString<'_>) -> String {
    string.text(&mut Vec::new()).unwrap().to_owned()
}

/// The values at each of the paths, all found in one pass.
fn walk<'t>(text: &'t str, paths: &[&[&str]]) -> Vec<Vec<Value<'t>>> {
    let mut set = Paths::default();
    let numbers: Vec<usize> = paths.iter().map(|path| set.add(path.iter().copied())).collect();
    let mut found = vec![Vec::new(); paths.len()];
    set.walk(text, |path, value| {
        found[path].push(value);
        ControlFlow::Continue(())
    });
    numbers.into_iter().map(|number| found[number].clone()).collect()
}

/// The values that a path should find, by recursion over a tree.
fn naive<'v>(value: &'v serde_json::Value, path: &[&str], found: &mut Vec<&'v serde_json::Value>) {
    if let serde_json::Value::Array(elements) = value {
        if path.is_empty() {
            found.push(value);
        }
        for element in elements {
            naive(element, path, found);
        }
    } else if let Some((name, rest)) = path.split_first() {
        if let Some(member) = value.get(*name) {
            naive(member, rest, found);
        }
    } else {
        found.push(value);
    }
}

fn same(found: Value<'_>, expected: &serde_json::Value) -> bool {
    match found {
        Value::String(raw) => expected.as_str() == Some(&text(raw)),
        Value::Number(token) => expected.as_number().is_some_and(|number| number.to_string() == token),
        Value::Bool(value) => expected.as_bool() == Some(value),
        Value::Null => expected.is_null(),
        Value::Array => expected.is_array(),
        Value::Object => expected.is_object(),
    }
}

/// The text of a number, valid or nearly so.
fn number_text() -> impl Strategy<Value = String> {
    prop_oneof!["[+-]?0{0,2}[0-2]{0,2}(\\.[0-2]{0,2})?([eE][+-]?[0-1])?", "[0-2]"]
}

/// A JSON value, often one that equals an operand.
fn value_token() -> impl Strategy<Value = String> {
    let quoted = |text: String| serde_json::to_string(&text).unwrap();
    prop_oneof![
        number_text().prop_filter("a number token", |text| Decimal::parse(text).is_some()),
        number_text().prop_map(quoted),
        "true|false|null|[a-b\"]{0,2}".prop_map(quoted),
        prop::sample::select(vec!["true", "false", "null", "[]", "{}"]).prop_map(String::from),
    ]
}

/// The text of an operand of any kind.
fn operand() -> impl Strategy<Value = String> {
    prop_oneof![number_text(), value_token(), "true|false|null|[a-b\"]{0,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_scanner_accepts_the_same_texts_as_serde_json(text in almost_json()) {
        let expected = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        prop_assert_eq!(scan(&text).is_ok(), expected, "{}", text);
    }

    #[test]
    fn serde_json_writes_and_reads_every_payload_byte_for_byte(text in almost_json()) {
        if let Ok(payload) = Payload::parse(&text) {
            prop_assert_eq!(&serde_json::to_string(&payload).unwrap(), &text);
            prop_assert_eq!(serde_json::from_str::<Payload<'_>>(&text).unwrap(), payload);
        }
    }

    #[test]
    fn scanning_never_panics(text in ".{0,60}") {
        if let Err(error) = scan(&text) {
            prop_assert!(error.offset <= text.len());
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
        }
        let compact = compacted(&text);
        prop_assert!(compact.len() <= text.len());
        let is_number = scan(&text).is_ok() && matches!(Value::of(&text), Value::Number(_)) && text.trim() == text;
        prop_assert_eq!(Decimal::parse(&text).is_some(), is_number);
        prop_assert!(walk(&text, &[&["a"]])[0].len() <= text.len());
    }

    #[test]
    fn walking_invalid_json_ends(text in almost_json()) {
        for found in walk(&text, &[&[], &["a"], &["a", "a"]]) {
            prop_assert!(found.len() <= text.len() + 1);
        }
    }

    #[test]
    fn compaction_removes_only_white_space(value in json_value()) {
        let compact = serde_json::to_string(&value).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(scan(&compact), Ok(false));
        prop_assert!(Payload::parse(&compact).is_ok());
        prop_assert_eq!(scan(&pretty).unwrap(), pretty != compact);
        prop_assert_eq!(compacted(&compact), &*compact);
        prop_assert_eq!(compacted(&pretty), compact);
    }

    #[test]
    fn strings_round_trip_through_both_writers(string in any::<String>()) {
        let mut ours = Vec::new();
        json::write_string(&string, &mut ours);
        prop_assert_eq!(&serde_json::from_slice::<String>(&ours).unwrap(), &string);
        for written in [String::from_utf8(ours).unwrap(), serde_json::to_string(&string).unwrap()] {
            prop_assert!(scan(&written).is_ok());
            let Value::String(raw) = Value::of(&written) else { return Err(TestCaseError::fail(written)) };
            prop_assert!(raw.equals(&string));
            prop_assert_eq!(&*raw.bytes(), string.as_bytes());
            prop_assert_eq!(text(raw), &*string);
        }
    }

    #[test]
    fn numbers_are_ordered_as_integers_are(left in any::<i128>(), right in any::<i128>(), zeros in 0_usize..4) {
        let (long, short) = (format!("{left}.0{}", "0".repeat(zeros)), format!("{right}e0"));
        prop_assert_eq!(Decimal::parse(&long).unwrap().cmp(&Decimal::parse(&short).unwrap()), left.cmp(&right));
    }

    #[test]
    fn shifting_the_decimal_point_and_the_exponent_keeps_the_value(
        digits in "[1-9][0-9]{0,20}",
        shift in -30_i64..30,
        negative in any::<bool>(),
    ) {
        let sign = if negative { "-" } else { "" };
        let len = digits.len();
        let plain = format!("{sign}{digits}e{shift}");
        let scientific = format!("{sign}{digits}.0e{shift}");
        let small = format!("{sign}0.000{digits}E{}", shift + 3 + i64::try_from(len).unwrap());
        let split = format!("{sign}{}.{}0e{}", &digits[..1], &digits[1..], shift + i64::try_from(len).unwrap() - 1);
        for other in [scientific, small, split] {
            prop_assert_eq!(Decimal::parse(&plain).unwrap(), Decimal::parse(&other).unwrap(), "{} {}", plain, other);
        }
    }

    #[test]
    fn walking_finds_the_same_values_as_a_tree(
        value in json_value(),
        paths in prop::collection::vec(prop::collection::vec("[abc]", 0..4), 1..6),
    ) {
        let paths: Vec<Vec<&str>> = paths.iter().map(|path| path.iter().map(String::as_str).collect()).collect();
        let compact = serde_json::to_string(&value).unwrap();
        let found = walk(&compact, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for (path, found) in paths.iter().zip(found) {
            let mut expected = Vec::new();
            naive(&value, path, &mut expected);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                prop_assert!(same(found, expected), "{:?} {:?}", found, expected);
            }
        }
    }

    #[test]
    fn conditions_match_strings_and_numbers_in_an_array(string in any::<String>(), number in any::<i64>()) {
        let (same, greater, float) = (format!("s{string}"), format!("t{string}"), format!("{number:+}.0"));
        let payload = serde_json::json!({"a": [{"b": same}, {"b": number}]}).to_string();
        let payload = Payload::parse(&payload).unwrap();
        let holds = |test| {
            let filter = PayloadFilter { path: PayloadPath::parse("a.b").unwrap(), test };
            Conditions::compile(&[filter]).evaluate(payload).matches
        };
        prop_assert!(holds(Test::Eq(Operand::new(&same))));
        prop_assert!(!holds(Test::Ne(Operand::new(&same))));
        prop_assert!(!holds(Test::Eq(Operand::new(&greater))));
        prop_assert!(holds(Test::Lt(Operand::new(&greater))));
        prop_assert!(holds(Test::Prefix(same.as_str().into())));
        prop_assert!(holds(Test::Contains(string.as_str().into())));
        prop_assert!(holds(Test::Eq(Operand::new(&float))));
        prop_assert!(holds(Test::Gte(Operand::new(&float))));
        prop_assert!(!holds(Test::Gt(Operand::new(&float))));
    }

    #[test]
    fn what_equals_an_operand_lies_within_gte_and_lte(value in value_token(), operand in operand()) {
        let text = format!("{{\"a\":{value}}}");
        let payload = Payload::parse(&text).unwrap();
        let holds = |test: fn(Operand) -> Test| {
            let filter = PayloadFilter { path: PayloadPath::parse("a").unwrap(), test: test(Operand::new(&operand)) };
            Conditions::compile(&[filter]).evaluate(payload).matches
        };
        let (eq, gte, lte) = (holds(Test::Eq), holds(Test::Gte), holds(Test::Lte));
        prop_assert!(!eq || gte && lte, "{} equals {}, but is not within it", value, operand);
        prop_assert_eq!(holds(Test::Ne), !eq);
        prop_assert!(!eq || !holds(Test::Gt) && !holds(Test::Lt), "{} equals {}, and is outside", value, operand);
    }

    #[test]
    fn texts_of_numbers_are_ordered_as_integers_are(left in any::<i64>(), right in any::<i64>(), zeros in 0_usize..4) {
        let written = |number: i64| {
            let sign = if number < 0 { "-" } else { "+" };
            format!("{sign}{}{}", "0".repeat(zeros), number.unsigned_abs())
        };
        let (left_text, right_text) = (written(left), written(right));
        let parse = |text| Decimal::parse_text(text).unwrap();
        prop_assert_eq!(parse(left_text.as_bytes()).cmp(&parse(right_text.as_bytes())), left.cmp(&right));
    }

    #[test]
    fn every_number_token_is_a_text_of_the_same_number(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
        if let Some(number) = Decimal::parse(&text) {
            prop_assert_eq!(Decimal::parse_text(text.as_bytes()), Some(number));
        }
    }

    #[test]
    fn paths_round_trip_through_text(
        names in prop::collection::vec("[ab.\\[\\]\\\\ü]{0,4}", 1..4),
        text in "[ab.\\[\\]\\\\ü]{0,12}",
    ) {
        let escape = |name: &String| {
            let name = name.replace('\\', "\\\\");
            [".", "[", "]"].iter().fold(name, |name, &sign| name.replace(sign, &format!("\\{sign}")))
        };
        let path = PayloadPath::parse(&names.iter().map(escape).collect::<Vec<_>>().join(".")).unwrap();
        prop_assert!(path.names().eq(names.iter().map(String::as_str)));
        for path in PayloadPath::parse(&text).into_iter().chain([path]) {
            prop_assert_eq!(&PayloadPath::parse(&path.to_string()).unwrap(), &path);
        }
    }
}
