//! The row that every commit continues.

use tokio_postgres::{Client, Error, Row, ToStatement};

use crate::schema::SchemaName;

/// The row of the table `head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The sequence number of the last event; 0 if there is none.
    pub(crate) last_seq: i64,
    /// How many events are stored.
    pub(crate) events: i64,
    /// How many bytes their types, ids and payloads have.
    pub(crate) bytes: i64,
    /// How many different types they have.
    pub(crate) event_types: i64,
    /// How often events were erased.
    pub(crate) erasures: i64,
    /// How often events were removed, for whatever reason.
    pub(crate) removals: i64,
}

/// The columns, in the order of the fields.
const COLUMNS: &str = "last_seq, events, bytes, event_types, erasures, removals";

/// How many there are.
pub(crate) const FIELDS: usize = 6;

impl Head {
    /// Reads the row.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn read(client: &Client, schema: &SchemaName) -> Result<Self, Error> {
        Self::of(&client.query_typed_one(&format!("SELECT {COLUMNS} FROM {schema}.head"), &[]).await?)
    }

    /// The statement of [`lock`](Self::lock).
    pub(crate) fn lock_statement(schema: &SchemaName) -> String {
        format!("SELECT {COLUMNS} FROM {schema}.head FOR UPDATE")
    }

    /// Reads the row and locks it until the end of the transaction, after every other transaction that has it has
    /// ended.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn lock<T: ToStatement + ?Sized>(client: &Client, statement: &T) -> Result<Self, Error> {
        Self::of(&client.query_one(statement, &[]).await?)
    }

    /// The statement of [`write`](Self::write).
    pub(crate) fn write_statement(schema: &SchemaName) -> String {
        format!("UPDATE {schema}.head SET ({COLUMNS}) = ROW ($1, $2, $3, $4, $5, $6)")
    }

    /// Writes the row.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn write<T: ToStatement + ?Sized>(&self, client: &Client, statement: &T) -> Result<(), Error> {
        let Self { last_seq, events, bytes, event_types, erasures, removals } = self;
        client.execute(statement, &[last_seq, events, bytes, event_types, erasures, removals]).await.map(drop)
    }

    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            last_seq: row.try_get(0)?,
            events: row.try_get(1)?,
            bytes: row.try_get(2)?,
            event_types: row.try_get(3)?,
            erasures: row.try_get(4)?,
            removals: row.try_get(5)?,
        })
    }
}
