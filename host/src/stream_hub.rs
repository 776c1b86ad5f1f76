//! What the live streams of a server share: the hub of the core, and the tasks that wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use argus_core::api::READ_BUDGET;
use argus_core::repository::{ReadError, Reader};
use argus_core::subscribe::{Begun, Feed, Hub, Live, Message, Polled, ReaderId, StreamLimits, Subscription};
use event_listener::{Event, EventListener};

use crate::clock::Clock;

/// The live readers of a server.
pub struct StreamHub {
    state: Mutex<State>,
    clock: Clock,
    begun: Instant,
    /// Notified when the first reader becomes live.
    joined: Event,
}

struct State {
    hub: Hub,
    /// The tasks of readers that wait.
    wakers: BTreeMap<ReaderId, Waker>,
}

/// What the thread has found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There are no live readers.
    NoReaders,
    /// The readers know all events.
    UpToDate,
    /// This many readers were woken.
    Woke(usize),
}

impl StreamHub {
    /// No readers yet.
    #[must_use]
    pub fn new(limits: StreamLimits, clock: Clock) -> Self {
        let state = Mutex::new(State { hub: Hub::new(limits), wakers: BTreeMap::new() });
        Self { state, begun: clock.now(), clock, joined: Event::new() }
    }

    /// The bytes of messages that readers share.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.lock().hub.buffer_bytes()
    }

    /// How many events up to `last_seq` no reader was told of yet.
    #[must_use]
    pub fn lag(&self, last_seq: u64) -> u64 {
        self.lock().hub.lag(last_seq)
    }

    fn uptime(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.begun)
    }

    /// The number of live readers.
    pub(crate) fn live_readers(&self) -> usize {
        self.lock().hub.live_readers()
    }

    /// Resolves when the first reader becomes live. Listen before you look.
    pub(crate) fn joined(&self) -> EventListener {
        self.joined.listen()
    }

    /// The number of a new reader.
    pub(crate) fn open(&self) -> ReaderId {
        self.lock().hub.open()
    }

    /// The reader has ended.
    pub(crate) fn close(&self, reader: ReaderId) {
        let mut state = self.lock();
        state.hub.close(reader);
        let waker = state.wakers.remove(&reader);
        let discarded = state.hub.take_discarded();
        drop(state);
        drop((waker, discarded));
    }

    /// Takes messages for a live reader. If there are none, the next one wakes the task. `reader` gives the reader of
    /// the repository that was published last: if events were erased, no message from before is handed out.
    pub(crate) fn take(
        &self,
        subscription: &mut Subscription,
        reader: impl FnOnce() -> Reader,
        cx: &mut Context<'_>,
        bytes_max: usize,
        batch: &mut Vec<Message>,
    ) -> Live {
        let now = self.uptime();
        let mut woken = Vec::new();
        let mut state = self.lock();
        if let Reader::Current(snapshot) = reader() {
            state.hub.see_erasures(&*snapshot, &mut woken);
        }
        let wakers: Vec<Waker> = woken.iter().filter_map(|reader| state.wakers.remove(reader)).collect();
        let live_before = state.hub.live_readers();
        let live = subscription.poll_live(&mut state.hub, now, bytes_max, batch);
        let is_first = live_before == 0 && state.hub.live_readers() > 0;
        if live == Live::Wait {
            let reader = subscription.reader();
            match state.wakers.get_mut(&reader) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => drop(state.wakers.insert(reader, cx.waker().clone())),
            }
        }
        let discarded = state.hub.take_discarded();
        drop(state);
        drop(discarded);
        wakers.into_iter().for_each(Waker::wake);
        if is_first {
            self.joined.notify(1);
        }
        live
    }

    /// Reads what was committed since the last time, up to the end of one pass, and wakes readers. `reader` gives the
    /// reader of the repository that was published last.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: either no snapshot could be taken, and the readers wait for the next look as they were; or stored
    /// events could not be read, and the readers were woken to meet that in history.
    pub(crate) fn look(&self, feed: &mut Feed, reader: impl FnOnce() -> Reader) -> Result<Looked, ReadError> {
        let state = self.lock();
        if state.hub.live_readers() == 0 {
            return Ok(Looked::NoReaders);
        }
        // Before `reader` is called, which may have its snapshot already: a stream may join with a newer one meanwhile.
        let position = state.hub.position();
        drop(state);
        let snapshot = reader().take()?;
        let last_seq = snapshot.last_seq();
        if last_seq < position {
            // The repository was replaced by a smaller one.
            return Ok(Looked::Woke(self.reset(last_seq)));
        }
        let assignment = self.lock().hub.begin(&*snapshot);
        let Some(assignment) = assignment else { return Ok(Looked::UpToDate) };
        let passed = match feed.begin(assignment, &snapshot) {
            Ok(Begun::Pass) => self.pass(feed, last_seq),
            Ok(Begun::Gap) => Ok(self.reset(last_seq)),
            Err(error) => Err(error),
        };
        if passed.is_err() {
            self.reset(last_seq);
        }
        passed.map(Looked::Woke)
    }

    /// Completes a pass over a snapshot with this last sequence number. Returns how many readers were woken.
    fn pass(&self, feed: &mut Feed, last_seq: u64) -> Result<usize, ReadError> {
        let mut count = 0;
        loop {
            match feed.poll(READ_BUDGET)? {
                Polled::Piece(piece) => {
                    let now = self.uptime();
                    count += self.wake(|hub, woken| hub.apply(piece, now, woken));
                }
                Polled::Gap => return Ok(count + self.reset(last_seq)),
                Polled::End => return Ok(count),
            }
        }
    }

    /// Sends all live readers to history. Returns how many were woken.
    fn reset(&self, last_seq: u64) -> usize {
        self.wake(|hub, woken| hub.reset(last_seq, woken))
    }

    /// Changes the hub, and wakes the readers that this concerns, without the lock. Returns their number.
    fn wake(&self, change: impl FnOnce(&mut Hub, &mut Vec<ReaderId>)) -> usize {
        let mut woken = Vec::new();
        let mut state = self.lock();
        change(&mut state.hub, &mut woken);
        let wakers: Vec<Waker> = woken.iter().filter_map(|reader| state.wakers.remove(reader)).collect();
        let discarded = state.hub.take_discarded();
        drop(state);
        drop(discarded);
        let count = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StreamHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHub").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;

    use argus_core::batch::{BatchBuilder, NewEvent};
    use argus_core::engine::{Engine, Seed};
    use argus_core::event::{EventType, Payload, Timestamp};
    use argus_core::query::Filter;
    use argus_core::repository::{Repository as _, Snapshot, TakeSnapshot};
    use argus_core::storage::MemoryStorage;
    use argus_core::subscribe::Found;

    use super::*;

    const LIMITS: StreamLimits = StreamLimits { queue_events: 10, queue_bytes: 1 << 20, buffer_bytes: 1 << 20 };

    /// A repository with this many events.
    fn repository(events: usize) -> Engine<MemoryStorage> {
        let mut engine = Engine::open(MemoryStorage::default(), Seed(1)).unwrap();
        (0..events).for_each(|_| commit(&mut engine));
        engine
    }

    fn commit(engine: &mut Engine<MemoryStorage>) {
        let mut batch = BatchBuilder::new();
        let event = NewEvent {
            event_type: EventType::parse("a").unwrap(),
            timestamp: Timestamp::from_nanos(7),
            payload: Payload::parse("{}").unwrap(),
            id: None,
        };
        batch.push(event).unwrap();
        engine.commit(Timestamp::from_nanos(1), &[batch.finish()]).unwrap();
    }

    /// What a reader takes while this is the repository, with the sequence numbers.
    fn take(hub: &StreamHub, subscription: &mut Subscription, newest: &Engine<MemoryStorage>) -> (Live, Vec<u64>) {
        let mut batch = Vec::new();
        let live =
            hub.take(subscription, || newest.reader(), &mut Context::from_waker(Waker::noop()), 1000, &mut batch);
        (live, batch.iter().map(|message| message.seq).collect())
    }

    #[test]
    fn a_repository_that_was_replaced_by_a_smaller_one_is_noticed() {
        let (large, mut small) = (repository(5), repository(2));
        let (hub, mut feed) = (StreamHub::new(LIMITS, Clock::default()), Feed::default());
        let mut reader = Subscription::new(hub.open(), Filter::default(), 5);
        assert_eq!(take(&hub, &mut reader, &large), (Live::Wait, vec![]));
        assert_eq!(hub.look(&mut feed, || large.reader()).unwrap(), Looked::UpToDate);
        assert_eq!(hub.look(&mut feed, || small.reader()).unwrap(), Looked::Woke(1));
        assert_eq!(take(&hub, &mut reader, &small), (Live::History, vec![]));
        let mut history = |engine: &Engine<MemoryStorage>| {
            let found = reader.poll_history(&engine.reader(), 10, 1000, &mut Vec::new());
            (found.unwrap(), reader.is_in_history())
        };
        assert_eq!(history(&small), (Poll::Ready(Found::Gap { first_seq: 3 }), true));
        assert_eq!(history(&small), (Poll::Ready(Found::End), false));
        assert_eq!(take(&hub, &mut reader, &small), (Live::Wait, vec![]));
        commit(&mut small);
        assert_eq!(hub.look(&mut feed, || small.reader()).unwrap(), Looked::Woke(1));
        assert_eq!(take(&hub, &mut reader, &small), (Live::Messages, vec![3]));
    }

    #[test]
    fn a_stream_that_joins_with_a_newer_snapshot_during_a_look_stays_live() {
        let mut engine = repository(5);
        let (hub, mut feed) = (StreamHub::new(LIMITS, Clock::default()), Feed::default());
        let mut only = Subscription::new(hub.open(), Filter::default(), 5);
        assert_eq!(take(&hub, &mut only, &engine), (Live::Wait, vec![]));
        let mut joined = Subscription::new(hub.open(), Filter::default(), 6);
        let looked = hub.look(&mut feed, || {
            let published = engine.reader();
            hub.close(only.reader());
            commit(&mut engine);
            assert_eq!(take(&hub, &mut joined, &engine), (Live::Wait, vec![]));
            published
        });
        assert_eq!(looked.unwrap(), Looked::UpToDate);
        assert_eq!(take(&hub, &mut joined, &engine), (Live::Wait, vec![]), "it was not sent to history");
    }

    #[test]
    fn messages_from_before_an_erasure_are_not_handed_out_and_others_are_woken() {
        let mut engine = repository(2);
        let (hub, mut feed) = (StreamHub::new(LIMITS, Clock::default()), Feed::default());
        let [mut one, mut other] = [(); 2].map(|()| Subscription::new(hub.open(), Filter::default(), 2));
        assert_eq!(take(&hub, &mut one, &engine), (Live::Wait, vec![]));
        assert_eq!(take(&hub, &mut other, &engine), (Live::Wait, vec![]));
        commit(&mut engine);
        assert_eq!(hub.look(&mut feed, || engine.reader()).unwrap(), Looked::Woke(2));
        assert_eq!(take(&hub, &mut other, &engine), (Live::Messages, vec![3]));
        assert_eq!(take(&hub, &mut other, &engine), (Live::Wait, vec![]));
        drop(engine.erase(Timestamp::from_nanos(1), &Filter::default()).unwrap());
        // The message is still in the buffer.
        assert_eq!(take(&hub, &mut one, &engine), (Live::History, vec![]));
        let found = one.poll_history(&engine.reader(), 10, 1000, &mut Vec::new()).unwrap();
        assert_eq!(found, Poll::Ready(Found::Gap { first_seq: 4 }));
        assert_eq!(take(&hub, &mut other, &engine), (Live::History, vec![]));
    }

    /// Cannot be reached at times.
    struct Remote {
        snapshot: Arc<dyn Snapshot>,
        is_reachable: AtomicBool,
    }

    impl TakeSnapshot for Remote {
        fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
            if self.is_reachable.load(Ordering::Relaxed) {
                Ok(Arc::clone(&self.snapshot))
            } else {
                Err(ReadError::Unavailable("the network is down".into()))
            }
        }
    }

    #[test]
    fn readers_stay_live_while_the_repository_cannot_be_reached() {
        let engine = repository(2);
        let snapshot = engine.reader().take().unwrap();
        let remote = Arc::new(Remote { snapshot, is_reachable: AtomicBool::new(false) });
        let (hub, mut feed) = (StreamHub::new(LIMITS, Clock::default()), Feed::default());
        let mut reader = Subscription::new(hub.open(), Filter::default(), 0);
        assert_eq!(take(&hub, &mut reader, &engine), (Live::Wait, vec![]));
        let shared = Reader::Shared(Arc::clone(&remote) as Arc<dyn TakeSnapshot>);
        drop(hub.look(&mut feed, || shared.clone()).unwrap_err());
        assert_eq!(take(&hub, &mut reader, &engine), (Live::Wait, vec![]));
        remote.is_reachable.store(true, Ordering::Relaxed);
        assert_eq!(hub.look(&mut feed, || shared.clone()).unwrap(), Looked::Woke(1));
        assert_eq!(take(&hub, &mut reader, &engine), (Live::Messages, vec![1, 2]));
    }
}
