//! One reader of a live stream.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::task::Poll;
use core::time::Duration;

use super::history::{Found, History, Start};
use super::hub::Taken;
use super::{Hub, Message, ReaderId};
use crate::query::{Filter, TypeTest};
use crate::repository::{ReadError, Reader};

/// A reader joins the hub once no more than this many events are between them. It scans them while its messages gather
/// in the hub.
const JOIN_AHEAD_MAX: u64 = 4096;

/// One reader: its filter, and how far it is. May be dropped at any time; then call [`Hub::close`].
pub struct Subscription {
    reader: ReaderId,
    filter: Arc<Filter>,
    /// The text of the filter, the same for equal ones.
    key: Arc<str>,
    /// All events up to here were examined, and those that match were handed out.
    position: u64,
    phase: Phase,
    /// A buffer for one event.
    json: Vec<u8>,
}

enum Phase {
    /// Reads what is stored, to the end of the newest snapshot, or as far as the hub does not know.
    History { scan: Option<History>, up_to: Option<u64> },
    /// Has read all that was stored, and joins the hub next.
    Joining,
    /// Takes messages from the hub.
    Live,
    /// Was too slow.
    Over,
}

/// The result of [`Subscription::poll_live`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// There are messages.
    Messages,
    /// There is none. The reader is woken by the next one.
    Wait,
    /// Go on with [`Subscription::poll_history`].
    History,
    /// The reader is further behind than its queue is long, and has been for [`SLOW_AFTER`](super::SLOW_AFTER). The
    /// stream is over.
    Slow,
}

impl Subscription {
    /// A reader of the events that a filter selects. [`Filter::after_seq`] is where it begins; without it, after
    /// `last_seq`, the highest sequence number at the moment when the stream begins.
    #[must_use]
    pub fn new(reader: ReaderId, mut filter: Filter, last_seq: u64) -> Self {
        let position = filter.after_seq.take().unwrap_or(last_seq);
        let phase = if position == last_seq { Phase::Joining } else { Phase::History { scan: None, up_to: None } };
        let filter = normalized(filter);
        let key = text(&filter).into();
        Self { reader, filter: Arc::new(filter), key, position, phase, json: Vec::new() }
    }

    /// Its number.
    #[must_use]
    pub fn reader(&self) -> ReaderId {
        self.reader
    }

    /// All events up to this sequence number were examined, and those that match were handed out.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether [`poll_history`](Self::poll_history) is next, and not [`poll_live`](Self::poll_live).
    #[must_use]
    pub fn is_in_history(&self) -> bool {
        matches!(self.phase, Phase::History { .. })
    }

    /// Reads what is stored. Examines about `budget` events at most, and adds about `bytes_max` bytes of messages to
    /// `batch`. [`Poll::Pending`] means "call again"; nobody is woken. May wait for the storage.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: the stream cannot go on. The client must see that it broke off, and may resume it.
    pub fn poll_history(
        &mut self,
        reader: &Reader,
        budget: u32,
        bytes_max: usize,
        batch: &mut Vec<Message>,
    ) -> Result<Poll<Found>, ReadError> {
        let Phase::History { scan, up_to } = &mut self.phase else { return Ok(Poll::Ready(Found::End)) };
        let up_to = *up_to;
        let mut history = match scan.take() {
            Some(history) if !history.is_outdated(reader) => history,
            Some(_) | None => match History::begin(&reader.take()?, &self.filter, self.position, up_to)? {
                Start::Scan(history) => history,
                Start::NotReached { last_seq } => {
                    self.position = last_seq;
                    return Ok(Poll::Ready(Found::Gap { first_seq: last_seq.saturating_add(1) }));
                }
                Start::Nothing => {
                    self.end_history(up_to);
                    return Ok(Poll::Ready(Found::End));
                }
            },
        };
        let (position, messages) = (self.position, batch.len());
        let found = history.poll(budget, bytes_max, &mut self.position, &mut self.json, batch)?;
        if history.has_lost_events()? {
            // A new snapshot shows where they were.
            batch.truncate(messages);
            self.go_back(position, up_to);
            return Ok(Poll::Pending);
        }
        if self.position >= history.end() {
            self.end_history(up_to);
        } else {
            self.phase = Phase::History { scan: Some(history), up_to };
        }
        Ok(found)
    }

