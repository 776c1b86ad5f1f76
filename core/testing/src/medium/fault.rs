//! The faults of the simulated medium.

use std::fmt;

/// A class of faults of a simulated medium.
///
/// Command lines permit classes by [`name`](Self::name). A run draws some of the permitted ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// The power fails before, during, after or between calls. Data that is not durable is in doubt. Without
    /// [`Subset`](Self::Subset), a prefix of the appends since the last sync survives.
    Crash,
    /// The process dies and the machine keeps running: the next process can read appends that were not synced, but they
    /// are not durable.
    Kill,
    /// After a crash, each unsynced sector has the state after any of its writes, independently of the others.
    Subset,
    /// An unsynced sector may be part old, part new.
    Torn,
    /// After a crash the log is longer than what was written.
    Ahead,
    /// Unwritten space contains pieces of older log instead of zeros.
    Stale,
    /// Less of the log is discarded than requested, and a crash may bring back the last part discarded.
    Loose,
    /// Writes fail after part of their effect.
    WriteError,
    /// A sync fails. The data reads well, may or may not be on the medium, and later syncs do not change that.
    SyncError,
    /// Reads fail.
    ReadError,
    /// Space runs out and becomes free again.
    Full,
    /// A durable bit flips during a restart: in a blob, or in a part of the log that a later record confirms as
    /// durable.
    Rot,
    /// The log file is moved away while a process has it open, and moved back before the next process starts, with its
    /// earlier contents.
    Unlinked,
    /// The end of a closed log is lost: from some place on it is zeros or missing.
    LostTail,
    /// The other faults may also happen during recovery.
    Recovery,
}

/// A set of fault classes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Faults(u16);

/// A fault injected into one call of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectedFault {
    /// The power fails at the next call of any kind.
    Crash(Phase),
    /// The next call that writes fails.
    WriteError,
    /// The next sync fails.
    SyncError,
    /// The next call that reads fails.
    ReadError,
    /// The log is unlinked before the next call that writes or syncs.
    Unlink,
}

/// At which point of a call the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before its effect.
    Before,
    /// After any part of its effect.
    During,
    /// After its effect, but before it returns.
    After,
}

impl FaultClass {
    /// All classes.
    pub const ALL: [Self; 15] = [
        Self::Crash,
        Self::Kill,
        Self::Subset,
        Self::Torn,
        Self::Ahead,
        Self::Stale,
        Self::Loose,
        Self::WriteError,
        Self::SyncError,
        Self::ReadError,
        Self::Full,
        Self::Rot,
        Self::Unlinked,
        Self::LostTail,
        Self::Recovery,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Kill => "kill",
            Self::Subset => "subset",
            Self::Torn => "torn",
            Self::Ahead => "ahead",
            Self::Stale => "stale",
            Self::Loose => "loose",
            Self::WriteError => "write-error",
            Self::SyncError => "sync-error",
            Self::ReadError => "read-error",
            Self::Full => "full",
            Self::Rot => "rot",
            Self::Unlinked => "unlinked",
            Self::LostTail => "lost-tail",
            Self::Recovery => "recovery",
        }
    }
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 3] = [Self::Before, Self::During, Self::After];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }
}

impl Faults {
    /// No class.
    pub const NONE: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self::of(&FaultClass::ALL);

    /// The set of these classes.
    #[must_use]
    pub const fn of(mut faults: &[FaultClass]) -> Self {
        let mut set = Self::NONE;
        while let [first, others @ ..] = faults {
            set = set.with(*first);
            faults = others;
        }
        set
    }

    /// This set with one more class.
    #[must_use]
    pub const fn with(self, fault: FaultClass) -> Self {
        Self(self.0 | 1 << fault as u16)
    }

    /// This set without one class.
    #[must_use]
    pub const fn without(self, fault: FaultClass) -> Self {
        Self(self.0 & !(1 << fault as u16))
    }

    /// Whether the set contains a class.
    #[must_use]
    pub const fn has(self, fault: FaultClass) -> bool {
        self.0 & 1 << fault as u16 != 0
    }

    /// The classes in the set.
    pub fn iter(self) -> impl Iterator<Item = FaultClass> {
        FaultClass::ALL.into_iter().filter(move |fault| self.has(*fault))
    }

    /// Parses `all`, `none`, or names separated by commas.
    ///
    /// # Errors
    ///
    /// Names the unknown class.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::ALL),
            "none" => Ok(Self::NONE),
            names => names.split(',').try_fold(Self::NONE, |set, name| {
                let fault = FaultClass::ALL.into_iter().find(|fault| fault.name() == name);
                fault
                    .map(|fault| set.with(fault))
                    .ok_or_else(|| format!("unknown class of faults {name:?}; `--list` prints all"))
            }),
        }
    }
}

/// In the form that [`Faults::parse`] reads.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => return f.write_str("all"),
            Self::NONE => return f.write_str("none"),
            Self(_) => {}
        }
        for (index, fault) in self.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { "," }, fault.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({self})")
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_set_is_parsed_as_it_is_displayed() {
        for set in [Faults::ALL, Faults::NONE, Faults::of(&[FaultClass::Crash, FaultClass::Rot])] {
            assert_eq!(Faults::parse(&set.to_string()), Ok(set));
        }
        for fault in FaultClass::ALL {
            assert_eq!(Faults::parse(fault.name()), Ok(Faults::NONE.with(fault)));
            assert!(!Faults::ALL.without(fault).has(fault));
        }
        assert!(Faults::parse("crash,rust").is_err_and(|error| error.contains("rust")));
    }
}
