//! Unit tests of conditions on payloads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::format;
use std::string::String;

use super::super::PayloadPath;
use super::*;

fn filter(path: &str, test: Test) -> PayloadFilter {
    PayloadFilter { path: PayloadPath::parse(path).unwrap(), test }
}

fn evaluate(filters: &[PayloadFilter], payload: &str) -> Evaluation {
    Conditions::compile(filters).evaluate(Payload::parse(payload).unwrap())
}

fn matches(path: &str, test: Test, payload: &str) -> bool {
    evaluate(&[filter(path, test)], payload).matches
}

fn eq(operand: &str, value: &str) -> bool {
    let payload = format!("{{\"a\":{value}}}");
    let equal = matches("a", Test::Eq(Operand::new(operand)), &payload);
    assert_eq!(matches("a", Test::Ne(Operand::new(operand)), &payload), !equal);
    equal
}

#[test]
fn equality_is_by_value_for_numbers_and_by_bytes_for_strings() {
    for (operand, value) in [
        ("1", "1"),
        ("1", "1.0"),
        ("1", "10e-1"),
        ("1.0", "1"),
        ("0", "-0"),
        ("1e400", "10e399"),
        ("1", "\"1\""),
        ("1.0", "\"1.0\""),
        ("x", "\"x\""),
        ("", "\"\""),
        ("A", r#""\u0041""#),
        ("true", "true"),
        ("true", "\"true\""),
        ("false", "false"),
        ("null", "null"),
        ("1", "[0,[[1]]]"),
        ("1", "[{},null,1]"),
        ("007", "7"),
        ("007", "\"007\""),
        ("+1", "1"),
        ("-01.50e+1", "-15"),
        (r#""500""#, r#""500""#),
        (r#""\u0041\n""#, r#""A\n""#),
        (r#""""#, r#""""#),
        (r#""\ud800""#, r#""\ud800""#),
        // Not a JSON string, so without a special meaning.
        ("\"", r#""\"""#),
        ("\"a", r#""\"a""#),
        (r#""a" "#, r#""\"a\" ""#),
        (r#""\x""#, r#""\"\\x\"""#),
    ] {
        assert!(eq(operand, value), "{operand} {value}");
    }
    for (operand, value) in [
        ("1", "2"),
        ("1.0", "\"1\""),
        ("x", "\"X\""),
        ("x", "\"xy\""),
        ("xy", "\"x\""),
        ("true", "false"),
        ("True", "true"),
        ("null", "0"),
        ("{}", "{}"),
        ("[]", "[]"),
        ("1", "[]"),
        ("1", "{\"b\":1}"),
        ("9007199254740993", "9007199254740992"),
        ("007", "\"7\""),
        ("1.0", "\"1.00\""),
        (".5", "0.5"),
        ("5.", "5"),
        (r#""500""#, "500"),
        (r#""500""#, r#""\"500\"""#),
        (r#""true""#, "true"),
        (r#""null""#, "null"),
        (r"\u0041", "\"A\""),
        ("\u{fffd}", r#""\ud800""#),
    ] {
        assert!(!eq(operand, value), "{operand} {value}");
    }
}

#[test]
fn ne_is_the_exact_opposite_of_eq() {
    assert!(matches("b", Test::Ne(Operand::new("1")), r#"{"a":1}"#));
    assert!(!matches("a", Test::Ne(Operand::new("1")), r#"{"a":[1,2]}"#));
    assert!(matches("a.b", Test::Ne(Operand::new("1")), "7"));
}

/// Which of gt, gte, lt and lte hold.
fn order(operand: &str, value: &str) -> [bool; 4] {
    let payload = format!("{{\"a\":{value}}}");
    [Test::Gt, Test::Gte, Test::Lt, Test::Lte].map(|test| matches("a", test(Operand::new(operand)), &payload))
}

#[test]
fn the_operand_says_what_is_compared() {
    const GREATER: [bool; 4] = [true, true, false, false];
    const EQUAL: [bool; 4] = [false, true, false, true];
    const LESS: [bool; 4] = [false, false, true, true];
    const NONE: [bool; 4] = [false; 4];
    for (operand, value, expected) in [
        // A number: by value with numbers, and with strings that are written as numbers.
        ("4.9", "5", GREATER),
        ("5.0", "5", EQUAL),
        ("50e-1", "5", EQUAL),
        ("+005", "5", EQUAL),
        ("10", "5", LESS),
        ("10", "\"9\"", LESS),
        ("10", "\"009\"", LESS),
        ("10", "\"+1e1\"", EQUAL),
        ("9", "\"10\"", GREATER),
        ("9", r#""\u0031\u0030""#, GREATER),
        ("100000000000", "\"099999999999\"", LESS),
        ("5", "\"m\"", NONE),
        ("5", "\"6 \"", NONE),
        ("5", "\".6\"", NONE),
        ("5", "\"6.\"", NONE),
        ("5", "\"\"", NONE),
        ("5", r#""6\ud800""#, NONE),
        ("5", "\"2026-11-28\"", NONE),
        ("0", "true", NONE),
        ("0", "{}", NONE),
        ("1", r#"[0,"2"]"#, [true, true, true, true]),
        // Any other text, and a text in quotes: by bytes with strings.
        ("a", "\"m\"", GREATER),
        ("m", "\"m\"", EQUAL),
        ("n", "\"m\"", LESS),
        ("x", "5", NONE),
        ("x", "\"5\"", LESS),
        ("5.", "\"6\"", GREATER),
        (r#""9""#, "\"10\"", LESS),
        (r#""9""#, "10", NONE),
        (r#""9""#, "\"9\"", EQUAL),
        (r#""true""#, "true", NONE),
        (r#""null""#, "\"nulls\"", GREATER),
        ("\"", r#""\"""#, EQUAL),
        // A literal: equal or nothing.
        ("true", "true", EQUAL),
        ("true", "\"true\"", EQUAL),
        ("true", "false", NONE),
        ("true", "\"z\"", NONE),
        ("null", "null", EQUAL),
        ("null", "0", NONE),
    ] {
        assert_eq!(order(operand, value), expected, "{operand} {value}");
    }
    assert!(!matches("missing", Test::Lt(Operand::new("1")), r#"{"a":0}"#));
}

#[test]
fn quotes_have_no_meaning_in_a_search() {
    let payload = r#"{"a":"say \"hi\""}"#;
    for (test, expected) in [
        (Test::Contains("\"hi\"".into()), true),
        (Test::Contains("\"say".into()), false),
        (Test::Prefix("\"say".into()), false),
        (Test::Prefix("say \"".into()), true),
    ] {
        assert_eq!(matches("a", test.clone(), payload), expected, "{test:?}");
    }
}

#[test]
fn strings_are_unescaped_before_the_search() {
    let payload = r#"{"a":["x\u0041\ny","\ud800z",12],"b":{"c":"prefix"}}"#;
    for (path, test, expected) in [
        ("a", Test::Prefix("xA\n".into()), true),
        ("a", Test::Contains("A\ny".into()), true),
        ("a", Test::Contains("u0041".into()), false),
        ("a", Test::Contains("z".into()), true),
        ("a", Test::Prefix("1".into()), false),
        ("b.c", Test::Prefix("pre".into()), true),
        ("b.c", Test::Prefix("fix".into()), false),
        ("b.c", Test::Contains("fix".into()), true),
        ("b.c", Test::Prefix("".into()), true),
        ("b", Test::Contains("".into()), false),
    ] {
        assert_eq!(matches(path, test.clone(), payload), expected, "{path} {test:?}");
    }
}

#[test]
fn null_and_empty_containers_exist() {
    let payload = r#"{"a":null,"b":[],"c":{},"d":[{"e":0}]}"#;
    for path in ["a", "b", "c", "d", "d.e"] {
        assert!(matches(path, Test::Exists(true), payload), "{path}");
        assert!(!matches(path, Test::Exists(false), payload), "{path}");
    }
    for path in ["x", "a.x", "b.x", "c.x", "d.x"] {
        assert!(!matches(path, Test::Exists(true), payload), "{path}");
        assert!(matches(path, Test::Exists(false), payload), "{path}");
    }
}

#[test]
fn any_of_several_members_and_elements_may_match() {
    assert!(matches("a.b", Test::Eq(Operand::new("2")), r#"{"a":{"b":1},"a":[{"b":0},[{"b":3},{"b":2}]]}"#));
}

#[test]
fn all_conditions_must_hold() {
    let filters = [
        filter("a", Test::Eq(Operand::new("1"))),
        filter("a", Test::Eq(Operand::new("2"))),
        filter("a.b", Test::Prefix("x".into())),
        filter("c", Test::Exists(false)),
        filter("a", Test::Ne(Operand::new("3"))),
    ];
    let mut conditions = Conditions::compile(&filters);
    for (payload, expected) in [
        (r#"{"a":[1,2,{"b":"xy"}]}"#, true),
        (r#"{"a":[2],"a":{"b":["","x"]},"a":1.0}"#, true),
        (r#"{"a":[1,{"b":"xy"}]}"#, false),
        (r#"{"a":[1,2,{"b":"y"}]}"#, false),
        (r#"{"a":[1,2,{"b":"xy"}],"c":null}"#, false),
        (r#"{"a":[1,2,3,{"b":"xy"}]}"#, false),
        ("{}", false),
        (r#"{"a":[1,2,{"b":"xy"}]}"#, true),
    ] {
        // All payloads use the same conditions: state left over from one payload would change a later result.
        assert_eq!(conditions.evaluate(Payload::parse(payload).unwrap()).matches, expected, "{payload}");
    }
    assert!(Conditions::compile(&[]).is_empty());
    assert_eq!(evaluate(&[], "{}"), Evaluation { matches: true, cost: 0 });
}

#[test]
fn reading_stops_once_the_result_is_certain() {
    let long = format!(r#"{{"a":1,"b":"{}"}}"#, "x".repeat(100_000));
    for (test, matches, reads_all) in [
        (Test::Eq(Operand::new("1")), true, false),
        (Test::Eq(Operand::new("2")), false, true),
        (Test::Ne(Operand::new("1")), false, false),
        (Test::Ne(Operand::new("2")), true, true),
        (Test::Exists(true), true, false),
        (Test::Exists(false), false, false),
    ] {
        let evaluation = evaluate(&[filter("a", test)], &long);
        assert_eq!((evaluation.matches, evaluation.cost > 1_000), (matches, reads_all));
    }
}

#[test]
fn the_cost_grows_with_payload_and_conditions() {
    let array = |count| format!(r#"{{"a":[{}0]}}"#, r#""some text","#.repeat(count));
    let contains = |count: usize| -> Vec<_> {
        (0..count).map(|number| filter("a", Test::Contains(format!("{number}").into()))).collect()
    };
    let cost = |conditions, values| evaluate(&contains(conditions), &array(values)).cost;
    assert!(cost(1, 1_000) > 9 * cost(1, 100));
    assert!(cost(100, 100) > 30 * cost(1, 100));
    let digits = |count: usize| format!("[\"{}\"]", "1".repeat(count));
    let ranges = |count| alloc::vec![filter("a", Test::Lt(Operand::new("1"))); count];
    let cost = |conditions, length| evaluate(&ranges(conditions), &format!("{{\"a\":{}}}", digits(length))).cost;
    assert!(cost(100, 10_000) > 30 * cost(1, 10_000), "each condition reads the number that a string is written as");
}

#[test]
fn a_thousand_paths_are_evaluated() {
    let names: Vec<String> = (0..1_000).map(|number| format!("n{number}")).collect();
    let members: Vec<String> = names.iter().map(|name| format!("{name:?}:{{\"x\":{name:?}}}")).collect();
    let payload = format!("{{{}}}", members.join(","));
    let filters: Vec<_> = names.iter().map(|name| filter(&format!("{name}.x"), Test::Eq(Operand::new(name)))).collect();
    assert!(evaluate(&filters, &payload).matches);
    assert!(!evaluate(&filters, &payload.replace("\"n500\":", "\"m500\":")).matches);
}
