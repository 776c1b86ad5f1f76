//! Readers with equal filters.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ReaderId;
use super::ring::shrink;

/// Readers with equal filters, and the messages of the ring that they want.
///
/// Its messages are numbered from 0, from its beginning to its end. A reader's place is the number of its next message.
#[derive(Debug)]
pub(super) struct Group {
    /// The text of the filter, by which it is found.
    pub(super) key: Arc<str>,
    /// It gets the events after this sequence number.
    pub(super) since: u64,
    pub(super) readers: usize,
    /// Its readers that have taken everything and want to be woken.
    waiting: BTreeSet<ReaderId>,
    /// The number of its first message that is in the ring.
    first: u64,
    /// Its messages in the ring.
    slots: VecDeque<Slot>,
    /// Bytes of all its messages so far.
    bytes: u64,
}

/// A message of a group.
#[derive(Debug)]
struct Slot {
    /// Its slot in the ring.
    slot: u64,
    /// Bytes of all messages of the group up to this one.
    bytes: u64,
}

impl Group {
    /// A group without readers and messages.
    pub(super) fn new(key: Arc<str>, since: u64) -> Self {
        Self { key, since, readers: 0, waiting: BTreeSet::new(), first: 0, slots: VecDeque::new(), bytes: 0 }
    }

    /// The number that its next message gets: how many there were.
    pub(super) fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Bytes of all its messages so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether this message is older than those in the ring.
    pub(super) fn has_lost(&self, number: u64) -> bool {
        number < self.first
    }

    /// The slot of a message; `None` if it is not in the ring.
    pub(super) fn slot(&self, number: u64) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(index).map(|entry| entry.slot)
    }

    /// The number of the first message with which more than this many bytes precede or belong to it; its end if there
    /// is none. If that message may have left the ring, the number of one that has.
    pub(super) fn first_beyond(&self, bytes: u64) -> u64 {
        match self.slots.partition_point(|entry| entry.bytes <= bytes) {
            0 => self.first.saturating_sub(1),
            index => self.first + index as u64,
        }
    }

    /// Adds a message, and moves the readers that wait to `woken`.
    pub(super) fn push(&mut self, slot: u64, bytes: usize, woken: &mut Vec<ReaderId>) {
        self.bytes += bytes as u64;
        self.slots.push_back(Slot { slot, bytes: self.bytes });
        woken.extend(core::mem::take(&mut self.waiting));
    }

    /// The message in this slot leaves the ring.
    pub(super) fn evict(&mut self, slot: u64) {
        if self.slots.front().is_some_and(|entry| entry.slot == slot) {
            self.slots.pop_front();
            shrink(&mut self.slots);
            self.first += 1;
        }
    }

    /// The next message wakes this reader.
    pub(super) fn wait(&mut self, reader: ReaderId) {
        self.waiting.insert(reader);
    }

    /// The reader leaves.
    pub(super) fn leave(&mut self, reader: ReaderId) {
        self.readers -= 1;
        self.waiting.remove(&reader);
    }
}
