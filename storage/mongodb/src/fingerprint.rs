//! Fingerprints of the scalar values of a payload. An index of them finds the events that a condition of equality may
//! hold for.
//!
//! A fingerprint stands for a path and a value there: 64 bits that are the same for all values that can equal the same
//! operand. Others may have it, too, so the core tests each event that is found.
//!
//! They are stored, so what is hashed here must stay as it is.

use std::collections::BTreeSet;
use std::hash::Hasher as _;

use argus_core::event::Payload;
use argus_core::json::{Decimal, Scanner, SyntaxError, Value};
use argus_core::query::{PayloadFilter, Test};
use siphasher::sip::SipHasher24;

/// The only fingerprint of a payload that may have any values, since it has too many, or too many levels.
pub(crate) const ANY: i64 = 0;

/// The most fingerprints of a payload. Each is an entry of the index.
const FINGERPRINTS_MAX: usize = 256;

/// The most levels of a payload that has fingerprints of its own. They are read recursively.
const DEPTH_MAX: usize = 128;

/// Ends a name. No string has this byte: it occurs neither in UTF-8 nor in lone surrogates.
const END: u8 = 0xff;

/// The fingerprints of a payload in ascending order. If a condition holds for the payload, its
/// [fingerprint](wanted) is among them, or they are [`ANY`] alone.
pub(crate) fn fingerprints(payload: Payload<'_>) -> Vec<i64> {
    let mut found = Found::default();
    let read = Scanner::new(payload.as_str()).value().and_then(|whole| {
        found.is_complete = whole.depth() <= DEPTH_MAX;
        found.add_all(&mut Scanner::new(payload.as_str()), &start())
    });
    if read.is_err() || !found.is_complete {
        return vec![ANY];
    }
    found.fingerprints.into_iter().collect()
}

