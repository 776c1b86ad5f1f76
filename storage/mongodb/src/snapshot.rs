//! Snapshots: the events up to a sequence number.

use std::sync::Arc;

use argus_core::event::Event;
use argus_core::query::Scan;
use argus_core::repository::{
    ErasureStats, EventCounter, GapRun, Grouping, ReadError, ScanRun, Snapshot, Stats, TakeSnapshot,
};
use argus_database::{Row as _, Run};
use mongodb::bson::doc;

use crate::counter::Counter;
use crate::gaps::Search;
use crate::head::Head;
use crate::row::StoredRow;
use crate::source::Source;
use crate::store::{Find, Store};
use crate::values::number;
use crate::walk::PAGE_BYTES_MAX;

/// Takes snapshots.
#[derive(Debug)]
pub(crate) struct Snapshots(pub(crate) Arc<Store>);

/// The events up to the last one that was committed when the snapshot was taken. Sequence numbers follow the order of
/// commits, so no later event belongs to them. Nothing is held on the server: events that are removed later are missing
/// from then on.
#[derive(Debug)]
pub(crate) struct View {
    store: Arc<Store>,
    head: Head,
}

impl TakeSnapshot for Snapshots {
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        let head = self.0.head()?;
        Ok(Arc::new(View { store: Arc::clone(&self.0), head }))
    }
}

impl Snapshot for View {
    fn stats(&self) -> Result<Stats, ReadError> {
        let Head { last_seq, events, event_types, erasures, .. } = self.head;
        Ok(Stats {
            events: events.cast_unsigned(),
            bytes: self.store.size()?.unwrap_or(self.head.bytes).cast_unsigned(),
            segments: 0,
            last_seq: last_seq.cast_unsigned(),
            event_types: event_types.cast_unsigned(),
            event_types_max: self.store.types_max as u64,
            erasures: ErasureStats { accepted: erasures.cast_unsigned(), ..ErasureStats::default() },
        })
    }

    fn last_seq(&self) -> u64 {
        self.head.last_seq.cast_unsigned()
    }

    fn erasures(&self) -> u64 {
        self.head.erasures.cast_unsigned()
    }

    fn keeps_events(&self) -> bool {
        false
    }

    fn has_lost_events(&self) -> Result<bool, ReadError> {
        Ok(self.store.head()?.removals != self.head.removals)
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Box::new(Search::new(Arc::clone(&self.store), after, up_to, self.head.removals > 0))
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        let filter = doc! { "id": id, "_id": { "$lte": number(self.last_seq()) } };
        let (found, _) = self.store.find(Find { filter, limit: 1, ..Find::default() }, PAGE_BYTES_MAX)?;
        let Some(document) = found.into_iter().next() else { return Ok(false) };
        sink(StoredRow::of(document)?.event()?);
        Ok(true)
    }

    fn counter(self: Arc<Self>, scan: &Scan, grouping: Grouping) -> Result<Option<Box<dyn EventCounter>>, ReadError> {
        let counter = Counter::new(Arc::clone(&self.store), scan, grouping, self.last_seq())?;
        Ok(counter.map(|counter| Box::new(counter) as Box<dyn EventCounter>))
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Ok(Box::new(Run::<Source>::new(Arc::clone(&self.store), scan, self.last_seq())?))
    }
}
