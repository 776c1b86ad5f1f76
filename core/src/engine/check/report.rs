//! The result of a check: findings and figures.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::damage::Concerned;

/// What came of looking through a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whatever is not as it would be in a repository that was closed in peace, in the order of places.
    pub findings: Vec<Finding>,
    /// Segments that belong to the repository.
    pub segments: u64,
    /// Blocks in those of them whose index is whole.
    pub blocks: u64,
    /// Good records of the log, marks not counted.
    pub records: u64,
    /// Events that can be read whole: in blocks, if the index of their segment is whole, and in records.
    pub events: u64,
    /// Where the log ends, up to where a record reaches that may have been begun there, and at least its head. What
    /// lies there and cannot be read may have been more of the log.
    pub log_end: Range<u64>,
    /// The last sequence number that is known to have been given; 0 if there is none.
    pub last_seq: u64,
}

/// Something in a repository that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name of a blob, or the log.
    pub place: String,
    /// Where in it, if it is not about all of it.
    pub offset: Option<u64>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// Which events are concerned.
    pub concerned: Concerned,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// An interrupted process has left it. The next one that opens the repository makes it good, and nothing is lost.
    Trace,
    /// Something is not as it was written.
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
            Severity::Trace => "note: ",
            Severity::Damage => "damaged: ",
        })?;
        f.write_str(&self.place)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.reason)?;
        match (self.severity, self.concerned) {
            (Severity::Trace, Concerned::Nothing) => Ok(()),
            (Severity::Trace | Severity::Damage, concerned) => write!(f, "; {concerned}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let line = |severity, offset, concerned| {
            let (place, reason) = ("the log".to_string(), "it ends".to_string());
            Finding { place, offset, severity, reason, concerned }.to_string()
        };
        assert_eq!(line(Severity::Trace, Some(7), Concerned::Nothing), "note: the log at offset 7: it ends");
        let damaged = |concerned| line(Severity::Damage, None, concerned);
        assert_eq!(damaged(Concerned::Nothing), "damaged: the log: it ends; no event is concerned");
        assert_eq!(damaged(Concerned::all(3, 5)), "damaged: the log: it ends; events 3 to 5 are concerned");
    }
}
