//! Finds the positions of few events by their ids or payloads, and reads them.

use argus_core::query::{Filter, Order, Position, TypeTest};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Candidates};
use futures_util::try_join;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::row::{COLUMNS, StoredRow, position};
use crate::select::{Select, number};
use crate::store::Store;
use crate::values::is_text;
use crate::walk::{PAGE_BYTES_MAX, push_types};

/// The most candidates of which the positions are kept. If there are more, they are frequent enough to be found by
/// going through the events in order.
const MAX: usize = 4_096;

/// Leaves the planner only the indexes that can find documents. It has no statistics of the values in them, so it may
/// go through all events instead.
const BY_INDEX: &str = "BEGIN READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; \
                        SET LOCAL enable_indexonlyscan = off";

/// The events with the ids of a filter.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn by_id(
    store: &Store,
    filter: &Filter,
    ids: Vec<String>,
    bounds: &Bounds,
    order: Order,
) -> Result<Candidates, ReadError> {
    let mut select = Select::default();
    select.push(&format!("SELECT seq, time, nanos FROM {}.events WHERE id = ANY(", store.address.schema()));
    select.bind(ids, Type::TEXT_ARRAY).push(") AND ").within(bounds);
    push_type_tests(&mut select, filter.types.as_deref());
    let rows = store.pool.ask(&async |client| select.rows(client).await)?;
    candidates(&rows, order)
}

/// The events that may fulfil the conditions on payloads; `None` if there are too many.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn by_document(
    store: &Store,
    filter: &Filter,
    narrowing: &str,
    bounds: &Bounds,
    order: Order,
) -> Result<Option<Candidates>, ReadError> {
    let mut select = Select::default();
    for (index, has_document) in [true, false].into_iter().enumerate() {
        select.push(if index == 0 { "(" } else { " UNION ALL (" });
        select.push(&format!("SELECT seq, time, nanos FROM {}.events WHERE ", store.address.schema()));
        if has_document {
            select.push("document @@ ").bind(narrowing.to_owned(), Type::TEXT).push("::jsonpath");
        } else {
            select.push("document IS NULL");
        }
        select.push(" AND ").within(bounds);
        push_type_tests(&mut select, filter.types.as_deref());
        select.push(&format!(" LIMIT {})", MAX + 1));
    }
    let rows = store.pool.ask(&async |client| {
        let answers = try_join!(client.batch_execute(BY_INDEX), select.rows(client), client.batch_execute("COMMIT"));
        answers.map(|((), rows, ())| rows)
    })?;
    if rows.len() > MAX {
        return Ok(None);
    }
    candidates(&rows, order).map(Some)
}

/// The events at these positions, if they are still there. Also returns whether the last ones are left out, since they
/// are too large for one page.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn read(store: &Store, at: &[Position], order: Order) -> Result<(Vec<StoredRow>, bool), ReadError> {
    let seqs: Vec<i64> = at.iter().map(|position| number(position.seq)).collect();
    let mut select = Select::default();
    select.push(&format!("SELECT {COLUMNS} FROM {}.events WHERE seq = ANY(", store.address.schema()));
    select.bind(seqs, Type::INT8_ARRAY).push(")").ordered(order);
    let (found, is_cut) = store.pool.first_rows(&select, PAGE_BYTES_MAX)?;
    Ok((found.into_iter().map(StoredRow::of).collect::<Result<_, _>>()?, is_cut))
}

fn candidates(rows: &[Row], order: Order) -> Result<Candidates, ReadError> {
    let positions = rows.iter().map(position).collect::<Result<Vec<Position>, _>>()?;
    Ok(Candidates::new(positions, order))
}

fn push_type_tests(select: &mut Select, tests: Option<&[TypeTest]>) {
    if let Some(tests) = tests {
        push_types(select, tests.iter().filter(|test| is_text(test.text())));
    }
}
