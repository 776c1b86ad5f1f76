//! Decides whether the wall clock is believed.
//!
//! Retention deletes by the wall clock, which can be set wrong. So the wall clock is compared with an expected time:
//! the time that was believed last, by this or an earlier process, plus the uptime since. A clock that differs too much
//! from it is in doubt, and nothing expires. It is believed once the difference has lasted long enough. The duration of
//! a doubt is saved, so that the next process continues it; otherwise, one that is restarted every day would wait for
//! ever.

use core::fmt;
use core::time::Duration;

use crate::event::Timestamp;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Default duration of a doubt, in nanoseconds: 24 hours.
const TRUST_AFTER: i64 = DAY;

/// A difference of up to the age of expiry divided by this is tolerated, because the events that expire too early would
/// have expired soon anyway. It is limited to [`DEPARTURE_MIN`] to [`DEPARTURE_MAX`].
const DEPARTURE_PART: i64 = 8;
/// Time synchronization steps the clock by less than that.
const DEPARTURE_MIN: i64 = 5 * MINUTE;
const DEPARTURE_MAX: i64 = DAY;

/// The next process continues a doubt if the wall clock has moved on by at most this much since. How much of that is
/// downtime is unknown.
const AWAY_MAX: i64 = DAY;

/// The duration of a doubt is saved whenever it has grown by this much, and at least this many times before the clock
/// is believed.
const SAVE_DOUBT_AFTER: i64 = 10 * MINUTE;
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
    /// The clock is believed after this many nanoseconds since the doubt began. The uptime of earlier processes counts;
    /// downtime does not.
    pub trust_after: i64,
}

/// Decides whether the wall clock is believed.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    trust_after: i64,
    /// The age at which events expire, if any.
    age: Option<i64>,
    /// A time that was believed, and the uptime then; no uptime if an earlier process believed it.
    known: Option<(i64, Option<i64>)>,
    /// The last wall time that was believed.
    believed: Option<i64>,
    /// The believed time in the manifest; if it has none, the first that this process believed.
    saved: Option<i64>,
    doubt: Option<Doubt>,
    /// The saved doubt.
    saved_doubt: Option<Observed>,
    /// The uptime of the last observation in this process.
    last_uptime: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// By how much the wall clock was ahead at the first observation of this process in this doubt.
    ahead: i64,
    observed: Observed,
}

/// The state of a doubt, for the next process to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
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
            known: None,
            believed: None,
            saved: None,
            doubt: None,
            saved_doubt: None,
            last_uptime: None,
        }
    }
}

impl Clock {
    /// The clock with what the previous process has saved: the time that it believed last, in nanoseconds since the
    /// Unix epoch, and its doubt.
    pub(crate) fn inherited(believed: Option<i64>, doubt: Option<Observed>) -> Self {
        Self { known: believed.map(|time| (time, None)), saved: believed, saved_doubt: doubt, ..Self::default() }
    }

    /// Sets after how many nanoseconds a clock in doubt is believed.
    pub(crate) fn trust_after(&mut self, nanos: i64) {
        self.trust_after = nanos;
    }

    /// Sets the age at which events expire, in nanoseconds.
    pub(crate) fn set_age(&mut self, age: Option<i64>) {
        self.age = age;
    }

    /// Whether this process has observed nothing yet.
    pub(crate) fn is_new(&self) -> bool {
        self.known.is_none_or(|(_, uptime)| uptime.is_none())
    }

    /// Takes the time of a commit of the previous process as evidence. Call it in the order of commits, before the
    /// first [`observe`](Self::observe). A time too far from the commit before is ignored, because the process may have
    /// been in doubt.
    pub(crate) fn observe_commit(&mut self, committed: i64) {
        match self.known {
            None => self.known = Some((committed, None)),
            Some((known, None)) if known < committed && committed - known <= self.departure_max() => {
                self.known = Some((committed, None));
            }
            Some(_) => {}
        }
    }

    /// Compares the clocks.
    pub(crate) fn observe(&mut self, now: Moment) {
        let (wall, uptime) = (now.wall.as_nanos(), nanos(now.uptime));
        let last_uptime = self.last_uptime.replace(uptime);
        let Some((known, since)) = self.known else { return self.believe(wall, uptime) };
        let expected = known.saturating_add(uptime.saturating_sub(since.unwrap_or(uptime)));
        let ahead = wall.saturating_sub(expected);
        let most = self.departure_max().unsigned_abs();
        if ahead.unsigned_abs() <= most {
            if since.is_none() {
                return self.believe(wall, uptime);
            }
            // The reference stays; otherwise, many small steps could move the clock anywhere.
            (self.believed, self.doubt) = (Some(wall), None);
            return;
        }
        // The downtime is unknown. From here on, the uptime tells how time passes.
        self.known = Some((known, since.or(Some(uptime))));
        let elapsed = last_uptime.map(|before| uptime.saturating_sub(before));
        let (ahead, lasted) = self.continued(wall, ahead, elapsed).unwrap_or((ahead, 0));
        if lasted >= self.patience() {
            self.believe(wall, uptime);
        } else {
            self.doubt = Some(Doubt { ahead, observed: Observed { wall, lasted } });
        }
    }

