//! Makes the tables, and brings them to this version.

use argus_database::Fault;
use thiserror::Error;
use tokio_postgres::types::Type;

use crate::schema::{STEPS, SchemaName};
use crate::session::Session;

/// The version of the tables that this program uses.
const VERSION: i32 = 1;

/// Why the tables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SchemaError {
    /// The server does not do what it is asked.
    #[error("{}", .0.clone().into_cause())]
    Fault(Fault),
    /// The server cannot be used.
    #[error("{0}")]
    Server(String),
    /// There are no tables.
    #[error(
        "there are no events of Argus: no table `head` in the schema that the URL names with `schema=`, or in `argus`"
    )]
    Absent,
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

/// Requires that the tables are there, and have a version that this program knows. Each of them can be read as it is.
///
/// # Errors
///
/// [`SchemaError`]
pub(crate) fn require(session: &mut Session, schema: &SchemaName) -> Result<(), SchemaError> {
    match read_version(session, schema)? {
        None => Err(SchemaError::Absent),
        Some(version) if version > VERSION => Err(SchemaError::Newer(version)),
        Some(_) => Ok(()),
    }
}

/// Makes the tables within a transaction.
fn make(session: &mut Session, schema: &SchemaName) -> Result<(), SchemaError> {
    // Any number of 64 bits that nobody else is likely to use: "argus" and the hash of the schema.
    let lock = format!("SELECT pg_advisory_xact_lock(x'61726775'::int, hashtext('{}'))", schema.as_str());
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
        if client.query_typed(exists, &[(&schema.as_str(), Type::TEXT)]).await?.is_empty() {
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
