//! A simulated medium with the faults of a real one.

mod blob;
mod disk;
mod fault;
mod lock;
mod log;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::storage::{Blob, Deletion, Draft, Published, Storage, StorageError, StorageReader, StorageWriter};
use bytes::Bytes;
pub use fault::{FaultClass, Faults, InjectedFault, Phase};

use self::blob::SimBlob;
pub(super) use self::blob::SimDraft;
use self::disk::{Disk, Fate, Flip, Kind, LostTail};
pub(super) use self::lock::LockFile;
use super::random::Random;

/// A medium that keeps the promises of [`Storage`] and nothing beyond them.
///
/// - **The log consists of sectors** of 512 bytes. After a power failure each unsynced sector has its state before or
///   after any of its writes. A log is preallocated, and the next process may see more of it than was written.
/// - **Syncs fail once.** Data of a failed sync reads well while this process lives, may or may not be on the medium,
///   and later syncs do not change that.
/// - **An unlinked log** ([`InjectedFault::Unlink`]) accepts appends, but no sync succeeds. The next process finds what
///   was there before, and perhaps what came since.
/// - **Names are durable** when [`Draft::finish`] or [`Storage::delete`] has returned, and in doubt before. Unfinished
///   drafts vanish with the process.
/// - **Truncation is durable:** after [`StorageWriter::truncate`], the new end and everything before it are durable.
/// - **Calls fail** when a fault is injected ([`inject`](Self::inject)), and all calls after a power failure do, until
///   [`restart`](Self::restart) returns the medium for the next process.
///
/// A seed decides which of this happens, within the permitted classes. Clones are handles to the same medium.
#[derive(Clone)]
pub struct SimStorage(Arc<Mutex<Disk>>);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was stopped or killed, and the machine kept running.
    Process,
    /// The power failed.
    Power,
}

/// Everything that can be read from a medium.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    /// The range of offsets of the log.
    pub range: Range<u64>,
    /// The log.
    pub log: Bytes,
    /// The blobs by name.
    pub blobs: BTreeMap<String, Bytes>,
}

