//! What an operator should know though everything goes on: logged when it begins, counted, and shown by readiness for as long as it lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::clock::ClockDoubt;

use crate::metrics::Metrics;

/// The warnings that are in force.
#[derive(Debug)]
pub struct Warnings {
    metrics: Arc<Metrics>,
    /// Whether there is any: looked at for every request.
    any: AtomicBool,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    clock: Option<ClockDoubt>,
}

impl Warnings {
    /// No warnings. What causes them is counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, any: AtomicBool::new(false), standing: Mutex::default() }
    }

    /// Takes in whether the wall clock is believed.
    pub fn clock(&self, doubt: Option<ClockDoubt>) {
        if doubt.is_none() && !self.any() {
            return;
        }
        let mut standing = self.standing();
        if standing.clock == doubt {
            return;
        }
        match doubt {
            Some(doubt) => tracing::warn!("{doubt}"),
            None => tracing::info!("the clock is believed again; what is too old expires"),
        }
        standing.clock = doubt;
        self.metrics.clock_ahead(doubt.map_or(0, |doubt| doubt.ahead));
        self.any.store(!standing.is_empty(), Ordering::Release);
    }

    /// All of them, in words; `None` if there is none.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if !self.any() {
            return None;
        }
        let Standing { clock } = &*self.standing();
        let all: Vec<String> = clock.iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Nothing panics while it holds them.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn is_empty(&self) -> bool {
        let Self { clock } = self;
        clock.is_none()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::metrics::Gauges;

    const DAY: i64 = 86_400_000_000_000;

    fn warnings() -> (Arc<Metrics>, Warnings) {
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        (Arc::clone(&metrics), Warnings::new(metrics))
    }

    fn shows(metrics: &Metrics, line: &str) -> bool {
        metrics.render(&Gauges::default()).unwrap().lines().any(|found| found == line)
    }

    #[test]
    fn a_clock_in_doubt_is_a_warning_until_it_is_believed() {
        let (metrics, warnings) = warnings();
        assert_eq!(warnings.text(), None);
        assert!(shows(&metrics, "argus_clock_ahead_seconds 0"));
        warnings.clock(Some(ClockDoubt { ahead: 40 * DAY, trust_after: DAY }));
        assert!(warnings.text().unwrap().contains("the clock is 40 days ahead"));
        assert!(shows(&metrics, "argus_clock_ahead_seconds 3456000"));
        warnings.clock(None);
        assert_eq!(warnings.text(), None);
        assert!(shows(&metrics, "argus_clock_ahead_seconds 0"));
    }
}
