mod blob;
mod fault;
mod log;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;
pub use fault::{Fault, Faults, Phase, Strike};
use spin::Mutex;

use self::blob::SimBlob;
pub(super) use self::blob::SimDraft;
use self::log::SimLog;
use super::source::Source;
use crate::storage::{Blob, Draft, Published, Storage, StorageError};

/// A medium that behaves as badly as a disk may: the promises of [`Storage`] and not a bit more.
///
/// - **The log lies in sectors** of 512 bytes. What was written and not synced is, after the power has failed, in each sector as it was
///   before or after any of the writes to it. A log is preallocated, and the next process may see more of it than was written.
/// - **Syncs fail once.** What a failed sync has left goes on looking well for as long as this process lives, is on the medium or not,
///   and no later sync changes that.
/// - **Names are durable** when [`Draft::finish`] or [`Storage::delete`] has returned, and in doubt before. Drafts vanish with the process.
/// - **What was cut off stays away:** [`Storage::truncate`] makes durable that the log ends there, and all that is left of it.
/// - **Calls fail** when they were told to ([`strike`](Self::strike)), and so does every call after the power has failed, until
///   [`restart`](Self::restart) gives the medium as the next process finds it.
///
/// Which of this happens is drawn from a seed, within the classes that are permitted. Clones are handles of the same medium.
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

/// A bit that changed, and where: in a blob, or else in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flip {
    blob: Option<String>,
    at: usize,
    bit: u8,
}

#[derive(Debug)]
struct Disk {
    source: Source<'static>,
    faults: Faults,
    log: SimLog,
    /// What this process sees.
    seen: BTreeMap<String, Bytes>,
    /// What a crash would leave, but for `doubtful`.
    durable: BTreeMap<String, Bytes>,
    /// Names that may be on the medium with this content, or not; none is a deletion. In the order in which they were changed.
    doubtful: Vec<(String, Option<Bytes>)>,
    /// What will happen, and how many calls that it could happen to come before.
    armed: Vec<(Strike, u32)>,
    /// The call, counted from the first of all, at which the power fails.
    crash_at: Option<(u64, Phase)>,
    /// Bytes that are left; as many as one likes if nothing.
    free: Option<usize>,
    flip: Option<Flip>,
    is_off: bool,
    is_quiet: bool,
    calls: u64,
    /// How many calls failed, but for those after the power had failed.
    failures: u64,
    notes: Vec<String>,
}

/// What kind of fault can hit a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reads,
    Writes,
    Syncs,
}

/// What is to become of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeeds,
    /// Fails with a part of its effect.
    Fails,
    /// The power fails in the midst of it.
    IsCutShort,
    /// The power fails behind it.
    IsLast,
}