    /// Goes back to this sequence number, in history. For a host that has not handed out what
    /// [`poll_history`](Self::poll_history) returned, because events were erased meanwhile.
    pub fn rewind(&mut self, position: u64) {
        self.go_back(position, None);
    }

    fn go_back(&mut self, position: u64, up_to: Option<u64>) {
        self.position = position;
        self.phase = Phase::History { scan: None, up_to };
    }

    /// Takes messages from the hub, about `bytes_max` bytes, and adds them to `batch`. Cheap. `now` is the uptime.
    pub fn poll_live(&mut self, hub: &mut Hub, now: Duration, bytes_max: usize, batch: &mut Vec<Message>) -> Live {
        match &self.phase {
            Phase::History { .. } => return Live::History,
            Phase::Joining => {
                match hub.join(self.reader, &self.filter, &self.key, self.position, JOIN_AHEAD_MAX, now) {
                    // Others have committed in the meantime.
                    None => {
                        self.phase = Phase::History { scan: None, up_to: None };
                        return Live::History;
                    }
                    Some(since) if since > self.position => {
                        self.phase = Phase::History { scan: None, up_to: Some(since) };
                        return Live::History;
                    }
                    Some(_) => self.phase = Phase::Live,
                }
            }
            Phase::Live => {}
            Phase::Over => return Live::Slow,
        }
        match hub.take(self.reader, &mut self.position, now, bytes_max, batch) {
            Taken::Messages => Live::Messages,
            Taken::Nothing => Live::Wait,
            Taken::Lost => {
                self.phase = Phase::History { scan: None, up_to: None };
                Live::History
            }
            Taken::Slow => {
                self.phase = Phase::Over;
                Live::Slow
            }
        }
    }

    /// Releases the snapshot and everything read from it; the next [`poll_history`](Self::poll_history) continues in a
    /// new one. For a reader whose client does not read, or when memory is short. Returns what it releases, so that the
    /// caller can drop it where that may take time.
    pub fn suspend(&mut self) -> Option<Box<dyn Send>> {
        match &mut self.phase {
            Phase::History { scan, .. } => scan.take().map(|history| -> Box<dyn Send> { Box::new(history) }),
            Phase::Joining | Phase::Live | Phase::Over => None,
        }
    }

    /// Whether it has begun a scan, and that has examined no event yet. Suspended again and again in this state, it
    /// would start over without end.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        match &self.phase {
            Phase::History { scan: Some(history), .. } => history.is_at_start(self.position),
            Phase::History { scan: None, .. } | Phase::Joining | Phase::Live | Phase::Over => false,
        }
    }

    /// Its memory in bytes, without what it shares with other readers. Cheap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let scan = match &self.phase {
            Phase::History { scan: Some(history), .. } => history.held_bytes(),
            Phase::History { scan: None, .. } | Phase::Joining | Phase::Live | Phase::Over => 0,
        };
        size_of::<Self>() + self.json.capacity() + scan
    }

    /// All that was stored has been read, or all that the hub does not know.
    fn end_history(&mut self, up_to: Option<u64>) {
        let phase = match up_to {
            Some(up_to) if up_to <= self.position => Phase::Live,
            // `Some`: the snapshot ended before the hub's position, because it is older or because the repository was
            // replaced. The hub knows which.
            None | Some(_) => Phase::Joining,
        };
        drop(mem::replace(&mut self.phase, phase));
        // Live messages are written by the feed.
        self.json = Vec::new();
    }
}

/// The filter that equal ones have in common: lists ascend, without repeats.
fn normalized(mut filter: Filter) -> Filter {
    if let Some(types) = &mut filter.types {
        let order = |test: &TypeTest| (matches!(test, TypeTest::Prefix(_)), Box::<str>::from(test.text()));
        types.sort_by_cached_key(order);
        types.dedup();
    }
    if let Some(ids) = &mut filter.ids {
        ids.sort_unstable();
        ids.dedup();
    }
    filter
}

/// The text of a filter. Different filters have different texts.
fn text(filter: &Filter) -> String {
    serde_json::to_string(filter).expect("a filter has no maps and no fallible parts")
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::History { .. } => "history",
            Phase::Joining => "joining",
            Phase::Live => "live",
            Phase::Over => "over",
        };
        f.debug_struct("Subscription")
            .field("reader", &self.reader)
            .field("filter", &self.key)
            .field("position", &self.position)
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}