    /// If the doubt continues from the last observation: how far ahead the wall clock was when this process noticed it,
    /// and how long it has lasted. `elapsed` is the time since that observation; `None` if an earlier process made it.
    fn continued(&self, wall: i64, ahead: i64, elapsed: Option<i64>) -> Option<(i64, i64)> {
        let most = self.departure_max();
        match elapsed {
            Some(elapsed) => {
                let Doubt { ahead: before, observed } = self.doubt?;
                let is_the_same = ahead.saturating_sub(before).unsigned_abs() <= most.unsigned_abs();
                is_the_same.then(|| (before, observed.lasted.saturating_add(elapsed)))
            }
            None => {
                let left = self.saved_doubt?;
                (-most..=AWAY_MAX).contains(&wall.saturating_sub(left.wall)).then_some((ahead, left.lasted))
            }
        }
    }

    /// Whether a wall time is believed, shortly after an observation, or before the first one.
    pub(crate) fn believes(&self, wall: Timestamp) -> bool {
        let departs = |believed: i64| wall.as_nanos().saturating_sub(believed) > self.departure_max();
        self.doubt.is_none() && (self.patience() == 0 || !self.believed().is_some_and(departs))
    }

    /// The doubt, if the clock is in doubt.
    pub(crate) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt.map(|doubt| ClockDoubt { ahead: doubt.ahead, trust_after: self.patience() })
    }

    /// The last wall time that was believed, in nanoseconds since the Unix epoch.
    pub(crate) fn believed(&self) -> Option<i64> {
        self.believed.or(self.known.map(|(known, _)| known))
    }

    /// The state of the doubt, to be saved. `None` when a doubt has just begun.
    pub(crate) fn observed(&self) -> Option<Observed> {
        self.doubt.map(|doubt| doubt.observed).filter(|observed| observed.lasted > 0)
    }

    /// Whether the state should be saved: the saved one is so old that the next process would soon doubt the true time,
    /// or would wait too long.
    pub(crate) fn needs_saving(&self) -> bool {
        let off = self.believed.zip(self.saved).map_or(0, |(believed, saved)| believed.saturating_sub(saved));
        off.saturating_abs() > self.departure_max() / 2 || self.doubt_needs_saving()
    }

    fn doubt_needs_saving(&self) -> bool {
        let Some(seen) = self.observed() else { return self.saved_doubt.is_some() };
        let news = seen.lasted.saturating_sub(self.saved_doubt.map_or(0, |saved| saved.lasted));
        news < 0 || news > SAVE_DOUBT_AFTER.min(self.patience() / DOUBT_SAVES)
    }

    /// The believed time was saved, and this doubt.
    pub(crate) fn set_saved(&mut self, doubt: Option<Observed>) {
        self.saved = self.believed.or(self.saved);
        self.saved_doubt = doubt;
    }

    fn believe(&mut self, wall: i64, uptime: i64) {
        (self.known, self.believed, self.doubt) = (Some((wall, Some(uptime))), Some(wall), None);
        self.saved = self.saved.or(Some(wall));
    }

    /// By how much the wall clock may differ from the expected time without doubt.
    fn departure_max(&self) -> i64 {
        self.age.map_or(DEPARTURE_MAX, |age| (age / DEPARTURE_PART).clamp(DEPARTURE_MIN, DEPARTURE_MAX))
    }

    /// How long a doubt lasts. After the age itself, everything from before the doubt has expired by any clock.
    fn patience(&self) -> i64 {
        self.age.map_or(self.trust_after, |age| age.min(self.trust_after))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ahead < 0 { "behind" } else { "ahead of" };
        let (off, trust_after) = (Span(self.ahead.saturating_abs()), Span(self.trust_after));
        write!(f, "the clock is {off} {direction} the time expected from the last commits and the uptime since; ")?;
        write!(f, "nothing expires until the clock is right, or has stayed like this for {trust_after}")
    }
}

