//! Notices when no events arrive any more.

use core::time::Duration;

use crate::clock::Moment;
use crate::row_group::ROWS_MAX;

/// After this time without events, what has come is sealed. Maintenance looks at least every ten seconds.
const QUIET_AFTER: Duration = Duration::from_secs(5);

/// With fewer events, a segment would have no full block, and they are read quickly as they are.
const EVENTS_MIN: usize = ROWS_MAX;

/// Since when no events have arrived. Fresh segments below the size of sealing are read row by row, so that a question
/// about them takes longer than about sealed ones. Where events keep arriving, they are soon sealed anyway.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// The end of the log, and the uptime at which maintenance has seen it first.
    seen: Option<(u64, Duration)>,
}

impl Quiet {
    /// Takes note of the end of the log.
    pub(super) fn observe(&mut self, log_end: u64, now: Moment) {
        if self.seen.is_none_or(|(end, _)| end != log_end) {
            self.seen = Some((log_end, now.uptime));
        }
    }

    /// Whether this number of fresh events is to be sealed.
    pub(super) fn is_due(&self, events: usize, now: Moment) -> bool {
        let is_quiet = self.seen.is_some_and(|(_, since)| now.uptime.saturating_sub(since) >= QUIET_AFTER);
        is_quiet && events >= EVENTS_MIN
    }
}
