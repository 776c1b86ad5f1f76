//! Sequences of calls to live streams, beside commits, maintenance and cuts, against the naive model.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use argus_core::engine::{Engine, Seed};
use argus_core::query::{Filter, Order, Scan};
use argus_core::repository::{MaintenanceQueue, Repository as _, Snapshot};
use argus_core::storage::MemoryStorage;
use argus_core::subscribe::{Begun, Feed, Found, Hub, Live, Message, Polled, ReaderId, StreamLimits, Subscription};

use super::super::super::{Model, NOW, Pace, Random, SMALL, StoredId, all_events, collect, generate, steady};
use super::super::Target;

pub(super) const TARGET: Target = Target {
    name: "streams",
    about: "whatever commits, cuts and slow readers come between, each reader gets exactly its events, in order",
    run: streams,
    seeds,
    words: &["\0\u{3}", "\u{4}", "\u{6}", "\u{7}", "\u{d}"],
    smoke_runs: 150,
};

/// A step is drawn from this many bytes, so that a change to one leaves the others alone.
const STEP_BYTES: usize = 64;

/// The most steps of one input.
const STEPS_MAX: usize = 60;

/// Limits that a few events exceed.
const LIMITS: StreamLimits = StreamLimits { queue_events: 8, queue_bytes: 2_000, buffer_bytes: 3_000 };

/// # Panics
///
/// If a reader misses an event, gets one twice or out of order, or is not woken.
fn streams(data: &[u8]) {
    let mut world = World::new();
    for bytes in data.chunks(STEP_BYTES).take(STEPS_MAX) {
        world.step(&mut Random::bytes(bytes));
    }
    world.finish();
}

struct World {
    engine: Engine<MemoryStorage>,
    maintenance: MaintenanceQueue,
    model: Model,
    hub: Hub,
    feed: Feed,
    /// Whether the feed is in the middle of a pass.
    in_pass: bool,
    now: Duration,
    readers: Vec<Reader>,
}

/// A client, and the reader that serves it.
struct Reader {
    subscription: Subscription,
    /// What it asked for, with the number after which its stream begins.
    filter: Filter,
    got: Vec<Message>,
    /// Whether it waits to be woken.
    waits: bool,
}

impl World {
    fn new() -> Self {
        let engine =
            Engine::open_with(MemoryStorage::default(), Seed(1), SMALL).expect("an empty medium can be opened");
        Self {
            engine,
            maintenance: MaintenanceQueue::default(),
            model: Model::new(),
            hub: Hub::new(LIMITS),
            feed: Feed::default(),
            in_pass: false,
            now: Duration::ZERO,
            readers: Vec::new(),
        }
    }

    fn step(&mut self, random: &mut Random<'_>) {
        match random.below(16) {
            0..=2 => self.commit(random),
            3 => self.open(random),
            4 | 5 => self.poll(random),
            6 => self.begin_pass(),
            7 | 8 => self.feed(random.pick(&[1_000, 1, 2, 5])),
            9 => self.now += Duration::from_millis(random.pick(&[1, 0, 500, 2_000])),
            10 => self.cut(random),
            11 => {
                if let Some(reader) = self.pick(random).filter(|reader| !reader.subscription.is_starting()) {
                    drop(reader.subscription.suspend());
                }
            }
            12 => self.reset(),
            13 => {
                let budget = random.pick(&[1, 3, 100, 1_000]);
                let step = self.maintenance.step(&mut self.engine, steady(NOW), budget);
                assert!(step.is_ok(), "{step:?}");
            }
            _ => {
                // As a healthy server does: everything as soon as it is possible.
                let _passed = self.pass();
                for index in 0..self.readers.len() {
                    self.drain(index);
                }
            }
        }
    }

    fn last_seq(&self) -> u64 {
        self.model.last_seq()
    }

    fn commit(&mut self, random: &mut Random<'_>) {
        let count = random.index(12);
        let batch = generate::random_batch(random, count);
        let before = self.last_seq();
        self.engine.commit(NOW, std::slice::from_ref(&batch)).expect(NEVER_FAILS);
        self.model.commit(NOW, &[batch]).expect(NEVER_FAILS);
        for event in all_events(&self.engine.snapshot()).expect(NEVER_FAILS) {
            if let (true, StoredId::Generated(id)) = (event.seq > before, event.id) {
                self.model.take_id(event.seq, id);
            }
        }
    }

    fn open(&mut self, random: &mut Random<'_>) {
        let last_seq = self.last_seq();
        let after = random.one_in(2).then(|| random.below(last_seq + 1));
        // Few filters, so that readers share them.
        let filter = if random.one_in(2) { generate::filter(random) } else { Filter::default() };
        let asked = Filter { after_seq: after, ..filter };
        let subscription = Subscription::new(self.hub.open(), asked.clone(), last_seq);
        let filter = Filter { after_seq: Some(after.unwrap_or(last_seq)), ..asked };
        self.readers.push(Reader { subscription, filter, got: Vec::new(), waits: false });
    }

    fn pick(&mut self, random: &mut Random<'_>) -> Option<&mut Reader> {
        let index = random.index(self.readers.len());
        self.readers.get_mut(index)
    }

    fn poll(&mut self, random: &mut Random<'_>) {
        let index = random.index(self.readers.len());
        let (budget, bytes_max) = (random.pick(&[1, 3, 100]), random.pick(&[1, 300, 100_000]));
        if !self.readers.is_empty() {
            self.poll_once(index, budget, bytes_max);
        }
    }

