//! Decides whether the wall clock is trusted.
//!
//! Retention deletes by the wall clock, which can be set wrong. So the wall clock is compared with an expected time:
//! the last trusted time, of this or an earlier process, plus the uptime since. A clock that differs too much is in
//! doubt, and nothing expires. It is trusted again once the difference has lasted long enough. The duration of a doubt
//! is saved for the next process. Otherwise a server that restarts every day would never trust the clock again.

use core::fmt;
use core::time::Duration;

use crate::event::Timestamp;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Default duration of a doubt, in nanoseconds: 24 hours.
const TRUST_AFTER: i64 = DAY;

/// The tolerance is the age of expiry divided by this, from [`TOLERANCE_MIN`] to [`TOLERANCE_MAX`]: events that expire
/// too early by so little would have expired soon anyway.
const TOLERANCE_DIVISOR: i64 = 8;
/// Time synchronization steps the clock by less than this.
const TOLERANCE_MIN: i64 = 5 * MINUTE;
const TOLERANCE_MAX: i64 = DAY;

/// A process continues the doubt of the previous one if the wall clock has advanced by at most this much since the
/// previous process saved it.
const DOWNTIME_MAX: i64 = DAY;

/// The duration of a doubt is saved each time it has grown by this much…
const SAVE_DOUBT_AFTER: i64 = 10 * MINUTE;
/// …and at least this many times before the clock is trusted.
const DOUBT_SAVES: i64 = 16;

/// The host's clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may be set forward and back.
    pub wall: Timestamp,
    /// Time since a fixed point before the process started, by a clock that cannot be set. It should advance while the
    /// machine sleeps; otherwise, a sleep looks like a step of the wall clock.
    pub uptime: Duration,
}

/// A wall clock that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDoubt {
    /// By how many nanoseconds the wall clock is ahead of the expected time. Negative if it is behind.
    pub ahead: i64,
    /// The clock is trusted after this many nanoseconds since the doubt began. The uptime of earlier processes counts;
    /// downtime does not.
    pub trust_after: i64,
}

/// Decides whether the wall clock is trusted.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    trust_after: i64,
    /// The age at which events expire, if any.
    age: Option<i64>,
    /// A trusted wall time and the uptime then, from which the expected time is computed. There is no uptime if an
    /// earlier process trusted the time.
    reference: Option<(i64, Option<i64>)>,
    /// The last trusted wall time.
    trusted: Option<i64>,
    /// The trusted time in the manifest; if it has none, the first time that this process trusted.
    saved: Option<i64>,
    doubt: Option<Doubt>,
    /// The saved doubt.
    saved_doubt: Option<DoubtState>,
    /// The uptime of the last observation in this process.
    last_uptime: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// By how much the wall clock was ahead when this process first noticed.
    ahead: i64,
    state: DoubtState,
}

/// The state of a doubt, which is saved for the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoubtState {
    /// The last wall time, in nanoseconds since the Unix epoch.
    pub(crate) wall: i64,
    /// For how many nanoseconds of uptime the clock has been in doubt.
    pub(crate) lasted: i64,
}

impl Default for Clock {
    /// No time is known.
    fn default() -> Self {
        Self {
            trust_after: TRUST_AFTER,
            age: None,
            reference: None,
            trusted: None,
            saved: None,
            doubt: None,
            saved_doubt: None,
            last_uptime: None,
        }
    }
}

impl Clock {
    /// A clock that continues where the previous process ended: with its last trusted time, in nanoseconds since the
    /// Unix epoch, and its doubt.
    pub(crate) fn inherited(trusted: Option<i64>, doubt: Option<DoubtState>) -> Self {
        Self { reference: trusted.map(|time| (time, None)), saved: trusted, saved_doubt: doubt, ..Self::default() }
    }

    /// Sets after how many nanoseconds a clock in doubt is trusted.
    pub(crate) fn set_trust_after(&mut self, nanos: i64) {
        self.trust_after = nanos;
    }

    /// Sets the age at which events expire, in nanoseconds.
    pub(crate) fn set_age(&mut self, age: Option<i64>) {
        self.age = age;
    }

    /// Whether this process has not observed the clocks yet.
    pub(crate) fn is_new(&self) -> bool {
        self.reference.is_none_or(|(_, uptime)| uptime.is_none())
    }

    /// Advances the reference to the time of a commit of the previous process. Call this in the order of commits,
    /// before the first [`observe`](Self::observe). Ignores a time too far from the one before: that process may have
    /// doubted its clock.
    pub(crate) fn observe_commit(&mut self, committed: i64) {
        match self.reference {
            None => self.reference = Some((committed, None)),
            Some((time, None)) if time < committed && committed - time <= self.tolerance() => {
                self.reference = Some((committed, None));
            }
            Some(_) => {}
        }
    }

