//! The log of the simulated medium.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::source::Source;
use super::fault::{Fault, Faults};

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// By so much a log is preallocated.
const EXTENT_BYTES: usize = 8 * SECTOR_BYTES;

type Sector = [u8; SECTOR_BYTES];

/// The log of a simulated medium: what the medium has, what can be read, and what of the difference may come through a
/// crash.
///
/// Nothing is ever dropped in front, since runs are short.
#[derive(Debug, Default)]
pub(super) struct SimLog {
    start: usize,
    /// Where it began before it was last given up.
    start_before: usize,
    end: usize,
    /// What would be there after a crash at which nothing else survives. Whole sectors.
    medium: Vec<u8>,
    /// What is read. As long as `medium`.
    cache: Vec<u8>,
    /// Every state of the sectors that were written since the last sync.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// The same for those that a failed sync has left: nothing will write them any more, and they look well.
    limbo: BTreeMap<usize, Vec<Sector>>,
    /// Everything before is on the medium.
    durable_end: usize,
    /// The log reaches at least so far after a crash. Further than `durable_end` where a sync has failed and the next
    /// has not.
    durable_size: usize,
    /// Where appends began.
    appends: Vec<usize>,
    /// Where the first append since the last sync began.
    pending_append: Option<usize>,
    /// Whatever lies before was durable when what follows was written, and what follows is durable by now.
    mark: usize,
}

impl SimLog {
    pub(super) fn range(&self) -> Range<u64> {
        self.start as u64..self.end as u64
    }

    /// As much of a range as there is; nothing if it begins outside of the log.
    pub(super) fn read(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok().filter(|offset| (self.start..=self.end).contains(offset))?;
        self.cache.get(offset..self.end.min(offset.saturating_add(len)))
    }

