//! The conditions of a query, made ready to be tried on many payloads.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::ControlFlow;

use memchr::memmem::Finder;

use super::filter::{Operand, PayloadFilter, Test};
use crate::event::Payload;
use crate::json::{Decimal, Paths, Value};

/// As many bytes of a payload are examined in the time that a row without conditions takes, which is the unit in which
/// budgets are counted.
const BYTES_PER_UNIT: usize = 32;

/// To compare a value with an operand takes about as long as to go over so many bytes.
const COMPARISON_BYTES: usize = 8;

/// Conditions of which all must hold, compiled: a payload's text is walked once, however many there are, and what can
/// be computed from the operands alone is computed once.
///
/// The memory that an examination needs is kept for the next one.
#[derive(Clone, Debug)]
pub struct Conditions {
    paths: Paths,
    /// What is asked of the values at each path, by its number.
    at_path: Vec<Vec<Condition>>,
    state: State,
}

/// What came of an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Whether all conditions hold.
    pub matches: bool,
    /// The work it took, in units of about 25 ns.
    pub cost: u32,
}

/// A question about single values, and what follows if one of them meets it.
#[derive(Clone, Debug)]
struct Condition {
    ask: Ask,
    on_met: OnMet,
}

#[derive(Clone, Copy, Debug)]
enum OnMet {
    /// The condition holds. The number says which it is of those that need a value.
    Holds(usize),
    /// The condition does not hold, whatever else there is.
    Fails,
}

