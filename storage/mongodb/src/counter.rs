//! Counts events by the indexes of times, without reading them.
//!
//! A pipeline names only fields of one index, and takes the events in the order of that index. So the server needs
//! nothing but the index, and keeps no more than the groups in memory.

use std::num::NonZeroU32;
use std::sync::Arc;

use argus_core::damage::Damage;
use argus_core::event::EventType;
use argus_core::query::{Order, Position, Scan};
use argus_core::repository::{Count, Counts, EventCounter, Grouping, ReadError};
use argus_database::{Counting, ScanTypes};
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::collections::events;
use crate::pieces::{pieces, sort};
use crate::row::position;
use crate::source::with_prefix;
use crate::store::Store;

/// Counts the events of a scan. Each call is a few commands, which go through a bounded number of entries of an index.
/// Between calls the server holds nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    store: Arc<Store>,
    counting: Counting,
}

/// The events of a group within one piece.
struct Group {
    count: Count,
    last: Position,
}

impl Counter {
    /// `None` if an index does not suffice.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub(crate) fn new(
        store: Arc<Store>,
        scan: &Scan,
        grouping: Grouping,
        last_seq: u64,
    ) -> Result<Option<Self>, ReadError> {
        let counting = Counting::of(scan, grouping, last_seq, |prefix| with_prefix(&store, prefix))?;
        Ok(counting.map(|counting| Self { store, counting }))
    }

    /// Counts the first events of a piece, at most so many.
    fn groups(&self, piece: Document, max: u32, cell_seconds: Option<NonZeroU32>) -> Result<Vec<Group>, ReadError> {
        let (database, patience) = (self.store.database()?, self.store.patience());
        let (pipeline, hint) = (self.pipeline(piece, max, cell_seconds), Hint::Keys(self.index()));
        let found: Vec<RawDocumentBuf> = self.store.wait(async move {
            let events = events(&database);
            // Local to the primary, as a `Find`. There are fewer groups than a batch, so the server keeps no cursor.
            let ask = events.aggregate(pipeline).hint(hint).batch_size(max.saturating_add(1)).max_time(patience);
            let mut cursor = ask.read_concern(ReadConcern::local()).with_type::<RawDocumentBuf>().await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.current().to_owned());
            }
            Ok(found)
        })?;
        found.iter().map(|document| self.group(document)).collect()
    }

    fn pipeline(&self, piece: Document, max: u32, cell_seconds: Option<NonZeroU32>) -> [Document; 4] {
        let mut filter = Document::new();
        if let ScanTypes::Few(names) = &self.counting.types {
            // The server merges the events of each, in order.
            filter.insert("event_type", doc! { "$in": names });
        }
        filter.extend(piece);
        let mut key = Document::new();
        if self.counting.has_types() {
            key.insert("event_type", "$event_type");
        }
        if let Some(seconds) = cell_seconds {
            let cell = doc! { "date": "$time", "unit": "second", "binSize": i64::from(seconds.get()) };
            key.insert("cell", doc! { "$dateTrunc": cell });
        }
        let position = doc! { "time": "$time", "nanos": "$nanos", "_id": "$_id" };
        [
            doc! { "$match": filter },
            doc! { "$sort": sort(Order::TimeAscending) },
            doc! { "$limit": i64::from(max) },
            doc! { "$group": {
                "_id": key, "events": { "$sum": 1 }, "first": { "$first": &position }, "last": { "$last": &position },
            } },
        ]
    }

    /// The keys of the index that has the events in order. A server that chooses for itself may take another one, and
    /// sort all events before it counts the first.
    fn index(&self) -> Document {
        let mut keys = match &self.counting.types {
            ScanTypes::Few(_) => doc! { "event_type": 1 },
            ScanTypes::All | ScanTypes::Tested(_) => Document::new(),
        };
        keys.extend(sort(Order::TimeAscending));
        keys
    }

    /// The group in a document.
    fn group(&self, document: &RawDocument) -> Result<Group, ReadError> {
        let part = |name: &str| document.get_document(name).map_err(|error| damaged(error.to_string()));
        let event_type = match self.counting.has_types() {
            true => {
                let name = part("_id")?.get_str("event_type").map_err(|error| damaged(error.to_string()))?;
                EventType::parse(name).map_err(|error| damaged(error.to_string()))?;
                Some(name.into())
            }
            false => None,
        };
        // The server chooses the kind of number by its size.
        let events = document.get("events").ok().flatten();
        let events = events.and_then(|events| events.as_i64().or_else(|| events.as_i32().map(i64::from)));
        let events = events.ok_or_else(|| damaged("their number is none"))?.cast_unsigned();
        let (first, last) = (position(part("first")?)?, position(part("last")?)?);
        Ok(Group { count: Count { event_type, events, times: (first.timestamp, last.timestamp) }, last })
    }
}

impl EventCounter for Counter {
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError> {
        let mut groups = Vec::new();
        let Some(bounds) = self.counting.rest(after) else { return Ok(Counts { groups, reached: None }) };
        let wanted = |count: &Count| self.counting.wants(count.event_type.as_deref());
        let mut left = max;
        for piece in pieces(&bounds) {
            let found = self.groups(piece, left, cell_seconds)?;
            let events: u64 = found.iter().map(|group| group.count.events).sum();
            left = left.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
            let last = found.iter().map(|group| group.last).max();
            groups.extend(found.into_iter().map(|group| group.count).filter(wanted));
            if left == 0 {
                return Ok(Counts { groups, reached: last });
            }
        }
        Ok(Counts { groups, reached: None })
    }
}

fn damaged(reason: impl Into<String>) -> ReadError {
    ReadError::Damaged(Damage::of("documents of the collection `events` that were counted", reason))
}
