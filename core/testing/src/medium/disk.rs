//! The state of the simulated medium: what is durable, what is not, and which faults are due.

use std::collections::BTreeMap;

use argus_core::storage::StorageError;
use bytes::Bytes;

use super::super::source::Source;
use super::fault::{Faults, Phase, Strike};
use super::lock::SimLock;
use super::log::SimLog;

/// A bit that changed, and where: in a blob, or else in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) blob: Option<String>,
    pub(super) at: usize,
    pub(super) bit: u8,
}

/// What the end of the log had before it was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostTail {
    pub(super) from: usize,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) source: Source<'static>,
    pub(super) faults: Faults,
    pub(super) log: SimLog,
    pub(super) lock: SimLock,
    /// What this process sees.
    pub(super) seen: BTreeMap<String, Bytes>,
    /// What a crash would leave, but for `doubtful`.
    pub(super) durable: BTreeMap<String, Bytes>,
    /// Names that may be on the medium with this content, or not; none is a deletion. In the order in which they were
    /// changed.
    pub(super) doubtful: Vec<(String, Option<Bytes>)>,
    /// What will happen, and how many calls that it could happen to come before.
    pub(super) armed: Vec<(Strike, u32)>,
    /// The call, counted from the first of all, at which the power fails.
    pub(super) crash_at: Option<(u64, Phase)>,
    /// Bytes that are left; as many as one likes if nothing.
    pub(super) free: Option<usize>,
    /// Whether the log that this process has open is not the one that the next process will find.
    pub(super) log_is_unlinked: bool,
    pub(super) flip: Option<Flip>,
    pub(super) lost: Option<LostTail>,
    pub(super) is_off: bool,
    pub(super) is_quiet: bool,
    pub(super) calls: u64,
    /// How many calls failed, but for those after the power had failed.
    pub(super) failures: u64,
    pub(super) notes: Vec<String>,
}

/// What kind of fault can hit a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
    Syncs,
}

/// What is to become of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// Fails with a part of its effect.
    Fails,
    /// The power fails in the midst of it.
    IsCutShort,
    /// The power fails behind it.
    IsLast,
}

impl Disk {
    pub(super) fn empty() -> Self {
        Self {
            source: Source::seeded(0),
            faults: Faults::NONE,
            log: SimLog::default(),
            lock: SimLock::default(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            doubtful: Vec::new(),
            armed: Vec::new(),
            crash_at: None,
            free: None,
            log_is_unlinked: false,
            flip: None,
            lost: None,
            is_off: false,
            is_quiet: false,
            calls: 0,
            failures: 0,
            notes: Vec::new(),
        }
    }

    /// Begins a call: counts it, and says what is to become of it.
    pub(super) fn begin(&mut self, call: &str, kind: Kind) -> Result<Fate, StorageError> {
        if self.is_off {
            return Err(StorageError::Failed(format!("{call}: the power is off").into()));
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
                Strike::Unlink => kind != Kind::Reads,
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
                Strike::Unlink => {
                    self.log_is_unlinked = true;
                    self.notes.push(format!("the log has no name any more from {call} on"));
                    fate
                }
            };
        }
        Ok(fate)
    }

    /// Ends a call whose effect was taken care of.
    pub(super) fn end(&mut self, call: &str, fate: Fate) -> Result<(), StorageError> {
        match fate {
            Fate::Succeeds => Ok(()),
            Fate::Fails => {
                self.failures += 1;
                self.notes.push(format!("{call} fails"));
                Err(StorageError::Failed(format!("{call}: a fault of the medium").into()))
            }
            Fate::IsCutShort => Err(self.lose_power(call, "during")),
            Fate::IsLast => Err(self.lose_power(call, "after")),
        }
    }

    fn lose_power(&mut self, call: &str, when: &str) -> StorageError {
        self.is_off = true;
        self.failures += 1;
        self.notes.push(format!("the power fails {when} {call}"));
        StorageError::Failed(format!("{call}: the power failed").into())
    }

    /// Takes space for so many bytes.
    pub(super) fn take_space(&mut self, call: &str, bytes: usize) -> Result<(), StorageError> {
        let Some(free) = self.free else { return Ok(()) };
        let Some(left) = free.checked_sub(bytes) else {
            self.failures += 1;
            self.notes.push(format!("{call} finds no space"));
            return Err(StorageError::Full(format!("{call}: {free} bytes are free, {bytes} are wanted").into()));
        };
        self.free = Some(left);
        Ok(())
    }

    pub(super) fn apply(&mut self, flip: &Flip) {
        let Some(name) = &flip.blob else { return self.log.flip(flip.at, flip.bit) };
        for blobs in [&mut self.durable, &mut self.seen] {
            let Some(content) = blobs.get_mut(name) else { continue };
            let mut bytes = content.to_vec();
            bytes.get_mut(flip.at).into_iter().for_each(|byte| *byte ^= 1 << flip.bit);
            *content = bytes.into();
        }
    }

    /// A change of a name, of which a part happens if its fate is bad.
    pub(super) fn rename(&mut self, name: &str, content: Option<Bytes>, fate: Fate) {
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
