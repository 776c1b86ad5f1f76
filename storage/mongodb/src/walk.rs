//! Reads events in order, page by page.
//!
//! Each page is some commands of their own that return a bounded number of documents, which an index finds in order.
//! Between pages the server holds nothing for the reader.

use std::iter;
use std::time::Duration;

use argus_core::query::{Order, Position, TypeTest};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Page};
use futures_util::future::try_join_all;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;

use crate::collections::events;
use crate::fault::Fault;
use crate::pieces::{pieces, sort};
use crate::row::{StoredRow, seq};
use crate::store::{Find, Store};
use crate::values::number;

/// A page ends before it has many more bytes.
pub(crate) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The fewest events that are read of each of several types at once.
const ROWS_OF_TYPE_MIN: u32 = 16;

/// A walk through the events within bounds, in an order.
#[derive(Debug)]
pub(crate) struct Walk {
    order: Order,
    types: Types,
    /// What remains.
    bounds: Bounds,
    is_complete: bool,
}

/// The types of a walk.
#[derive(Debug)]
pub(crate) enum Types {
    /// All.
    All,
    /// These: the index of types and times has the events of each in order.
    Few(Vec<String>),
    /// Those that one of the tests holds for, which is examined for each event.
    Tested(Vec<TypeTest>),
}

impl Types {
    /// Whether this type is among them.
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Few(names) => names.iter().any(|wanted| wanted == name),
            Self::Tested(tests) => tests.iter().any(|test| test.matches(name.as_bytes())),
        }
    }
}

/// Events in order, and whether there are more.
type Found = (Vec<RawDocumentBuf>, bool);

impl Walk {
    pub(crate) fn new(order: Order, types: Types, bounds: Bounds) -> Self {
        let is_empty = bounds.is_empty() || matches!(&types, Types::Few(names) if names.is_empty());
        Self { order, types, bounds, is_complete: is_empty }
    }

    /// Whether there are no more events.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Examines about `rows` events. Returns those of the types, and the position up to which all were examined; `None`
    /// if there was none.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the walk is as before.
    pub(crate) fn page(&mut self, store: &Store, rows: u32) -> Result<Page<StoredRow>, ReadError> {
        let lists = match (&self.types, self.order) {
            (_, Order::Sequence) => vec![self.by_seq(store, rows)?],
            (Types::Few(names), Order::TimeAscending | Order::TimeDescending) => {
                self.by_time(store, names.iter().map(|name| doc! { "event_type": name }), rows)?
            }
            (Types::All | Types::Tested(_), Order::TimeAscending | Order::TimeDescending) => {
                self.by_time(store, iter::once(Document::new()), rows)?
            }
        };
        let (mut page, mut has_more, mut horizon) = (Vec::new(), false, None);
        for (documents, is_cut) in lists {
            let list = documents.into_iter().map(StoredRow::of).collect::<Result<Vec<_>, _>>()?;
            if is_cut {
                has_more = true;
                // What comes after the end of a list may have events of this list before it.
                let end = list.last().map(|row| row.position);
                horizon = match (horizon, end) {
                    (Some(one), Some(other)) => Some(if self.is_after(one, other) { other } else { one }),
                    (one, other) => one.or(other),
                };
            }
            page.extend(list);
        }
        page.sort_unstable_by(|one, other| match self.order {
            Order::TimeAscending => one.position.cmp(&other.position),
            Order::TimeDescending => other.position.cmp(&one.position),
            Order::Sequence => one.position.seq.cmp(&other.position.seq),
        });
        page.retain(|row| horizon.is_none_or(|horizon| !self.is_after(row.position, horizon)));
        let reached = page.last().map(|row| row.position);
        self.is_complete = !has_more;
        // By sequence number, events of any time are found.
        page.retain(|row| self.bounds.contain(row.position));
        if let Some(reached) = reached {
            self.bounds = self.bounds.rest(self.order, reached);
        }
        self.retain_types(&mut page)?;
        Ok((page, reached))
    }

    /// Whether one position comes after the other in this order.
    fn is_after(&self, one: Position, other: Position) -> bool {
        match self.order {
            Order::TimeAscending => one > other,
            Order::TimeDescending => one < other,
            Order::Sequence => one.seq > other.seq,
        }
    }

