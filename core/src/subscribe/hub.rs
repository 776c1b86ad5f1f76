//! What all live readers share.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::feed::{Assignment, Piece};
use super::group::Group;
use super::ring::{Entry, Ring};
use super::{GroupId, Message, ReaderId, SLOW_AFTER, StreamLimits};
use crate::query::Filter;
use crate::repository::Snapshot;

/// Most sequence numbers in a pass of the feed. A reader with a new filter joins at the end of the pass under way, and
/// scans the events up to there by itself.
const PASS_EVENTS: u64 = 16 * 1024;

/// The live readers, and the messages for them.
///
/// Its messages take [`StreamLimits::buffer_bytes`] at most. The lists of messages may keep spare room, which takes up
/// to twice that again if messages are small. A reader takes about 200 bytes. A group takes up to 1 KiB and its filter,
/// as a text and compiled.
#[derive(Debug)]
pub struct Hub {
    limits: StreamLimits,
    /// All events up to here were examined for the groups.
    position: u64,
    /// The number of erasures that the messages take into account.
    erasures: u64,
    /// Where the pass under way ends.
    target: Option<u64>,
    ring: Ring,
    groups: BTreeMap<GroupId, Group>,
    /// The groups by the text of their filter.
    by_filter: BTreeMap<Arc<str>, GroupId>,
    readers: BTreeMap<ReaderId, Place>,
    readers_opened: u64,
    groups_created: u64,
    /// Groups that the feed does not know yet.
    added: Vec<(GroupId, Arc<Filter>)>,
    /// Groups that have ended, which the feed still knows.
    removed: Vec<GroupId>,
    discarded: Discarded,
}

/// Messages that a hub does not need any more, from [`Hub::take_discarded`]. To drop many of them takes a while.
#[derive(Debug, Default)]
pub struct Discarded(VecDeque<Entry>);

impl Discarded {
    /// The number of messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.0.len()
    }
}

/// The place of a reader in its group.
#[derive(Debug)]
struct Place {
    group: GroupId,
    /// The number of its next message.
    next: u64,
    /// Bytes of all messages of the group before that one.
    bytes: u64,
    /// The uptime when it last asked for messages.
    asked: Duration,
    /// The uptime when it first did. Before, it was in history, and what gathered here was not its client's fault.
    live_since: Option<Duration>,
}

/// The result of [`Hub::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// There are messages.
    Messages,
    /// There is none. The next one wakes the reader.
    Nothing,
    /// The reader has lost its place, and is not live any more.
    Lost,
    /// The reader is too slow, and is not live any more.
    Slow,
}

