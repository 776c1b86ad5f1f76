//! Finds the positions of few events by their ids or payloads, before they are read in order.

use argus_core::query::{Filter, Order, Position, TypeTest};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Page};
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

/// The positions of all events that a scan may return, in its order.
#[derive(Debug)]
pub(crate) struct Candidates {
    order: Order,
    /// The next one comes last.
    positions: Vec<Position>,
}

impl Candidates {
    /// No events.
    pub(crate) fn none() -> Self {
        Self { order: Order::Sequence, positions: Vec::new() }
    }

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
    ) -> Result<Self, ReadError> {
        let mut select = Select::default();
        select.push(&format!("SELECT seq, time, nanos FROM {}.events WHERE id = ANY(", store.address.schema()));
        select.bind(ids, Type::TEXT_ARRAY).push(") AND ").within(bounds);
        push_type_tests(&mut select, filter.types.as_deref());
        let rows = store.pool.ask(&async |client| select.rows(client).await)?;
        Self::of(&rows, order)
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
    ) -> Result<Option<Self>, ReadError> {
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
            let answers =
                try_join!(client.batch_execute(BY_INDEX), select.rows(client), client.batch_execute("COMMIT"));
            answers.map(|((), rows, ())| rows)
        })?;
        if rows.len() > MAX {
            return Ok(None);
        }
        Self::of(&rows, order).map(Some)
    }

    fn of(rows: &[Row], order: Order) -> Result<Self, ReadError> {
        let mut positions = rows.iter().map(position).collect::<Result<Vec<Position>, _>>()?;
        match order {
            Order::TimeAscending => positions.sort_unstable_by(|one, other| other.cmp(one)),
            Order::TimeDescending => positions.sort_unstable(),
            Order::Sequence => positions.sort_unstable_by_key(|position| u64::MAX - position.seq),
        }
        positions.dedup();
        Ok(Self { order, positions })
    }

    /// Whether there are no more.
    pub(crate) fn is_complete(&self) -> bool {
        self.positions.is_empty()
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.positions.capacity() * size_of::<Position>()
    }

    /// Reads up to `rows` more events, of which some may have been removed. Returns the position of the last one.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    pub(crate) fn page(&mut self, store: &Store, rows: u32) -> Result<Page<StoredRow>, ReadError> {
        let first = self.positions.len().saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
        let next = self.positions.get(first..).unwrap_or_default();
        let seqs: Vec<i64> = next.iter().map(|position| number(position.seq)).collect();
        let mut select = Select::default();
        select.push(&format!("SELECT {COLUMNS} FROM {}.events WHERE seq = ANY(", store.address.schema()));
        select.bind(seqs, Type::INT8_ARRAY).push(")").ordered(self.order);
        let (found, is_cut) = store.pool.first_rows(&select, PAGE_BYTES_MAX)?;
        let page = found.into_iter().map(StoredRow::of).collect::<Result<Vec<_>, _>>()?;
        let reached = if is_cut { page.last().map(|row| row.position) } else { next.first().copied() };
        let left = match reached {
            Some(reached) => next.iter().position(|next| *next == reached).ok_or_else(unexpected)?,
            None => 0,
        };
        self.positions.truncate(first + left);
        Ok((page, reached))
    }
}

fn push_type_tests(select: &mut Select, tests: Option<&[TypeTest]>) {
    if let Some(tests) = tests {
        push_types(select, tests.iter().filter(|test| is_text(test.text())));
    }
}

/// The error for an event that has another time than before, which only a change by hand can cause.
fn unexpected() -> ReadError {
    ReadError::Failed("the database has returned an event that was not asked for".into())
}
