//! The schema that has the tables, and the statements that make them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The statements that lead from each version to the next, beginning with an empty database. They name the schema
/// `argus`.
pub(crate) const STEPS: [&str; 1] = [include_str!("schema/1.sql")];

/// The longest name of a schema that PostgreSQL does not cut off, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The name of the schema that has the tables: 1 to 63 characters of `a` to `z`, digits and underscores, of which the
/// first is no digit. It needs no quotes in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(Box<str>);

/// A text that is no [`SchemaName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no name of a schema: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _, not beginning with a digit or `pg_`")]
pub struct SchemaNameError(String);

impl SchemaName {
    /// The statements that make the tables in an empty database.
    #[must_use]
    pub fn statements(&self) -> String {
        STEPS.map(|step| self.rename(step)).concat()
    }

    /// These statements of [`STEPS`], for this schema.
    pub(crate) fn rename(&self, statements: &str) -> String {
        statements.replace("argus.", &format!("{self}.")).replace("EXISTS argus;", &format!("EXISTS {self};"))
    }
}

impl SchemaName {
    /// The name without quotes.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    fn default() -> Self {
        Self("argus".into())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Quoted, since a name may be a word of SQL.
        write!(f, "\"{}\"", self.0)
    }
}

impl FromStr for SchemaName {
    type Err = SchemaNameError;

    fn from_str(text: &str) -> Result<Self, SchemaNameError> {
        let is_name = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && !text.starts_with("pg_");
        if is_name { Ok(Self(text.into())) } else { Err(SchemaNameError(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_statements_are_for_the_schema() {
        let name: SchemaName = "shop_2".parse().unwrap();
        let statements = name.statements();
        assert!(statements.contains("CREATE SCHEMA IF NOT EXISTS \"shop_2\";"), "{statements}");
        assert!(statements.contains("INSERT INTO \"shop_2\".head") && !statements.contains("argus."), "{statements}");
    }

    #[test]
    fn names_need_no_escapes() {
        for text in ["argus", "a", "_1", &"a".repeat(63)] {
            assert_eq!(text.parse::<SchemaName>().unwrap().to_string(), format!("\"{text}\""));
        }
        for text in ["", "1a", "A", "a-b", "a\"b", "ü", "pg_x", &"a".repeat(64)] {
            let error = text.parse::<SchemaName>().unwrap_err().to_string();
            assert!(error.contains("is no name of a schema"), "{error}");
        }
    }
}
