//! The tables, and how they are made.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use tokio_postgres::types::Type;

use crate::fault::Fault;
use crate::session::Session;

/// The version of the tables that this program uses.
const VERSION: i32 = 1;

/// The statements that lead from each version to the next, beginning with an empty database. They name the schema
/// `argus`.
const STEPS: [&str; 1] = [include_str!("schema/1.sql")];

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

/// Why the tables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SchemaError {
    /// The server does not do what it is asked.
    #[error("{}", .0.clone().into_cause())]
    Fault(Fault),
    /// The server cannot be used.
    #[error("{0}")]
    Server(String),
    /// The server refuses to make the tables.
    #[error(
        "the tables cannot be made: {0}. Let somebody with the right to do so run the statements that the command \
         `schema postgres` prints, and grant this user SELECT, INSERT, UPDATE and DELETE on them"
    )]
    NoRight(String),
    /// A later version of Argus has made them.
    #[error("the tables have version {0}, and this program knows versions up to {VERSION}; use a newer one")]
    Newer(i32),
}

impl SchemaName {
    /// The statements that make the tables in an empty database.
    #[must_use]
    pub fn statements(&self) -> String {
        STEPS.map(|step| self.rename(step)).concat()
    }

    /// These statements, for this schema.
    fn rename(&self, statements: &str) -> String {
        statements.replace("argus.", &format!("{self}.")).replace("EXISTS argus;", &format!("EXISTS {self};"))
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

/// Makes the tables, or brings them to this version. Processes that do so at the same time wait for each other.
///
/// # Errors
///
/// [`SchemaError`]; nothing was changed.
pub(crate) fn prepare(session: &mut Session, schema: &SchemaName) -> Result<(), SchemaError> {
    let version = read_version(session, schema)?;
    match version {
        Some(VERSION) => return Ok(()),
        Some(version) if version > VERSION => return Err(SchemaError::Newer(version)),
        Some(_) | None => {}
    }
    session.run(async |client| client.batch_execute("BEGIN").await)?;
    let made = make(session, schema);
    let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = session.run(async |client| client.batch_execute(end).await);
    made?;
    Ok(ended?)
}

/// Makes the tables within a transaction.
fn make(session: &mut Session, schema: &SchemaName) -> Result<(), SchemaError> {
    // Any number of 64 bits that nobody else is likely to use: "argus" and the hash of the schema.
    let lock = format!("SELECT pg_advisory_xact_lock(x'61726775'::int, hashtext('{}'))", schema.0);
    session.run(async |client| client.batch_execute(&lock).await)?;
    let version = read_version(session, schema)?.unwrap_or(0);
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    for step in STEPS.iter().skip(done) {
        let statements = schema.rename(step);
        session.run(async |client| client.batch_execute(&statements).await).map_err(|fault| match fault {
            Fault::Failed(cause) => SchemaError::NoRight(cause.to_string()),
            other @ (Fault::Lost(_) | Fault::Unavailable(_) | Fault::Full(_) | Fault::Conflict(_)) => {
                SchemaError::Fault(other)
            }
        })?;
    }
    Ok(())
}

/// The version of the tables; `None` if there are none.
fn read_version(session: &mut Session, schema: &SchemaName) -> Result<Option<i32>, Fault> {
    // `to_regclass` may not know of a table that another transaction has made since this one began.
    let exists = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = $1 AND c.relname = 'head'";
    let query = format!("SELECT schema_version FROM {schema}.head");
    session.run(async |client| {
        if client.query_typed(exists, &[(&schema.0, Type::TEXT)]).await?.is_empty() {
            return Ok(None);
        }
        let rows = client.query_typed(&query, &[]).await?;
        Ok(rows.first().map(|row| row.get(0)))
    })
}

impl From<Fault> for SchemaError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
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
