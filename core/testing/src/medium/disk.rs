//! The state of the simulated medium: durable and other data, and the faults to come.

use std::collections::BTreeMap;

use argus_core::storage::StorageError;
use bytes::Bytes;

use super::super::random::Random;
use super::fault::{Faults, InjectedFault, Phase};
use super::lock::SimLock;
use super::log::SimLog;

/// Flipped bits in a blob, or in the log if `blob` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) blob: Option<String>,
    pub(super) at: usize,
    /// Combined by XOR with the bytes from `at` on.
    pub(super) mask: Vec<u8>,
}

/// The lost end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LostTail {
    pub(super) from: usize,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) random: Random<'static>,
    pub(super) faults: Faults,
    pub(super) log: SimLog,
    pub(super) lock: SimLock,
    /// The blobs that this process sees.
    pub(super) seen: BTreeMap<String, Bytes>,
    /// The blobs after a crash, apart from `doubtful`.
    pub(super) durable: BTreeMap<String, Bytes>,
    /// Changes of names that a crash may or may not preserve, in order. `None` is a deletion.
    pub(super) doubtful: Vec<(String, Option<Bytes>)>,
    /// Injected faults, each with the number of matching calls to let pass first.
    pub(super) injected: Vec<(InjectedFault, u32)>,
    /// The call, counted over the whole run, at which the power fails.
    pub(super) crash_at: Option<(u64, Phase)>,
    /// Bytes of free space; `None` if unlimited.
    pub(super) free: Option<usize>,
    /// Whether the log file was moved away while this process has it open.
    pub(super) log_is_unlinked: bool,
    pub(super) flip: Option<Flip>,
    pub(super) lost: Option<LostTail>,
    pub(super) is_off: bool,
    pub(super) faults_paused: bool,
    /// Whether syncs do nothing but report success.
    pub(super) ignores_syncs: bool,
    pub(super) calls: u64,
    /// Failed calls, except those after a power failure.
    pub(super) failures: u64,
    pub(super) notes: Vec<String>,
}

/// The kind of a call, which decides the faults that can hit it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Reads,
    Writes,
    Syncs,
}

/// The outcome of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Succeeds,
    /// It fails after part of its effect.
    Fails,
    /// The power fails during the call.
    IsCutShort,
    /// The power fails after the call.
    IsLast,
}

impl Disk {
    pub(super) fn empty() -> Self {
        Self {
            random: Random::seeded(0),
            faults: Faults::NONE,
            log: SimLog::default(),
            lock: SimLock::default(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            doubtful: Vec::new(),
            injected: Vec::new(),
            crash_at: None,
            free: None,
            log_is_unlinked: false,
            flip: None,
            lost: None,
            is_off: false,
            faults_paused: false,
            ignores_syncs: false,
            calls: 0,
            failures: 0,
            notes: Vec::new(),
        }
    }

    /// Starts a call: counts it and decides its outcome.
    pub(super) fn begin(&mut self, call: &str, kind: Kind) -> Result<Fate, StorageError> {
        if self.is_off {
            return Err(StorageError::Failed(format!("{call}: the power is off").into()));
        }
        self.calls += 1;
        if self.faults_paused {
            return Ok(Fate::Succeeds);
        }
        let mut fate = Fate::Succeeds;
        let mut faults = Vec::new();
        self.injected.retain_mut(|(fault, after)| {
            let affected = match fault {
                InjectedFault::Crash(_) => true,
                InjectedFault::WriteError => kind == Kind::Writes,
                InjectedFault::SyncError => kind == Kind::Syncs,
                InjectedFault::ReadError => kind == Kind::Reads,
                InjectedFault::Unlink => kind != Kind::Reads,
            };
            let hits_now = affected && *after == 0;
            if hits_now {
                faults.push(*fault);
            } else if affected {
                *after -= 1;
            }
            !hits_now
        });
        if let Some((_, phase)) = self.crash_at.take_if(|(call, _)| *call < self.calls) {
            faults.push(InjectedFault::Crash(phase));
        }
        for fault in faults {
            fate = match fault {
                InjectedFault::Crash(Phase::Before) => return Err(self.lose_power(call, "before")),
                InjectedFault::Crash(Phase::During) => Fate::IsCutShort,
                InjectedFault::Crash(Phase::After) => Fate::IsLast,
                InjectedFault::WriteError | InjectedFault::SyncError | InjectedFault::ReadError => Fate::Fails,
                InjectedFault::Unlink => {
                    self.log_is_unlinked = true;
                    self.notes.push(format!("the log is unlinked before {call}"));
                    fate
                }
            };
        }
        Ok(fate)
    }

    /// Ends a call after its effect was applied.
    pub(super) fn end(&mut self, call: &str, fate: Fate) -> Result<(), StorageError> {
        match fate {
            Fate::Succeeds => Ok(()),
            Fate::Fails => {
                self.failures += 1;
                self.notes.push(format!("{call} fails"));
                Err(StorageError::Failed(format!("{call}: injected fault").into()))
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

    /// Allocates space.
    pub(super) fn take_space(&mut self, call: &str, bytes: usize) -> Result<(), StorageError> {
        let Some(free) = self.free else { return Ok(()) };
        let Some(left) = free.checked_sub(bytes) else {
            self.failures += 1;
            self.notes.push(format!("{call}: no space"));
            return Err(StorageError::Full(format!("{call}: {free} bytes are free, {bytes} are needed").into()));
        };
        self.free = Some(left);
        Ok(())
    }

    pub(super) fn apply(&mut self, flip: &Flip) {
        let Some(name) = &flip.blob else { return self.log.flip(flip.at, &flip.mask) };
        for blobs in [&mut self.durable, &mut self.seen] {
            let Some(content) = blobs.get_mut(name) else { continue };
            let mut bytes = content.to_vec();
            bytes.iter_mut().skip(flip.at).zip(&flip.mask).for_each(|(byte, mask)| *byte ^= mask);
            *content = bytes.into();
        }
    }

    /// Changes a name. If the call fails, the change stays in doubt.
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
