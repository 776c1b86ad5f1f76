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
        ("01", "1"),
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

#[test]
fn numbers_are_compared_with_numbers_and_strings_with_strings() {
    let payload = r#"{"n":5,"s":"m","mixed":[1,"z"],"b":true,"digits":"7"}"#;
    for (path, test, expected) in [
        ("n", Test::Gt(Operand::new("4.9")), true),
        ("n", Test::Gt(Operand::new("5.0")), false),
        ("n", Test::Gte(Operand::new("5.0")), true),
        ("n", Test::Lt(Operand::new("10")), true),
        ("n", Test::Lte(Operand::new("50e-1")), true),
        ("n", Test::Lt(Operand::new("x")), false),
        ("s", Test::Gt(Operand::new("a")), true),
        ("s", Test::Lt(Operand::new("n")), true),
        ("s", Test::Gte(Operand::new("m")), true),
        ("s", Test::Lt(Operand::new("m")), false),
        ("s", Test::Gt(Operand::new("1")), false),
        ("digits", Test::Gt(Operand::new("1")), false),
        ("mixed", Test::Gt(Operand::new("0")), true),
        ("mixed", Test::Gt(Operand::new("y")), true),
        ("mixed", Test::Lt(Operand::new("1")), false),
        ("b", Test::Gte(Operand::new("true")), false),
        ("missing", Test::Lt(Operand::new("1")), false),
    ] {
        assert_eq!(matches(path, test.clone(), payload), expected, "{path} {test:?}");
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
