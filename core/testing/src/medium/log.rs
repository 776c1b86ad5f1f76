//! The log of the simulated medium.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::random::Random;
use super::fault::{FaultClass, Faults};

/// A disk writes a sector atomically, except under [`FaultClass::Torn`].
pub(super) const SECTOR_BYTES: usize = 512;

/// The log is preallocated in units of this size.
const EXTENT_BYTES: usize = 8 * SECTOR_BYTES;

type Sector = [u8; SECTOR_BYTES];

/// The log of a simulated medium: what is on the medium, what can be read, and which of the differences may survive a
/// crash.
///
/// The discarded front stays in memory, since runs are short, unless it is scrubbed.
#[derive(Debug, Default)]
pub(super) struct SimLog {
    start: usize,
    /// The start before the last discard.
    start_before: usize,
    end: usize,
    /// The contents after a crash at which no unsynced sector survives. Whole sectors.
    medium: Vec<u8>,
    /// What can be read. As long as `medium`.
    cache: Vec<u8>,
    /// Every state that each sector has had since the last sync.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// The same for sectors of a failed sync. Nothing writes them again, though they read well.
    failed_sync: BTreeMap<usize, Vec<Sector>>,
    /// Everything before this offset is on the medium.
    durable_end: usize,
    /// The log is at least this long after a crash. Beyond `durable_end` if a sync failed and a later one did not.
    durable_size: usize,
    /// Where each append started.
    appends: Vec<usize>,
    /// Where the first append since the last sync started.
    pending_append: Option<usize>,
    /// A later record, which is durable now, confirms that everything before this offset was durable.
    mark: usize,
}

impl SimLog {
    pub(super) fn range(&self) -> Range<u64> {
        self.start as u64..self.end as u64
    }

    /// The part of a range that exists; `None` if it starts outside of the log.
    pub(super) fn read(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok().filter(|offset| (self.start..=self.end).contains(offset))?;
        self.cache.get(offset..self.end.min(offset.saturating_add(len)))
    }

