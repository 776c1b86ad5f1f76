//! The naive model of a repository. Tests compare every other repository with it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;

use argus_core::batch::{Batch, Handling, NewEvent};
use argus_core::event::{Event, Timestamp, Uuid};
use argus_core::query::{Filter, Order, Position, Scan};
use argus_core::repository::{
    CommitError, Duplicate, Failure, Flow, ReadError, Reader, Receipt, Repository, ScanHead, ScanRun, Snapshot, Stats,
    Surplus,
};

use super::filter;
use super::stored::{StoredEvent, StoredId};

/// The simplest repository: a vector of events that every query scans. A commit copies it if a snapshot shares it.
///
/// It has no storage, no index and no failures, so little can be wrong with it. Its generated ids are valid but not
/// random: they depend only on `now` and the sequence number.
#[derive(Clone, Debug)]
pub struct Model {
    events: Arc<Vec<StoredEvent>>,
    last_seq: u64,
    /// The most different event types.
    types_max: usize,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// An empty repository that takes any number of event types.
    #[must_use]
    pub fn new() -> Self {
        Self::with_types(usize::MAX)
    }

    /// An empty repository that accepts at most `types_max` different event types.
    #[must_use]
    pub fn with_types(types_max: usize) -> Self {
        Self { events: Arc::default(), last_seq: 0, types_max }
    }

    /// Everything that is stored, in order of sequence numbers.
    #[must_use]
    pub fn events(&self) -> &[StoredEvent] {
        &self.events
    }

    /// The event with this sequence number.
    #[must_use]
    pub fn event(&self, seq: u64) -> Option<&StoredEvent> {
        let index = self.events.binary_search_by_key(&seq, |event| event.seq).ok()?;
        self.events.get(index)
    }

    /// The highest sequence number assigned so far.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Drops the events for which `is_kept` is false. Their ids are then unknown.
    pub fn retain(&mut self, is_kept: impl FnMut(&StoredEvent) -> bool) {
        Arc::make_mut(&mut self.events).retain(is_kept);
    }

    /// Replaces a generated id by the one that another repository generated, so that later batches can use that id with
    /// both.
    pub fn take_id(&mut self, seq: u64, id: Uuid) {
        let Ok(index) = self.events.binary_search_by_key(&seq, |event| event.seq) else { return };
        let event = Arc::make_mut(&mut self.events).get_mut(index);
        if let Some(StoredEvent { id: held @ StoredId::Generated(_), .. }) = event {
            *held = StoredId::Generated(id);
        }
    }

    /// Drops all events after this sequence number, as a crash does. Their numbers are assigned again.
    pub fn truncate(&mut self, last_seq: u64) {
        self.retain(|event| event.seq <= last_seq);
        self.last_seq = self.last_seq.min(last_seq);
    }

    /// A snapshot of the current state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(ModelSnapshot { events: Arc::clone(&self.events), last_seq: self.last_seq, types_max: self.types_max })
    }

    fn commit_one(&mut self, now: Timestamp, batch: &Batch) -> Receipt {
        let before = self.clone();
        let first_seq = self.last_seq + 1;
        let mut types = types(&self.events);
        let mut stored = 0;
        let (mut duplicates, mut surplus) = (Vec::new(), Vec::new());
        let mut generated_id = None;
        for (index, new) in (0..).zip(batch.events()) {
            let held = new.id.and_then(|id| with_id(&self.events, id.as_str()));
            if let Some(held) = held {
                duplicates.push(Duplicate { index, seq: held.seq });
                continue;
            }
            if types.len() >= self.types_max && !types.contains(new.event_type.as_str()) {
                surplus.push(index);
                continue;
            }
            types.insert(new.event_type.as_str().to_string());
            let event = self.store(now, new);
            if stored == 0
                && let StoredId::Generated(uuid) = event.id
            {
                generated_id = Some(uuid);
            }
            stored += 1;
        }
        if !surplus.is_empty() && batch.handling() == Handling::Strict {
            *self = before;
            (stored, generated_id) = (0, None);
            duplicates.clear();
        }
        let surplus = (!surplus.is_empty())
            .then(|| Box::new(Surplus { indexes: surplus.into(), types_max: count(self.types_max) }));
        Receipt { first_seq, stored, duplicates: duplicates.into(), surplus, generated_id, expired: 0, durable: false }
    }

    fn store(&mut self, now: Timestamp, new: NewEvent<'_>) -> &StoredEvent {
        self.last_seq += 1;
        let seq = self.last_seq;
        Arc::make_mut(&mut self.events).push_mut(StoredEvent {
            id: match new.id {
                Some(id) => StoredId::Given(id.as_str().to_string()),
                None => StoredId::Generated(uuid(now, seq)),
            },
            seq,
            event_type: new.event_type.as_str().to_string(),
            timestamp: new.timestamp,
            payload: new.payload.as_str().to_string(),
        })
    }
}