impl SimStorage {
    /// An empty medium.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::from(Disk { random: Random::seeded(seed), faults, ..Disk::empty() })
    }

    /// Injects a fault into a call, after this number of other calls that it could have hit.
    pub fn inject(&self, fault: InjectedFault, after: u32) {
        self.disk().injected.push((fault, after));
    }

    /// Makes the power fail at this call, counted over the whole run, unless faults are [paused](Self::pause_faults)
    /// then. `None` cancels that.
    pub fn crash_at(&self, call: Option<(u64, Phase)>) {
        self.disk().crash_at = call;
    }

    /// Cancels all injected faults, frees space, and puts an unlinked log back in its place.
    pub fn clear_faults(&self) {
        let mut disk = self.disk();
        disk.injected.clear();
        disk.free = None;
        disk.log_is_unlinked = false;
    }

    /// Sets the free space in bytes; `None` for unlimited.
    pub fn set_free(&self, bytes: Option<usize>) {
        self.disk().free = bytes;
    }

    /// Whether the free space is unlimited.
    #[must_use]
    pub fn has_unlimited_space(&self) -> bool {
        self.disk().free.is_none()
    }

    /// Whether the log is unlinked.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.disk().log_is_unlinked
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// The number of calls so far, over all processes.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// The number of calls that failed by a fault.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.disk().failures
    }

    /// A description of the faults since the last call of this function.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.disk().notes)
    }

    /// The medium for the next process. Handles of earlier processes fail from now on, and their locks are gone.
    #[must_use]
    pub fn restart(&self, ending: Ending) -> Self {
        let off = Disk { is_off: true, ..Disk::empty() };
        let mut disk = std::mem::replace(&mut *self.disk(), off);
        let faults = disk.faults;
        match ending {
            Ending::Process => disk.log.lose_process(&mut disk.random, faults),
            Ending::Power => disk.log.lose_power(&mut disk.random, faults),
        }
        for (name, content) in std::mem::take(&mut disk.doubtful) {
            if disk.random.one_in(2) {
                disk.flip.take_if(|flip| flip.blob.as_ref() == Some(&name));
                match content {
                    Some(content) => drop(disk.durable.insert(name, content)),
                    None => drop(disk.durable.remove(&name)),
                }
            }
        }
        disk.seen.clone_from(&disk.durable);
        disk.lock.release_lock();
        disk.is_off = false;
        disk.log_is_unlinked = false;
        Self::from(disk)
    }

    /// Flips a bit that a reader can know to have been durable, unless one is flipped already or there is none. Returns
    /// where.
    pub fn rot(&self) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let log = disk.log.known_durable();
        let blobs: Vec<(String, usize)> = disk.durable.iter().map(|(name, blob)| (name.clone(), blob.len())).collect();
        let bit = u8::try_from(disk.random.below(8)).expect("below 8");
        let mask = vec![1 << bit];
        let which = disk.random.index(blobs.len() + usize::from(!log.is_empty()));
        let flip = match blobs.get(which) {
            Some((_, 0)) => return None,
            Some((name, len)) => Flip { blob: Some(name.clone()), at: disk.random.index(*len), mask },
            None if log.is_empty() => return None,
            None => Flip { blob: None, at: log.start + disk.random.index(log.len()), mask },
        };
        let place = format!("bit {bit} of byte {} of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// As [`rot`](Self::rot), in the log or in a segment, but flips several bits such that checksums over all of them
    /// stay right.
    pub(super) fn forge(&self, in_log: bool) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let mask = unnoticed(1 << disk.random.below(8)).to_vec();
        let log = disk.log.known_durable();
        let blobs = disk.durable.iter().filter(|(name, _)| name.starts_with("segment-"));
        let segments: Vec<(String, usize)> = blobs.map(|(name, blob)| (name.clone(), blob.len())).collect();
        let (blob, start, len) = match segments.get(disk.random.index(segments.len())) {
            _ if in_log => (None, log.start, log.len()),
            Some((name, len)) => (Some(name.clone()), 0, *len),
            None => return None,
        };
        let places = (len + 1).checked_sub(mask.len()).filter(|places| *places > 0)?;
        let flip = Flip { blob, at: start + disk.random.index(places), mask };
        let place = format!("bytes from {} on of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// Loses the end of the log from some place on: it reads as zeros, or the log ends there. Returns where, unless the
    /// log is empty or its end is lost already.
    pub fn lose_tail(&self) -> Option<u64> {
        let disk = &mut *self.disk();
        let range = disk.log.range();
        if disk.lost.is_some() || range.is_empty() {
            return None;
        }
        let (start, end) = (range.start as usize, range.end as usize);
        let from = start + disk.random.index(end - start);
        let is_cut = disk.random.one_in(2);
        disk.lost = Some(LostTail { from, bytes: disk.log.lose(from, is_cut) });
        Some(from as u64)
    }

    /// Repairs flipped bits, if their blob or log still exists, and restores a lost end of the log. Returns whether
    /// there was any damage.
    pub fn repair(&self) -> bool {
        let disk = &mut *self.disk();
        let (flip, lost) = (disk.flip.take(), disk.lost.take());
        flip.iter().for_each(|flip| disk.apply(flip));
        lost.iter().for_each(|lost| disk.log.put_back(lost.from, &lost.bytes));
        flip.is_some() || lost.is_some()
    }

    /// Whether a bit is flipped or the end of the log is lost.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let disk = self.disk();
        disk.flip.is_some() || disk.lost.is_some()
    }

    /// Pauses all faults, or resumes them.
    pub fn pause_faults(&self, is_paused: bool) {
        self.disk().faults_paused = is_paused;
    }

    /// Makes syncs do nothing but report success, or ends that.
    pub(super) fn ignore_syncs(&self, is_ignoring: bool) {
        self.disk().ignores_syncs = is_ignoring;
    }

    /// Everything that can be read.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let disk = self.disk();
        let range = disk.log.range();
        let log = disk.log.read(range.start, usize::MAX).unwrap_or_default();
        Contents { log: Bytes::copy_from_slice(log), range, blobs: disk.seen.clone() }
    }

    /// The shared state. One thread uses a medium; if it panicked, the run is over anyway.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Whether both are the same, except that one may still have some discarded log.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let start = self.range.start.max(other.range.start);
        let since = |contents: &Self| {
            let given_up = usize::try_from(start - contents.range.start).unwrap_or(usize::MAX);
            contents.log.get(given_up..).map(<[u8]>::to_vec)
        };
        self.range.end == other.range.end && self.blobs == other.blobs && since(self) == since(other)
    }
}

