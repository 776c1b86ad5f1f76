//! What came of a copy.

use std::fmt;
use std::time::Duration;

use super::digest::Digest;

/// What came of a copy that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The events that both have.
    pub digest: Digest,
    /// How many of them this run has written.
    pub written: u64,
    /// How many events only the target has: they were removed from the source after an earlier run had copied them.
    pub left_over: u64,
    /// Whether events were removed from the source while it was read. Those that were read before are in the target.
    pub has_lost_events: bool,
    /// The last sequence number of both.
    pub last_seq: u64,
    /// Time from the start to the end of the check.
    pub took: Duration,
}

impl Report {
    /// What the operator should know beside the result.
    pub(super) fn notes(&self) -> Vec<String> {
        let left_over = (self.left_over > 0).then(|| {
            format!(
                "{} events were removed from FROM after they had been copied, and are still in TO; if they were \
                 erased, erase them there too",
                self.left_over
            )
        });
        let lost = self.has_lost_events.then(|| {
            "events were removed from FROM while it was copied; some of them may be in TO; if they were erased, erase \
             them there too"
                .to_owned()
        });
        left_over.into_iter().chain(lost).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, written, last_seq, took, .. } = self;
        let seconds = took.as_secs_f64();
        write!(f, "{digest}, up to seq {last_seq}; {written} written now; read back, and the same; in {seconds:.3} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_and_notes_are_others() {
        let report = Report {
            digest: Digest::default(),
            written: 3,
            left_over: 0,
            has_lost_events: false,
            last_seq: 77,
            took: Duration::from_micros(12_345),
        };
        let line = "0 events, checksum 00000000000000000000000000000000, up to seq 77; 3 written now; read back, and \
                    the same; in 0.012 s";
        assert_eq!(report.to_string(), line);
        assert!(report.notes().is_empty());
        let notes = Report { left_over: 5, has_lost_events: true, ..report }.notes();
        assert_eq!(notes.len(), 2);
        assert!(notes.iter().all(|note| note.contains("erase them there too")), "{notes:?}");
    }
}
