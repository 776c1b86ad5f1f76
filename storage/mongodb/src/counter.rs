//! Counts events by the indexes of times, without reading them.
//!
//! A pipeline names only fields of one index, and takes the events in the order of that index. So the server needs
//! nothing but the index, and keeps no more than the groups in memory.

use std::num::NonZeroU32;
use std::sync::Arc;

use argus_core::damage::Damage;
use argus_core::event::EventType;
use argus_core::query::{Order, Position, Scan, TypeTest};
use argus_core::repository::{Count, Counts, EventCounter, Grouping, ReadError};
use argus_database::Bounds;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::collections::events;
use crate::pieces::{pieces, sort};
use crate::row::position;
use crate::source::types;
use crate::store::Store;
use crate::walk::Types;

/// Counts the events of a scan. Each call is a few commands, which go through a bounded number of entries of an index.
/// Between calls the server holds nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    store: Arc<Store>,
    types: Types,
    grouping: Grouping,
    /// Those of the scan.
    bounds: Bounds,
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
        let filter = &scan.filter;
        let is_in_order = scan.order == Order::TimeAscending && scan.limit.is_none();
        let is_by_index = filter.payload.is_empty() && filter.ids.is_none();
        if !is_in_order || !is_by_index {
            return Ok(None);
        }
        // The index of times does not have the types. If they are few, the other index has each of them in that order.
        let any = [TypeTest::Prefix("".into())];
        let tests = filter.types.as_deref().or(grouping.by_type.then_some(&any));
        let types = types(&store, tests, scan.order)?;
        Ok(Some(Self { store, types, grouping, bounds: Bounds::of(scan, last_seq) }))
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
        if let Types::Few(names) = &self.types {
            // The server merges the events of each, in order.
            filter.insert("event_type", doc! { "$in": names });
        }
        filter.extend(piece);
        let mut key = Document::new();
        if self.has_types() {
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
        let mut keys = match &self.types {
            Types::Few(_) => doc! { "event_type": 1 },
            Types::All | Types::Tested(_) => Document::new(),
        };
        keys.extend(sort(Order::TimeAscending));
        keys
    }

    /// Whether the pipeline tells types apart.
    fn has_types(&self) -> bool {
        match &self.types {
            Types::All | Types::Few(_) => self.grouping.by_type,
            // They are tested afterwards.
            Types::Tested(_) => true,
        }
    }

    /// The group in a document.
    fn group(&self, document: &RawDocument) -> Result<Group, ReadError> {
        let part = |name: &str| document.get_document(name).map_err(|error| damaged(error.to_string()));
        let event_type = match self.has_types() {
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

    /// Whether the scan wants the events of a group.
    fn wants(&self, count: &Count) -> bool {
        count.event_type.as_deref().is_none_or(|name| self.types.contain(name))
    }
}

impl EventCounter for Counter {
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError> {
        let bounds = after.map_or(self.bounds, |after| self.bounds.rest(Order::TimeAscending, after));
        let mut groups = Vec::new();
        if bounds.is_empty() || matches!(&self.types, Types::Few(names) if names.is_empty()) {
            return Ok(Counts { groups, reached: None });
        }
        let mut left = max;
        for piece in pieces(&bounds) {
            let found = self.groups(piece, left, cell_seconds)?;
            let events: u64 = found.iter().map(|group| group.count.events).sum();
            left = left.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
            let last = found.iter().map(|group| group.last).max();
            groups.extend(found.into_iter().map(|group| group.count).filter(|count| self.wants(count)));
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