impl Hub {
    /// A hub without readers.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            position: 0,
            erasures: 0,
            target: None,
            ring: Ring::default(),
            groups: BTreeMap::new(),
            by_filter: BTreeMap::new(),
            readers: BTreeMap::new(),
            readers_opened: 0,
            groups_created: 0,
            added: Vec::new(),
            removed: Vec::new(),
            discarded: Discarded::default(),
        }
    }

    /// The number of a new reader, which is not live yet.
    pub fn open(&mut self) -> ReaderId {
        self.readers_opened += 1;
        ReaderId(self.readers_opened)
    }

    /// A reader has ended. Its number may be among those that were woken just before.
    pub fn close(&mut self, reader: ReaderId) {
        let Some(Place { group: id, .. }) = self.readers.remove(&reader) else { return };
        let group = self.groups.get_mut(&id).expect("a live reader has a group");
        group.leave(reader);
        if group.readers == 0 {
            self.remove_group(id);
        }
        if self.readers.is_empty() {
            self.discard();
        }
    }

    /// The whole buffer, if the last live reader has left or the hub was reset since the last call. The hub keeps it
    /// until this call, or until it discards another one.
    pub fn take_discarded(&mut self) -> Discarded {
        mem::take(&mut self.discarded)
    }

    /// The number of live readers, without those that are in history and have not joined.
    #[must_use]
    pub fn live_readers(&self) -> usize {
        self.readers.len()
    }

    /// The number of different filters of live readers.
    #[must_use]
    pub fn filters(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of memory that the shared messages take.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// All events up to here were examined for the live readers. If a snapshot that is taken after this call has a
    /// lower last sequence number, the repository was replaced: [`reset`](Self::reset) the hub. Otherwise the hub would
    /// wait for that many events, and its readers would not get them.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many events the hub has to examine, if this is the highest sequence number. 0 without live readers.
    #[must_use]
    pub fn lag(&self, last_seq: u64) -> u64 {
        if self.readers.is_empty() { 0 } else { last_seq.saturating_sub(self.position) }
    }

    /// Begins a pass over a snapshot, if there are live readers and events that the hub has not examined, and if the
    /// snapshot knows all erasures that the hub knows. The pass must be completed, or [`reset`](Self::reset).
    pub fn begin(&mut self, snapshot: &dyn Snapshot) -> Option<Assignment> {
        let last_seq = snapshot.last_seq();
        if self.readers.is_empty() || last_seq <= self.position || snapshot.erasures() < self.erasures {
            return None;
        }
        let target = last_seq.min(self.position.saturating_add(PASS_EVENTS));
        self.target = Some(target);
        let (added, removed) = (mem::take(&mut self.added), mem::take(&mut self.removed));
        Some(Assignment { after: self.position, target, added, removed })
    }

    /// Hands out the messages of a piece. Adds the readers that have to be woken to `woken`. Does nothing if the pass
    /// is over, because the hub was [`reset`](Self::reset).
    pub fn apply(&mut self, piece: Piece, now: Duration, woken: &mut Vec<ReaderId>) {
        let Piece { found, reached } = piece;
        let Some(target) = self.target else { return };
        for (message, groups) in found {
            let bytes = message.json.len();
            // Groups may have ended during the pass. A message for none of them is not kept.
            if !groups.iter().any(|id| self.groups.contains_key(id)) {
                continue;
            }
            let slot = self.ring.push(Entry { message, groups: groups.clone(), since: now });
            for id in groups {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.push(slot, bytes, woken);
                }
            }
        }
        self.position = self.position.max(reached);
        if target <= self.position {
            self.target = None;
        }
        while let Some((slot, entry)) = self.ring.evict(self.limits.buffer_bytes) {
            for id in entry.groups {
                if let Some(group) = self.groups.get_mut(&id) {
                    group.evict(slot);
                }
            }
        }
    }

    /// Sends all live readers to history, because a pass failed or events are missing, and goes on after `last_seq`,
    /// also if that is before [`position`](Self::position). Each reader continues after the last event that it
    /// examined, and meets there what the pass met. Adds the readers, all of which have to be woken, to `woken`.
    pub fn reset(&mut self, last_seq: u64, woken: &mut Vec<ReaderId>) {
        woken.extend(mem::take(&mut self.readers).into_keys());
        let groups: Vec<GroupId> = self.groups.keys().copied().collect();
        groups.into_iter().for_each(|id| self.remove_group(id));
        self.discard();
        self.position = last_seq;
        self.target = None;
    }

    /// Does as [`reset`](Self::reset) if a snapshot shows more erasures than the hub has seen: its messages may have
    /// events that are erased now. Call this with the newest snapshot, under the same lock, before
    /// [`Subscription::poll_live`](super::Subscription::poll_live).
    pub fn see_erasures(&mut self, snapshot: &dyn Snapshot, woken: &mut Vec<ReaderId>) {
        if snapshot.erasures() > self.erasures {
            self.erasures = snapshot.erasures();
            self.reset(snapshot.last_seq(), woken);
        }
    }

    /// Makes a reader live that has examined all events up to `position`. Returns the position after which the hub has
    /// its messages; the reader must examine the events before by itself. Returns `None`, and the reader is not live,
    /// if these are more than `ahead_max` events. `key` is the text of the filter.
    pub(super) fn join(
        &mut self,
        reader: ReaderId,
        filter: &Arc<Filter>,
        key: &Arc<str>,
        position: u64,
        ahead_max: u64,
        now: Duration,
    ) -> Option<u64> {
        // A reader has one place. One that has not got as far as the hub in a snapshot begins anew.
        self.close(reader);
        if self.readers.is_empty() && self.target.is_none() {
            // The hub rests, and nobody needs the events before this position. The hub may go back to it, because the
            // repository may have been replaced by a smaller one.
            self.position = position;
        }
        let known = self.by_filter.get(key).copied();
        let since = known.and_then(|id| self.groups.get(&id)).map(|group| group.since);
        // The pass under way does not look for a new filter.
        let since = since.or(self.target).unwrap_or(self.position).max(self.position);
        if since.saturating_sub(position) > ahead_max {
            return None;
        }
        let id = known.unwrap_or_else(|| self.add_group(key, filter, since));
        let group = self.groups.get_mut(&id).expect("it was found, or added");
        group.readers += 1;
        let place = Place { group: id, next: group.end(), bytes: group.bytes(), asked: now, live_since: None };
        self.readers.insert(reader, place);
        Some(since)
    }

    /// Adds messages of a live reader after `position` to `batch`, about `bytes_max` bytes, and moves `position` to the
    /// last event that the reader has now examined.
    pub(super) fn take(
        &mut self,
        reader: ReaderId,
        position: &mut u64,
        now: Duration,
        bytes_max: usize,
        batch: &mut Vec<Message>,
    ) -> Taken {
        // A reset has removed the reader.
        let Some(place) = self.readers.get_mut(&reader) else { return Taken::Lost };
        let group = self.groups.get_mut(&place.group).expect("a live reader has a group");
        let asked = mem::replace(&mut place.asked, now);
        let live_since = *place.live_since.get_or_insert(now);
        let lost = group.has_lost(place.next);
        if let Some(over) = first_over(&self.limits, place, group) {
            // Since when it has been too far behind. If the message that was too much has left the buffer, all that is
            // known is that the reader did not ask.
            let since = group.slot(over).and_then(|slot| self.ring.get(slot)).map_or(asked, |entry| entry.since);
            if now.saturating_sub(since.max(live_since)) >= SLOW_AFTER {
                self.close(reader);
                return Taken::Slow;
            }
        }
        if lost {
            self.close(reader);
            return Taken::Lost;
        }
        let mut bytes = 0;
        while let Some(entry) = group.slot(place.next).and_then(|slot| self.ring.get(slot)) {
            if bytes >= bytes_max {
                return Taken::Messages;
            }
            let message = &entry.message;
            place.next += 1;
            place.bytes += message.json.len() as u64;
            // The reader may have found it in history.
            if message.seq > *position {
                *position = message.seq;
                bytes += message.json.len();
                batch.push(message.clone());
            }
        }
        *position = (*position).max(self.position);
        if bytes > 0 {
            return Taken::Messages;
        }
        group.wait(reader);
        Taken::Nothing
    }

    fn discard(&mut self) {
        let entries = self.ring.clear();
        // If it had none, the host may not have taken those from before yet.
        if !entries.is_empty() {
            self.discarded = Discarded(entries);
        }
    }

    fn add_group(&mut self, key: &Arc<str>, filter: &Arc<Filter>, since: u64) -> GroupId {
        self.groups_created += 1;
        let id = GroupId(self.groups_created);
        self.groups.insert(id, Group::new(Arc::clone(key), since));
        self.by_filter.insert(Arc::clone(key), id);
        self.added.push((id, Arc::clone(filter)));
        id
    }

    fn remove_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.remove(&id) else { return };
        self.by_filter.remove(&group.key);
        // The feed need not learn of a group that came and went between two passes.
        match self.added.iter().position(|(added, _)| *added == id) {
            Some(at) => drop(self.added.swap_remove(at)),
            None => self.removed.push(id),
        }
    }
}

/// The number of the first message that is too much for a reader's queue, if there is one.
fn first_over(limits: &StreamLimits, place: &Place, group: &Group) -> Option<u64> {
    let (events, bytes) = (group.end() - place.next, group.bytes() - place.bytes);
    if events > limits.queue_events {
        return Some(place.next + limits.queue_events);
    }
    // One message is never too much.
    (bytes > limits.queue_bytes && events > 1)
        .then(|| group.first_beyond(place.bytes.saturating_add(limits.queue_bytes)).max(place.next + 1))
}