impl From<Disk> for SimStorage {
    fn from(disk: Disk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }
}

impl StorageReader for SimStorage {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        Ok(self.disk().log.range())
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let disk = &mut *self.disk();
        let call = format!("read of {len} bytes of the log at {offset}");
        let fate = disk.begin(&call, Kind::Reads)?;
        disk.end(&call, fate)?;
        let bytes = disk.log.read(offset, len).map(Bytes::copy_from_slice);
        bytes.ok_or_else(|| StorageError::Failed(format!("{call}, which spans {:?}", disk.log.range()).into()))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        let disk = &mut *self.disk();
        let fate = disk.begin("list", Kind::Reads)?;
        disk.end("list", fate)?;
        Ok(disk.seen.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        let disk = &mut *self.disk();
        let call = format!("open of {name}");
        let fate = disk.begin(&call, Kind::Reads)?;
        disk.end(&call, fate)?;
        let blob =
            |content: &Bytes| Arc::new(SimBlob { medium: self.clone(), content: content.clone() }) as Arc<dyn Blob>;
        Ok(disk.seen.get(name).map(blob))
    }
}

impl StorageWriter for SimStorage {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        let disk = &mut *self.disk();
        let mut bytes = parts.concat();
        let call = format!("append of {} bytes at {}", bytes.len(), disk.log.range().end);
        let fate = disk.begin(&call, Kind::Writes)?;
        disk.take_space(&call, bytes.len())?;
        match fate {
            Fate::Succeeds | Fate::IsLast => {}
            Fate::Fails | Fate::IsCutShort => bytes.truncate(disk.random.index(bytes.len() + 1)),
        }
        disk.log.append(&bytes, &mut disk.random, disk.faults);
        disk.end(&call, fate)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let disk = &mut *self.disk();
        let mut fate = disk.begin("sync", Kind::Syncs)?;
        if disk.ignores_syncs {
            return Ok(());
        }
        if fate == Fate::Succeeds && disk.log_is_unlinked {
            fate = Fate::Fails;
        }
        match fate {
            Fate::Succeeds | Fate::IsLast => disk.log.sync(),
            Fate::Fails => disk.log.fail_sync(),
            // Unsynced data is in doubt already.
            Fate::IsCutShort => {}
        }
        disk.end("sync", fate)
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let disk = &mut *self.disk();
        let call = format!("truncate to {end}");
        let fate = disk.begin(&call, Kind::Writes)?;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.random.one_in(2) {
            disk.flip.take_if(|flip| {
                if flip.blob.is_none() {
                    flip.mask.truncate(usize::try_from(end).unwrap_or(usize::MAX).saturating_sub(flip.at));
                }
                flip.mask.is_empty()
            });
            // Truncation decides the contents of the log, so nothing is lost any more.
            disk.lost = None;
            disk.log.truncate(end, &mut disk.random, disk.faults);
        }
        disk.end(&call, fate)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        Ok(Box::new(self.draft(name)?))
    }

    fn adopt(&mut self, published: Published) {
        let disk = &mut *self.disk();
        // The published content is durable, or in doubt.
        let last = disk.doubtful.iter().rev().find(|(name, _)| *name == published.name);
        let content = last.and_then(|(_, content)| content.as_ref()).or_else(|| disk.durable.get(&published.name));
        if let Some(content) = content.cloned() {
            disk.seen.insert(published.name, content);
        }
    }
}

