//! Removes events, and keeps the head true.

use std::collections::BTreeSet;

use argus_database::{Fault, Removed};
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};

use crate::fault::fault_of;
use crate::head::Head;
use crate::schema::SchemaName;
use crate::select::Select;
use crate::session::Session;
use crate::values::{Micros, join};

/// A transaction that removes events. It does not keep writers waiting until it ends.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    session: &'a mut Session,
    schema: &'a SchemaName,
    removed: Removed,
}

impl<'a> Removal<'a> {
    /// Begins the transaction.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn begin(session: &'a mut Session, schema: &'a SchemaName) -> Result<Self, Fault> {
        session.run(async |client| client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await)?;
        Ok(Self { session, schema, removed: Removed::default() })
    }

    /// Removes the events for which a condition holds. `push` appends it.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; the transaction is of no use any more.
    pub(crate) fn delete(&mut self, push: impl FnOnce(&mut Select)) -> Result<u64, Fault> {
        let mut delete = Select::default();
        delete.push(&format!("WITH gone AS (DELETE FROM {}.events WHERE ", self.schema));
        push(&mut delete);
        delete.push(
            " RETURNING event_type, time, \
             octet_length(payload) + octet_length(event_type) + octet_length(id) AS bytes) \
             SELECT event_type, count(*), sum(bytes)::bigint, min(time), max(time) FROM gone GROUP BY event_type",
        );
        let rows = self.session.run(async |client| delete.rows(client).await)?;
        let before = self.removed.events;
        for row in &rows {
            self.removed.add(removed(row).map_err(|error| fault_of(&error))?);
        }
        Ok(self.removed.events - before)
    }

    /// Takes a lock of the database until the end of the transaction, unless another session has it.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn try_lock(&mut self, number: i64) -> Result<bool, Fault> {
        let mut lock = Select::default();
        // A lock for each schema.
        let schema = self.schema.to_string();
        lock.push("SELECT pg_try_advisory_xact_lock(").bind(number, Type::INT8).push(" # hashtext(");
        lock.bind(schema, Type::TEXT).push(")::bigint)");
        let rows = self.session.run(async |client| lock.rows(client).await)?;
        only(&rows).try_get(0).map_err(|error| fault_of(&error))
    }

    /// The head as of now.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn head(&mut self) -> Result<Head, Fault> {
        self.session.run(async |client| Head::read(client, self.schema).await)
    }

    /// Ends the transaction.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. After [`Fault::Lost`], the events may be removed.
    pub(crate) fn commit(mut self, is_erasure: bool) -> Result<Removed, Fault> {
        match self.end(is_erasure) {
            Err(fault) if !fault.is_lost() => {
                self.roll_back()?;
                Err(fault)
            }
            ended => ended,
        }
    }

    fn end(&mut self, is_erasure: bool) -> Result<Removed, Fault> {
        let Self { session, schema, removed } = self;
        let (schema, removed) = (*schema, std::mem::take(removed));
        let mut names = Select::default();
        let list: Vec<String> = removed.types.iter().cloned().collect();
        names
            .push("SELECT count(*) FROM unnest(")
            .bind(list, Type::TEXT_ARRAY)
            .push(") name WHERE NOT EXISTS (SELECT ");
        names.push(&format!("FROM {schema}.events e WHERE e.event_type = name)"));
        let head = session.run(async |client| Head::lock(client, &*Head::lock_statement(schema)).await)?;
        // Now that no commit can add events, types without events are known.
        let gone = session.run(async |client| names.rows(client).await)?;
        let gone: i64 = only(&gone).try_get(0).map_err(|error| fault_of(&error))?;
        let head = Head {
            events: head.events - removed.events.cast_signed(),
            bytes: head.bytes - removed.bytes.cast_signed(),
            event_types: head.event_types - gone,
            erasures: head.erasures + i64::from(is_erasure),
            removals: head.removals + 1,
            ..head
        };
        session.run(async |client| {
            head.write(client, &*Head::write_statement(schema)).await?;
            client.batch_execute("COMMIT").await
        })?;
        Ok(removed)
    }

    /// Ends the transaction without effect.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn roll_back(self) -> Result<(), Fault> {
        self.session.run(async |client| client.batch_execute("ROLLBACK").await)
    }
}

/// The removed events of one type.
fn removed(row: &Row) -> Result<Removed, Error> {
    let (events, bytes): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let (first, last): (Micros, Micros) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Removed {
        events: events.cast_unsigned(),
        bytes: bytes.cast_unsigned(),
        span: join(first, 0).zip(join(last, 0)),
        types: BTreeSet::from([row.try_get(0)?]),
    })
}

/// The row of a statement that has one.
fn only(rows: &[Row]) -> &Row {
    rows.first().expect("a statement without FROM, and a count, have one row")
}