impl SimStorage {
    /// An empty medium.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::from(Disk { source: Source::seeded(seed), faults, ..Disk::empty() })
    }

    /// Lets something happen to a call, after so many others to which it could have happened.
    pub fn strike(&self, strike: Strike, after: u32) {
        self.0.lock().armed.push((strike, after));
    }

    /// Lets the power fail at this call, counted from the first of all, unless it comes while all is [quiet](Self::set_quiet); or,
    /// if there is none, not any more.
    pub fn crash_at(&self, call: Option<(u64, Phase)>) {
        self.0.lock().crash_at = call;
    }

    /// Takes back all that was to happen by a [`strike`](Self::strike); space returns.
    pub fn calm(&self) {
        let mut disk = self.0.lock();
        disk.armed.clear();
        disk.free = None;
    }

    /// Leaves so many bytes of space, or as many as one likes.
    pub fn set_free(&self, bytes: Option<usize>) {
        self.0.lock().free = bytes;
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.lock().is_off
    }

    /// Calls so far, of this process and those before.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// How many of them failed by a fault.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.lock().failures
    }

    /// What happened to calls since this was last asked, in words.
    #[must_use]
    pub fn take_notes(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().notes)
    }

    /// The medium as the next process finds it. For the process before, there is no medium any more.
    #[must_use]
    pub fn restart(&self, ending: Ending) -> Self {
        let off = Disk { is_off: true, ..Disk::empty() };
        let mut disk = core::mem::replace(&mut *self.0.lock(), off);
        let faults = disk.faults;
        match ending {
            Ending::Process => disk.log.lose_process(&mut disk.source, faults),
            Ending::Power => disk.log.lose_power(&mut disk.source, faults),
        }
        for (name, content) in core::mem::take(&mut disk.doubtful) {
            if disk.source.one_in(2) {
                disk.flip.take_if(|flip| flip.blob.as_ref() == Some(&name));
                match content {
                    Some(content) => drop(disk.durable.insert(name, content)),
                    None => drop(disk.durable.remove(&name)),
                }
            }
        }
        disk.seen.clone_from(&disk.durable);
        disk.is_off = false;
        Self::from(disk)
    }

    /// Changes one bit that a reader can know to have been durable, if there is one and none is changed already. Says where.
    pub fn rot(&self) -> Option<String> {
        let disk = &mut *self.0.lock();
        if disk.flip.is_some() {
            return None;
        }
        let log = disk.log.known_durable();
        let blobs: Vec<(String, usize)> = disk.durable.iter().map(|(name, blob)| (name.clone(), blob.len())).collect();
        let bit = u8::try_from(disk.source.below(8)).expect("below 8");
        let which = disk.source.index(blobs.len() + usize::from(!log.is_empty()));
        let flip = match blobs.get(which) {
            Some((_, 0)) => return None,
            Some((name, len)) => Flip { blob: Some(name.clone()), at: disk.source.index(*len), bit },
            None if log.is_empty() => return None,
            None => Flip { blob: None, at: log.start + disk.source.index(log.len()), bit },
        };
        let place = format!("bit {bit} of byte {} of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// Changes the bit back, if what it was in is still there. Says whether it did.
    pub fn heal(&self) -> bool {
        let disk = &mut *self.0.lock();
        let flip = disk.flip.take();
        flip.iter().for_each(|flip| disk.apply(flip));
        flip.is_some()
    }

    /// Whether a bit is changed.
    #[must_use]
    pub fn is_rotten(&self) -> bool {
        self.0.lock().flip.is_some()
    }

    /// Lets nothing happen to calls for a while, or no longer.
    pub fn set_quiet(&self, is_quiet: bool) {
        self.0.lock().is_quiet = is_quiet;
    }

    /// Everything that can be read.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let disk = self.0.lock();
        let range = disk.log.range();
        let log = disk.log.read(range.start, usize::MAX).unwrap_or_default();
        Contents { log: Bytes::copy_from_slice(log), range, blobs: disk.seen.clone() }
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

impl Disk {
    fn empty() -> Self {
        Self {
            source: Source::seeded(0),
            faults: Faults::NONE,
            log: SimLog::default(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            doubtful: Vec::new(),
            armed: Vec::new(),
            crash_at: None,
            free: None,
            flip: None,
            is_off: false,
            is_quiet: false,
            calls: 0,
            failures: 0,
            notes: Vec::new(),
        }
    }

    /// Begins a call: counts it, and says what is to become of it.
    fn begin(&mut self, call: &str, kind: Kind) -> Result<Fate, StorageError> {
        if self.is_off {
            return Err(StorageError::Failed(format!("{call}: the power is off")));
        }
        self.calls += 1;
        if self.is_quiet {
            return Ok(Fate::Succeeds);
        }
        let mut fate = Fate::Succeeds;
        let mut strikes = Vec::new();
        self.armed.retain_mut(|(strike, after)| {
            let concerned = match strike {
                Strike::Crash(_) => true,
                Strike::WriteError => kind == Kind::Writes,
                Strike::SyncError => kind == Kind::Syncs,
                Strike::ReadError => kind == Kind::Reads,
            };
            let strikes_now = concerned && *after == 0;
            if strikes_now {
                strikes.push(*strike);
            } else if concerned {
                *after -= 1;
            }
            !strikes_now
        });
        if let Some((_, phase)) = self.crash_at.take_if(|(call, _)| *call < self.calls) {
            strikes.push(Strike::Crash(phase));
        }
        for strike in strikes {
            fate = match strike {
                Strike::Crash(Phase::Before) => return Err(self.lose_power(call, "before")),
                Strike::Crash(Phase::During) => Fate::IsCutShort,
                Strike::Crash(Phase::After) => Fate::IsLast,
                Strike::WriteError | Strike::SyncError | Strike::ReadError => Fate::Fails,
            };
        }
        Ok(fate)
    }

    /// Ends a call whose effect was taken care of.
    fn end(&mut self, call: &str, fate: Fate) -> Result<(), StorageError> {
        match fate {
            Fate::Succeeds => Ok(()),
            Fate::Fails => {
                self.failures += 1;
                self.notes.push(format!("{call} fails"));
                Err(StorageError::Failed(format!("{call}: a fault of the medium")))
            }
            Fate::IsCutShort => Err(self.lose_power(call, "during")),
            Fate::IsLast => Err(self.lose_power(call, "after")),
        }
    }

    fn lose_power(&mut self, call: &str, when: &str) -> StorageError {
        self.is_off = true;
        self.failures += 1;
        self.notes.push(format!("the power fails {when} {call}"));
        StorageError::Failed(format!("{call}: the power failed"))
    }

    /// Takes space for so many bytes.
    fn take_space(&mut self, call: &str, bytes: usize) -> Result<(), StorageError> {
        let Some(free) = self.free else { return Ok(()) };
        let Some(left) = free.checked_sub(bytes) else {
            self.failures += 1;
            self.notes.push(format!("{call} finds no space"));
            return Err(StorageError::Full(format!("{call}: {free} bytes are free, {bytes} are wanted")));
        };
        self.free = Some(left);
        Ok(())
    }

    fn apply(&mut self, flip: &Flip) {
        let Some(name) = &flip.blob else { return self.log.flip(flip.at, flip.bit) };
        for blobs in [&mut self.durable, &mut self.seen] {
            let Some(content) = blobs.get_mut(name) else { continue };
            let mut bytes = content.to_vec();
            bytes.get_mut(flip.at).into_iter().for_each(|byte| *byte ^= 1 << flip.bit);
            *content = bytes.into();
        }
    }

    /// A change of a name, of which a part happens if its fate is bad.
    fn rename(&mut self, name: &str, content: Option<Bytes>, fate: Fate) {
        match fate {
            Fate::Succeeds | Fate::IsLast => {
                self.flip.take_if(|flip| flip.blob.as_deref() == Some(name));
                self.doubtful.retain(|(doubtful, _)| doubtful != name);
                match content {
                    Some(content) => drop(self.durable.insert(name.into(), content)),
                    None => drop(self.durable.remove(name)),
                }
            }
            Fate::Fails | Fate::IsCutShort => self.doubtful.push((name.into(), content)),
        }
    }
}

impl Storage for SimStorage {
    fn is_volatile(&self) -> bool {
        false
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        let disk = &mut *self.0.lock();
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
        let disk = &mut *self.0.lock();
        let fate = disk.begin("sync", Kind::Syncs)?;
        match fate {
            Fate::Succeeds | Fate::IsLast => disk.log.sync(),
            Fate::Fails => disk.log.fail_sync(),
            // What was not synced is in doubt already.
            Fate::IsCutShort => {}
        }
        disk.end("sync", fate)
    }

    fn log_range(&self) -> Range<u64> {
        self.0.lock().log.range()
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let disk = &mut *self.0.lock();
        let call = format!("read of {len} bytes of the log at {offset}");
        let fate = disk.begin(&call, Kind::Reads)?;
        disk.end(&call, fate)?;
        let bytes = disk.log.read(offset, len).map(Bytes::copy_from_slice);
        bytes.ok_or_else(|| StorageError::Failed(format!("{call}, which has {:?}", disk.log.range())))
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let disk = &mut *self.0.lock();
        let call = format!("truncate to {end}");
        let fate = disk.begin(&call, Kind::Writes)?;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
            disk.flip.take_if(|flip| flip.blob.is_none() && flip.at as u64 >= end);
            disk.log.truncate(end, &mut disk.source, disk.faults);
        }
        disk.end(&call, fate)
    }

    fn discard(&mut self, offset: u64) -> Result<(), StorageError> {
        let disk = &mut *self.0.lock();
        let call = format!("discard before {offset}");
        let fate = disk.begin(&call, Kind::Writes)?;
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
            disk.log.discard(offset, &mut disk.source, disk.faults);
        }
        disk.end(&call, fate)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        let disk = &mut *self.0.lock();
        let fate = disk.begin("list", Kind::Reads)?;
        disk.end("list", fate)?;
        Ok(disk.seen.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        let disk = &mut *self.0.lock();
        let call = format!("open of {name}");
        let fate = disk.begin(&call, Kind::Reads)?;
        disk.end(&call, fate)?;
        let blob =
            |content: &Bytes| Arc::new(SimBlob { medium: self.clone(), content: content.clone() }) as Arc<dyn Blob>;
        Ok(disk.seen.get(name).map(blob))
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        Ok(Box::new(self.draft(name)?))
    }

    fn adopt(&mut self, published: Published) {
        let disk = &mut *self.0.lock();
        // What was published is durable, or was meant to be; its content is what was kept of it then.
        let last = disk.doubtful.iter().rev().find(|(name, _)| *name == published.name);
        let content = last.and_then(|(_, content)| content.as_ref()).or_else(|| disk.durable.get(&published.name));
        if let Some(content) = content.cloned() {
            disk.seen.insert(published.name, content);
        }
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        let disk = &mut *self.0.lock();
        let call = format!("delete of {name}");
        let fate = disk.begin(&call, Kind::Writes)?;
        disk.rename(name, None, fate);
        if matches!(fate, Fate::Succeeds | Fate::IsLast) || disk.source.one_in(2) {
            disk.seen.remove(name);
        }
        disk.end(&call, fate)
    }
}

impl SimStorage {
    /// As [`Storage::create`].
    pub(super) fn draft(&self, name: &str) -> Result<SimDraft, StorageError> {
        let disk = &mut *self.0.lock();
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
        let disk = self.0.lock();
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