/// What a value may meet.
#[derive(Clone, Debug)]
enum Ask {
    Equal(Operand),
    /// The value compares with the operand in a way for which this is true.
    Compare(Operand, fn(Ordering) -> bool),
    /// The value is there.
    Any,
    Prefix(Box<[u8]>),
    // Boxed, since it is several times as large as the others.
    Contains(Box<Finder<'static>>),
}

/// A value in the form in which it is compared: a string unescaped, a number read.
#[derive(Clone, Copy, Debug)]
enum Candidate<'a> {
    String(&'a [u8]),
    Number(Decimal<'a>),
    /// `true`, `false` or `null`.
    Word(&'static str),
    Container,
}

/// How far an examination has come.
#[derive(Clone, Debug)]
struct State {
    /// Of the conditions that need a value, which have met one.
    met: Vec<bool>,
    /// How many of these have not.
    missing: usize,
    /// Whether there are conditions that one value can break, so that all values must be seen.
    must_see_all: bool,
    /// Whether such a value was seen.
    failed: bool,
    /// What comparisons took, as if it were bytes of the text.
    compared: usize,
    /// Where strings are unescaped.
    text: Vec<u8>,
}

impl Conditions {
    /// Compiles conditions. Without any, every payload matches.
    #[must_use]
    pub fn compile(filters: &[PayloadFilter]) -> Self {
        let (mut paths, mut at_path) = (Paths::default(), Vec::<Vec<Condition>>::new());
        let mut required = 0;
        for PayloadFilter { path, test } in filters {
            let (ask, is_negated) = Ask::of(test);
            let on_met = if is_negated { OnMet::Fails } else { OnMet::Holds(required) };
            required += usize::from(!is_negated);
            let number = paths.add(path.names());
            if number == at_path.len() {
                at_path.push(Vec::new());
            }
            at_path.get_mut(number).expect("paths are numbered from 0").push(Condition { ask, on_met });
        }
        let state = State {
            met: alloc::vec![false; required],
            missing: required,
            must_see_all: required < filters.len(),
            failed: false,
            compared: 0,
            text: Vec::new(),
        };
        Self { paths, at_path, state }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at_path.is_empty()
    }

    /// Whether a payload fulfils all conditions. No more of it is read than it takes to be sure.
    pub fn examine(&mut self, payload: Payload<'_>) -> Examined {
        if self.is_empty() {
            return Examined { matches: true, cost: 0 };
        }
        let Self { paths, at_path, state } = self;
        state.reset();
        let walked = paths.walk(payload.as_str(), |path, value| {
            state.see(value, at_path.get(path).expect("each path has conditions"))
        });
        let cost = walked.saturating_add(state.compared) / BYTES_PER_UNIT;
        let matches = state.missing == 0 && !state.failed;
        Examined { matches, cost: u32::try_from(cost).unwrap_or(u32::MAX) }
    }
}

impl State {
    fn reset(&mut self) {
        self.met.fill(false);
        self.missing = self.met.len();
        self.failed = false;
        self.compared = 0;
    }

    /// Tries a value. Breaks once it is certain whether all conditions hold.
    fn see(&mut self, value: Value<'_>, conditions: &[Condition]) -> ControlFlow<()> {
        let Self { met, missing, must_see_all, failed, compared, text } = self;
        let candidate = Candidate::of(value, text);
        for Condition { ask, on_met } in conditions {
            let met = match on_met {
                OnMet::Holds(number) => Some(met.get_mut(*number).expect("as many as are required")),
                OnMet::Fails => None,
            };
            // One value is as good as several.
            if met.as_ref().is_some_and(|met| **met) {
                continue;
            }
            *compared += ask.cost(candidate);
            if ask.is_met_by(candidate) {
                let Some(met) = met else {
                    *failed = true;
                    return ControlFlow::Break(());
                };
                *met = true;
                *missing -= 1;
            }
        }
        if *missing == 0 && !*must_see_all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Ask {
    /// What a test asks of a value, and whether the test is that no value meets it.
    fn of(test: &Test) -> (Self, bool) {
        match test {
            Test::Eq(operand) => (Self::Equal(operand.clone()), false),
            Test::Ne(operand) => (Self::Equal(operand.clone()), true),
            Test::Gt(operand) => (Self::Compare(operand.clone(), Ordering::is_gt), false),
            Test::Gte(operand) => (Self::Compare(operand.clone(), Ordering::is_ge), false),
            Test::Lt(operand) => (Self::Compare(operand.clone(), Ordering::is_lt), false),
            Test::Lte(operand) => (Self::Compare(operand.clone(), Ordering::is_le), false),
            Test::Exists(wanted) => (Self::Any, !wanted),
            Test::Prefix(text) => (Self::Prefix(text.as_bytes().into()), false),
            Test::Contains(text) => (Self::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())), false),
        }
    }

    fn is_met_by(&self, candidate: Candidate<'_>) -> bool {
        match (self, candidate) {
            (Self::Any, _) => true,
            (Self::Equal(operand), Candidate::String(string)) => string == operand.as_str().as_bytes(),
            (Self::Equal(operand), Candidate::Number(number)) => operand.decimal().is_some_and(|other| number == other),
            (Self::Equal(operand), Candidate::Word(word)) => operand.as_str() == word,
            // Numbers are compared with numbers, and strings with what is no number.
            (Self::Compare(operand, is_wanted), Candidate::Number(number)) => {
                operand.decimal().is_some_and(|other| is_wanted(number.cmp(&other)))
            }
            (Self::Compare(operand, is_wanted), Candidate::String(string)) => {
                operand.decimal().is_none() && is_wanted(string.cmp(operand.as_str().as_bytes()))
            }
            (Self::Prefix(prefix), Candidate::String(string)) => string.starts_with(prefix),
            (Self::Contains(finder), Candidate::String(string)) => {
                string.len() >= finder.needle().len() && finder.find(string).is_some()
            }
            (Self::Equal(_), Candidate::Container)
            | (Self::Compare(..), Candidate::Word(_) | Candidate::Container)
            | (Self::Prefix(_) | Self::Contains(_), Candidate::Number(_) | Candidate::Word(_) | Candidate::Container) => {
                false
            }
        }
    }

    /// What it takes to find that out, as if it were bytes of the text.
    const fn cost(&self, candidate: Candidate<'_>) -> usize {
        let length = match (self, candidate) {
            (Self::Contains(_), Candidate::String(string)) => string.len(),
            (Self::Equal(_) | Self::Compare(..), Candidate::Number(number)) => number.digits().len(),
            (Self::Any | Self::Prefix(_) | Self::Contains(_), _)
            | (Self::Equal(_) | Self::Compare(..), Candidate::String(_) | Candidate::Word(_) | Candidate::Container) => {
                0
            }
        };
        COMPARISON_BYTES + length
    }
}

impl<'a> Candidate<'a> {
    fn of(value: Value<'a>, text: &'a mut Vec<u8>) -> Self {
        match value {
            Value::String(string) => Self::String(string.bytes_in(text)),
            Value::Number(token) => Self::Number(Decimal::from_token(token)),
            Value::Bool(true) => Self::Word("true"),
            Value::Bool(false) => Self::Word("false"),
            Value::Null => Self::Word("null"),
            Value::Object | Value::Array => Self::Container,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::format;
    use std::string::String;

    use super::super::PayloadPath;
    use super::*;

    fn filter(path: &str, test: Test) -> PayloadFilter {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test }
    }

    fn examine(filters: &[PayloadFilter], payload: &str) -> Examined {
        Conditions::compile(filters).examine(Payload::parse(payload).unwrap())
    }

    fn matches(path: &str, test: Test, payload: &str) -> bool {
        examine(&[filter(path, test)], payload).matches
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
    fn order_compares_like_with_like() {
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
    fn strings_are_searched_unescaped() {
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
    fn whatever_is_there_exists() {
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
            // One after another on the same: nothing is left of the payload before.
            assert_eq!(conditions.examine(Payload::parse(payload).unwrap()).matches, expected, "{payload}");
        }
        assert!(Conditions::compile(&[]).is_empty());
        assert_eq!(examine(&[], "{}"), Examined { matches: true, cost: 0 });
    }

    #[test]
    fn nothing_is_read_behind_what_decides() {
        let long = format!(r#"{{"a":1,"b":"{}"}}"#, "x".repeat(100_000));
        for (test, matches, reads_all) in [
            (Test::Eq(Operand::new("1")), true, false),
            (Test::Eq(Operand::new("2")), false, true),
            (Test::Ne(Operand::new("1")), false, false),
            (Test::Ne(Operand::new("2")), true, true),
            (Test::Exists(true), true, false),
            (Test::Exists(false), false, false),
        ] {
            let examined = examine(&[filter("a", test)], &long);
            assert_eq!((examined.matches, examined.cost > 1_000), (matches, reads_all));
        }
    }

    #[test]
    fn work_is_counted() {
        let array = |count| format!(r#"{{"a":[{}0]}}"#, r#""some text","#.repeat(count));
        let contains = |count: usize| -> Vec<_> {
            (0..count).map(|number| filter("a", Test::Contains(format!("{number}").into()))).collect()
        };
        let cost = |conditions, values| examine(&contains(conditions), &array(values)).cost;
        assert!(cost(1, 1_000) > 9 * cost(1, 100));
        assert!(cost(100, 100) > 30 * cost(1, 100));
    }

    #[test]
    fn any_number_of_paths_is_walked_at_once() {
        let names: Vec<String> = (0..1_000).map(|number| format!("n{number}")).collect();
        let members: Vec<String> = names.iter().map(|name| format!("{name:?}:{{\"x\":{name:?}}}")).collect();
        let payload = format!("{{{}}}", members.join(","));
        let filters: Vec<_> =
            names.iter().map(|name| filter(&format!("{name}.x"), Test::Eq(Operand::new(name)))).collect();
        assert!(examine(&filters, &payload).matches);
        assert!(!examine(&filters, &payload.replace("\"n500\":", "\"m500\":")).matches);
    }
}
