//! Warnings to the operator about problems that do not stop the server: each is logged when it begins, counted, and
//! shown by readiness while it lasts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::cause::Cause;
use argus_core::clock::ClockDoubt;
use argus_core::damage::{Affected, Damage};
use argus_core::repository::ReadError;

use crate::backend::Location;
use crate::metrics::Metrics;

/// How many damaged places readiness names before it only says that there are more.
const DAMAGED_MAX: usize = 8;

/// The current warnings.
#[derive(Debug)]
pub struct Warnings {
    metrics: Arc<Metrics>,
    /// The repository that log lines name.
    repository: Location,
    /// Whether there are any: read for every request without a lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    clock: Option<ClockDoubt>,
    /// The file of keys has an error.
    keys: bool,
    /// The files of the certificate have an error.
    certificate: bool,
    /// Why the last commit was refused, if the storage was unavailable.
    unavailable: Option<Cause>,
    /// The events affected by each damaged place found, without repeats, and at most one more than are named. Damage
    /// remains until it is repaired, which requires a restart.
    damaged: Vec<Affected>,
}

impl Warnings {
    /// No warnings, about the repository at this location. Their causes are counted in `metrics`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, repository: Location) -> Self {
        Self { metrics, repository, any: AtomicBool::new(false), state: Mutex::default() }
    }

    /// Reports whether the wall clock is trusted.
    pub fn clock(&self, doubt: Option<ClockDoubt>) {
        if doubt.is_none() && !self.any() {
            return;
        }
        let mut state = self.state();
        if state.clock == doubt {
            return;
        }
        match doubt {
            Some(doubt) => tracing::warn!("{doubt}"),
            None => tracing::info!("the clock is trusted again; events expire by age"),
        }
        state.clock = doubt;
        self.metrics.clock_ahead(doubt.map_or(0, |doubt| doubt.ahead));
        self.any.store(!state.is_empty(), Ordering::Release);
    }

    /// Reports why the last commit was refused, if the storage was unavailable. The caller has logged it.
    pub fn unavailable(&self, cause: Option<&Cause>) {
        if cause.is_none() && !self.any() {
            return;
        }
        let mut state = self.state();
        state.unavailable = cause.cloned();
        self.any.store(!state.is_empty(), Ordering::Release);
    }

    /// Reports whether the file of keys has an error. The caller has logged it.
    pub fn keys(&self, is_wrong: bool) {
        let mut state = self.state();
        state.keys = is_wrong;
        self.any.store(!state.is_empty(), Ordering::Release);
    }

    /// Reports whether the files of the certificate have an error. The caller has logged it.
    pub fn certificate(&self, is_wrong: bool) {
        let mut state = self.state();
        state.certificate = is_wrong;
        self.any.store(!state.is_empty(), Ordering::Release);
    }

    /// Logs that stored data could not be read; if it is damaged, also counts it and warns of it from now on.
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

    /// Logs and counts damage, and warns of it from now on.
    pub fn damaged(&self, damage: &Damage) {
        let Damage { place, offset, reason, affected } = damage;
        let (repository, offset, affected) = (&self.repository, *offset, *affected);
        tracing::error!(
            %repository, place, offset, reason, "stored data is damaged; {affected}; `check` finds all damage"
        );
        self.metrics.damage_found();
        let mut state = self.state();
        if state.damaged.len() <= DAMAGED_MAX && !state.damaged.contains(&affected) {
            state.damaged.push(affected);
        }
        self.any.store(true, Ordering::Release);
    }

    /// All warnings in words; `None` if there are none.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if !self.any() {
            return None;
        }
        let State { clock, keys, certificate, unavailable, damaged } = &*self.state();
        let mut all: Vec<String> = clock.iter().map(ToString::to_string).collect();
        // Any caller can read this, so it does not say what is wrong.
        all.extend(keys.then(|| "the file of keys has an error, and the keys of before stay in force".to_owned()));
        all.extend(certificate.then(|| "the new certificate cannot be used, and the old one stays in use".to_owned()));
        all.extend(unavailable.iter().map(|cause| {
            format!("the last commit was refused, because the storage is not available: {}", cause.public_text())
        }));
        let named = damaged.iter().take(DAMAGED_MAX);
        all.extend(named.map(|affected| format!("part of what is stored is damaged, {affected}")));
        if damaged.len() > DAMAGED_MAX {
            all.push("and more is damaged".to_owned());
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// A panic leaves the data intact, so a poisoned lock is safe to use.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        let Self { clock, keys, certificate, unavailable, damaged } = self;
        clock.is_none() && !keys && !certificate && unavailable.is_none() && damaged.is_empty()
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
    fn a_doubtful_clock_is_a_warning_until_it_is_trusted() {
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
    fn an_unavailable_storage_is_a_warning_until_a_commit_succeeds() {
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
    fn damage_is_counted_and_stays_a_warning() {
        let (metrics, warnings) = warnings();
        warnings.unreadable(&ReadError::Failed("EIO".into()));
        assert_eq!(warnings.text(), None);
        let damage = |seq| {
            let (place, reason) = ("segment-1".to_owned(), "its checksum is wrong".to_owned());
            ReadError::Damaged(Damage { place, offset: Some(seq), reason, affected: Affected::all(seq, seq) })
        };
        for _ in 0..2 {
            warnings.unreadable(&damage(3));
        }
        assert_eq!(warnings.text().unwrap(), "part of what is stored is damaged, event 3 is affected");
        assert!(shows(&metrics, "argus_damage_found_total 2"));
        (10..100).for_each(|seq| warnings.unreadable(&damage(seq)));
        warnings.clock(None);
        let text = warnings.text().unwrap();
        assert!(text.ends_with("event 16 is affected; and more is damaged"), "{text}");
        assert!(!text.contains("segment"));
    }
}
