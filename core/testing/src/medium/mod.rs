//! A simulated medium with the faults of a real one.

mod blob;
mod damage;
mod disk;
mod fault;
mod lock;
mod log;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::storage::{Blob, Deletion, Draft, Published, Storage, StorageError, StorageReader, StorageWriter};
use bytes::Bytes;
pub use fault::{FaultClass, Faults, InjectedFault, Phase};

use self::blob::SimBlob;
pub(super) use self::blob::SimDraft;
use self::disk::{Disk, Fate, Kind};
pub(super) use self::lock::LockFile;
use super::contents::Contents;
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

    /// All bytes that a program could find: those of the log, also where it was discarded and beyond its end, and those
    /// of all blobs.
    #[must_use]
    pub fn raw_bytes(&self) -> Vec<Bytes> {
        let disk = self.disk();
        let log = Bytes::copy_from_slice(disk.log.raw());
        disk.seen.values().chain(disk.durable.values()).cloned().chain([log]).collect()
    }

    /// The shared state. One thread uses a medium; if it panicked, the run is over anyway.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        let disk = &mut *self.disk();
        let call = format!("scrub before {offset}");
        let fate = disk.begin(&call, Kind::Writes)?;
        let mut more = false;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.random.one_in(2) {
            more = disk.log.scrub(offset, &mut disk.random);
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
