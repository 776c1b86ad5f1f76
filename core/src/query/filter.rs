//! Conditions on a payload.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use memchr::memmem;
use thiserror::Error;

use crate::event::Payload;
use crate::json::{Decimal, RawString, Value, Values};

/// One condition: a test on whatever lies at a path.
///
/// Arrays are looked through, on the way and at the end of the path, however deep they are nested: a test holds of an
/// array if it holds of any element. Of members that have the same name, any may fulfil it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFilter {
    /// Where to look.
    pub path: PayloadPath,
    /// What must hold there.
    pub test: Test,
}

/// Member names from the payload's root downward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadPath(Vec<Box<str>>);

/// Why a text is no [`PayloadPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A name between two dots, before the first or after the last is empty.
    #[error("a name in the path is empty")]
    EmptyName,
    /// A backslash that precedes neither a dot nor a backslash.
    #[error("'\\' stands for nothing but in '\\.' and '\\\\'")]
    Escape,
}

/// What must hold of at least one value at the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Equal to the operand: a string of the same bytes; a number of the same value, if the operand is written as one;
    /// the literal `true`, `false` or `null`, if the operand is that word.
    Eq(Operand),
    /// The exact opposite of [`Test::Eq`]: also true where there is nothing at the path.
    Ne(Operand),
    /// Greater. An operand that is a number is compared with numbers only, by value; any other with strings only, by
    /// bytes.
    Gt(Operand),
    /// Greater or equal, compared as for [`Test::Gt`].
    Gte(Operand),
    /// Less, compared as for [`Test::Gt`].
    Lt(Operand),
    /// Less or equal, compared as for [`Test::Gt`].
    Lte(Operand),
    /// Whether there is any value at the path (`null` is one, and so is an empty array).
    Exists(bool),
    /// A string that begins so.
    Prefix(Box<str>),
    /// A string that contains this.
    Contains(Box<str>),
}

/// The text that a value is compared with, as the caller wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    text: Box<str>,
    number: Option<Number>,
}

/// A [`Decimal`] that owns its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    digits: Box<str>,
    scale: i64,
}

impl PayloadFilter {
    /// Whether the payload fulfils the condition.
    #[must_use]
    pub fn matches(&self, payload: Payload<'_>) -> bool {
        let mut values = Values::new(payload.as_str(), &self.path.0);
        match &self.test {
            Test::Eq(operand) => values.any(|value| operand.equals(value)),
            Test::Ne(operand) => !values.any(|value| operand.equals(value)),
            Test::Gt(operand) => values.any(|value| operand.compare(value).is_some_and(Ordering::is_gt)),
            Test::Gte(operand) => values.any(|value| operand.compare(value).is_some_and(Ordering::is_ge)),
            Test::Lt(operand) => values.any(|value| operand.compare(value).is_some_and(Ordering::is_lt)),
            Test::Lte(operand) => values.any(|value| operand.compare(value).is_some_and(Ordering::is_le)),
            Test::Exists(wanted) => values.next().is_some() == *wanted,
            Test::Prefix(prefix) => {
                values.any(|value| string(value).is_some_and(|s| s.bytes().starts_with(prefix.as_bytes())))
            }
            Test::Contains(part) => {
                values.any(|value| string(value).is_some_and(|s| memmem::find(&s.bytes(), part.as_bytes()).is_some()))
            }
        }
    }
}

impl PayloadPath {
    /// Reads names separated by dots. `\.` is a dot within a name, `\\` a backslash.
    ///
    /// ```
    /// use argus_core::query::{PathError, PayloadPath};
    ///
    /// let path = PayloadPath::parse(r"user.first\.name")?;
    /// assert_eq!(path.names().collect::<Vec<_>>(), ["user", "first.name"]);
    /// # Ok::<(), PathError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut names = Vec::new();
        let mut name = String::new();
        let mut characters = text.chars();
        loop {
            match characters.next() {
                Some('\\') => match characters.next() {
                    Some(escaped @ ('.' | '\\')) => name.push(escaped),
                    Some(_) | None => return Err(PathError::Escape),
                },
                Some('.') | None if name.is_empty() => return Err(PathError::EmptyName),
                Some('.') => names.push(core::mem::take(&mut name).into_boxed_str()),
                Some(character) => name.push(character),
                None => {
                    names.push(name.into_boxed_str());
                    return Ok(Self(names));
                }
            }
        }
    }

    /// The names, from the root downward; at least one, and none is empty.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl fmt::Display for PayloadPath {
    /// The text that [`PayloadPath::parse`] reads as this path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            for character in name.chars() {
                if matches!(character, '.' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

impl Operand {
    /// The operand that is written so.
    ///
    /// ```
    /// use argus_core::query::Operand;
    ///
    /// assert_eq!(Operand::new("1e3").as_str(), "1e3");
    /// ```
    #[must_use]
    pub fn new(text: &str) -> Self {
        let number = Decimal::parse(text).map(|decimal| Number {
            negative: decimal.is_negative(),
            digits: decimal.digits().into(),
            scale: decimal.scale(),
        });
        Self { text: text.into(), number }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match value {
            Value::String(string) => string.equals(&self.text),
            Value::Number(token) => self.decimal().is_some_and(|number| Decimal::from_token(token) == number),
            Value::Bool(true) => *self.text == *"true",
            Value::Bool(false) => *self.text == *"false",
            Value::Null => *self.text == *"null",
            Value::Object | Value::Array => false,
        }
    }

    /// How the value stands to the operand, if the two can be compared.
    fn compare(&self, value: Value<'_>) -> Option<Ordering> {
        match (value, self.decimal()) {
            (Value::Number(token), Some(number)) => Some(Decimal::from_token(token).cmp(&number)),
            (Value::String(string), None) => Some((*string.bytes()).cmp(self.text.as_bytes())),
            (Value::Number(_), None)
            | (Value::String(_), Some(_))
            | (Value::Bool(_) | Value::Null | Value::Object | Value::Array, _) => None,
        }
    }

    fn decimal(&self) -> Option<Decimal<'_>> {
        self.number.as_ref().map(|number| Decimal::from_parts(number.negative, &number.digits, number.scale))
    }
}

fn string(value: Value<'_>) -> Option<RawString<'_>> {
    match value {
        Value::String(string) => Some(string),
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    fn matches(path: &str, test: Test, payload: &str) -> bool {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test }.matches(Payload::parse(payload).unwrap())
    }

    fn eq(operand: &str, value: &str) -> bool {
        let payload = std::format!("{{\"a\":{value}}}");
        let equal = matches("a", Test::Eq(Operand::new(operand)), &payload);
        assert_eq!(matches("a", Test::Ne(Operand::new(operand)), &payload), !equal);
        equal
    }

    #[test]
    fn paths_have_escapes() {
        for (text, names) in
            [("a", &["a"][..]), ("a.b", &["a", "b"]), (r"a\.b.c\\", &["a.b", r"c\"]), ("ü. ", &["ü", " "])]
        {
            let path = PayloadPath::parse(text).unwrap();
            assert_eq!(path.0.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), names);
            assert_eq!(path.to_string(), text);
        }
        for text in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(PayloadPath::parse(text), Err(PathError::EmptyName), "{text}");
        }
        for text in [r"\", r"a\b", r"a.\"] {
            assert_eq!(PayloadPath::parse(text), Err(PathError::Escape), "{text}");
        }
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
}