    /// Keeps the events of the types, where the index does not decide.
    fn retain_types(&self, page: &mut Vec<StoredRow>) -> Result<(), ReadError> {
        let is_wanted = |row: &StoredRow| row.event_type().map(|name| self.types.contain(name));
        let wanted = page.iter().map(is_wanted).collect::<Result<Vec<_>, _>>()?;
        let mut wanted = wanted.into_iter();
        page.retain(|_| wanted.next().unwrap_or(false));
        Ok(())
    }

    /// Events by time, a list for each filter.
    fn by_time(
        &self,
        store: &Store,
        filters: impl ExactSizeIterator<Item = Document>,
        rows: u32,
    ) -> Result<Vec<Found>, Fault> {
        let count = filters.len().max(1);
        let fair = rows.div_ceil(u32::try_from(count).unwrap_or(u32::MAX));
        let (rows, bytes_max) = (fair.max(ROWS_OF_TYPE_MIN.min(rows)), PAGE_BYTES_MAX / count);
        let lists: Vec<Vec<Find>> = filters.map(|filter| self.finds(&filter, rows)).collect();
        let (database, patience) = (store.database()?, store.patience());
        store.wait(async move {
            let events = &events(&database);
            let list = |finds| first(finds, events, patience, rows, bytes_max);
            try_join_all(lists.into_iter().map(list)).await
        })
    }

    /// What to look for, piece by piece in this order.
    fn finds(&self, of: &Document, rows: u32) -> Vec<Find> {
        let mut pieces = pieces(&self.bounds);
        if self.order == Order::TimeDescending {
            pieces.reverse();
        }
        let find = |piece: Document| {
            let mut filter = of.clone();
            filter.extend(piece);
            Find { filter, sort: sort(self.order), limit: rows, ..Find::default() }
        };
        pieces.into_iter().map(find).collect()
    }

    /// Events by sequence number.
    fn by_seq(&self, store: &Store, rows: u32) -> Result<Found, ReadError> {
        let Bounds { mut after_seq, up_to_seq, .. } = self.bounds;
        loop {
            let end = up_to_seq.min(after_seq.saturating_add(rows.into()));
            let filter = doc! { "_id": { "$gt": number(after_seq), "$lte": number(end) } };
            let find = Find { filter, sort: sort(Order::Sequence), limit: rows, ..Find::default() };
            let (found, is_cut) = store.find(find, PAGE_BYTES_MAX)?;
            if !found.is_empty() || end == up_to_seq {
                return Ok((found, is_cut || end < up_to_seq));
            }
            // Events were removed, perhaps many: the next one is found at once.
            match next_seq(store, end, up_to_seq)? {
                Some(next) => after_seq = next - 1,
                None => return Ok((Vec::new(), false)),
            }
        }
    }
}

/// The first events of a list of pieces.
async fn first(
    finds: Vec<Find>,
    events: &Collection<RawDocumentBuf>,
    patience: Duration,
    rows: u32,
    bytes_max: usize,
) -> Result<Found, Error> {
    let (mut found, mut left, mut bytes) = (Vec::new(), rows, bytes_max);
    for mut find in finds {
        find.limit = left;
        let (documents, is_cut) = find.first(events, patience, bytes).await?;
        left = left.saturating_sub(u32::try_from(documents.len()).unwrap_or(u32::MAX));
        bytes = bytes.saturating_sub(documents.iter().map(|document| document.as_bytes().len()).sum());
        found.extend(documents);
        if is_cut || left == 0 || bytes == 0 {
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

/// The first sequence number after one and up to another of which there is an event.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn next_seq(store: &Store, after: u64, up_to: u64) -> Result<Option<u64>, ReadError> {
    let filter = doc! { "_id": { "$gt": number(after), "$lte": number(up_to) } };
    let find = Find { filter, sort: sort(Order::Sequence), fields: doc! { "_id": 1 }, limit: 1 };
    let (found, _) = store.find(find, PAGE_BYTES_MAX)?;
    found.first().map(|document| seq(document)).transpose()
}
