//! Conditions on payloads.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::json::Decimal;

/// A condition: a test on the values at a path.
///
/// A path leads through arrays into their elements, at any depth: both along the path and at its end. So a test holds
/// for an array if it holds for any element. If several members have the same name, the test holds if it holds for any
/// of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadFilter {
    /// Where to look.
    pub path: PayloadPath,
    /// What must hold there.
    pub test: Test,
}

/// Member names from the payload's root downward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadPath(Vec<Box<str>>);

/// Why a text is not a valid [`PayloadPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A name is empty: between two dots, before the first or after the last.
    #[error("a name in the path is empty")]
    EmptyName,
    /// A backslash is followed by neither a dot nor a backslash.
    #[error("'\\' must be followed by '.' or '\\'")]
    Escape,
}

/// What must hold for at least one value at the path, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Equal to the operand. A string has the same bytes as the operand; a number has the same value, if the operand is
    /// written as a number; `true`, `false` and `null` equal the operand with that text.
    Eq(Operand),
    /// The negation of [`Test::Eq`]: it also holds if there is no value at the path.
    Ne(Operand),
    /// Greater than the operand. An operand that is written as a number is compared with numbers only, by value. Any
    /// other operand is compared with strings only, by bytes.
    Gt(Operand),
    /// Greater or equal, compared like [`Test::Gt`].
    Gte(Operand),
    /// Less, compared like [`Test::Gt`].
    Lt(Operand),
    /// Less or equal, compared like [`Test::Gt`].
    Lte(Operand),
    /// Whether there is a value at the path. `null` and an empty array are values.
    Exists(bool),
    /// A string that starts with this text.
    Prefix(Box<str>),
    /// A string that contains this text.
    Contains(Box<str>),
}

/// The text that values are compared with.
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

impl PayloadPath {
    /// Parses names separated by dots. In a name, `\.` is a dot and `\\` a backslash.
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

    /// The names from the root downward: at least one, none of them empty.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl fmt::Display for PayloadPath {
    /// The text that [`PayloadPath::parse`] parses to this path.
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
    /// Creates an operand from its text.
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

    /// The value, if the text is a number.
    pub(super) fn decimal(&self) -> Option<Decimal<'_>> {
        self.number.as_ref().map(|number| Decimal::from_parts(number.negative, &number.digits, number.scale))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    #[test]
    fn paths_are_escaped() {
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
}