    /// Writes at the end.
    pub(super) fn append(&mut self, bytes: &[u8], source: &mut Source<'_>, faults: Faults) {
        if bytes.is_empty() {
            return;
        }
        let (from, to) = (self.end, self.end + bytes.len());
        while self.medium.len() < to {
            let capacity = self.medium.len();
            self.medium.resize(capacity + EXTENT_BYTES, 0);
            self.cache.resize(capacity + EXTENT_BYTES, 0);
            self.fill(capacity, source, faults);
        }
        slice(&mut self.cache, from..to).copy_from_slice(bytes);
        for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
            self.dirty.entry(sector).or_default().push(sector_of(&self.cache, sector));
        }
        self.end = to;
        self.appends.push(from);
        if self.limbo.is_empty() {
            self.pending_append.get_or_insert(from);
        }
    }

    /// Everything that was written since the last sync reaches the medium.
    pub(super) fn sync(&mut self) {
        self.flush();
        self.mark = self.pending_append.take().unwrap_or(self.mark);
    }

    /// The same by the way, without anybody having asked: whether what was appended last is a whole record is unknown.
    fn flush(&mut self) {
        for (sector, _) in std::mem::take(&mut self.dirty) {
            self.limbo.remove(&sector);
            let bytes = sector_of(&self.cache, sector);
            slice(&mut self.medium, range_of(sector)).copy_from_slice(&bytes);
        }
        self.durable_size = self.end;
        self.durable_end = match self.limbo.first_key_value() {
            Some((sector, _)) => self.durable_end.max((sector * SECTOR_BYTES).min(self.end)),
            None => self.end,
        };
    }

    /// What was written since the last sync is on the medium or not, and no later sync changes that.
    pub(super) fn fail_sync(&mut self) {
        self.pending_append = None;
        for (sector, mut states) in std::mem::take(&mut self.dirty) {
            self.limbo.entry(sector).or_default().append(&mut states);
        }
    }

    /// Cuts the end, and makes what is left durable, as a file system does that is told to truncate and to sync.
    pub(super) fn truncate(&mut self, end: u64, source: &mut Source<'_>, faults: Faults) {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.end);
        self.flush();
        self.pending_append = None;
        self.end = end;
        self.durable_size = end;
        self.durable_end = self.durable_end.min(end);
        self.start = self.start.min(end);
        self.mark = self.mark.min(end);
        self.fill(end, source, faults);
        self.appends.retain(|from| *from < end);
    }

    /// Gives up some of what lies in front, and says whether to ask for the rest.
    pub(super) fn discard(&mut self, offset: u64, source: &mut Source<'_>, faults: Faults) -> bool {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).clamp(self.start, self.end);
        self.start_before = self.start;
        self.start = if faults.has(Fault::Loose) {
            let between = self.start + source.index(offset - self.start + 1);
            source.pick(&[offset, self.start, between, (offset / SECTOR_BYTES * SECTOR_BYTES).max(self.start)])
        } else {
            offset
        };
        (self.start_before + 1..offset).contains(&self.start) && source.one_in(2)
    }

    /// The power was cut: what can be read is what the medium has, and that is decided here.
    pub(super) fn lose_power(&mut self, source: &mut Source<'_>, faults: Faults) {
        let mut states = std::mem::take(&mut self.limbo);
        for (sector, mut later) in std::mem::take(&mut self.dirty) {
            states.entry(sector).or_default().append(&mut later);
        }
        // Of the survivors all, none, or each for itself.
        let survivors = source.below(4);
        let cut = self.durable_end + source.index(self.end.saturating_sub(self.durable_end) + 1);
        let mut reached = self.durable_size;
        for (sector, states) in states {
            let old = sector_of(&self.medium, sector);
            let chosen = if faults.has(Fault::Subset) {
                let pick = |source: &mut Source<'_>| match survivors {
                    0 => states.last().copied(),
                    1 => None,
                    _ => source.index(states.len() + 1).checked_sub(1).and_then(|index| states.get(index).copied()),
                };
                let chosen = pick(source);
                if faults.has(Fault::Torn) && source.one_in(4) {
                    let other = pick(source);
                    Some(torn(chosen.unwrap_or(old), other.unwrap_or(old), source.index(SECTOR_BYTES)))
                } else {
                    chosen
                }
            } else {
                let from = sector * SECTOR_BYTES;
                states.last().map(|new| torn(*new, old, cut.saturating_sub(from).min(SECTOR_BYTES)))
            };
            if let Some(new) = chosen {
                slice(&mut self.medium, range_of(sector)).copy_from_slice(&new);
                let whole = ((sector + 1) * SECTOR_BYTES).min(self.end);
                reached = reached.max(if faults.has(Fault::Subset) { whole } else { whole.min(cut) });
            }
        }
        self.cache.clone_from(&self.medium);
        self.end = match source.below(4) {
            _ if !faults.has(Fault::Ahead) => reached,
            0 => reached,
            1 => self.medium.len(),
            _ => reached + source.index(self.medium.len() - reached + 1),
        };
        self.durable_end = self.end;
        self.durable_size = self.end;
        self.pending_append = None;
        self.mark = self.mark.min(self.end);
        self.bring_back(source, faults);
    }

    /// The process has ended, and the machine has not. What a failed sync has left is read anew from the medium.
    pub(super) fn lose_process(&mut self, source: &mut Source<'_>, faults: Faults) {
        if !faults.has(Fault::Kill) {
            // As if the machine had found the time to write all of it.
            self.flush();
        }
        let limbo = std::mem::take(&mut self.limbo);
        let mut lost = None;
        let surviving = source.index(limbo.len() + 1);
        for (index, (sector, states)) in limbo.into_iter().enumerate() {
            let chosen = if faults.has(Fault::Subset) {
                source.index(states.len() + 1).checked_sub(1).and_then(|index| states.get(index))
            } else {
                states.last().filter(|_| index < surviving)
            };
            if self.dirty.contains_key(&sector) {
                continue;
            }
            match chosen {
                Some(new) => slice(&mut self.medium, range_of(sector)).copy_from_slice(new),
                None => drop(lost.get_or_insert(sector)),
            }
            let bytes = sector_of(&self.medium, sector);
            slice(&mut self.cache, range_of(sector)).copy_from_slice(&bytes);
        }
        if self.dirty.is_empty() {
            if let Some(sector) = lost.filter(|_| !faults.has(Fault::Ahead)) {
                self.end = self.end.min(sector * SECTOR_BYTES).max(self.durable_end);
            }
            (self.durable_end, self.durable_size, self.pending_append) = (self.end, self.end, None);
        }
        self.bring_back(source, faults);
    }

    fn bring_back(&mut self, source: &mut Source<'_>, faults: Faults) {
        if faults.has(Fault::Loose) && source.one_in(2) {
            self.start = self.start_before;
        }
        self.start_before = self.start;
    }

    /// The part of the log in which every bit is known to have been durable to whoever reads on behind it.
    pub(super) fn known_durable(&self) -> Range<usize> {
        // Sectors that are yet to be written would undo what is changed in them.
        let first = self.dirty.keys().chain(self.limbo.keys()).min();
        let end = first.map_or(self.mark, |sector| self.mark.min(sector * SECTOR_BYTES));
        self.start..end.max(self.start)
    }

    /// Changes a bit of the medium.
    pub(super) fn flip(&mut self, at: usize, bit: u8) {
        for bytes in [&mut self.medium, &mut self.cache] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }

    /// Loses what there is from a place on; gives what that was.
    pub(super) fn lose(&mut self, from: usize, is_cut: bool) -> Vec<u8> {
        let bytes = slice(&mut self.cache, from..self.end).to_vec();
        self.overwrite(from, &vec![0; bytes.len()]);
        if is_cut {
            self.end = from;
            self.durable_end = self.durable_end.min(from);
            self.durable_size = self.durable_size.min(from);
            self.mark = self.mark.min(from);
        }
        bytes
    }

    /// Puts back what was lost.
    pub(super) fn put_back(&mut self, from: usize, bytes: &[u8]) {
        self.overwrite(from, bytes);
        self.end = self.end.max(from + bytes.len());
        (self.durable_end, self.durable_size) = (self.end, self.end);
    }

    /// Changes what the medium has.
    fn overwrite(&mut self, from: usize, bytes: &[u8]) {
        for place in [&mut self.medium, &mut self.cache] {
            slice(place, from..from + bytes.len()).copy_from_slice(bytes);
        }
    }

    /// What lies behind `from` before anything is written there: zeros, or what was in the log once.
    fn fill(&mut self, from: usize, source: &mut Source<'_>, faults: Faults) {
        let len = self.medium.len() - from;
        let mut bytes = vec![0; len];
        if faults.has(Fault::Stale) && !self.appends.is_empty() {
            // Moved so that an old record begins where the next would, or by whole sectors.
            let old = self.appends.get(source.index(self.appends.len())).copied().unwrap_or_default();
            let shift = if source.one_in(2) {
                self.end.saturating_sub(old)
            } else {
                from.saturating_sub(old).next_multiple_of(SECTOR_BYTES)
            };
            if let Some(begin) = from.checked_sub(shift.max(1)) {
                let old = self.cache.get(begin..).unwrap_or_default();
                for (slot, byte) in bytes.iter_mut().zip(old.iter().take(from - begin)) {
                    *slot = *byte;
                }
            }
        }
        slice(&mut self.medium, from..from + len).copy_from_slice(&bytes);
        slice(&mut self.cache, from..from + len).copy_from_slice(&bytes);
    }
}

/// A sector whose first bytes are of one state, and whose others of another.
fn torn(front: Sector, back: Sector, cut: usize) -> Sector {
    let mut sector = back;
    for (slot, byte) in sector.iter_mut().zip(front).take(cut) {
        *slot = byte;
    }
    sector
}

fn range_of(sector: usize) -> Range<usize> {
    sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES
}

fn sector_of(bytes: &[u8], sector: usize) -> Sector {
    let bytes = bytes.get(range_of(sector)).and_then(|bytes| bytes.try_into().ok());
    bytes.expect("the log has whole sectors, and this one lies in it")
}

fn slice(bytes: &mut [u8], range: Range<usize>) -> &mut [u8] {
    bytes.get_mut(range).expect("the log was preallocated up to here")
}
