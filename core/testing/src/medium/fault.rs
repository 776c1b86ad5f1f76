//! The faults of the simulated medium.

use std::fmt;

/// A class of faults that a simulated medium may show.
///
/// Each can be permitted by its [`name`](Self::name); what is permitted and not drawn does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails: before, during or after a call, or between two. What is not durable is in doubt. Without
    /// [`Subset`](Self::Subset), a prefix of what was appended since the last sync survives.
    Crash,
    /// The process dies and the machine stays: what was appended and not synced can still be read by the next process,
    /// and is no more durable than before.
    Kill,
    /// Sectors that were not synced survive a crash in any subset, each as it was after any of the writes to it.
    Subset,
    /// A sector that was not synced may be old in front and new behind, or the other way round.
    Torn,
    /// After a crash the log reaches further than what was written.
    Ahead,
    /// Where nothing was written yet there are pieces of older log, instead of zeros.
    Stale,
    /// Less is given up of the log than was asked for, and a crash may bring back what was given up last.
    Loose,
    /// Calls that write fail, with part of their effect.
    WriteError,
    /// A sync fails. What it should have made durable reads well, and is on the medium or not; the next sync does not
    /// care.
    SyncError,
    /// Calls that read fail.
    ReadError,
    /// Space runs out, and returns.
    Full,
    /// A bit that was durable is another one after a restart: in a blob, or in the log where a later record says that
    /// it was durable.
    Rot,
    /// Somebody moves the file of the log away while a process has it open, and puts back what was in it then before
    /// the next one looks.
    Unlinked,
    /// The end of a log is lost that was closed: it is zeros or not there, from any place on.
    LostTail,
    /// Everything else may happen during recovery as well.
    Recovery,
}

/// A set of [`Fault`] classes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Faults(u16);

/// Something that happens to a call of the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// The power fails at the next call, whatever it is.
    Crash(Phase),
    /// The next call that writes fails.
    WriteError,
    /// The next sync fails.
    SyncError,
    /// The next call that reads fails.
    ReadError,
    /// The log loses its name before the next call that writes or syncs.
    Unlink,
}

/// When in a call the power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of it has happened.
    Before,
    /// Any part of it has happened.
    During,
    /// All of it has happened, but nobody will hear of it.
    After,
}

impl Fault {
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

    /// The name by which it is permitted.
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
    /// All of them.
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
    /// No fault at all.
    pub const NONE: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self::of(&Fault::ALL);

    /// The set of these.
    #[must_use]
    pub const fn of(mut faults: &[Fault]) -> Self {
        let mut set = Self::NONE;
        while let [first, others @ ..] = faults {
            set = set.with(*first);
            faults = others;
        }
        set
    }

    /// This set and one more.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u16)
    }

    /// This set but for one.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u16))
    }

    /// Whether a class is in the set.
    #[must_use]
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u16 != 0
    }

    /// The classes in the set.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }

    /// The set that a text names: `all`, `none`, or names with commas between them.
    ///
    /// # Errors
    ///
    /// Names what is no class of faults.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::ALL),
            "none" => Ok(Self::NONE),
            names => names.split(',').try_fold(Self::NONE, |set, name| {
                let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name);
                fault.map(|fault| set.with(fault)).ok_or_else(|| format!("there is no class of faults {name:?}"))
            }),
        }
    }
}

/// As [`Faults::parse`] reads it.
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
    fn a_set_reads_as_it_is_written() {
        for set in [Faults::ALL, Faults::NONE, Faults::of(&[Fault::Crash, Fault::Rot])] {
            assert_eq!(Faults::parse(&set.to_string()), Ok(set));
        }
        for fault in Fault::ALL {
            assert_eq!(Faults::parse(fault.name()), Ok(Faults::NONE.with(fault)));
            assert!(!Faults::ALL.without(fault).has(fault));
        }
        assert!(Faults::parse("crash,rust").is_err_and(|error| error.contains("rust")));
    }
}