    /// Compares the wall clock with the expected time.
    pub(crate) fn observe(&mut self, now: Moment) {
        let (wall, uptime) = (now.wall.as_nanos(), nanos(now.uptime));
        let last_uptime = self.last_uptime.replace(uptime);
        let Some((time, since)) = self.reference else { return self.trust(wall, uptime) };
        let expected = time.saturating_add(uptime.saturating_sub(since.unwrap_or(uptime)));
        let ahead = wall.saturating_sub(expected);
        if ahead.unsigned_abs() <= self.tolerance().unsigned_abs() {
            if since.is_none() {
                return self.trust(wall, uptime);
            }
            // Keep the reference. Otherwise many small steps could add up to a large one.
            (self.trusted, self.doubt) = (Some(wall), None);
            return;
        }
        // How long no process ran is unknown. From now on, the uptime measures the time since the reference.
        self.reference = Some((time, since.or(Some(uptime))));
        let elapsed = last_uptime.map(|before| uptime.saturating_sub(before));
        let (ahead, lasted) = self.continued(wall, ahead, elapsed).unwrap_or((ahead, 0));
        if lasted >= self.trust_delay() {
            self.trust(wall, uptime);
        } else {
            self.doubt = Some(Doubt { ahead, state: DoubtState { wall, lasted } });
        }
    }

    /// Whether this observation continues the doubt of the last one. If so: how far ahead the wall clock was when this
    /// process first noticed, and how long the doubt has lasted. `elapsed` is the time since the last observation;
    /// `None` if an earlier process made it.
    fn continued(&self, wall: i64, ahead: i64, elapsed: Option<i64>) -> Option<(i64, i64)> {
        let tolerance = self.tolerance();
        match elapsed {
            Some(elapsed) => {
                let Doubt { ahead: before, state } = self.doubt?;
                let is_same = ahead.saturating_sub(before).unsigned_abs() <= tolerance.unsigned_abs();
                is_same.then(|| (before, state.lasted.saturating_add(elapsed)))
            }
            None => {
                let saved = self.saved_doubt?;
                let advanced = wall.saturating_sub(saved.wall);
                (-tolerance..=DOWNTIME_MAX).contains(&advanced).then_some((ahead, saved.lasted))
            }
        }
    }

    /// Whether a wall time is trusted, shortly after an observation, or before the first one.
    pub(crate) fn trusts(&self, wall: Timestamp) -> bool {
        let is_too_far_ahead = |trusted: i64| wall.as_nanos().saturating_sub(trusted) > self.tolerance();
        self.doubt.is_none() && (self.trust_delay() == 0 || !self.trusted().is_some_and(is_too_far_ahead))
    }

    /// The doubt, if the clock is in doubt.
    pub(crate) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt.map(|doubt| ClockDoubt { ahead: doubt.ahead, trust_after: self.trust_delay() })
    }

    /// The last trusted wall time, in nanoseconds since the Unix epoch.
    pub(crate) fn trusted(&self) -> Option<i64> {
        self.trusted.or(self.reference.map(|(time, _)| time))
    }

    /// The state of the doubt, to be saved. `None` without a doubt, or if it has just begun.
    pub(crate) fn doubt_state(&self) -> Option<DoubtState> {
        self.doubt.map(|doubt| doubt.state).filter(|state| state.lasted > 0)
    }

    /// Whether the trusted time and the doubt should be saved: with the saved ones, the next process would soon doubt a
    /// correct clock, or wait too long until it trusts one in doubt.
    pub(crate) fn needs_saving(&self) -> bool {
        let unsaved = self.trusted.zip(self.saved).map_or(0, |(trusted, saved)| trusted.saturating_sub(saved));
        unsaved.saturating_abs() > self.tolerance() / 2 || self.doubt_needs_saving()
    }

    fn doubt_needs_saving(&self) -> bool {
        let Some(state) = self.doubt_state() else { return self.saved_doubt.is_some() };
        let unsaved = state.lasted.saturating_sub(self.saved_doubt.map_or(0, |saved| saved.lasted));
        unsaved < 0 || unsaved > SAVE_DOUBT_AFTER.min(self.trust_delay() / DOUBT_SAVES)
    }

    /// Notes that the trusted time and this doubt were saved.
    pub(crate) fn set_saved(&mut self, doubt: Option<DoubtState>) {
        self.saved = self.trusted.or(self.saved);
        self.saved_doubt = doubt;
    }

    fn trust(&mut self, wall: i64, uptime: i64) {
        (self.reference, self.trusted, self.doubt) = (Some((wall, Some(uptime))), Some(wall), None);
        self.saved = self.saved.or(Some(wall));
    }

    /// By how much the wall clock may differ from the expected time without being in doubt.
    fn tolerance(&self) -> i64 {
        self.age.map_or(TOLERANCE_MAX, |age| (age / TOLERANCE_DIVISOR).clamp(TOLERANCE_MIN, TOLERANCE_MAX))
    }

    /// After how much time in doubt the clock is trusted. At most the age of expiry: by then, all events from before
    /// the doubt have expired by any clock.
    fn trust_delay(&self) -> i64 {
        self.age.map_or(self.trust_after, |age| age.min(self.trust_after))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ahead < 0 { "behind" } else { "ahead of" };
        let (difference, trust_after) = (Span(self.ahead.saturating_abs()), Span(self.trust_after));
        write!(
            f,
            "the clock is {difference} {direction} the time expected from the last commits and the uptime since; "
        )?;
        write!(f, "nothing expires until the clock is right, or has stayed like this for {trust_after}")
    }
}

/// Displays nanoseconds in the largest unit that gives at least 2.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")];
        let (unit, name) = units.into_iter().find(|(unit, _)| self.0 / unit >= 2).unwrap_or((SECOND, "seconds"));
        write!(f, "{} {name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests;
