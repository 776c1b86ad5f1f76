//! The connection for writing, with the statements that every commit needs.

use argus_database::Fault;
use futures_util::try_join;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Statement};

use crate::head::{self, Head};
use crate::schema::SchemaName;
use crate::session::Session;

/// Settings of the connection. A transaction that stands still would keep all other writers waiting, so the server ends
/// it. The isolation is the one under which each statement sees all that was committed before.
const SETTINGS: &str = "SET idle_in_transaction_session_timeout = '10s'; \
                        SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; ";

/// Stronger settings of the server, such as `remote_apply`, stay as they are.
const SYNCHRONOUS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                           WHERE current_setting('synchronous_commit') = 'off'";

const ASYNCHRONOUS: &str = "SET synchronous_commit = off";

/// A connection for writing.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
}

/// Statements that the server has parsed, since every commit needs them.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    /// Reads the head and locks it.
    pub(crate) lock: Statement,
    /// Writes the head.
    pub(crate) write: Statement,
    /// Inserts events, given in columns.
    pub(crate) insert: Statement,
}

impl Writer {
    /// Prepares a connection to a database that has the tables. Commits over it wait until they are durable if
    /// `is_synchronous`.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn new(mut session: Session, schema: &SchemaName, is_synchronous: bool) -> Result<Self, Fault> {
        let settings = format!("{SETTINGS}{}", if is_synchronous { SYNCHRONOUS } else { ASYNCHRONOUS });
        let statements = session.run(async |client| {
            client.batch_execute(&settings).await?;
            Statements::prepare(client, schema).await
        })?;
        Ok(Self { session, statements })
    }
}

impl Statements {
    async fn prepare(client: &Client, schema: &SchemaName) -> Result<Self, Error> {
        let (lock, write) = (Head::lock_statement(schema), Head::write_statement(schema));
        let (lock, write, insert) = try_join!(
            client.prepare(&lock),
            client.prepare_typed(&write, &[Type::INT8; head::FIELDS]),
            prepare_insert(client, schema, StoredAt::Once),
        )?;
        Ok(Self { lock, write, insert })
    }
}

/// How a statement that inserts events gets the times when they were stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StoredAt {
    /// One for all.
    Once,
    /// One for each.
    Each,
}

/// The statement that inserts events, given in columns.
///
/// # Errors
///
/// The error of the server.
pub(crate) async fn prepare_insert(
    client: &Client,
    schema: &SchemaName,
    stored_at: StoredAt,
) -> Result<Statement, Error> {
    let (stored_at, last_column, last_name, last_type) = match stored_at {
        StoredAt::Once => ("$9", "", "", Type::TIMESTAMPTZ),
        StoredAt::Each => ("e.stored_at", ", $9", ", stored_at", Type::TIMESTAMPTZ_ARRAY),
    };
    // The document is the payload, so it is not sent twice.
    let insert = format!(
        "INSERT INTO {schema}.events \
         (seq, time, nanos, stored_at, id_generated, id, event_type, payload, document) \
         SELECT e.seq, e.time, e.nanos, {stored_at}, e.id_generated, e.id, e.event_type, e.payload, \
         CASE WHEN e.has_document THEN e.payload::jsonb END \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8{last_column}) \
         e (seq, time, nanos, id_generated, id, event_type, payload, has_document{last_name})"
    );
    let columns = [
        Type::INT8_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::INT2_ARRAY,
        Type::BOOL_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::BOOL_ARRAY,
        last_type,
    ];
    client.prepare_typed(&insert, &columns).await
}
