//! Conditions on payloads.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use thiserror::Error;

use super::Operand;
use crate::json::{Wanted, WantedStrings};

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
    /// A backslash is not followed by a dot, a bracket or a backslash.
    #[error("'\\' must be followed by '.', '[', ']' or '\\'")]
    Escape,
}

/// What must hold for at least one value at the path, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Equal to the operand, as [`Operand`] says.
    Eq(Operand),
    /// The negation of [`Test::Eq`]: it also holds if there is no value at the path.
    Ne(Operand),
    /// Greater than the operand, as [`Operand`] says.
    Gt(Operand),
    /// Greater than the operand, or equal to it.
    Gte(Operand),
    /// Less than the operand, as [`Operand`] says.
    Lt(Operand),
    /// Less than the operand, or equal to it.
    Lte(Operand),
    /// Whether there is a value at the path. `null` and an empty array are values.
    Exists(bool),
    /// A string that starts with this text. Quotes have no meaning here.
    Prefix(Box<str>),
    /// A string that contains this text. Quotes have no meaning here.
    Contains(Box<str>),
}

impl Test {
    /// Values of which at least one must be at the path for the test to hold; `None` if the test may hold without any.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        match self {
            Self::Eq(operand) => Some(operand.wanted(Ordering::Equal)),
            Self::Gt(operand) | Self::Gte(operand) => Some(operand.wanted(Ordering::Greater)),
            Self::Lt(operand) | Self::Lte(operand) => Some(operand.wanted(Ordering::Less)),
            Self::Prefix(_) | Self::Contains(_) => {
                Some(Wanted { strings: WantedStrings::All, numbers: None, literals: false })
            }
            // An object is a value, too.
            Self::Ne(_) | Self::Exists(_) => None,
        }
    }
}

impl PayloadPath {
    /// Parses names separated by dots. In a name, `\.`, `\[`, `\]` and `\\` stand for the character after the
    /// backslash. Brackets need no backslash here, but they do where an operator in brackets may follow. Names may be
    /// empty: the empty text is a path of one empty name.
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
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some(escaped @ ('.' | '[' | ']' | '\\')) => name.push(escaped),
                    Some(_) | None => return Err(PathError::Escape),
                },
                '.' => names.push(core::mem::take(&mut name).into_boxed_str()),
                other => name.push(other),
            }
        }
        names.push(name.into_boxed_str());
        Ok(Self(names))
    }

    /// The path of these names.
    pub(crate) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(Box::from).collect())
    }

    /// The names from the root downward: at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}

impl fmt::Display for PayloadPath {
    /// The text that [`PayloadPath::parse`] parses to this path, with a backslash before each bracket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            for character in name.chars() {
                if matches!(character, '.' | '[' | ']' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    #[test]
    fn paths_are_escaped() {
        for (text, names) in [
            ("a", &["a"][..]),
            ("a.b", &["a", "b"]),
            (r"a\.b.c\\", &["a.b", r"c\"]),
            ("ü. ", &["ü", " "]),
            (r"order\[id\].\[\]", &["order[id]", "[]"]),
            ("", &[""]),
            (".", &["", ""]),
            ("a.", &["a", ""]),
            (".a", &["", "a"]),
            ("a..b", &["a", "", "b"]),
        ] {
            let path = PayloadPath::parse(text).unwrap();
            assert_eq!(path.names().collect::<Vec<_>>(), names);
            assert_eq!(path.to_string(), text);
        }
        assert_eq!(PayloadPath::parse("a[b].c"), PayloadPath::parse(r"a\[b\].c"));
        for text in [r"\", r"a\b", r"a.\", r"\("] {
            assert_eq!(PayloadPath::parse(text), Err(PathError::Escape), "{text}");
        }
    }
}
