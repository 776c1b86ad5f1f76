//! Limits how often a repeated event is logged.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line in this time.
const INTERVAL: Duration = Duration::from_secs(60);

/// One kind of log line, written at most once a minute.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    logged: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Call this each time the event occurs. If a line is due, returns how many occurrences since the last line were
    /// not logged.
    ///
    /// ```
    /// use argus_host::log_limit::LogLimit;
    ///
    /// let refused = LogLimit::default();
    /// assert_eq!(refused.due(), Some(0), "the first is logged");
    /// assert_eq!(refused.due(), None, "and no other for a minute");
    /// ```
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.logged.is_some_and(|logged| now.saturating_duration_since(logged) < INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.logged = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_and_the_next_minute_is_counted() {
        let limit = LogLimit::default();
        let begin = Instant::now();
        let after = |seconds| limit.due_at(begin + Duration::from_secs(seconds));
        assert_eq!(
            [0, 0, 1, 59, 60, 61, 200, 201].map(after),
            [Some(0), None, None, None, Some(3), None, Some(1), None]
        );
    }
}
