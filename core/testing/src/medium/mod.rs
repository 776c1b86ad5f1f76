//! A simulated medium, with the faults of a real one.

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
pub use fault::{Fault, Faults, Phase, Strike};

use self::blob::SimBlob;
pub(super) use self::blob::SimDraft;
use self::disk::{Disk, Fate, Flip, Kind, LostTail};
pub(super) use self::lock::LockFile;
use super::source::Source;

/// A medium that behaves as badly as a disk may: the promises of [`Storage`] and not a bit more.
///
/// - **The log lies in sectors** of 512 bytes. What was written and not synced is, after the power has failed, in each
///   sector as it was before or after any of the writes to it. A log is preallocated, and the next process may see more
///   of it than was written.
/// - **Syncs fail once.** What a failed sync has left goes on looking well for as long as this process lives, is on the
///   medium or not, and no later sync changes that.
/// - **A log without a name** ([`Strike::Unlink`]) takes bytes as before, and no sync succeeds: the next process finds
///   what was there before, and what came since or not.
/// - **Names are durable** when [`Draft::finish`] or [`Storage::delete`] has returned, and in doubt before. Drafts
///   vanish with the process.
/// - **What was cut off stays away:** [`StorageWriter::truncate`] makes durable that the log ends there, and all that is
///   left of it.
/// - **Calls fail** when they were told to ([`strike`](Self::strike)), and so does every call after the power has
///   failed, until [`restart`](Self::restart) gives the medium as the next process finds it.
///
/// Which of this happens is drawn from a seed, within the classes that are permitted. Clones are handles of the same
/// medium.
#[derive(Clone)]
pub struct SimStorage(Arc<Mutex<Disk>>);

/// How a process came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was stopped or killed, and the machine went on.
    Process,
    /// The power was cut.
    Power,
}