    /// Appends.
    pub(super) fn append(&mut self, bytes: &[u8], random: &mut Random<'_>, faults: Faults) {
        if bytes.is_empty() {
            return;
        }
        let (from, to) = (self.end, self.end + bytes.len());
        while self.medium.len() < to {
            let capacity = self.medium.len();
            self.medium.resize(capacity + EXTENT_BYTES, 0);
            self.cache.resize(capacity + EXTENT_BYTES, 0);
            self.fill(capacity, random, faults);
        }
        slice(&mut self.cache, from..to).copy_from_slice(bytes);
        for sector in from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES) {
            self.dirty.entry(sector).or_default().push(sector_of(&self.cache, sector));
        }
        self.end = to;
        self.appends.push(from);
        if self.failed_sync.is_empty() {
            self.pending_append.get_or_insert(from);
        }
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) {
        self.flush();
        self.mark = self.pending_append.take().unwrap_or(self.mark);
    }

    /// Writes everything back without a sync. Unlike after a sync, the last append need not be a whole record.
    fn flush(&mut self) {
        for (sector, _) in std::mem::take(&mut self.dirty) {
            self.failed_sync.remove(&sector);
            let bytes = sector_of(&self.cache, sector);
            slice(&mut self.medium, range_of(sector)).copy_from_slice(&bytes);
        }
        self.durable_size = self.end;
        self.durable_end = match self.failed_sync.first_key_value() {
            Some((sector, _)) => self.durable_end.max((sector * SECTOR_BYTES).min(self.end)),
            None => self.end,
        };
    }

    /// A sync fails: what was written since the last one may or may not be on the medium, and later syncs do not change
    /// that.
    pub(super) fn fail_sync(&mut self) {
        self.pending_append = None;
        for (sector, mut states) in std::mem::take(&mut self.dirty) {
            self.failed_sync.entry(sector).or_default().append(&mut states);
        }
    }

    /// Cuts the log and makes the rest durable, like a file system that truncates and syncs.
    pub(super) fn truncate(&mut self, end: u64, random: &mut Random<'_>, faults: Faults) {
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.end);
        self.flush();
        self.pending_append = None;
        self.end = end;
        self.durable_size = end;
        self.durable_end = self.durable_end.min(end);
        self.start = self.start.min(end);
        self.mark = self.mark.min(end);
        self.fill(end, random, faults);
        self.appends.retain(|from| *from < end);
    }

    /// Discards some of the front; returns whether to ask again for the rest.
    pub(super) fn discard(&mut self, offset: u64, random: &mut Random<'_>, faults: Faults) -> bool {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).clamp(self.start, self.end);
        self.start_before = self.start;
        self.start = if faults.has(FaultClass::Loose) {
            let between = self.start + random.index(offset - self.start + 1);
            random.pick(&[offset, self.start, between, (offset / SECTOR_BYTES * SECTOR_BYTES).max(self.start)])
        } else {
            offset
        };
        (self.start_before + 1..offset).contains(&self.start) && random.one_in(2)
    }

    /// Discards the front, and overwrites some or all of it; returns whether to ask again for the rest.
    pub(super) fn scrub(&mut self, offset: u64, random: &mut Random<'_>) -> bool {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).clamp(self.start, self.end);
        (self.start, self.start_before) = (offset, offset);
        if offset > 0 && random.one_in(4) {
            self.overwrite_states(random.index(offset));
            return true;
        }
        self.overwrite_states(offset);
        false
    }

    /// Overwrites everything before an offset, and the older parts of the log after its end, in every state.
    fn overwrite_states(&mut self, to: usize) {
        let end = self.end;
        for bytes in [&mut self.medium, &mut self.cache] {
            bytes.iter_mut().take(to).for_each(|byte| *byte = 0);
            bytes.iter_mut().skip(end).for_each(|byte| *byte = 0);
        }
        for (sector, states) in self.dirty.iter_mut().chain(&mut self.failed_sync) {
            let covered = to.saturating_sub(sector * SECTOR_BYTES).min(SECTOR_BYTES);
            states.iter_mut().for_each(|state| state.iter_mut().take(covered).for_each(|byte| *byte = 0));
        }
    }

    /// Everything that can be read, also before its start and after its end.
    pub(super) fn raw(&self) -> &[u8] {
        &self.cache
    }

    /// The power fails. Decides what is on the medium, which is then all that can be read.
    pub(super) fn lose_power(&mut self, random: &mut Random<'_>, faults: Faults) {
        let mut states = std::mem::take(&mut self.failed_sync);
        for (sector, mut later) in std::mem::take(&mut self.dirty) {
            states.entry(sector).or_default().append(&mut later);
        }
        // All survive, none, or each sector by itself.
        let survivors = random.below(4);
        let cut = self.durable_end + random.index(self.end.saturating_sub(self.durable_end) + 1);
        let mut reached = self.durable_size;
        for (sector, states) in states {
            let old = sector_of(&self.medium, sector);
            let chosen = if faults.has(FaultClass::Subset) {
                let pick = |random: &mut Random<'_>| match survivors {
                    0 => states.last().copied(),
                    1 => None,
                    _ => random.index(states.len() + 1).checked_sub(1).and_then(|index| states.get(index).copied()),
                };
                let chosen = pick(random);
                if faults.has(FaultClass::Torn) && random.one_in(4) {
                    let other = pick(random);
                    Some(torn(chosen.unwrap_or(old), other.unwrap_or(old), random.index(SECTOR_BYTES)))
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
                reached = reached.max(if faults.has(FaultClass::Subset) { whole } else { whole.min(cut) });
            }
        }
        self.cache.clone_from(&self.medium);
        self.end = match random.below(4) {
            _ if !faults.has(FaultClass::Ahead) => reached,
            0 => reached,
            1 => self.medium.len(),
            _ => reached + random.index(self.medium.len() - reached + 1),
        };
        self.durable_end = self.end;
        self.durable_size = self.end;
        self.pending_append = None;
        self.mark = self.mark.min(self.end);
        self.bring_back(random, faults);
    }

    /// The process ends and the machine keeps running. Sectors of a failed sync are read from the medium again.
    pub(super) fn lose_process(&mut self, random: &mut Random<'_>, faults: Faults) {
        if !faults.has(FaultClass::Kill) {
            // As if the machine had written everything back.
            self.flush();
        }
        let failed_sync = std::mem::take(&mut self.failed_sync);
        let mut lost = None;
        let surviving = random.index(failed_sync.len() + 1);
        for (index, (sector, states)) in failed_sync.into_iter().enumerate() {
            let chosen = if faults.has(FaultClass::Subset) {
                random.index(states.len() + 1).checked_sub(1).and_then(|index| states.get(index))
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
            if let Some(sector) = lost.filter(|_| !faults.has(FaultClass::Ahead)) {
                self.end = self.end.min(sector * SECTOR_BYTES).max(self.durable_end);
            }
            (self.durable_end, self.durable_size, self.pending_append) = (self.end, self.end, None);
        }
        self.bring_back(random, faults);
    }

    fn bring_back(&mut self, random: &mut Random<'_>, faults: Faults) {
        if faults.has(FaultClass::Loose) && random.one_in(2) {
            self.start = self.start_before;
        }
        self.start_before = self.start;
    }

    /// The part of the log that a reader of the whole log knows to have been durable.
    pub(super) fn known_durable(&self) -> Range<usize> {
        // Writing back other sectors would undo a change to them.
        let first = self.dirty.keys().chain(self.failed_sync.keys()).min();
        let end = first.map_or(self.mark, |sector| self.mark.min(sector * SECTOR_BYTES));
        self.start..end.max(self.start)
    }

    /// Flips bits on the medium.
    pub(super) fn flip(&mut self, at: usize, mask: &[u8]) {
        for bytes in [&mut self.medium, &mut self.cache] {
            bytes.iter_mut().skip(at).zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }

    /// Loses the log from an offset on; returns the lost bytes.
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

    /// Restores lost bytes.
    pub(super) fn put_back(&mut self, from: usize, bytes: &[u8]) {
        self.overwrite(from, bytes);
        self.end = self.end.max(from + bytes.len());
        (self.durable_end, self.durable_size) = (self.end, self.end);
    }

    /// Overwrites bytes on the medium.
    fn overwrite(&mut self, from: usize, bytes: &[u8]) {
        for place in [&mut self.medium, &mut self.cache] {
            slice(place, from..from + bytes.len()).copy_from_slice(bytes);
        }
    }

    /// Fills the unwritten space from `from` on: with zeros, or with older parts of the log.
    fn fill(&mut self, from: usize, random: &mut Random<'_>, faults: Faults) {
        let len = self.medium.len() - from;
        let mut bytes = vec![0; len];
        if faults.has(FaultClass::Stale) && !self.appends.is_empty() {
            // Shifted so that an old record starts where the next one would, or by whole sectors.
            let old = self.appends.get(random.index(self.appends.len())).copied().unwrap_or_default();
            let shift = if random.one_in(2) {
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

/// A sector whose first bytes come from one state and the others from another.
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