impl Repository for Model {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        Ok(group.iter().map(|batch| self.commit_one(now, batch)).collect())
    }

    fn failure(&self) -> Option<&Failure> {
        None
    }

    fn reader(&self) -> Reader {
        Reader::Current(self.snapshot())
    }
}

/// The state when the snapshot was taken.
struct ModelSnapshot {
    events: Arc<Vec<StoredEvent>>,
    last_seq: u64,
    types_max: usize,
}

impl Snapshot for ModelSnapshot {
    /// Bytes are those of types and payloads. A model has no segments.
    fn stats(&self) -> Result<Stats, ReadError> {
        let bytes: usize = self.events.iter().map(|event| event.event_type.len() + event.payload.len()).sum();
        Ok(Stats {
            events: count(self.events.len()),
            bytes: count(bytes),
            segments: 0,
            last_seq: self.last_seq,
            event_types: count(types(&self.events).len()),
            event_types_max: count(self.types_max),
        })
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        let found = with_id(&self.events, id);
        if let Some(event) = found {
            sink(event.as_event());
        }
        Ok(found.is_some())
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        let matching = self
            .events
            .iter()
            .filter(|event| matches(&scan.filter, event) && is_behind(scan, event) && is_within(scan, event));
        let mut events: Vec<StoredEvent> = matching.cloned().collect();
        match scan.order {
            Order::TimeAscending => events.sort_by_key(StoredEvent::position),
            Order::TimeDescending => events.sort_by_key(|event| Reverse(event.position())),
            Order::Sequence => events.sort_by_key(|event| event.seq),
        }
        let limit = scan.limit.map_or(usize::MAX, |limit| usize::try_from(limit.get()).unwrap_or(usize::MAX));
        let more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| more).map(StoredEvent::position);
        Ok(Box::new(ModelRun { next, events: events.into_iter() }))
    }
}

/// A scan whose answer is already complete.
struct ModelRun {
    next: Option<Position>,
    events: std::vec::IntoIter<StoredEvent>,
}

impl ScanRun for ModelRun {
    fn poll_head(&mut self, _budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        Ok(Poll::Ready(ScanHead { next: self.next }))
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        // A budget of 0 would never finish.
        for _ in 0..budget.max(1) {
            let Some(event) = self.events.next() else {
                return Ok(Poll::Ready(()));
            };
            match sink(event.as_event()) {
                Flow::More => {}
                Flow::Stop => break,
            }
        }
        Ok(Poll::Pending)
    }
}

/// Whether all conditions hold.
fn matches(filter: &Filter, event: &StoredEvent) -> bool {
    let Filter { types, ids, start, end, payload, after_seq } = filter;
    types.as_ref().is_none_or(|types| types.iter().any(|any| **any == *event.event_type))
        && ids.as_ref().is_none_or(|ids| ids.iter().any(|id| event.id.is(id)))
        && start.is_none_or(|start| event.timestamp >= start)
        && end.is_none_or(|end| event.timestamp <= end)
        && after_seq.is_none_or(|seq| event.seq > seq)
        && payload.iter().all(|condition| filter::matches(condition, &event.payload))
}

/// Whether an event comes after the position where the scan starts.
fn is_behind(scan: &Scan, event: &StoredEvent) -> bool {
    scan.from.is_none_or(|from| match scan.order {
        Order::TimeAscending => event.position() > from,
        Order::TimeDescending => event.position() < from,
        Order::Sequence => event.seq > from.seq,
    })
}

/// Whether an event does not lie behind where the scan ends.
fn is_within(scan: &Scan, event: &StoredEvent) -> bool {
    let is_before_end = scan.to.is_none_or(|to| match scan.order {
        Order::TimeAscending => event.position() <= to,
        Order::TimeDescending => event.position() >= to,
        Order::Sequence => event.seq <= to.seq,
    });
    is_before_end && scan.up_to_seq.is_none_or(|seq| event.seq <= seq)
}

fn with_id<'e>(events: &'e [StoredEvent], id: &str) -> Option<&'e StoredEvent> {
    events.iter().find(|event| event.id.is(id))
}

fn types(events: &[StoredEvent]) -> BTreeSet<String> {
    events.iter().map(|event| event.event_type.clone()).collect()
}

fn count(figure: usize) -> u64 {
    u64::try_from(figure).expect("usize has at most 64 bits")
}

