//! The result of a check: findings and figures.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::damage::Affected;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that differs from a repository that was closed cleanly: manifests, segments, then the log.
    pub findings: Vec<Finding>,
    /// Number of segments of the repository.
    pub segments: u64,
    /// Number of blocks in segments with an intact index.
    pub blocks: u64,
    /// Number of intact log records with events.
    pub records: u64,
    /// Number of erasures that may have left bytes of their events: those in the manifest and in intact log records.
    pub erasures: u64,
    /// Number of readable events: in intact blocks of segments with an intact index, and in intact records. Erased
    /// events whose bytes are still there count.
    pub events: u64,
    /// From the end of the log to the end of the record that may have been started there, or at least of its header.
    /// Unreadable bytes in this range may have been part of the log.
    pub log_end: Range<u64>,
    /// The highest sequence number that an event is known to have had; 0 if there is none.
    pub last_seq: u64,
}

/// Something in a repository that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of a blob, or the log.
    pub place: String,
    /// The offset in it, if the finding is not about all of it.
    pub offset: Option<u64>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// Which events are affected.
    pub affected: Affected,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A trace of an interrupted process. The next open removes or repairs it, and no event is lost.
    Leftover,
    /// Stored data differs from what was written.
    Damage,
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage().next().is_none()
    }

    /// The findings that are damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Damage)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Leftover => "note: ",
            Severity::Damage => "damaged: ",
        })?;
        f.write_str(&self.place)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.reason)?;
        match (self.severity, self.affected) {
            (Severity::Leftover, Affected::Nothing) => Ok(()),
            (Severity::Leftover | Severity::Damage, affected) => write!(f, "; {affected}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let line = |severity, offset, affected| {
            let (place, reason) = ("the log".to_string(), "it ends".to_string());
            Finding { place, offset, severity, reason, affected }.to_string()
        };
        assert_eq!(line(Severity::Leftover, Some(7), Affected::Nothing), "note: the log at offset 7: it ends");
        let damaged = |affected| line(Severity::Damage, None, affected);
        assert_eq!(damaged(Affected::Nothing), "damaged: the log: it ends; no event is affected");
        assert_eq!(damaged(Affected::all(3, 5)), "damaged: the log: it ends; events 3 to 5 are affected");
    }
}
