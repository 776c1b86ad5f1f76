//! A small store, the model of it, and media with its changed bytes.

use std::sync::{Arc, OnceLock};

use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Order, Scan, TypeTest};
use argus_core::repository::{ReadError, Reader, Repository as _, Snapshot};
use argus_core::storage::MemoryStorage;

use super::super::{
    Answer, Model, NOW, Pace, Random, StoredEvent, StoredId, UNCOMPACTED, all_events, collect, generate, get, maintain,
    steady,
};

/// Batches of the store, and the events of each.
const BATCHES: usize = 14;

/// A store in memory, and what it must answer.
pub(super) struct Store {
    /// The store: sealed segments, and some records after them in the log.
    pub(super) medium: MemoryStorage,
    /// Its reader.
    pub(super) reader: Reader,
    /// The reader of a model with the same events and ids.
    pub(super) model: Reader,
    /// All events in order of sequence numbers.
    pub(super) events: Vec<StoredEvent>,
    answers: Vec<Answer>,
}

/// The store that all targets share.
pub(super) fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(Store::new)
}

impl Store {
    fn new() -> Self {
        let mut random = Random::seeded(5);
        let mut engine = open(MemoryStorage::default()).expect("an empty medium can be opened");
        let mut model = Model::new();
        for index in 0..BATCHES {
            let batch = generate::random_batch(&mut random, 4);
            engine.commit(NOW, std::slice::from_ref(&batch)).expect(NEVER_FAILS);
            model.commit(NOW, &[batch]).expect(NEVER_FAILS);
            if index < BATCHES - 3 {
                maintain(&mut engine, steady(NOW)).expect(NEVER_FAILS);
            }
        }
        engine.on_idle().expect(NEVER_FAILS);
        let events = all_events(&engine.snapshot()).expect(NEVER_FAILS);
        for event in &events {
            if let StoredId::Generated(id) = event.id {
                model.take_id(event.seq, id);
            }
        }
        let answers = answers(&engine.snapshot()).into_iter().map(|answer| answer.expect(NEVER_FAILS)).collect();
        let (reader, model) = (engine.reader(), model.reader());
        Self { medium: engine.storage().clone(), reader, model, events, answers }
    }

    /// Opens a medium with changed bytes, and checks each answer: it is right, or an error.
    ///
    /// # Panics
    ///
    /// If an answer is wrong.
    pub(super) fn check_changed(&self, medium: &MemoryStorage) {
        let Ok(engine) = open(medium.clone()) else { return };
        let snapshot = engine.snapshot();
        for (found, expected) in answers(&snapshot).iter().zip(&self.answers) {
            if let Ok(found) = found {
                assert_eq!(found, expected, "a wrong answer");
            }
        }
        for event in self.events.iter().step_by(3) {
            if let Ok(found) = get(snapshot.as_ref(), &event.id.text()) {
                assert_eq!(found.as_ref(), Some(event), "a wrong event of an id");
            }
        }
        let unknown = get(snapshot.as_ref(), "an id that no generator gives");
        assert!(matches!(unknown, Ok(None) | Err(_)), "{unknown:?} of an unknown id");
    }
}

/// Opens a medium with the limits of the store, which do not compact.
pub(super) fn open(medium: MemoryStorage) -> Result<Engine<MemoryStorage>, argus_core::engine::OpenError> {
    Engine::open_with(medium, Seed(7), UNCOMPACTED)
}

/// The answers to queries that use the indexes in different ways.
fn answers(snapshot: &Arc<dyn Snapshot>) -> Vec<Result<Answer, ReadError>> {
    let time = |seconds: i64| Some(Timestamp::from_nanos(NOW.as_nanos() + seconds * 1_000_000_000));
    let queries = [
        Scan::default(),
        Scan { order: Order::Sequence, ..Scan::default() },
        Scan::from(Filter { types: Some([TypeTest::Eq("buy".into())].into()), ..Filter::default() }),
        Scan::from(Filter { types: Some([TypeTest::Prefix("v".into())].into()), ..Filter::default() }),
        Scan {
            order: Order::TimeDescending,
            ..Scan::from(Filter { start: time(1), end: time(9), ..Filter::default() })
        },
    ];
    queries.iter().map(|query| collect(snapshot, query, Pace::UNBROKEN)).collect()
}

/// Bytes with changes that are drawn from an input.
///
/// The input says where and what kind of change; the new bytes come from a generator. So no fuzzer can solve for bytes
/// that satisfy the checksums, which would be a forged store and no damaged one.
pub(super) fn changed(content: &[u8], input: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let mut generator = Random::seeded(
        input.iter().fold(0, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)),
    );
    for change in input.chunks(6) {
        let mut random = Random::bytes(change);
        let kind = random.below(7);
        let from = random.below(1 << 16);
        let from = usize::try_from(from).expect("16 bits") % (content.len() + 1);
        let to = (from + 1 + random.index(100)).min(content.len());
        match kind {
            0 => {
                if let Some(byte) = content.get_mut(from) {
                    *byte ^= 1 << generator.below(8);
                }
            }
            1 => content.iter_mut().take(to).skip(from).for_each(|byte| *byte = byte_of(&mut generator)),
            2 => content.iter_mut().take(to).skip(from).for_each(|byte| *byte = 0),
            3 => content.truncate(from),
            4 => drop(content.drain(from..to)),
            5 => {
                let copy: Vec<u8> = content.drain(from..to).collect();
                let at = generator.index(content.len() + 1);
                content.splice(at..at, copy);
            }
            _ => {
                let more: Vec<u8> = (from..to).map(|_| byte_of(&mut generator)).collect();
                content.extend(more);
            }
        }
    }
    content
}

fn byte_of(random: &mut Random<'_>) -> u8 {
    u8::try_from(random.below(256)).expect("below 256")
}

const NEVER_FAILS: &str = "a store in memory never fails";