/// Everything that can be read of a medium.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    /// Between which offsets the log can be read.
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
        Self::from(Disk { source: Source::seeded(seed), faults, ..Disk::empty() })
    }

    /// Lets something happen to a call, after so many others to which it could have happened.
    pub fn strike(&self, strike: Strike, after: u32) {
        self.disk().armed.push((strike, after));
    }

    /// Lets the power fail at this call, counted from the first of all, unless it comes while all is
    /// [quiet](Self::set_quiet); or, if there is none, not any more.
    pub fn crash_at(&self, call: Option<(u64, Phase)>) {
        self.disk().crash_at = call;
    }

    /// Takes back all that was to happen by a [`strike`](Self::strike); space returns, and the log is back in its
    /// place.
    pub fn calm(&self) {
        let mut disk = self.disk();
        disk.armed.clear();
        disk.free = None;
        disk.log_is_unlinked = false;
    }

    /// Leaves so many bytes of space, or as many as one likes.
    pub fn set_free(&self, bytes: Option<usize>) {
        self.disk().free = bytes;
    }

    /// Whether there is as much space as one likes.
    #[must_use]
    pub fn is_roomy(&self) -> bool {
        self.disk().free.is_none()
    }

    /// Whether the log has no name any more.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.disk().log_is_unlinked
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// Calls so far, of this process and those before.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// How many of them failed by a fault.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.disk().failures
    }

    /// What happened to calls since this was last asked, in words.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.disk().notes)
    }

    /// The medium as the next process finds it. For those before, there is no medium any more, and no lock.
    #[must_use]
    pub fn restart(&self, ending: Ending) -> Self {
        let off = Disk { is_off: true, ..Disk::empty() };
        let mut disk = std::mem::replace(&mut *self.disk(), off);
        let faults = disk.faults;
        match ending {
            Ending::Process => disk.log.lose_process(&mut disk.source, faults),
            Ending::Power => disk.log.lose_power(&mut disk.source, faults),
        }
        for (name, content) in std::mem::take(&mut disk.doubtful) {
            if disk.source.one_in(2) {
                disk.flip.take_if(|flip| flip.blob.as_ref() == Some(&name));
                match content {
                    Some(content) => drop(disk.durable.insert(name, content)),
                    None => drop(disk.durable.remove(&name)),
                }
            }
        }
        disk.seen.clone_from(&disk.durable);
        disk.lock.let_go();
        disk.is_off = false;
        disk.log_is_unlinked = false;
        Self::from(disk)
    }

    /// Changes one bit that a reader can know to have been durable, if there is one and none is changed already. Says
    /// where.
    pub fn rot(&self) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let log = disk.log.known_durable();
        let blobs: Vec<(String, usize)> = disk.durable.iter().map(|(name, blob)| (name.clone(), blob.len())).collect();
        let bit = u8::try_from(disk.source.below(8)).expect("below 8");
        let mask = vec![1 << bit];
        let which = disk.source.index(blobs.len() + usize::from(!log.is_empty()));
        let flip = match blobs.get(which) {
            Some((_, 0)) => return None,
            Some((name, len)) => Flip { blob: Some(name.clone()), at: disk.source.index(*len), mask },
            None if log.is_empty() => return None,
            None => Flip { blob: None, at: log.start + disk.source.index(log.len()), mask },
        };
        let place = format!("bit {bit} of byte {} of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// As [`rot`](Self::rot), in the log or else in a segment, but changes several bits, so that every checksum over
    /// all of them stays right.
    pub(super) fn forge(&self, in_log: bool) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let mask = unnoticed(1 << disk.source.below(8)).to_vec();
        let log = disk.log.known_durable();
        let blobs = disk.durable.iter().filter(|(name, _)| name.starts_with("segment-"));
        let segments: Vec<(String, usize)> = blobs.map(|(name, blob)| (name.clone(), blob.len())).collect();
        let (blob, start, len) = match segments.get(disk.source.index(segments.len())) {
            _ if in_log => (None, log.start, log.len()),
            Some((name, len)) => (Some(name.clone()), 0, *len),
            None => return None,
        };
        let places = (len + 1).checked_sub(mask.len()).filter(|places| *places > 0)?;
        let flip = Flip { blob, at: start + disk.source.index(places), mask };
        let place = format!("bytes from {} on of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// Loses the end of the log, from any place on: what was there reads as zeros, or the log ends. Says where, if
    /// there is anything to lose and nothing is lost already.
    pub fn lose_tail(&self) -> Option<u64> {
        let disk = &mut *self.disk();
        let range = disk.log.range();
        if disk.lost.is_some() || range.is_empty() {
            return None;
        }
        let (start, end) = (range.start as usize, range.end as usize);
        let from = start + disk.source.index(end - start);
        let is_cut = disk.source.one_in(2);
        disk.lost = Some(LostTail { from, bytes: disk.log.lose(from, is_cut) });
        Some(from as u64)
    }

    /// Changes the bit back, if what it was in is still there, and puts back the end of the log that was lost. Says
    /// whether there was any of that.
    pub fn heal(&self) -> bool {
        let disk = &mut *self.disk();
        let (flip, lost) = (disk.flip.take(), disk.lost.take());
        flip.iter().for_each(|flip| disk.apply(flip));
        lost.iter().for_each(|lost| disk.log.put_back(lost.from, &lost.bytes));
        flip.is_some() || lost.is_some()
    }

    /// Whether a bit is changed, or the end of the log is lost.
    #[must_use]
    pub fn is_rotten(&self) -> bool {
        let disk = self.disk();
        disk.flip.is_some() || disk.lost.is_some()
    }

    /// Lets nothing happen to calls for a while, or no longer.
    pub fn set_quiet(&self, is_quiet: bool) {
        self.disk().is_quiet = is_quiet;
    }

    /// Lets syncs do nothing from now on, and say that they have succeeded; or no longer.
    pub(super) fn set_lying(&self, is_lying: bool) {
        self.disk().is_lying = is_lying;
    }

    /// Everything that can be read.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let disk = self.disk();
        let range = disk.log.range();
        let log = disk.log.read(range.start, usize::MAX).unwrap_or_default();
        Contents { log: Bytes::copy_from_slice(log), range, blobs: disk.seen.clone() }
    }

    /// The state that all handles share. One thread uses a medium; if it panicked, the run is over.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Whether both are the same, but that one may have more of what was given up of the log.
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
        bytes.ok_or_else(|| StorageError::Failed(format!("{call}, which has {:?}", disk.log.range()).into()))
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
            Fate::Fails | Fate::IsCutShort => bytes.truncate(disk.source.index(bytes.len() + 1)),
        }
        disk.log.append(&bytes, &mut disk.source, disk.faults);
        disk.end(&call, fate)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let disk = &mut *self.disk();
        let mut fate = disk.begin("sync", Kind::Syncs)?;
        if disk.is_lying {
            return Ok(());
        }
        if fate == Fate::Succeeds && disk.log_is_unlinked {
            fate = Fate::Fails;
        }
        match fate {
            Fate::Succeeds | Fate::IsLast => disk.log.sync(),
            Fate::Fails => disk.log.fail_sync(),
            // What was not synced is in doubt already.
            Fate::IsCutShort => {}
        }
        disk.end("sync", fate)
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let disk = &mut *self.disk();
        let call = format!("truncate to {end}");
        let fate = disk.begin(&call, Kind::Writes)?;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
            disk.flip.take_if(|flip| {
                if flip.blob.is_none() {
                    flip.mask.truncate(usize::try_from(end).unwrap_or(usize::MAX).saturating_sub(flip.at));
                }
                flip.mask.is_empty()
            });
            // Whoever cuts it there has decided what the log has.
            disk.lost = None;
            disk.log.truncate(end, &mut disk.source, disk.faults);
        }
        disk.end(&call, fate)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        Ok(Box::new(self.draft(name)?))
    }

    fn adopt(&mut self, published: Published) {
        let disk = &mut *self.disk();
        // What was published is durable, or was meant to be; its content is what was kept of it then.
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
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
            more = disk.log.discard(offset, &mut disk.source, disk.faults);
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
            if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
                disk.seen.remove(&name);
            }
            disk.end(&call, fate)
        })
    }
}

impl SimStorage {
    /// Opens the lock file, and creates it where there is none.
    pub(super) fn open_lock(&self) -> LockFile {
        self.disk().lock.open()
    }

    /// Locks a file that was opened, until the [restart](Self::restart). Says whether nobody else has.
    pub(super) fn try_lock(&self, file: LockFile) -> bool {
        self.disk().lock.try_lock(file)
    }

    /// Removes the name of the lock file.
    pub(super) fn unlink_lock(&self) {
        self.disk().lock.unlink();
    }

    /// As [`Storage::create`].
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
        // Blobs hold handles of their medium: a derived text would have no end.
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

/// A mask of changes in one bit of each of 33 bytes, which no CRC-32C over all of them notices.
///
/// A change goes unnoticed if its polynomial is a multiple of the generator's, G(x). In the mask, the coefficients of G
/// stand 8 bits apart: it is G(x⁸), and over the field of two elements that is G(x)⁸.
fn unnoticed(bit: u8) -> [u8; 33] {
    const GENERATOR: u64 = 0x1_1EDC_6F41;
    std::array::from_fn(|index| if GENERATOR >> (32 - index) & 1 == 1 { bit } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C bit by bit, as its definition says.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
        })
    }

    #[test]
    fn a_checksum_does_not_notice_what_is_forged() {
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
