//! Live streams against a naive model: commits, readers that are slow, cut and resumed, a buffer that is too small,
//! retention, and power failures, all drawn from one seed. Each reader sees every event that its filter selects, once
//! and in order, or is told which are gone; and never an event that is not durable.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::task::Poll;
use std::time::Duration;

use argus_core::engine::{Engine, Retention, Seed};
use argus_core::event::EventId;
use argus_core::query::{Filter, Order, Scan};
use argus_core::repository::{MaintenanceQueue, Repository as _};
use argus_core::subscribe::{Begun, Feed, Found, Hub, Live, Message, Polled, ReaderId, StreamLimits, Subscription};
use argus_testing::{
    Draft, Ending, FaultClass, Faults, InjectedFault, Model, NOW, Pace, Phase, Random, SMALL, SimStorage, all_events,
    collect, generate, steady,
};

const DAY_NANOS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// A reader, as its client knows it.
struct Reader {
    subscription: Subscription,
    filter: Filter,
    /// Where the stream began.
    start: u64,
    /// Everything received.
    seen: Vec<Message>,
    /// The ranges of sequence numbers that the client was told are gone: after the first, before the second.
    gaps: Vec<(u64, u64)>,
    /// Numbers of events that were gone before the reader got there, or began again there. It must be told of all.
    missing: BTreeSet<u64>,
    /// Where the client would resume.
    resume: u64,
    /// It has to be woken.
    waits: bool,
}

struct World {
    random: Random<'static>,
    medium: SimStorage,
    engine: Engine<SimStorage>,
    maintenance: MaintenanceQueue,
    retention: Retention,
    limits: StreamLimits,
    /// Every event ever acknowledged, and those that were found after a crash.
    model: Model,
    hub: Hub,
    feed: Feed,
    in_pass: bool,
    readers: Vec<Reader>,
    now: Duration,
    drafted: u64,
    summary: Summary,
}

