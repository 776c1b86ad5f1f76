//! Finds the positions of few events by their ids, before they are read in order.

use argus_core::query::{Filter, Order, Position};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Page};
use mongodb::bson::{RawDocumentBuf, doc};

use crate::pieces::sort;
use crate::row::{StoredRow, position, position_fields};
use crate::store::{Find, Store};
use crate::values::number;
use crate::walk::PAGE_BYTES_MAX;

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
        let mut fields = position_fields();
        fields.insert("event_type", 1);
        // No limit: an id has one event.
        let find = Find { filter: doc! { "id": { "$in": ids } }, fields, ..Find::default() };
        let (mut found, _) = store.find(find, usize::MAX)?;
        if let Some(tests) = &filter.types {
            found.retain(|document| {
                // One without a type is damaged, which is reported when it is read.
                let name = document.get_str("event_type").ok();
                name.is_none_or(|name| tests.iter().any(|test| test.matches(name.as_bytes())))
            });
        }
        Self::of(&found, bounds, order)
    }

    fn of(documents: &[RawDocumentBuf], bounds: &Bounds, order: Order) -> Result<Self, ReadError> {
        let positions = documents.iter().map(|document| position(document)).collect::<Result<Vec<Position>, _>>();
        let mut positions = positions?;
        positions.retain(|position| bounds.contain(*position));
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
        let filter = doc! { "_id": { "$in": seqs } };
        let find = Find { filter, sort: sort(self.order), limit: rows, ..Find::default() };
        let (found, is_cut) = store.find(find, PAGE_BYTES_MAX)?;
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

/// The error for an event that has another time than before, which only a change by hand can cause.
fn unexpected() -> ReadError {
    ReadError::Failed("the database has returned an event that was not asked for".into())
}
