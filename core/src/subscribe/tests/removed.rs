//! Events that are removed while they are read, from a repository whose snapshots do not keep them.

use alloc::boxed::Box;
use std::sync::Mutex;

use super::*;
use crate::event::Event;
use crate::query::Scan;
use crate::repository::{GapRun, ReadError, Reader, ScanRun, Snapshot, Stats, TakeSnapshot};

/// A snapshot from before an erasure, of which only the search for gaps is early enough.
struct Outdated {
    before: Arc<dyn Snapshot>,
    after: Arc<dyn Snapshot>,
}

impl Snapshot for Outdated {
    fn stats(&self) -> Result<Stats, ReadError> {
        self.before.stats()
    }

    fn last_seq(&self) -> u64 {
        self.before.last_seq()
    }

    fn keeps_events(&self) -> bool {
        false
    }

    fn has_lost_events(&self) -> Result<bool, ReadError> {
        Ok(true)
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Arc::clone(&self.before).gaps(after, up_to)
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        self.after.get(id, sink)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Arc::clone(&self.after).scan(scan)
    }
}

/// Gives these snapshots, the last one first.
struct Snapshots(Mutex<Vec<Arc<dyn Snapshot>>>);

impl TakeSnapshot for Snapshots {
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        Ok(self.0.lock().unwrap().pop().unwrap())
    }
}

/// Three events, of which the second is erased after a snapshot was taken; and the snapshot of then.
fn erased_meanwhile(world: &mut World) -> Arc<dyn Snapshot> {
    world.commit(&["a", "b", "a"]);
    let before = world.engine.reader().take().unwrap();
    world.engine.erase(Timestamp::from_nanos(1), &of_type("b")).unwrap();
    Arc::new(Outdated { before, after: world.engine.reader().take().unwrap() })
}

#[test]
fn the_feed_passes_over_no_event_that_was_removed_meanwhile() {
    let mut world = World::new(LIMITS);
    world.live(Filter::default());
    let snapshot = erased_meanwhile(&mut world);
    let assignment = world.hub.begin(&*snapshot).unwrap();
    assert_eq!(world.feed.begin(assignment, &snapshot).unwrap(), Begun::Pass);
    assert!(matches!(world.feed.poll(100).unwrap(), Polled::Gap));
    assert!(matches!(world.feed.poll(100).unwrap(), Polled::End), "the pass is over");
}

#[test]
fn history_begins_again_where_events_were_removed_meanwhile() {
    let mut world = World::new(LIMITS);
    let outdated = erased_meanwhile(&mut world);
    let mut reader = world.open(after(0));
    let newest = world.engine.reader().take().unwrap();
    let snapshots = Reader::Shared(Arc::new(Snapshots(Mutex::new(vec![newest, outdated]))));
    let mut batch = Vec::new();
    let mut poll = |batch: &mut Vec<Message>| reader.poll_history(&snapshots, 100, 10_000, batch).unwrap();
    assert_eq!(poll(&mut batch), Poll::Pending);
    assert_eq!(seqs(&batch), NONE, "the snapshot was outdated");
    let mut found = Vec::new();
    while seqs(&batch).last() != Some(&3) {
        found.push(poll(&mut batch));
        assert!(found.len() < 10, "{found:?}");
    }
    assert!(found.contains(&Poll::Ready(Found::Gap { first_seq: 3 })), "{found:?}");
    assert_eq!(seqs(&batch), [1, 3]);
}
