//! Which event types the repository holds, and how many more it takes.

use alloc::boxed::Box;

use crate::segment::{Rows, Sealed, TypeName, TypeNames};

/// The event types of all parts of a repository, each once.
///
/// A type is here for as long as any part, fresh or sealed, has an event of it. The names are what memory has to be
/// bounded for: they are callers' text. Everything else that lies in memory for a type, in each segment that has it, is
/// of a fixed size.
#[derive(Debug, Default)]
pub(super) struct TypeRegistry {
    names: TypeNames,
    most: usize,
}

impl TypeRegistry {
    /// No types yet, and at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { names: TypeNames::default(), most }
    }

    /// How many different types there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many more there may be.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.names.len())
    }

    /// Whether any event has this type.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    /// The name that all who have the type share.
    pub(super) fn intern(&mut self, name: &[u8]) -> TypeName {
        self.names.intern(name)
    }

    /// Counts the types of fresh rows in; the names are to be given to [`release`](Self::release) when the rows go.
    pub(super) fn hold_rows(&mut self, rows: &Rows) -> Box<[TypeName]> {
        let names: Box<[TypeName]> =
            (0..rows.type_count()).map(|code| self.names.intern(rows.type_name(code))).collect();
        names.iter().for_each(TypeName::hold);
        names
    }

    /// Counts the types of a sealed segment in, whose names were given by [`intern`](Self::intern).
    pub(super) fn hold_sealed(&self, sealed: &Sealed) {
        names(sealed).for_each(TypeName::hold);
    }

    /// Takes back what [`hold_rows`](Self::hold_rows) has counted. Types that no part has any more are forgotten.
    pub(super) fn release(&mut self, names: &[TypeName]) {
        names.iter().for_each(|name| self.release_one(name));
    }

    /// Takes back what [`hold_sealed`](Self::hold_sealed) has counted. Types that no part has any more are forgotten.
    pub(super) fn release_sealed(&mut self, sealed: &Sealed) {
        names(sealed).for_each(|name| self.release_one(name));
    }

    fn release_one(&mut self, name: &TypeName) {
        if name.release() {
            self.names.remove(name);
        }
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
    use core::time::Duration;

    use crate::batch::{BatchBuilder, NewEvent};
    use crate::checksum::Crc32c;
    use crate::clock::Moment;
    use crate::engine::manifest::is_segment_name;
    use crate::engine::{Chore, ChoreStep, Engine, Seed, Tuning};
    use crate::event::{EventType, Payload, Timestamp};
    use crate::repository::{CommitError, Repository as _};
    use crate::storage::{MemoryStorage, Storage as _};

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

    /// Stores events of these types; gives how many were taken.
    fn commit(engine: &mut Engine<MemoryStorage>, types: &[&str]) -> Result<u32, CommitError> {
        let mut builder = BatchBuilder::new();
        for event_type in types {
            let event_type = EventType::parse(event_type).unwrap();
            let payload = Payload::parse("{}").unwrap();
            builder.push(NewEvent { event_type, timestamp: NOW, payload, id: None }).unwrap();
        }
        Ok(engine.commit(NOW, &[builder.finish()])?[0].stored)
    }

    /// Takes the next chore, and does it.
    fn chore(engine: &mut Engine<MemoryStorage>) -> Option<Chore> {
        let mut chore = engine.chore(Moment { wall: NOW, uptime: Duration::ZERO })?;
        while chore.step(100) == ChoreStep::Pending {}
        Some(chore)
    }

    fn keep_house(engine: &mut Engine<MemoryStorage>) -> Result<(), CommitError> {
        while let Some(chore) = chore(engine) {
            engine.settle(chore)?;
        }
        Ok(())
    }

    fn counted(engine: &Engine<MemoryStorage>) -> (u64, u64) {
        let stats = engine.snapshot().stats();
        (stats.event_types, stats.events)
    }

    /// A medium with one segment, of a type "a" and a type "b", whose index was changed: what is changed are the bytes from the number of types
    /// up to the end of the types.
    fn medium_with(change: impl FnOnce(&mut Vec<u8>)) -> MemoryStorage {
        let mut engine = open(MemoryStorage::default(), 10);
        commit(&mut engine, &["a", "a", "b", "b"]).unwrap();
        keep_house(&mut engine).unwrap();
        let mut medium = engine.storage().clone();
        let names: Vec<String> = medium.list().unwrap().into_iter().filter(|name| is_segment_name(name)).collect();
        assert_eq!(names.len(), 1);
        let blob = medium.open(&names[0]).unwrap().unwrap();
        let bytes = blob.read(0..blob.len()).unwrap();
        let tail_at = bytes.len() - 16;
        let index_at = u64::from_le_bytes(bytes[tail_at..tail_at + 8].try_into().unwrap()) as usize;
        // Each type has the length of its name, the name, 2 events and 4 bytes of payloads.
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
        // There is room for one more, which may be the one that was left out, and it goes on through compaction.
        for (event_type, taken) in [("c", 1), ("d", 0), ("c", 1), ("c", 1), ("c", 1)] {
            assert_eq!(commit(&mut engine, &[event_type]).unwrap(), taken, "{event_type}");
        }
        keep_house(&mut engine).unwrap();
        assert_eq!((counted(&engine), engine.snapshot().stats().segments), ((3, 8), 1));
        assert_eq!(counted(&open(engine.storage().clone(), 3)), (3, 8));
    }
}
