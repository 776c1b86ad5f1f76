//! Counts the event types of a repository and enforces their limit.

use alloc::boxed::Box;

use thiserror::Error;

use crate::proposal::KnownTypes;
use crate::segment::{Rows, Sealed, TypeName, TypeNames};

/// The event types of all segments, each once.
///
/// A type is listed while any fresh or sealed segment has an event of it. The number of types is limited, because
/// callers choose them and their names are kept in memory.
#[derive(Debug, Default)]
pub(super) struct TypeRegistry {
    names: TypeNames,
    max: usize,
}

/// A reference count does not match the segments. The registry is useless from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the event types are miscounted, which is a bug in Argus; a restart counts them anew")]
pub(super) struct Miscount;

impl KnownTypes for TypeRegistry {
    fn contains(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    fn remaining(&self) -> usize {
        self.max.saturating_sub(self.names.len())
    }

    fn limit(&self) -> usize {
        self.max
    }
}

impl TypeRegistry {
    /// An empty registry of at most `max` types.
    pub(super) fn new(max: usize) -> Self {
        Self { names: TypeNames::default(), max }
    }

    /// Number of types.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The limit on the number of types.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    /// The shared name of a type.
    pub(super) fn intern(&mut self, name: &[u8]) -> TypeName {
        self.names.intern(name)
    }

    /// Adds one to the count of each type of fresh rows. Pass the names to [`release`](Self::release) when the rows are
    /// removed.
    pub(super) fn hold_rows(&mut self, rows: &Rows) -> Box<[TypeName]> {
        let hold = |code| {
            let name = self.names.intern(rows.type_name(code));
            name.hold();
            name
        };
        (0..rows.type_count()).map(hold).collect()
    }

    /// Adds one to the count of each type of a sealed segment.
    ///
    /// # Errors
    ///
    /// [`Miscount`] if a name does not come from [`intern`](Self::intern), or was removed since.
    pub(super) fn hold_sealed(&self, sealed: &Sealed) -> Result<(), Miscount> {
        names(sealed).try_for_each(|name| self.hold_one(name))
    }

    /// Undoes [`hold_rows`](Self::hold_rows). A type without segments is removed.
    ///
    /// # Errors
    ///
    /// [`Miscount`] if a type is not counted.
    pub(super) fn release(&mut self, names: &[TypeName]) -> Result<(), Miscount> {
        names.iter().try_for_each(|name| self.release_one(name))
    }

    /// Undoes [`hold_sealed`](Self::hold_sealed). A type without segments is removed.
    ///
    /// # Errors
    ///
    /// As for [`release`](Self::release).
    pub(super) fn release_sealed(&mut self, sealed: &Sealed) -> Result<(), Miscount> {
        names(sealed).try_for_each(|name| self.release_one(name))
    }

    fn hold_one(&self, name: &TypeName) -> Result<(), Miscount> {
        // If another segment holds the name, it is listed. Only the first holder needs a look-up.
        let is_known = name.hold() > 0 || self.names.shares(name);
        if is_known { Ok(()) } else { Err(Miscount) }
    }

