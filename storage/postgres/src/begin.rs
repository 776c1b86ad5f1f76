//! The beginning of a transaction that stores events.

use std::borrow::Cow;

use futures_util::future::{FutureExt as _, OptionFuture};
use futures_util::try_join;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row, Statement};

use crate::columns::count;
use crate::head::Head;
use crate::schema::SchemaName;
use crate::values::Micros;

/// What the first statements of a transaction have found.
pub(crate) struct Found {
    pub(crate) head: Head,
    /// The ids that stored events have.
    pub(crate) stored: Vec<Held>,
    /// The types of which there are events.
    pub(crate) types: Vec<String>,
}

/// An id that a stored event has.
pub(crate) struct Held {
    /// Its place in the list of ids that were looked up.
    pub(crate) at: usize,
    pub(crate) seq: i64,
    pub(crate) stored_at: Micros,
}

/// Begins the transaction: locks the head, and looks up ids and types. When the head is locked, no other commit is
/// under way, and all earlier ones are visible.
///
/// # Errors
///
/// The error of a statement.
pub(crate) async fn begin(
    client: &Client,
    schema: &SchemaName,
    lock: &Statement,
    ids: &[Cow<'_, str>],
    types: &[&str],
) -> Result<Found, Error> {
    let look_up = format!(
        "SELECT held.place, e.seq, e.stored_at FROM unnest($1) WITH ORDINALITY held (id, place) \
         JOIN {schema}.events e ON e.id = held.id"
    );
    let stored = OptionFuture::from(
        (!ids.is_empty()).then_some(async { client.query_typed(&look_up, &[(&ids, Type::TEXT_ARRAY)]).await }),
    );
    let types = OptionFuture::from((!types.is_empty()).then(|| stored_types(client, schema, types)));
    // Polled in this order, so sent in this order, without waiting for the answers.
    let ((), head, stored, types) = try_join!(
        client.batch_execute("BEGIN"),
        Head::lock(client, lock),
        stored.map(Option::transpose),
        types.map(Option::transpose),
    )?;
    let stored = stored.iter().flatten().map(Held::of).collect::<Result<_, Error>>()?;
    Ok(Found { head, stored, types: types.unwrap_or_default() })
}

/// Those of these types of which there are events.
///
/// # Errors
///
/// The error of the statement.
pub(crate) async fn stored_types(client: &Client, schema: &SchemaName, names: &[&str]) -> Result<Vec<String>, Error> {
    let query = format!(
        "SELECT name FROM unnest($1) name WHERE EXISTS (SELECT FROM {schema}.events e WHERE e.event_type = name)"
    );
    let rows = client.query_typed(&query, &[(&names, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

impl Held {
    fn of(row: &Row) -> Result<Self, Error> {
        let place: i64 = row.try_get(0)?;
        // PostgreSQL counts from 1.
        Ok(Self { at: count(place - 1), seq: row.try_get(1)?, stored_at: row.try_get(2)? })
    }
}