/// What has happened. A run in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    seen: usize,
    gaps: usize,
    /// Gaps between stored events.
    holes: usize,
    slow: usize,
    cuts: usize,
    crashes: usize,
    read_errors: usize,
    drains: usize,
    lost: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let faults = [FaultClass::Crash, FaultClass::ReadError, FaultClass::Kill, FaultClass::Torn, FaultClass::Subset];
        let faults = faults.into_iter().filter(|_| !random.one_in(3)).fold(Faults::NONE, Faults::with);
        let medium = SimStorage::new(random.number(), faults);
        let retention = Retention {
            age: random.pick(&[None, Some(DAY_NANOS)]),
            bytes: random.pick(&[None, None, Some(1_500), Some(4_000)]),
        };
        let limits = StreamLimits {
            queue_events: random.pick(&[1_000, 20, 3]),
            queue_bytes: random.pick(&[1 << 20, 2_000, 300]),
            buffer_bytes: random.pick(&[1 << 20, 20_000, 2_000, 0]),
        };
        let engine = open(&medium, retention);
        Self {
            random,
            medium,
            engine,
            maintenance: MaintenanceQueue::default(),
            retention,
            limits,
            model: Model::new(),
            hub: Hub::new(limits),
            feed: Feed::default(),
            in_pass: false,
            readers: Vec::new(),
            now: Duration::ZERO,
            drafted: 0,
            summary: Summary::default(),
        }
    }

    fn run(mut self) -> Summary {
        for _ in 0..30 + self.random.below(120) {
            self.step();
            if self.medium.is_off() || self.engine.failure().is_some() {
                self.crash();
            }
        }
        self.finish()
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=4 => self.commit(),
            5 | 6 => drop(self.maintenance.step(&mut self.engine, steady(NOW), 50)),
            7 | 8 if self.readers.len() < 6 => self.open_reader(),
            9..=12 => (0..1 + self.random.below(8)).for_each(|_| self.feed()),
            13 => self.cut(),
            14 if self.random.one_in(5) => self.drain(),
            15 if self.random.one_in(8) => self.crash(),
            16 if self.random.one_in(8) => {
                let fault = InjectedFault::Crash(self.random.pick(&Phase::ALL));
                self.medium.inject(fault, 2);
            }
            17 if self.random.one_in(2) => self.medium.inject(InjectedFault::ReadError, 3),
            _ => (0..1 + self.random.below(8)).for_each(|_| self.poll()),
        }
        self.now += Duration::from_millis(self.random.pick(&[0, 1, 50, 600]));
    }

    /// Commits a batch. If the power fails meanwhile, the batch is stored or not, which only the next process knows.
    fn commit(&mut self) {
        let count = 1 + self.random.index(8);
        let drafts: Vec<Draft> = (0..count)
            .map(|_| {
                let mut draft = generate::draft(&mut self.random);
                self.drafted += 1;
                // Unique: whether an id is new depends on what has expired.
                draft.id = draft.id.map(|_| format!("id-{}", self.drafted));
                draft
            })
            .collect();
        let batch = generate::batch(&drafts);
        let committed = self.engine.commit(NOW, std::slice::from_ref(&batch));
        if committed.is_err() && !self.medium.is_off() && self.engine.failure().is_none() {
            return;
        }
        if committed.is_err() {
            self.crash();
            if self.engine.snapshot().last_seq() == self.model.last_seq() {
                return;
            }
        }
        self.model.commit(NOW, &[batch]).unwrap();
        assert_eq!(self.engine.snapshot().last_seq(), self.model.last_seq());
        self.medium.pause_faults(true);
        let first = self.model.last_seq() + 1 - count as u64;
        let news = Filter { after_seq: Some(first - 1), ..Filter::default() };
        let news = Scan { order: Order::Sequence, ..Scan::from(news) };
        for event in collect(&self.engine.snapshot(), &news, Pace::UNBROKEN).unwrap().events {
            if let EventId::Generated(id) = event.as_event().id {
                self.model.take_id(event.seq, id);
            }
        }
        self.medium.pause_faults(false);
    }

    fn open_reader(&mut self) {
        // Few filters, so that readers share them.
        let filter = match self.random.below(4) {
            0 => Filter::default(),
            1 | 2 => generate::filter(&mut Random::seeded(self.random.below(5))),
            _ => generate::filter(&mut self.random),
        };
        let last_seq = self.engine.snapshot().last_seq();
        let after_seq = (!self.random.one_in(3)).then(|| self.random.below(last_seq + 1));
        let filter = Filter { after_seq, ..filter };
        let subscription = Subscription::new(self.hub.open(), filter.clone(), last_seq);
        let start = after_seq.unwrap_or(last_seq);
        assert_eq!(subscription.position(), start);
        let (seen, gaps, missing) = (Vec::new(), Vec::new(), self.missing_after(start));
        self.readers.push(Reader { subscription, filter, start, seen, gaps, missing, resume: start, waits: false });
    }

    /// The sequence numbers after this one of which there are no events any more; none if the power is off.
    fn missing_after(&self, seq: u64) -> BTreeSet<u64> {
        let Some(stored) = self.stored() else { return BTreeSet::new() };
        (seq + 1..=self.engine.snapshot().last_seq()).filter(|seq| !stored.contains(seq)).collect()
    }

    /// The sequence numbers of all events; `None` if the power is off.
    fn stored(&self) -> Option<BTreeSet<u64>> {
        if self.medium.is_off() {
            return None;
        }
        self.medium.pause_faults(true);
        let events = all_events(&self.engine.snapshot()).unwrap();
        self.medium.pause_faults(false);
        Some(events.iter().map(|event| event.seq).collect())
    }

    /// Begins a pass, or takes a piece of it.
    fn feed(&mut self) {
        let snapshot = self.engine.snapshot();
        let mut woken = Vec::new();
        let failed = if self.in_pass {
            match self.feed.poll(1 + self.random.below(6) as u32) {
                Ok(Polled::Piece(piece)) => {
                    self.hub.apply(piece, self.now, &mut woken);
                    false
                }
                Ok(Polled::End) => {
                    self.in_pass = false;
                    false
                }
                Ok(Polled::Gap) | Err(_) => true,
            }
        } else {
            match self.hub.begin(&*snapshot).map(|assignment| self.feed.begin(assignment, &snapshot)) {
                None => false,
                Some(Ok(Begun::Pass)) => {
                    self.in_pass = true;
                    false
                }
                Some(Ok(Begun::Gap) | Err(_)) => true,
            }
        };
        if failed {
            self.in_pass = false;
            self.hub.reset(snapshot.last_seq(), &mut woken);
        }
        assert!(self.hub.buffer_bytes() <= self.limits.buffer_bytes);
        let all: BTreeSet<ReaderId> = woken.iter().copied().collect();
        assert_eq!(all.len(), woken.len(), "each reader is woken once");
        for reader in &mut self.readers {
            reader.waits &= !all.contains(&reader.subscription.reader());
        }
    }

    /// Polls a reader that need not be woken.
    fn poll(&mut self) {
        let Some(index) = self.random.index(self.readers.len().max(1)).checked_rem(self.readers.len()) else { return };
        let reader = &mut self.readers[index];
        if reader.waits {
            return;
        }
        let (bytes_max, mut batch) = (self.random.pick(&[1, 200, 5_000]), Vec::new());
        if reader.subscription.is_in_history() {
            let (budget, before) = (1 + self.random.below(9) as u32, reader.subscription.position());
            let found = reader.subscription.poll_history(&self.engine.reader(), budget, bytes_max, &mut batch);
            match found {
                Ok(Poll::Pending | Poll::Ready(Found::Messages | Found::End)) => {}
                Ok(Poll::Ready(Found::Gap { first_seq })) => self.told(index, before, first_seq),
                Err(_) => {
                    self.summary.read_errors += 1;
                    return self.resume(index);
                }
            }
            if self.random.one_in(3) {
                drop(self.readers[index].subscription.suspend());
            }
        } else {
            match reader.subscription.poll_live(&mut self.hub, self.now, bytes_max, &mut batch) {
                Live::Messages => {}
                Live::History => self.summary.lost += usize::from(!reader.seen.is_empty()),
                Live::Wait => reader.waits = true,
                Live::Slow => {
                    assert!(batch.is_empty());
                    self.summary.slow += 1;
                    return self.resume(index);
                }
            }
        }
        let reader = &mut self.readers[index];
        if let Some(last) = batch.last() {
            reader.resume = last.seq;
        }
        reader.seen.append(&mut batch);
    }

    /// A reader is told that the events between these two numbers are gone.
    fn told(&mut self, index: usize, after: u64, first_seq: u64) {
        assert!(after + 1 < first_seq, "nothing is gone");
        if let Some(stored) = self.stored() {
            assert_eq!(stored.range(after + 1..first_seq).next(), None, "it is told that stored events are gone");
            let is_between = stored.range(..=after).next().is_some() && stored.range(first_seq..).next().is_some();
            self.summary.holes += usize::from(is_between);
        }
        self.summary.gaps += 1;
        let reader = &mut self.readers[index];
        reader.gaps.push((after, first_seq));
        reader.resume = first_seq - 1;
    }

    /// The stream of a reader ends, and its client comes back with the number of the last event that it has seen.
    fn resume(&mut self, index: usize) {
        let last_seq = self.engine.snapshot().last_seq();
        let missing = self.missing_after(self.readers[index].resume);
        let reader = &mut self.readers[index];
        reader.missing.extend(missing);
        self.hub.close(reader.subscription.reader());
        let filter = Filter { after_seq: Some(reader.resume), ..reader.filter.clone() };
        reader.subscription = Subscription::new(self.hub.open(), filter, last_seq);
        reader.waits = false;
    }

    fn cut(&mut self) {
        if !self.readers.is_empty() {
            self.summary.cuts += 1;
            let index = self.random.index(self.readers.len());
            self.resume(index);
        }
    }

    /// The server drains and starts again: every reader is told, whatever it was doing.
    fn drain(&mut self) {
        self.summary.drains += 1;
        self.engine.close().ok();
        self.restart(Ending::Process);
    }

    fn crash(&mut self) {
        self.summary.crashes += 1;
        let ending =
            if self.medium.is_off() { Ending::Power } else { self.random.pick(&[Ending::Power, Ending::Process]) };
        self.restart(ending);
    }

    fn restart(&mut self, ending: Ending) {
        self.medium = self.medium.restart(ending);
        self.medium.clear_faults();
        self.engine = open(&self.medium, self.retention);
        self.maintenance = MaintenanceQueue::default();
        (self.hub, self.feed, self.in_pass) = (Hub::new(self.limits), Feed::default(), false);
        let last_seq = self.engine.snapshot().last_seq();
        assert!(last_seq >= self.model.last_seq(), "an acknowledged event is lost");
        for index in 0..self.readers.len() {
            assert!(self.readers[index].resume <= last_seq, "a reader has seen an event that is not durable");
            self.resume(index);
        }
    }

    /// Lets every reader catch up, and compares what it has seen.
    fn finish(mut self) -> Summary {
        self.medium.clear_faults();
        self.medium.pause_faults(true);
        for _ in 0..2_000 {
            self.feed();
            for _ in 0..8 {
                self.poll();
            }
            let is_fed = !self.in_pass && self.hub.lag(self.engine.snapshot().last_seq()) == 0;
            if is_fed && self.readers.iter().all(|reader| reader.waits) {
                break;
            }
        }
        assert!(self.readers.iter().all(|reader| reader.waits), "a reader does not catch up");
        let snapshot = self.model.snapshot();
        for Reader { filter, start, seen, gaps, missing, .. } in &self.readers {
            let is_told = |seq: &u64| gaps.iter().any(|(after, before)| (after + 1..*before).contains(seq));
            assert!(missing.iter().all(is_told), "{missing:?} is missing, and only {gaps:?} was told");
            let filter = Filter { after_seq: Some(*start), ..filter.clone() };
            let scan = Scan { order: Order::Sequence, ..Scan::from(filter) };
            let all = collect(&snapshot, &scan, Pace::UNBROKEN).unwrap().events;
            let mut seen = seen.iter();
            for event in &all {
                let next = seen.as_slice().first().map(|message| message.seq);
                if next == Some(event.seq) {
                    let mut json = Vec::new();
                    event.as_event().write_json(&mut json);
                    assert_eq!(seen.next().unwrap().json, json);
                    self.summary.seen += 1;
                } else {
                    assert!(is_told(&event.seq), "event {} is missing, {next:?} is next; gaps {gaps:?}", event.seq);
                }
            }
            assert_eq!(seen.as_slice(), [], "events that the filter does not select, or a second time");
        }
        self.summary
    }
}