/// The fingerprint of all values for which a condition can hold; `None` if it has none.
pub(crate) fn wanted(condition: &PayloadFilter) -> Option<i64> {
    match &condition.test {
        Test::Eq(operand) => {
            let path = condition.path.names().fold(start(), |path, name| member(path, name.as_bytes()));
            // A number or a literal that equals the operand is hashed like the string that equals it.
            Some(of_string(path, operand.string()))
        }
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

/// The fingerprints that were found so far.
#[derive(Debug, Default)]
struct Found {
    fingerprints: BTreeSet<i64>,
    /// Whether all values up to here have theirs.
    is_complete: bool,
    /// Buffer for unescaped strings.
    text: Vec<u8>,
}

impl Found {
    /// Reads a value at a path, and adds the fingerprints of all scalar values in it. Arrays add nothing to a path.
    fn add_all(&mut self, scanner: &mut Scanner<'_>, path: &SipHasher24) -> Result<(), SyntaxError> {
        match scanner.peek() {
            Some(b'{') if self.is_complete => scanner.object(|name, scanner| {
                let path = member(*path, name.bytes_in(&mut self.text));
                self.add_all(scanner, &path)
            }),
            Some(b'[') if self.is_complete => scanner.array(|scanner| self.add_all(scanner, path)),
            Some(_) | None => {
                let value = Value::of(scanner.value()?.raw);
                self.add(value, *path);
                Ok(())
            }
        }
    }

    fn add(&mut self, value: Value<'_>, path: SipHasher24) {
        let fingerprint = match value {
            Value::String(string) => of_string(path, string.bytes_in(&mut self.text)),
            Value::Number(token) => match Decimal::parse(token) {
                Some(number) => of_number(path, number),
                None => return self.is_complete = false,
            },
            Value::Bool(true) => of_string(path, b"true"),
            Value::Bool(false) => of_string(path, b"false"),
            Value::Null => of_string(path, b"null"),
            // Skipped, since not all are kept.
            Value::Object | Value::Array => return,
        };
        self.fingerprints.insert(fingerprint);
        self.is_complete &= self.fingerprints.len() <= FINGERPRINTS_MAX;
    }
}

/// `SipHash-2-4`, of Aumasson and Bernstein, with a key of zeros.
fn start() -> SipHasher24 {
    SipHasher24::new_with_keys(0, 0)
}

fn member(mut path: SipHasher24, name: &[u8]) -> SipHasher24 {
    path.write(name);
    path.write(&[END]);
    path
}

/// The fingerprint of a string, which is that of a number if it is written as one.
fn of_string(mut path: SipHasher24, string: &[u8]) -> i64 {
    if let Some(number) = Decimal::parse_text(string) {
        return of_number(path, number);
    }
    path.write(string);
    finish(&path)
}

/// The fingerprint of a number: of its sign, its digits without zeros at either end, and its scale.
fn of_number(mut path: SipHasher24, number: Decimal<'_>) -> i64 {
    if number.is_negative() {
        path.write(b"-");
    }
    for digits in number.digits().split('.') {
        path.write(digits.as_bytes());
    }
    path.write(format!("e{}", number.scale()).as_bytes());
    finish(&path)
}

fn finish(hasher: &SipHasher24) -> i64 {
    match hasher.finish().cast_signed() {
        ANY => 1,
        fingerprint => fingerprint,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::slice::from_ref;

    use argus_core::query::{Conditions, Operand, PayloadPath};
    use argus_testing::{Random, generate, nasty};

    use super::*;

    fn of(payload: &str) -> Vec<i64> {
        fingerprints(Payload::parse(payload).unwrap())
    }

    fn eq(path: &str, operand: &str) -> PayloadFilter {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test: Test::Eq(Operand::new(operand)) }
    }

    /// They are stored, so they must not change. Computed by another program, from the bytes above each.
    #[test]
    fn fingerprints_stay_as_they_are() {
        for (payload, fingerprint) in [
            // ada
            (r#""ada""#, 2_580_227_894_166_544_636),
            // user\xffada
            (r#"{"user":"ada"}"#, -8_795_106_865_698_252_404),
            // order\xfftotal\xff-125e2
            (r#"{"order":{"total":[-12.50]}}"#, -8_147_972_890_762_048_896),
            // a\xffe0
            (r#"{"a":"0"}"#, 8_787_894_365_784_338_157),
            // a\xfftrue
            (r#"{"a":true}"#, 3_059_300_416_189_418_822),
            // a\xff1e-6
            (r#"{"a":1e-7}"#, 7_261_898_350_941_365_482),
        ] {
            assert_eq!(of(payload), [fingerprint], "{payload}");
        }
    }

    #[test]
    fn values_that_equal_the_same_operand_have_the_same_fingerprint() {
        for (payload, path, operand) in [
            (r#"{"a":"x"}"#, "a", "x"),
            (r#"{"a":"x"}"#, "a", r#""x""#),
            (r#"{"\u0061":"\u0078"}"#, "a", "x"),
            (r#"{"a":[[["x"]]]}"#, "a", "x"),
            (r#"[[{"a":[{"b":"x"}]}]]"#, "a.b", "x"),
            (r#"{"a":500}"#, "a", "+0500.0"),
            (r#"{"a":5e2}"#, "a", "500"),
            (r#"{"a":"+0500.0"}"#, "a", "+0500.0"),
            (r#"{"a":-0.0}"#, "a", "0"),
            (r#"{"a":1e400}"#, "a", "10e399"),
            (r#"{"a":true}"#, "a", "true"),
            (r#"{"a":"true"}"#, "a", "true"),
            (r#"{"a":null}"#, "a", "null"),
            (r#"{"":""}"#, "", ""),
            (r#"{"a":"\ud800"}"#, "a", r#""\ud800""#),
            (r#"{"a":{"a":2},"a":{"a":1}}"#, "a.a", "1"),
        ] {
            let wanted = wanted(&eq(path, operand)).unwrap();
            assert!(of(payload).contains(&wanted), "{payload} {path}={operand}");
        }
    }

    #[test]
    fn other_values_and_paths_have_others() {
        let distinct = [
            eq("a", "b"),
            eq("a.b", ""),
            eq("ab", ""),
            eq(r"a\.b", ""),
            eq("", "ab"),
            eq("a", "-5"),
            eq("a", "5"),
            eq("a", "50"),
            eq("a", "0.5"),
            eq("a", "51"),
            eq("a", "true"),
            eq("a", "null"),
        ];
        let fingerprints: BTreeSet<i64> = distinct.iter().filter_map(wanted).collect();
        assert_eq!(fingerprints.len(), distinct.len());
        let other = |test| PayloadFilter { path: PayloadPath::parse("a").unwrap(), test };
        assert_eq!(wanted(&other(Test::Ne(Operand::new("1")))), None);
        assert_eq!(wanted(&other(Test::Prefix("1".into()))), None);
    }

    #[test]
    fn payloads_with_too_much_may_have_anything() {
        let numbers = |count: usize| {
            let numbers: Vec<String> = (0..count).map(|number| format!("{number},{number}.0")).collect();
            format!(r#"{{"a":[{}],"b":{{"c":[1]}}}}"#, numbers.join(","))
        };
        assert_eq!(of(&numbers(FINGERPRINTS_MAX - 1)).len(), FINGERPRINTS_MAX);
        assert_eq!(of(&numbers(FINGERPRINTS_MAX)), [ANY]);
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(of(&nested(DEPTH_MAX)), of("1"));
        assert_eq!(of(&nested(DEPTH_MAX + 1)), [ANY]);
        assert_eq!(of(&nested(100_000)), [ANY]);
        assert_eq!(of("{}"), Vec::<i64>::new());
    }

    /// Whenever the core says that a condition holds, the payload is found by it.
    #[test]
    fn what_a_condition_holds_for_is_found() {
        let (mut random, mut held, mut missed) = (Random::seeded(18), 0, 0);
        for _ in 0..20_000 {
            let payload = if random.one_in(2) { generate::payload(&mut random) } else { nasty::payload(&mut random) };
            let conditions = [
                Some(nasty::condition(&mut random)),
                nasty::condition_in(&mut random, &payload),
                Some(generate::payload_filter(&mut random)),
            ];
            let payload = Payload::parse(&payload).unwrap();
            let found = fingerprints(payload);
            assert!(found.is_sorted() && (found == [ANY] || !found.contains(&ANY)));
            for condition in conditions.into_iter().flatten() {
                let Some(wanted) = wanted(&condition) else { continue };
                let is_found = found.contains(&wanted) || found == [ANY];
                if Conditions::compile(from_ref(&condition)).evaluate(payload).matches {
                    assert!(is_found, "{condition:?} {}", payload.as_str());
                    held += 1;
                } else {
                    missed += usize::from(!is_found);
                }
            }
        }
        assert!(held > 10_000 && missed > 10_000, "{held} conditions held, and {missed} were not found");
    }
}