    /// Polls a reader once; returns whether there may be more. One that is too slow is removed.
    fn poll_once(&mut self, index: usize, budget: u32, bytes_max: usize) -> bool {
        let reader = self.readers.get_mut(index).expect("the caller names a reader");
        let before = reader.subscription.position();
        if reader.subscription.is_in_history() {
            let poll = reader.subscription.poll_history(&self.engine.reader(), budget, bytes_max, &mut reader.got);
            match poll.expect(NEVER_FAILS) {
                Poll::Ready(Found::Gap { first_seq }) => panic!("a gap before {first_seq}, but nothing was removed"),
                Poll::Ready(Found::Messages | Found::End) | Poll::Pending => {}
            }
            assert!(reader.subscription.position() >= before, "a reader goes back");
            return true;
        }
        let live = reader.subscription.poll_live(&mut self.hub, self.now, bytes_max, &mut reader.got);
        assert!(reader.subscription.position() >= before, "a reader goes back");
        reader.waits = live == Live::Wait;
        match live {
            Live::Messages | Live::History => true,
            Live::Wait => false,
            Live::Slow => {
                let reader = self.readers.remove(index);
                self.hub.close(reader.subscription.reader());
                self.check(&reader, reader.subscription.position());
                false
            }
        }
    }

    /// Polls a reader until it waits.
    fn drain(&mut self, index: usize) {
        let left = self.readers.len();
        for _ in 0..10_000 {
            if self.readers.len() < left || index >= left || !self.poll_once(index, 1_000, 100_000) {
                return;
            }
        }
        panic!("a reader finds no end");
    }

    /// Completes the pass under way, or a new one; returns whether there was one.
    fn pass(&mut self) -> bool {
        self.begin_pass();
        let was_in_pass = self.in_pass;
        while self.in_pass {
            self.feed(1_000);
        }
        was_in_pass
    }

    fn begin_pass(&mut self) {
        if self.in_pass {
            return;
        }
        let snapshot: Arc<dyn Snapshot> = self.engine.snapshot();
        let Some(assignment) = self.hub.begin(&*snapshot) else { return };
        let begun = self.feed.begin(assignment, &snapshot).expect(NEVER_FAILS);
        assert_eq!(begun, Begun::Pass, "nothing was removed");
        self.in_pass = true;
    }

    fn feed(&mut self, budget: u32) {
        if !self.in_pass {
            return;
        }
        let mut woken = Vec::new();
        match self.feed.poll(budget).expect(NEVER_FAILS) {
            Polled::Piece(piece) => self.hub.apply(piece, self.now, &mut woken),
            Polled::Gap => panic!("a snapshot of the engine keeps its events"),
            Polled::End => self.in_pass = false,
        }
        self.wake(&woken);
    }

    fn reset(&mut self) {
        let mut woken = Vec::new();
        self.hub.reset(self.last_seq(), &mut woken);
        self.in_pass = false;
        self.wake(&woken);
    }

    fn wake(&mut self, woken: &[ReaderId]) {
        for reader in self.readers.iter_mut().filter(|reader| woken.contains(&reader.subscription.reader())) {
            reader.waits = false;
        }
    }

    /// The connection of a client breaks, and it comes back.
    fn cut(&mut self, random: &mut Random<'_>) {
        let last_seq = self.last_seq();
        let next = self.hub.open();
        let Some(reader) = self.pick(random) else { return };
        let ended = reader.subscription.reader();
        // It knows the last event that it got, or, if it is lucky, how far the server has looked.
        let after = match reader.got.last() {
            Some(last) => Some(last.seq),
            None => reader.filter.after_seq,
        };
        reader.subscription = Subscription::new(next, Filter { after_seq: after, ..reader.filter.clone() }, last_seq);
        reader.waits = false;
        self.hub.close(ended);
    }

    /// Checks what a reader has got: all of its events up to this number, and no other.
    fn check(&self, reader: &Reader, up_to: u64) {
        let scan = Scan { order: Order::Sequence, ..Scan::from(reader.filter.clone()) };
        let scan = Scan { up_to_seq: Some(up_to), ..scan };
        let expected = collect(&self.model.snapshot(), &scan, Pace::UNBROKEN).expect(NEVER_FAILS).events;
        let expected: Vec<(u64, Vec<u8>)> = expected
            .iter()
            .map(|event| {
                let mut json = Vec::new();
                event.as_event().write_json(&mut json);
                (event.seq, json)
            })
            .collect();
        let got: Vec<(u64, Vec<u8>)> = reader.got.iter().map(|message| (message.seq, message.json.to_vec())).collect();
        let numbers = |list: &[(u64, Vec<u8>)]| list.iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
        assert_eq!(numbers(&got), numbers(&expected), "the events up to {up_to} of {:?}", reader.filter);
        assert_eq!(got, expected);
    }

    fn finish(mut self) {
        while self.pass() {}
        let last_seq = self.last_seq();
        for reader in self.readers.iter().filter(|reader| reader.waits) {
            // Nobody has woken it, so nothing has come for it.
            self.check(reader, last_seq);
        }
        // A reader that joins when there is no other starts the feed, which has not looked until then.
        loop {
            for index in (0..self.readers.len()).rev() {
                self.drain(index);
            }
            if !self.pass() {
                break;
            }
        }
        for reader in &self.readers {
            self.check(reader, last_seq);
        }
        let readers: Vec<ReaderId> = self.readers.iter().map(|reader| reader.subscription.reader()).collect();
        readers.into_iter().for_each(|reader| self.hub.close(reader));
        assert_eq!((self.hub.live_readers(), self.hub.filters(), self.hub.buffer_bytes()), (0, 0, 0));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |seed: u64| -> Vec<u8> {
        let mut random = Random::seeded(seed);
        (0..STEP_BYTES * 30).map(|_| u8::try_from(random.below(256)).expect("below 256")).collect()
    };
    (0..8).map(seed).collect()
}

const NEVER_FAILS: &str = "a store in memory never fails";
