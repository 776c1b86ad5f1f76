//! The newest messages, shared by all readers.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use super::{GroupId, Message};

/// Memory of a message besides its JSON and its groups: its entry, and the allocation of the JSON.
const MESSAGE_BYTES: usize = 144;
/// Memory for each group that wants a message: its number here, and the message's slot and bytes there.
const GROUP_BYTES: usize = 24;

/// A queue with room for this many keeps it.
const SHRUNK_MIN: usize = 64;

/// Frees room that a queue needed for many small messages and does not need for fewer large ones: afterwards, it has
/// room for at most four times what is in it, unless that is little.
pub(super) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > SHRUNK_MIN && queue.len() < queue.capacity() / 4 {
        queue.shrink_to(queue.len() * 2);
    }
}

/// The newest messages in order, each in a numbered slot.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// The slot of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// A message, and who wants it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    /// The groups that want it. Some may have ended.
    pub(super) groups: Box<[GroupId]>,
    /// The uptime since when readers could take it.
    pub(super) since: Duration,
}

impl Ring {
    /// Adds an entry; returns its slot.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.first + self.entries.len() as u64 - 1
    }

    /// Removes the oldest entry if the ring has more bytes than this; returns its slot too.
    pub(super) fn evict(&mut self, bytes_max: usize) -> Option<(u64, Entry)> {
        if self.bytes <= bytes_max {
            return None;
        }
        let entry = self.entries.pop_front()?;
        shrink(&mut self.entries);
        self.bytes -= entry.bytes();
        self.first += 1;
        Some((self.first - 1, entry))
    }

    /// The entry in a slot.
    pub(super) fn get(&self, slot: u64) -> Option<&Entry> {
        let index = usize::try_from(slot.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }

    /// Removes all entries, and returns them.
    pub(super) fn clear(&mut self) -> VecDeque<Entry> {
        self.first += self.entries.len() as u64;
        self.bytes = 0;
        core::mem::take(&mut self.entries)
    }

    /// Its memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        MESSAGE_BYTES + self.message.json.len() + self.groups.len() * GROUP_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_gives_back_the_room_that_it_does_not_need() {
        let mut queue: VecDeque<u64> = (0..100_000).collect();
        while queue.pop_front().is_some() {
            shrink(&mut queue);
            assert!(queue.capacity() <= SHRUNK_MIN.max(queue.len() * 4 + 4));
        }
        assert!(queue.capacity() <= SHRUNK_MIN);
    }
}