/// A UUID version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, the version, the variant, and the sequence number
/// where random bits would be.
fn uuid(now: Timestamp, seq: u64) -> Uuid {
    let milliseconds = u128::try_from(now.as_nanos() / 1_000_000).unwrap_or(0);
    Uuid((milliseconds << 80 | 7 << 76 | 0b10 << 62 | u128::from(seq)).to_be_bytes())
}

#[cfg(test)]
mod tests {

    use argus_core::query::{Operand, PayloadFilter, PayloadPath, Test};

    use super::super::{Answer, Draft, Pace, check_same, collect, generate, get};
    use super::*;

    const NONE: [u64; 0] = [];

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn draft(event_type: &str, nanos: i64, payload: &str, id: Option<&str>) -> Draft {
        Draft { event_type: event_type.into(), timestamp: at(nanos), payload: payload.into(), id: id.map(Into::into) }
    }

    /// Six events; ordered by time, their sequence numbers are 4, 1, 3, 6, 2, 5.
    fn six() -> Model {
        let mut model = Model::new();
        let drafts = [
            draft("view", 10, r#"{"n":1}"#, Some("one")),
            draft("buy", 30, r#"{"n":2}"#, None),
            draft("view", 20, r#"{"n":3}"#, None),
            draft("click", -5, "null", Some("four")),
            draft("view", 30, "[]", None),
            draft("größe", 20, r#"{"n":"3"}"#, None),
        ];
        for pair in drafts.chunks(2) {
            model.commit(at(0), &[generate::batch(pair)]).expect("a model does not fail");
        }
        model
    }

    fn answer(model: &Model, query: &Scan) -> (Vec<u64>, Option<(i64, u64)>) {
        let Answer { next, events } =
            collect(&model.snapshot(), query, Pace { budget: 1, stop_every: 0 }).expect("a model does not fail");
        (
            events.iter().map(|event| event.seq).collect(),
            next.map(|position| (position.timestamp.as_nanos(), position.seq)),
        )
    }

    fn seqs(query: &Scan) -> Vec<u64> {
        let (seqs, next) = answer(&six(), query);
        assert_eq!(next, None);
        seqs
    }

    #[test]
    fn events_come_in_order_of_time_and_then_of_sequence() {
        assert_eq!(seqs(&Scan::default()), [4, 1, 3, 6, 2, 5]);
        assert_eq!(seqs(&Scan { order: Order::TimeDescending, ..Scan::default() }), [5, 2, 6, 3, 1, 4]);
        assert_eq!(seqs(&Scan { order: Order::Sequence, ..Scan::default() }), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn each_condition_filters_events() {
        let types = |types: &[&str]| {
            Scan::from(Filter { types: Some(types.iter().map(|&text| text.into()).collect()), ..Filter::default() })
        };
        assert_eq!(seqs(&types(&["view"])), [1, 3, 5]);
        assert_eq!(seqs(&types(&["größe", "buy", "nobody", "buy"])), [6, 2]);
        assert_eq!(seqs(&types(&[""])), NONE);
        assert_eq!(seqs(&types(&[])), NONE);

        assert_eq!(seqs(&Scan::from(Filter { start: Some(at(20)), ..Filter::default() })), [3, 6, 2, 5]);
        assert_eq!(seqs(&Scan::from(Filter { end: Some(at(20)), ..Filter::default() })), [4, 1, 3, 6]);
        assert_eq!(seqs(&Scan::from(Filter { start: Some(at(20)), end: Some(at(20)), ..Filter::default() })), [3, 6]);
        assert_eq!(seqs(&Scan::from(Filter { start: Some(at(21)), end: Some(at(20)), ..Filter::default() })), NONE);
        assert_eq!(seqs(&Scan::from(Filter { after_seq: Some(4), ..Filter::default() })), [6, 5]);
        assert_eq!(seqs(&Scan::from(Filter { after_seq: Some(0), ..Filter::default() })), [4, 1, 3, 6, 2, 5]);

        let ids = |ids: &[&str]| Filter { ids: Some(ids.iter().map(|&id| id.into()).collect()), ..Filter::default() };
        assert_eq!(seqs(&ids(&["one", "nobody", "four", "one"]).into()), [4, 1]);
        assert_eq!(seqs(&Filter { after_seq: Some(1), ..ids(&["one", "four"]) }.into()), [4]);
        assert_eq!(seqs(&ids(&[]).into()), NONE);

        let path = PayloadPath::parse("n").expect("a good path");
        let three = PayloadFilter { path, test: Test::Eq(Operand::new("3")) };
        assert_eq!(seqs(&Scan::from(Filter { payload: vec![three.clone()], ..Filter::default() })), [3, 6]);
        assert_eq!(seqs(&Scan::from(Filter { payload: vec![three], after_seq: Some(3), ..Filter::default() })), [6]);
    }

    #[test]
    fn pages_start_after_their_position_and_return_the_next_position() {
        let page = |order, limit, from: Option<(i64, u64)>| {
            let from = from.map(|(nanos, seq)| Position { timestamp: at(nanos), seq });
            answer(&six(), &Scan { order, limit: std::num::NonZeroU32::new(limit), from, ..Scan::default() })
        };
        assert_eq!(page(Order::TimeAscending, 2, None), (vec![4, 1], Some((10, 1))));
        assert_eq!(page(Order::TimeAscending, 2, Some((10, 1))), (vec![3, 6], Some((20, 6))));
        assert_eq!(page(Order::TimeAscending, 2, Some((20, 6))), (vec![2, 5], None));
        assert_eq!(page(Order::TimeAscending, 1, Some((20, 3))), (vec![6], Some((20, 6))));
        assert_eq!(page(Order::TimeAscending, 6, None), (vec![4, 1, 3, 6, 2, 5], None));
        assert_eq!(page(Order::TimeDescending, 5, None), (vec![5, 2, 6, 3, 1], Some((10, 1))));
        assert_eq!(page(Order::TimeDescending, 5, Some((10, 1))), (vec![4], None));
        assert_eq!(page(Order::Sequence, 2, Some((0, 3))), (vec![4, 5], Some((30, 5))));
        assert_eq!(page(Order::Sequence, 2, Some((0, 5))), (vec![6], None));
        // A position need not be that of an event.
        assert_eq!(page(Order::TimeAscending, 9, Some((20, 4))), (vec![6, 2, 5], None));
        assert_eq!(page(Order::TimeDescending, 9, Some((20, 4))), (vec![3, 1, 4], None));
    }

    #[test]
    fn a_known_id_is_a_duplicate_whichever_batch_it_came_in() {
        let mut model = six();
        let generated = model.snapshot();
        let generated =
            collect(&generated, &Scan::from(Filter { after_seq: Some(5), ..Filter::default() }), Pace::UNBROKEN)
                .expect("it has 6");
        let generated = generated.events.first().expect("the sixth").id.text();
        let first = generate::batch(&[
            draft("x", 1, "1", Some("one")),
            draft("x", 2, "2", None),
            draft("x", 3, "3", Some("new")),
            draft("y", 4, "4", Some("new")),
        ]);
        let second = generate::batch(&[draft("x", 5, "5", Some("new")), draft("x", 6, "6", Some(&generated))]);
        let third = generate::batch(&[draft("x", 7, "7", Some("given"))]);
        let receipts =
            model.commit(at(1_700_000_000_000_000_000), &[first, second, third]).expect("a model does not fail");
        let uuid = "018bcfe5-6800-7000-8000-000000000007";
        assert_eq!(
            receipts,
            [
                Receipt {
                    first_seq: 7,
                    stored: 2,
                    duplicates: [Duplicate { index: 0, seq: 1 }, Duplicate { index: 3, seq: 8 }].into(),
                    surplus: None,
                    generated_id: model.events().get(6).and_then(|event| match event.id {
                        StoredId::Generated(uuid) => Some(uuid),
                        StoredId::Given(_) => None,
                    }),
                    expired: 0,
                    durable: false,
                },
                Receipt {
                    first_seq: 9,
                    stored: 0,
                    duplicates: [Duplicate { index: 0, seq: 8 }, Duplicate { index: 1, seq: 6 }].into(),
                    surplus: None,
                    generated_id: None,
                    expired: 0,
                    durable: false,
                },
                Receipt {
                    first_seq: 9,
                    stored: 1,
                    duplicates: [].into(),
                    surplus: None,
                    generated_id: None,
                    expired: 0,
                    durable: false
                },
            ]
        );
        let snapshot = model.snapshot();
        let found = |id: &str| get(&*snapshot, id).expect("a model does not fail").map(|event| event.seq);
        assert_eq!(found("new"), Some(8));
        assert_eq!(found(uuid), Some(7));
        assert_eq!(found("nobody"), None);
        assert_eq!((snapshot.stats().expect("a model does not fail").events, snapshot.last_seq()), (9, 9));
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut model = six();
        let (before, same) = (model.snapshot(), six().snapshot());
        model.commit(at(0), &[generate::batch(&[draft("x", 0, "0", None)])]).expect("a model does not fail");
        assert_eq!(check_same(&before, &same, &[]), Ok(()));
        let difference = check_same(&model.snapshot(), &same, &[]).expect_err("it has one more");
        assert_eq!(difference.to_string(), "stats: events\n  should: 6\n  did:    7");
    }
}