fn open(medium: &SimStorage, retention: Retention) -> Engine<SimStorage> {
    let mut engine = Engine::open_with(medium.clone(), Seed(7), SMALL).unwrap();
    engine.retain(retention);
    engine
}

/// Runs seeds from `base` on, and requires that enough has happened.
fn run(base: u64, seeds: u64) -> Summary {
    let mut all = Summary::default();
    for seed in base..base + seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        let Summary { seen, gaps, holes, slow, cuts, crashes, read_errors, drains, lost } =
            run.unwrap_or_else(|_| panic!("the run of seed {seed} fails"));
        all = Summary {
            seen: all.seen + seen,
            gaps: all.gaps + gaps,
            holes: all.holes + holes,
            slow: all.slow + slow,
            cuts: all.cuts + cuts,
            crashes: all.crashes + crashes,
            read_errors: all.read_errors + read_errors,
            drains: all.drains + drains,
            lost: all.lost + lost,
        };
    }
    println!("{all:?}");
    all
}

#[test]
fn every_reader_sees_every_event_once_or_is_told() {
    let Summary { seen, gaps, holes, slow, cuts, crashes, read_errors, drains, lost } = run(0, 400);
    assert!(seen > 5_000 && gaps > 20 && holes > 100 && slow > 50 && cuts > 500, "too little happened");
    assert!(crashes > 200 && read_errors > 20 && drains > 100 && lost > 50, "too little happened");
}

#[test]
fn every_reader_sees_every_event_once_or_is_told_for_random_seeds() {
    let base = std::env::var("SEED").map_or_else(
        |_| std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16,
        |s| s.parse().unwrap(),
    );
    println!("seeds from {base}");
    run(base, 1_000);
}
