//! The naive model of a repository. Tests compare every other repository with it.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Poll;

use argus_core::batch::{Batch, Handling, NewEvent};
use argus_core::event::{Event, Timestamp, Uuid};
use argus_core::query::{Filter, Order, Position, Scan, TypeTest};
use argus_core::repository::{
    CommitError, Duplicate, Erased, ErasureStats, Failure, Flow, Gap, GapRun, ImportError, ReadError, Reader, Receipt,
    Repository, ScanHead, ScanRun, Snapshot, Stats, Surplus,
};
use argus_core::transfer::Transfer;

use super::filter;
use super::stored::{StoredEvent, StoredId, whole_millis};

/// The simplest repository: a vector of events that every query scans. A commit copies it if a snapshot shares it.
///
/// It has no storage, no index and no failures, so little can be wrong with it. Its generated ids are valid but not
/// random: they depend only on `now` and the sequence number.
#[derive(Clone, Debug)]
pub struct Model {
    events: Arc<Vec<StoredEvent>>,
    last_seq: u64,
    /// The number of erasures.
    erasures: u64,
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
        Self { events: Arc::default(), last_seq: 0, erasures: 0, types_max }
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

    /// Replaces the time of a commit by the one of another repository, which keeps these times ascending.
    pub fn take_stored_at(&mut self, seq: u64, stored_at: Timestamp) {
        let Ok(index) = self.events.binary_search_by_key(&seq, |event| event.seq) else { return };
        if let Some(event) = Arc::make_mut(&mut self.events).get_mut(index) {
            event.stored_at = stored_at;
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
        let Self { events, last_seq, erasures, types_max } = self.clone();
        Arc::new(ModelSnapshot { events, last_seq, erasures, types_max })
    }

    /// Erases the events that a filter selects. Returns how many.
    pub fn erase_now(&mut self, filter: &Filter) -> u64 {
        let before = self.events.len();
        self.retain(|event| !matches(filter, event));
        self.erasures += 1;
        count(before - self.events.len())
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
        let stored_at = whole_millis(now);
        Arc::make_mut(&mut self.events).push_mut(StoredEvent {
            id: match new.id {
                Some(id) => StoredId::Given(id.as_str().to_string()),
                None => StoredId::Generated(uuid(now, seq)),
            },
            seq,
            event_type: new.event_type.as_str().to_string(),
            timestamp: new.timestamp,
            payload: new.payload.as_str().to_string(),
            stored_at,
        })
    }
}

impl Repository for Model {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        Ok(group.iter().map(|batch| self.commit_one(now, batch)).collect())
    }

    fn erase(&mut self, _now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        Ok(Erased::Exactly(self.erase_now(filter)))
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        if transfer.first_after() != self.last_seq {
            return Err(ImportError::other_head(transfer, self.last_seq));
        }
        let mut events = self.events.to_vec();
        for event in transfer.events() {
            if let Some(held) = with_id(&events, &event.id.to_string()) {
                return Err(ImportError::taken_id(event.seq, held.seq));
            }
            let event = StoredEvent::from(event);
            // Not every repository knows which ids another one has generated.
            events.push(StoredEvent { id: StoredId::Given(event.id.text()), ..event });
        }
        if types(&events).len() > self.types_max {
            return Err(ImportError::too_many_types(self.types_max));
        }
        (self.events, self.last_seq) = (events.into(), transfer.up_to());
        Ok(())
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
    erasures: u64,
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
            erasures: ErasureStats { accepted: self.erasures, ..ErasureStats::default() },
        })
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn erasures(&self) -> u64 {
        self.erasures
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Box::new(ModelGaps { stored: self.events.iter().map(|event| event.seq).collect(), after, up_to })
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
            .filter(|event| matches(&scan.filter, event) && is_after_start(scan, event) && is_before_end(scan, event));
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

/// A search that looks at every number in its first call.
struct ModelGaps {
    stored: BTreeSet<u64>,
    after: u64,
    up_to: u64,
}

impl GapRun for ModelGaps {
    fn poll_gaps(&mut self, _budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        for seq in (self.after + 1..=self.up_to).filter(|seq| !self.stored.contains(seq)) {
            match gaps.back_mut() {
                Some(gap) if gap.last + 1 == seq => gap.last = seq,
                Some(_) | None => gaps.push_back(Gap { first: seq, last: seq }),
            }
        }
        self.after = self.up_to;
        Ok(self.up_to)
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
pub(super) fn matches(filter: &Filter, event: &StoredEvent) -> bool {
    let Filter { types, ids, start, end, payload, after_seq } = filter;
    let has_type = |test: &TypeTest| match test {
        TypeTest::Eq(name) => **name == *event.event_type,
        TypeTest::Prefix(prefix) => event.event_type.starts_with(&**prefix),
    };
    types.as_ref().is_none_or(|types| types.iter().any(has_type))
        && ids.as_ref().is_none_or(|ids| ids.iter().any(|id| event.id.is(id)))
        && start.is_none_or(|start| event.timestamp >= start)
        && end.is_none_or(|end| event.timestamp <= end)
        && after_seq.is_none_or(|seq| event.seq > seq)
        && payload.iter().all(|condition| filter::matches(condition, &event.payload))
}

/// Whether an event comes after the start of the scan.
fn is_after_start(scan: &Scan, event: &StoredEvent) -> bool {
    scan.from.is_none_or(|from| match scan.order {
        Order::TimeAscending => event.position() > from,
        Order::TimeDescending => event.position() < from,
        Order::Sequence => event.seq > from.seq,
    })
}

/// Whether an event comes before the end of the scan.
fn is_before_end(scan: &Scan, event: &StoredEvent) -> bool {
    let is_before_position = scan.to.is_none_or(|to| match scan.order {
        Order::TimeAscending => event.position() <= to,
        Order::TimeDescending => event.position() >= to,
        Order::Sequence => event.seq <= to.seq,
    });
    is_before_position && scan.up_to_seq.is_none_or(|seq| event.seq <= seq)
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
mod tests;
