//! How fast a request's body has to arrive.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// The deadline by which more of a body has to arrive.
///
/// A body starts with `patience`, which passes as time passes. Each byte earns back the time that it takes at the least
/// rate, up to `patience` in all. So a body may stall for `patience` once, and may stay below the least rate only until
/// its patience is used up, however fast it was before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    patience: Duration,
    bytes_per_second: NonZeroUsize,
    deadline: Instant,
}

impl Pace {
    /// Starts at `now`: at most `patience` without a byte, and at least `bytes_per_second` in the long run.
    pub(crate) fn new(patience: Duration, bytes_per_second: NonZeroUsize, now: Instant) -> Self {
        Self { patience, bytes_per_second, deadline: now + patience }
    }

    /// Counts bytes that have arrived.
    pub(crate) fn advance(&mut self, bytes: usize, now: Instant) {
        let nanos = bytes as u128 * 1_000_000_000 / self.bytes_per_second.get() as u128;
        let earned = u64::try_from(nanos).map_or(self.patience, Duration::from_nanos).min(self.patience);
        self.deadline = (self.deadline + earned).min(now + self.patience);
    }

    /// The deadline, unless more bytes arrive before.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How much of its patience the body has used up.
    pub(crate) fn used(&self, now: Instant) -> Duration {
        (now + self.patience).saturating_duration_since(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(now: Instant) -> Pace {
        Pace::new(30 * SECOND, NonZeroUsize::new(1000).unwrap(), now)
    }

    #[test]
    fn a_body_that_keeps_arriving_is_never_late() {
        let mut now = Instant::now();
        let mut pace = pace(now);
        for _ in 0..100 {
            now += 20 * SECOND;
            assert!(pace.deadline() > now);
            assert_eq!(pace.used(now), 20 * SECOND);
            pace.advance(20_000, now);
            assert_eq!((pace.deadline(), pace.used(now)), (now + 30 * SECOND, Duration::ZERO));
        }
    }

    #[test]
    fn a_stalled_body_is_late_after_its_patience() {
        let begun = Instant::now();
        let mut pace = pace(begun);
        assert_eq!(pace.deadline(), begun + 30 * SECOND);
        // A burst does not extend it.
        pace.advance(usize::MAX, begun + SECOND);
        assert_eq!(pace.deadline(), begun + 31 * SECOND);
    }

    #[test]
    fn a_slow_body_uses_up_its_patience() {
        let begun = Instant::now();
        let mut pace = pace(begun);
        pace.advance(1 << 30, begun);
        let cut = (1..).find(|&second| {
            let now = begun + second * SECOND;
            let late = pace.deadline() <= now;
            pace.advance(500, now);
            late
        });
        // Half of the rate: each second uses up half a second.
        assert_eq!(cut, Some(59));
    }
}