/// Displays nanoseconds in the largest unit of which there are at least two.
struct Span(i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(DAY, "days"), (HOUR, "hours"), (MINUTE, "minutes")];
        let (unit, name) = units.into_iter().find(|(unit, _)| self.0 / unit >= 2).unwrap_or((SECOND, "seconds"));
        write!(f, "{} {name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    /// 2023-11-14T22:13:20Z, and as good as any other.
    const BEGIN: i64 = 1_700_000_000 * SECOND;
    const MONTH: i64 = 30 * DAY;

    /// The clocks this long after the beginning, with the wall clock this far ahead.
    fn moment(after: i64, ahead: i64) -> Moment {
        let uptime = Duration::from_nanos((HOUR + after).unsigned_abs());
        Moment { wall: Timestamp::from_nanos(BEGIN + after + ahead), uptime }
    }

    fn clock() -> Clock {
        let mut clock = Clock::default();
        clock.set_age(Some(MONTH));
        clock.observe(moment(0, 0));
        clock
    }

    /// Observes, and returns by how much the clock is reported to be ahead.
    fn ahead(clock: &mut Clock, now: Moment) -> Option<i64> {
        clock.observe(now);
        assert_eq!(clock.believes(now.wall), clock.doubt().is_none());
        clock.doubt().map(|doubt| doubt.ahead)
    }

    #[test]
    fn time_that_passes_is_believed_and_a_step_is_not() {
        let mut clock = clock();
        assert_eq!(ahead(&mut clock, moment(400 * DAY, 0)), None);
        assert_eq!(ahead(&mut clock, moment(400 * DAY, DAY)), None);
        assert_eq!(ahead(&mut clock, moment(400 * DAY, DAY + 1)), Some(DAY + 1));
        assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, 0)), None);
        assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, -40 * DAY)), Some(-40 * DAY));
        assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, 5 * SECOND)), None);
    }

    #[test]
    fn a_step_is_believed_when_it_has_lasted() {
        for step in [40 * DAY, -40 * DAY] {
            let mut clock = clock();
            assert_eq!(ahead(&mut clock, moment(HOUR, step)), Some(step));
            assert_eq!(ahead(&mut clock, moment(25 * HOUR - 1, step)), Some(step));
            assert_eq!(ahead(&mut clock, moment(25 * HOUR, step)), None);
            // The former time is in doubt from now on.
            assert_eq!(ahead(&mut clock, moment(26 * HOUR, 0)), Some(-step));
        }
    }

    #[test]
    fn another_step_begins_another_doubt() {
        let mut clock = clock();
        assert_eq!(ahead(&mut clock, moment(0, 40 * DAY)), Some(40 * DAY));
        assert_eq!(ahead(&mut clock, moment(23 * HOUR, 80 * DAY)), Some(80 * DAY));
        assert_eq!(ahead(&mut clock, moment(30 * HOUR, 80 * DAY)), Some(80 * DAY));
        assert_eq!(ahead(&mut clock, moment(47 * HOUR, 80 * DAY)), None);
    }

    #[test]
    fn small_steps_do_not_add_up_to_a_large_one() {
        let mut clock = clock();
        for step in 1..=24 {
            assert_eq!(ahead(&mut clock, moment(step * MINUTE, step * HOUR)), None);
        }
        assert_eq!(ahead(&mut clock, moment(25 * MINUTE, 25 * HOUR)), Some(25 * HOUR));
    }

    #[test]
    fn a_short_age_tolerates_little_and_does_not_wait_longer_than_itself() {
        let mut clock = clock();
        clock.set_age(Some(HOUR));
        assert_eq!(ahead(&mut clock, moment(0, HOUR / 8)), None);
        assert_eq!(ahead(&mut clock, moment(0, HOUR / 8 + 1)), Some(HOUR / 8 + 1));
        assert_eq!(ahead(&mut clock, moment(HOUR, HOUR / 8 + 1)), None);
    }

    #[test]
    fn a_jump_while_no_process_ran_is_doubted() {
        let left = |believed| {
            let mut clock = Clock::inherited(Some(believed), None);
            clock.set_age(Some(MONTH));
            clock
        };
        let mut clock = left(BEGIN - 40 * DAY);
        assert_eq!(ahead(&mut clock, moment(0, 0)), Some(40 * DAY));
        assert_eq!(ahead(&mut clock, moment(24 * HOUR, 0)), None);
        assert_eq!(ahead(&mut left(BEGIN - DAY), moment(0, 0)), None);

        // Commits are evidence of later times, unless they were made in doubt.
        let mut clock = left(BEGIN - 3 * DAY);
        (1..=3).for_each(|day| clock.observe_commit(BEGIN - 3 * DAY + day * DAY));
        assert_eq!(ahead(&mut clock, moment(0, 0)), None);
        let mut clock = left(BEGIN - 3 * DAY);
        (0..3).for_each(|hour| clock.observe_commit(BEGIN + 40 * DAY + hour * HOUR));
        assert_eq!(ahead(&mut clock, moment(0, 40 * DAY)), Some(43 * DAY));
    }

    /// The clock of the next process.
    fn next(clock: &Clock) -> Clock {
        let mut next = Clock::inherited(clock.saved, clock.saved_doubt);
        next.set_age(Some(MONTH));
        next
    }

    /// Observes every ten minutes from one hour to another, and saves when needed.
    fn observe_all(clock: &mut Clock, hours: core::ops::Range<i64>, ahead: i64) {
        for minutes in (hours.start * 60..hours.end * 60).step_by(10) {
            clock.observe(moment(minutes * MINUTE, ahead));
            if clock.needs_saving() {
                clock.set_saved(clock.observed());
            }
        }
    }

    #[test]
    fn a_doubt_goes_on_in_the_next_process() {
        let mut clock = clock();
        for begin in (0..36).step_by(3) {
            observe_all(&mut clock, begin..begin + 2, 40 * DAY);
            assert!(clock.doubt().is_some(), "{begin} hours after the beginning");
            clock = next(&clock);
        }
        // Of the two hours of each process, 100 minutes were saved.
        observe_all(&mut clock, 36..40, 40 * DAY);
        assert!(clock.doubt().is_some());
        observe_all(&mut clock, 40..41, 40 * DAY);
        assert!(clock.doubt().is_none());
    }

    #[test]
    fn another_doubt_and_one_after_a_long_time_begin_anew() {
        let mut first = clock();
        observe_all(&mut first, 0..23, 40 * DAY);
        assert!(first.saved_doubt.is_some_and(|left| left.lasted >= 20 * HOUR));
        for (after, ahead, goes_on) in [
            (23, 40 * DAY, true),
            (40, 40 * DAY, true),
            (49, 40 * DAY, false),
            (23, 42 * DAY, false),
            (23, 38 * DAY, false),
        ] {
            let mut clock = next(&first);
            observe_all(&mut clock, after..after + 4, ahead);
            assert_eq!(clock.doubt().is_none(), goes_on, "after {after} hours, {ahead} ns ahead");
        }

        // A clock that was right meanwhile begins a new doubt too, in this process and the next.
        for is_next in [false, true] {
            let mut clock = if is_next { next(&first) } else { first.clone() };
            observe_all(&mut clock, 23..24, 0);
            assert_eq!((clock.doubt(), clock.saved_doubt), (None, None));
            let mut clock = next(&clock);
            observe_all(&mut clock, 24..47, 40 * DAY);
            assert!(clock.doubt().is_some());
        }
    }

    #[test]
    fn before_the_first_observation_a_time_is_compared_with_what_is_known() {
        let mut clock = Clock::inherited(Some(BEGIN), None);
        clock.set_age(Some(MONTH));
        assert!(clock.believes(moment(DAY, 0).wall));
        assert!(!clock.believes(moment(DAY + 1, 0).wall));
        clock.trust_after(0);
        assert!(clock.believes(moment(DAY + 1, 0).wall), "every clock is trusted");
        assert!(Clock::default().believes(moment(0, 0).wall), "nothing is known");
    }

    #[test]
    fn the_believed_time_is_saved_after_half_of_the_tolerance() {
        let mut clock = clock();
        clock.observe(moment(DAY / 2, 0));
        assert!(!clock.needs_saving());
        clock.observe(moment(DAY / 2 + 1, 0));
        assert!(clock.needs_saving());
        clock.set_saved(clock.observed());
        assert!(!clock.needs_saving());
        clock.observe(moment(DAY / 2 + 1, 40 * DAY));
        assert!(!clock.needs_saving(), "what is in doubt is not saved as believed");
    }

    #[test]
    fn the_least_and_the_greatest_times_do_not_overflow() {
        let mut clock = clock();
        for wall in [i64::MIN, i64::MAX, i64::MIN] {
            for uptime in [Duration::ZERO, Duration::MAX] {
                clock.observe(Moment { wall: Timestamp::from_nanos(wall), uptime });
                clock.doubt().map(|doubt| doubt.to_string());
            }
        }
    }

    #[test]
    fn a_doubt_is_shown_with_its_consequence() {
        let text = ClockDoubt { ahead: 40 * DAY + HOUR, trust_after: DAY }.to_string();
        let expected = "the clock is 40 days ahead of the time expected from the last commits and the uptime since; nothing expires until \
                        the clock is right, or has stayed like this for 24 hours";
        assert_eq!(text, expected);
        assert!(
            ClockDoubt { ahead: -90 * SECOND, trust_after: 0 }.to_string().contains("is 90 seconds behind the time")
        );
    }
}
