//! Reads events in order, page by page.
//!
//! Each page is some commands of their own that return a bounded number of documents, which an index finds in order.
//! Between pages the server holds nothing for the reader.

use std::time::Duration;

use argus_core::query::{Order, Position};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Page, ScanTypes};
use futures_util::future::try_join_all;
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::error::Error;

use crate::collections::events;
use crate::fingerprint::ANY;
use crate::pieces::{pieces, sort};
use crate::row::{StoredRow, seq};
use crate::store::{Find, Store};
use crate::values::number;

/// A page ends before it has many more bytes.
pub(crate) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The fewest events that are read of each of several lists at once.
const ROWS_OF_LIST_MIN: u32 = 16;

/// After this many pages more, the ways to find the events are compared again: what is rare here may be frequent there.
const CHOICE_PAGES: u32 = 7;

/// A walk through the events within bounds, in an order.
#[derive(Debug)]
pub(crate) struct Walk {
    order: Order,
    types: ScanTypes,
    /// How to find the events by time. Each way finds all of them. The first one is in use.
    ways: Vec<Way>,
    /// The pages until the ways are compared.
    pages_to_choice: u32,
    /// What remains.
    bounds: Bounds,
    is_complete: bool,
}

/// Lists of events, each of which an index has in order of time: a filter for each.
type Way = Vec<Document>;

/// Events in order, and whether there are more.
type Found = (Vec<RawDocumentBuf>, bool);

/// The next events in order.
struct Stretch {
    rows: Vec<StoredRow>,
    has_more: bool,
    /// The lists in which nothing remains.
    ended: Vec<Document>,
}

impl Walk {
    /// A walk through the events of these types. If there are fingerprints, only through those whose payloads may have
    /// all of them, as far as an index tells.
    pub(crate) fn new(order: Order, types: ScanTypes, fingerprints: Vec<i64>, bounds: Bounds) -> Self {
        let is_empty = bounds.is_empty() || types.are_none();
        let of_value = |fingerprint| [fingerprint, ANY].map(|value: i64| doc! { "values": value }).to_vec();
        let mut ways: Vec<Way> = fingerprints.into_iter().map(of_value).collect();
        match &types {
            // The server merges the events of each, in order.
            ScanTypes::Few(names) => ways.push(vec![doc! { "event_type": { "$in": names } }]),
            ScanTypes::All | ScanTypes::Tested(_) if ways.is_empty() => ways.push(vec![Document::new()]),
            // No value is more frequent than all events.
            ScanTypes::All | ScanTypes::Tested(_) => {}
        }
        Self { order, types, ways, pages_to_choice: 0, bounds, is_complete: is_empty }
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
        let Stretch { rows: mut page, has_more, ended } = match self.order {
            Order::Sequence => self.merged(vec![self.by_seq(store, rows)?], &Way::new())?,
            Order::TimeAscending | Order::TimeDescending => self.by_time(store, rows)?,
        };
        // Whatever comes to the database later is not within the bounds.
        for way in &mut self.ways {
            way.retain(|list| !ended.contains(list));
        }
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

    /// The next events by time. Now and then chooses the way on which as many events reach furthest, so that the fewest
    /// are examined. The database could intersect the ways, but then no limit would bound its work.
    fn by_time(&mut self, store: &Store, rows: u32) -> Result<Stretch, ReadError> {
        let is_choice = self.pages_to_choice == 0;
        let candidates = if is_choice { self.ways.len() } else { 1 };
        let mut best: Option<(usize, Stretch)> = None;
        for (index, way) in self.ways.iter().enumerate().take(candidates) {
            let stretch = self.stretch(store, way, rows)?;
            let is_last = !stretch.has_more;
            if best.as_ref().is_none_or(|(_, best)| self.reaches_further(&stretch, best)) {
                best = Some((index, stretch));
            }
            if is_last {
                break;
            }
        }
        let (index, stretch) = best.expect("there is a way to find the events of any filter");
        self.ways.swap(0, index);
        self.pages_to_choice = if is_choice { CHOICE_PAGES } else { self.pages_to_choice - 1 };
        Ok(stretch)
    }

    fn reaches_further(&self, one: &Stretch, other: &Stretch) -> bool {
        let end = |stretch: &Stretch| stretch.rows.last().map(|row| row.position);
        match (one.has_more, other.has_more) {
            (true, true) => end(one).zip(end(other)).is_some_and(|(one, other)| self.is_after(one, other)),
            (false, true) => true,
            (true | false, false) => false,
        }
    }

    /// The next events by time that one way finds.
    fn stretch(&self, store: &Store, way: &Way, rows: u32) -> Result<Stretch, ReadError> {
        let count = way.len().max(1);
        let fair = rows.div_ceil(u32::try_from(count).unwrap_or(u32::MAX));
        let (rows, bytes_max) = (fair.max(ROWS_OF_LIST_MIN.min(rows)), PAGE_BYTES_MAX / count);
        let lists: Vec<Vec<Find>> = way.iter().map(|filter| self.finds(filter, rows)).collect();
        let (database, patience) = (store.database()?, store.patience());
        let found = store.wait(async move {
            let events = &events(&database);
            let list = |finds| first(finds, events, patience, rows, bytes_max);
            try_join_all(lists.into_iter().map(list)).await
        })?;
        self.merged(found, way)
    }

    /// The events of the lists of a way, up to where all of them are known.
    fn merged(&self, lists: Vec<Found>, way: &Way) -> Result<Stretch, ReadError> {
        let is_end = |(documents, is_cut): &Found| documents.is_empty() && !is_cut;
        let ended = way.iter().zip(&lists).filter(|(_, list)| is_end(list)).map(|(filter, _)| filter.clone()).collect();
        let (mut merged, mut has_more, mut horizon) = (Vec::new(), false, None);
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
            merged.extend(list);
        }
        merged.sort_unstable_by(|one, other| match self.order {
            Order::TimeAscending => one.position.cmp(&other.position),
            Order::TimeDescending => other.position.cmp(&one.position),
            Order::Sequence => one.position.seq.cmp(&other.position.seq),
        });
        merged.retain(|row| horizon.is_none_or(|horizon| !self.is_after(row.position, horizon)));
        Ok(Stretch { rows: merged, has_more, ended })
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