    fn release_one(&mut self, name: &TypeName) -> Result<(), Miscount> {
        let left = name.release().ok_or(Miscount)?;
        if left > 0 {
            return Ok(());
        }
        if !self.names.shares(name) {
            return Err(Miscount);
        }
        self.names.remove(name);
        Ok(())
    }
}

fn names(sealed: &Sealed) -> impl Iterator<Item = &TypeName> {
    sealed.index().types().iter().map(|summary| &summary.name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::string::String;
    use alloc::vec::Vec;
    use core::task::Poll;
    use core::time::Duration;

    use super::*;
    use crate::batch::{BatchBuilder, NewEvent};
    use crate::checksum::Crc32c;
    use crate::clock::Moment;
    use crate::engine::manifest::is_segment_name;
    use crate::engine::{Engine, Seed, Tuning};
    use crate::event::{Event, EventType, Payload, Timestamp};
    use crate::query::{Filter, Scan, TypeTest};
    use crate::repository::{CommitError, Flow, Maintenance as _, MaintenanceTask, Repository as _};
    use crate::storage::{MemoryStorage, StorageReader as _};

    const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

    const SMALL: Tuning = Tuning {
        seal_events: 4,
        seal_bytes: 1 << 20,
        fresh_segments_max: 1024,
        fan_in: 2,
        block_bytes: 1024,
        segment_events_max: 100,
        filter_bytes_max: 0,
        types_max: 3,
    };

    fn open(medium: MemoryStorage, types_max: usize) -> Engine<MemoryStorage> {
        Engine::open_with(medium, Seed(1), Tuning { types_max, ..SMALL }).unwrap()
    }

    /// Stores events of these types. Returns how many were stored.
    fn commit(engine: &mut Engine<MemoryStorage>, types: &[&str]) -> Result<u32, CommitError> {
        let mut builder = BatchBuilder::new();
        for event_type in types {
            let event_type = EventType::parse(event_type).unwrap();
            let payload = Payload::parse("{}").unwrap();
            builder.push(NewEvent { event_type, timestamp: NOW, payload, id: None }).unwrap();
        }
        Ok(engine.commit(NOW, &[builder.finish()])?[0].stored)
    }

    /// Takes the next task and completes it.
    fn task(engine: &mut Engine<MemoryStorage>) -> Option<Box<dyn MaintenanceTask>> {
        let mut task = engine.next_task(Moment { wall: NOW, uptime: Duration::ZERO })?;
        while task.step(100) == Poll::Pending {}
        Some(task)
    }

    fn maintain(engine: &mut Engine<MemoryStorage>) -> Result<(), CommitError> {
        while let Some(task) = task(engine) {
            engine.install(task)?;
        }
        Ok(())
    }

    /// The number of event types, and of events.
    fn counted(engine: &Engine<MemoryStorage>) -> (u64, u64) {
        let stats = engine.snapshot().stats().unwrap();
        (stats.event_types, stats.events)
    }

    /// A medium with one segment that has types "a" and "b", whose index was changed: `change` gets the bytes from the
    /// number of types to the end of the types.
    fn medium_with(change: impl FnOnce(&mut Vec<u8>)) -> MemoryStorage {
        let mut engine = open(MemoryStorage::default(), 10);
        commit(&mut engine, &["a", "a", "b", "b"]).unwrap();
        maintain(&mut engine).unwrap();
        let mut medium = engine.storage().clone();
        let names: Vec<String> = medium.list().unwrap().into_iter().filter(|name| is_segment_name(name)).collect();
        assert_eq!(names.len(), 1);
        let blob = medium.open(&names[0]).unwrap().unwrap();
        let bytes = blob.read(0..blob.len()).unwrap();
        let tail_at = bytes.len() - 16;
        let index_at = u64::from_le_bytes(bytes[tail_at..tail_at + 8].try_into().unwrap()) as usize;
        // A type is: length of the name, name, 2 events, 4 bytes of payloads.
        let mut types = bytes[index_at..index_at + 9].to_vec();
        assert_eq!(types, b"\x02\x01a\x02\x04\x01b\x02\x04");
        change(&mut types);
        let index = [&types, &bytes[index_at + 9..tail_at]].concat();
        let mut changed = [&bytes[..index_at], &index, &bytes[tail_at..tail_at + 8]].concat();
        changed.extend(Crc32c::of(&index).to_le_bytes());
        let tail_at = changed.len() - 12;
        changed.extend(Crc32c::of(&changed[tail_at..]).to_le_bytes());
        medium.insert(&names[0], changed.into());
        medium
    }

    #[test]
    fn types_without_events_in_segments_of_earlier_versions_do_not_count() {
        let medium = medium_with(|types| {
            types[0] = 3;
            types.extend(b"\x01c\x00\x00");
        });
        assert_eq!(counted(&open(medium.clone(), 2)), (2, 4));
        let mut engine = open(medium, 3);
        assert_eq!(counted(&engine), (2, 4));
        // There is room for one more type, which may be the one without events, and it survives compaction.
        for (event_type, stored) in [("c", 1), ("d", 0), ("c", 1), ("c", 1), ("c", 1)] {
            assert_eq!(commit(&mut engine, &[event_type]).unwrap(), stored, "{event_type}");
        }
        maintain(&mut engine).unwrap();
        assert_eq!((counted(&engine), engine.snapshot().stats().unwrap().segments), ((3, 8), 1));
        assert_eq!(counted(&open(engine.storage().clone(), 3)), (3, 8));
    }

    /// Earlier versions accepted more types and payloads.
    #[test]
    fn events_that_would_be_refused_today_are_read() {
        let event_type = EventType::from_validated("a\u{202e}\u{2028}\u{feff}");
        let deep = "[".repeat(1001) + &"]".repeat(1001);
        let payloads = ["7".repeat(5000), deep, "8".repeat(5000), "null".into()];
        let mut builder = BatchBuilder::new();
        for payload in &payloads {
            let payload = Payload::parse(payload).unwrap();
            builder.push(NewEvent { event_type, timestamp: NOW, payload, id: None }).unwrap();
        }
        let mut engine = open(MemoryStorage::default(), 3);
        engine.commit(NOW, &[builder.finish()]).unwrap();
        let scan =
            Scan::from(Filter { types: Some([TypeTest::Eq(event_type.as_str().into())].into()), ..Filter::default() });
        for expect_sealed in [false, true] {
            engine = open(engine.storage().clone(), 3);
            assert_eq!(!engine.sealed.is_empty(), expect_sealed);
            let mut found = Vec::new();
            let mut run = engine.snapshot().scan(&scan).unwrap();
            let mut read = |event: Event<'_>| {
                assert_eq!(event.event_type, event_type);
                found.push(String::from(event.payload.as_str()));
                Flow::More
            };
            while run.poll_events(100, &mut read).unwrap() == Poll::Pending {}
            assert_eq!(found, payloads);
            maintain(&mut engine).unwrap();
        }
    }

    #[test]
    fn an_event_whose_type_is_not_listed_fails_the_compaction() {
        let medium = medium_with(|types| types[6] = b'c');
        let mut engine = open(medium.clone(), 3);
        commit(&mut engine, &["a", "a", "c", "c"]).unwrap();
        let Err(CommitError::Failed { cause: reason, .. }) = maintain(&mut engine) else {
            panic!("an unlisted type was accepted")
        };
        assert!(alloc::format!("{reason}").contains("a type that its segment does not list"), "{reason}");
        assert!(commit(&mut engine, &["a"]).is_err());
    }

    #[test]
    fn an_extra_release_and_an_unlisted_name_are_miscounts() {
        let mut types = TypeRegistry::new(3);
        let name = types.intern(b"a");
        types.hold_one(&name).unwrap();
        types.hold_one(&name).unwrap();
        assert_eq!(types.release(&[name.clone(), name.clone()]), Ok(()));
        assert_eq!(types.len(), 0);
        assert_eq!(types.release(core::slice::from_ref(&name)), Err(Miscount));
        // The name was removed, and a new one took its place.
        let other = types.intern(b"a");
        assert_eq!(types.hold_one(&name), Err(Miscount));
        types.hold_one(&other).unwrap();
        assert_eq!(types.release(&[name]), Err(Miscount));
        assert!(types.contains(b"a"));
    }

    #[test]
    fn a_miscount_fails_the_store() {
        let fails = |engine: &mut Engine<MemoryStorage>, task| {
            let events = engine.snapshot().stats().unwrap().events;
            let Err(CommitError::Failed { cause: reason, .. }) = engine.install(task) else {
                panic!("the miscount was not noticed")
            };
            assert!(alloc::format!("{reason}").contains("miscounted"), "{reason}");
            assert!(matches!(commit(engine, &["a"]), Err(CommitError::Failed { .. })));
            let stats = engine.snapshot().stats().unwrap();
            assert_eq!((stats.events, stats.segments), (events, 1), "readers still see all events");
            assert_eq!(counted(&open(engine.storage().clone(), 3)), (1, events), "a restart counts anew");
        };

        // Two small segments are merged.
        let mut engine = open(MemoryStorage::default(), 3);
        commit(&mut engine, &["a"]).unwrap();
        commit(&mut engine, &["a"]).unwrap();
        let merged = task(&mut engine).unwrap();
        let name = engine.fresh[0].types[0].clone();
        assert_eq!((name.release(), name.release()), (Some(1), Some(0)));
        fails(&mut engine, merged);

        // A large one is sealed.
        let mut engine = open(MemoryStorage::default(), 3);
        commit(&mut engine, &["a"; 4]).unwrap();
        let sealed = task(&mut engine).unwrap();
        engine.install(sealed).unwrap();
        let published = task(&mut engine).unwrap();
        let name = engine.fresh[0].types[0].clone();
        engine.types.release(&[name]).unwrap();
        fails(&mut engine, published);
    }
}
