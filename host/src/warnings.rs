//! What an operator should know though everything goes on: logged when it begins, counted, and shown by readiness for
//! as long as it lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::cause::Cause;
use argus_core::clock::ClockDoubt;
use argus_core::damage::{Concerned, Damage};
use argus_core::repository::ReadError;

use crate::backend::Location;
use crate::metrics::Metrics;

/// Readiness names the events of so many damaged places, and says that there are more.
const DAMAGED_MAX: usize = 8;

/// The warnings that are in force.
#[derive(Debug)]
pub struct Warnings {
    metrics: Arc<Metrics>,
    /// Where damage is, for the log.
    repository: Location,
    /// Whether there is any: looked at for every request.
    any: AtomicBool,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    clock: Option<ClockDoubt>,
    /// Why the last commit was refused, if the storage was not available.
    unavailable: Option<Cause>,
    /// The events of damaged places that were met, each once, and one more than are named. Damage stays until somebody
    /// has repaired it, for which the server has to be stopped.
    damaged: Vec<Concerned>,
}

impl Warnings {
    /// No warnings about what is stored in this place. What causes them is counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, repository: Location) -> Self {
        Self { metrics, repository, any: AtomicBool::new(false), standing: Mutex::default() }
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

    /// Takes in why the last commit was refused, if the storage was not available, though the next one may succeed. The
    /// log has it already.
    pub fn unavailable(&self, cause: Option<&Cause>) {
        if cause.is_none() && !self.any() {
            return;
        }
        let mut standing = self.standing();
        standing.unavailable = cause.cloned();
        self.any.store(!standing.is_empty(), Ordering::Release);
    }

    /// Something stored could not be read: logs it, and warns of it from now on if it is damaged.
    pub fn unreadable(&self, error: &ReadError) {
        match error {
            ReadError::Damaged(damage) => self.damaged(damage),
            ReadError::Unavailable(cause) => {
                let repository = &self.repository;
                tracing::warn!(%repository, reason = %cause, "the storage cannot be read at the moment");
            }
            ReadError::Failed(cause) => {
                let repository = &self.repository;
                tracing::error!(%repository, reason = %cause, "the storage could not be read");
            }
        }
    }

    /// Damage was met: logs and counts it, and warns of it from now on.
    pub fn damaged(&self, damage: &Damage) {
        let Damage { place, offset, reason, concerned } = damage;
        let (repository, offset, concerned) = (&self.repository, *offset, *concerned);
        tracing::error!(%repository, place, offset, reason, "what is stored is damaged; {concerned}; `check` looks for more");
        self.metrics.damage_found();
        let mut standing = self.standing();
        if standing.damaged.len() <= DAMAGED_MAX && !standing.damaged.contains(&concerned) {
            standing.damaged.push(concerned);
        }
        self.any.store(true, Ordering::Release);
    }

    /// All of them, in words; `None` if there is none.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if !self.any() {
            return None;
        }
        let Standing { clock, unavailable, damaged } = &*self.standing();
        let mut all: Vec<String> = clock.iter().map(ToString::to_string).collect();
        all.extend(unavailable.iter().map(|cause| {
            format!("the last commit was refused, because the storage is not available: {}", cause.public_text())
        }));
        let named = damaged.iter().take(DAMAGED_MAX);
        all.extend(named.map(|concerned| format!("part of what is stored is damaged, {concerned}")));
        if damaged.len() > DAMAGED_MAX {
            all.push("and more is damaged".to_owned());
        }
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
        let Self { clock, unavailable, damaged } = self;
        clock.is_none() && unavailable.is_none() && damaged.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::cause::NamedPlace;

    use super::*;
    use crate::metrics::Gauges;

    const DAY: i64 = 86_400_000_000_000;

    fn warnings() -> (Arc<Metrics>, Warnings) {
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        (Arc::clone(&metrics), Warnings::new(metrics, Location::Memory))
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

    #[test]
    fn a_storage_that_is_not_available_is_a_warning_until_a_commit_succeeds() {
        let (_, warnings) = warnings();
        let cause =
            Cause::call("open", NamedPlace::new("/data/log", "one of its files"), std::io::Error::other("EMFILE"));
        warnings.unavailable(Some(&cause));
        let text = warnings.text().unwrap();
        assert!(text.contains("cannot open one of its files: EMFILE"), "{text}");
        warnings.unavailable(None);
        assert_eq!(warnings.text(), None);
    }

    #[test]
    fn damage_is_counted_and_a_warning_for_good() {
        let (metrics, warnings) = warnings();
        warnings.unreadable(&ReadError::Failed("EIO".into()));
        assert_eq!(warnings.text(), None);
        let damage = |seq| {
            let (place, reason) = ("segment-1".to_owned(), "its checksum is wrong".to_owned());
            ReadError::Damaged(Damage { place, offset: Some(seq), reason, concerned: Concerned::all(seq, seq) })
        };
        for _ in 0..2 {
            warnings.unreadable(&damage(3));
        }
        assert_eq!(warnings.text().unwrap(), "part of what is stored is damaged, event 3 is concerned");
        assert!(shows(&metrics, "argus_damage_found_total 2"));
        (10..100).for_each(|seq| warnings.unreadable(&damage(seq)));
        warnings.clock(None);
        let text = warnings.text().unwrap();
        assert!(text.ends_with("event 16 is concerned; and more is damaged"), "{text}");
        assert!(!text.contains("segment"));
    }
}