impl Storage for SimStorage {
    fn is_volatile(&self) -> bool {
        false
    }

    fn log_end(&self) -> u64 {
        self.disk().log.range().end
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        let disk = &mut *self.disk();
        let call = format!("discard before {offset}");
        let fate = disk.begin(&call, Kind::Writes)?;
        let mut more = false;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.random.one_in(2) {
            more = disk.log.discard(offset, &mut disk.random, disk.faults);
        }
        disk.end(&call, fate)?;
        Ok(more)
    }

    fn delete(&mut self, name: &str) -> Deletion {
        let (medium, name) = (self.clone(), String::from(name));
        Box::new(move || {
            let disk = &mut *medium.disk();
            let call = format!("delete of {name}");
            let fate = disk.begin(&call, Kind::Writes)?;
            disk.rename(&name, None, fate);
            if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.random.one_in(2) {
                disk.seen.remove(&name);
            }
            disk.end(&call, fate)
        })
    }
}

impl SimStorage {
    /// Opens the lock file; creates it if it does not exist.
    pub(super) fn open_lock(&self) -> LockFile {
        self.disk().lock.open()
    }

    /// Locks an opened file until the [restart](Self::restart). Returns false if another process has locked it.
    pub(super) fn try_lock(&self, file: LockFile) -> bool {
        self.disk().lock.try_lock(file)
    }

    /// Removes the name of the lock file.
    pub(super) fn unlink_lock(&self) {
        self.disk().lock.unlink();
    }

    /// As [`StorageWriter::create`].
    pub(super) fn draft(&self, name: &str) -> Result<SimDraft, StorageError> {
        let disk = &mut *self.disk();
        let call = format!("create of {name}");
        let fate = disk.begin(&call, Kind::Writes)?;
        disk.end(&call, fate)?;
        disk.take_space(&call, 1)?;
        Ok(SimDraft { medium: self.clone(), name: name.to_string(), bytes: Vec::new() })
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Blobs hold handles of their medium, so a derived implementation would recurse without end.
        let disk = self.disk();
        f.debug_struct("SimStorage")
            .field("log", &disk.log.range())
            .field("blobs", &disk.durable.keys())
            .field("is_off", &disk.is_off)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blobs: BTreeMap<&str, usize> = self.blobs.iter().map(|(name, content)| (&**name, content.len())).collect();
        f.debug_struct("Contents").field("range", &self.range).field("blobs", &blobs).finish_non_exhaustive()
    }
}

/// A mask that flips one bit in each of some of 33 bytes, which no CRC-32C over all of them notices.
///
/// A change goes unnoticed if its polynomial is a multiple of the generator G(x). Here the coefficients of G are 8 bits
/// apart, which is G(x⁸); over the field of two elements that equals G(x)⁸.
fn unnoticed(bit: u8) -> [u8; 33] {
    const GENERATOR: u64 = 0x1_1EDC_6F41;
    std::array::from_fn(|index| if GENERATOR >> (32 - index) & 1 == 1 { bit } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C bit by bit, straight from the definition.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
        })
    }

    #[test]
    fn forged_bytes_have_the_same_checksum() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        let text: Vec<u8> = (0..100).collect();
        for (at, bit) in (0..=text.len() - 33).zip((0..8).map(|bit| 1 << bit).cycle()) {
            let mut forged = text.clone();
            forged.iter_mut().skip(at).zip(unnoticed(bit)).for_each(|(byte, mask)| *byte ^= mask);
            assert_ne!(forged, text);
            assert_eq!(crc32c(&forged), crc32c(&text));
        }
    }
}
