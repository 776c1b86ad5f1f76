//! Conditions on a payload.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::json::Decimal;

/// One condition: a test on whatever lies at a path.
///
/// Arrays are looked through, on the way and at the end of the path, however deep they are nested: a test holds of an
/// array if it holds of any element. Of members that have the same name, any may fulfil it.
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// Its value, if it is written as a number.
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
}
