//! What is believed of the wall clock.
//!
//! Retention deletes by the wall clock, and a wall clock can be set wrong. So it is compared with two things that
//! nobody sets: the time that was believed last, by this process or the one before, and the time that the process has
//! been up since. A wall clock that departs from both is in doubt. It is believed when it has stayed that way for long
//! enough; until then nothing expires. For how long it has is noted, and the next process goes on from there: otherwise
//! one that is restarted every day would wait for ever.

use core::fmt;
use core::time::Duration;

use crate::event::Timestamp;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long a wall clock in doubt has to last where nobody says otherwise, in nanoseconds: 24 hours.
const TRUST_AFTER: i64 = DAY;

/// A departure of up to this part of the age after which events expire is believed at once: events that it expires too
/// early would have gone soon. It is also at least [`DEPARTURE_MIN`] and at most [`DEPARTURE_MAX`].
const DEPARTURE_PART: i64 = 8;
/// Services that keep the clock right step it by less than that.
const DEPARTURE_MIN: i64 = 5 * MINUTE;
const DEPARTURE_MAX: i64 = DAY;

/// The next process goes on with a doubt if the wall clock shows at most so much more than it was seen to show. Nobody
/// knows how much of that is the time in which no process was up.
const AWAY_MAX: i64 = DAY;

/// How long a doubt has lasted is noted after this time, and so many times at least before the wall clock is believed.
const NOTE_DOUBT_AFTER: i64 = 10 * MINUTE;
const DOUBT_NOTES: i64 = 16;

/// What a host's clocks show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may be set forward and back.
    pub wall: Timestamp,
    /// Time that has passed since any fixed point before the process began, by a clock that nobody can set. It should
    /// go on while the machine sleeps; where it does not, a sleep is taken for a step of the wall clock.
    pub uptime: Duration,
}

/// A wall clock that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDoubt {
    /// By how many nanoseconds the wall clock is ahead of the time that is believed. Negative if it is behind.
    pub ahead: i64,
    /// After how many nanoseconds of this it is believed, counted from the moment when it was noticed. Time that
    /// earlier processes have seen it like this counts; time in which no process was up does not.
    pub trust_after: i64,
}

/// Tells whether the wall clock is to be believed.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    trust_after: i64,
    /// The age after which events expire, if they do.
    age: Option<i64>,
    /// A time that was believed, and the uptime of this process at that time; `None` where the process before has left
    /// it.
    known: Option<(i64, Option<i64>)>,
    /// The last wall time that was believed.
    believed: Option<i64>,
    /// What the medium says was believed; or, if it says nothing, what this process has believed first.
    noted: Option<i64>,
    doubt: Option<Doubt>,
    /// What the medium says of a doubt.
    noted_doubt: Option<Observed>,
    /// The uptime at which this process has looked at the clocks last.
    looked_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// By how much the wall clock was ahead when this process noticed it.
    ahead: i64,
    observed: Observed,
}

/// What was seen of a wall clock in doubt, for the next process to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// What it showed last, in nanoseconds since the Unix epoch.
    pub(crate) wall: i64,
    /// For how many nanoseconds processes have seen it in doubt.
    pub(crate) lasted: i64,
}

impl Default for Clock {
    /// Nothing is known of any time.
    fn default() -> Self {
        Self {
            trust_after: TRUST_AFTER,
            age: None,
            known: None,
            believed: None,
            noted: None,
            doubt: None,
            noted_doubt: None,
            looked_at: None,
        }
    }
}

impl Clock {
    /// What is left of the process before: the time that it has believed last, in nanoseconds since the Unix epoch, and
    /// its doubt.
    pub(crate) fn left(believed: Option<i64>, doubt: Option<Observed>) -> Self {
        Self { known: believed.map(|time| (time, None)), noted: believed, noted_doubt: doubt, ..Self::default() }
    }

    /// A wall clock in doubt is believed after so many nanoseconds.
    pub(crate) fn trust_after(&mut self, nanos: i64) {
        self.trust_after = nanos;
    }

    /// Events expire at this age, in nanoseconds.
    pub(crate) fn set_age(&mut self, age: Option<i64>) {
        self.age = age;
    }

    /// Whether nothing was observed yet.
    pub(crate) fn is_new(&self) -> bool {
        self.known.is_none_or(|(_, uptime)| uptime.is_none())
    }

    /// Takes in when the process before has stored something. To be called in the order of commits, before the first
    /// [`observe`](Self::observe). What departs too far from the commit before is no evidence, for the process may have
    /// been in doubt.
    pub(crate) fn recall(&mut self, committed: i64) {
        match self.known {
            None => self.known = Some((committed, None)),
            Some((known, None)) if known < committed && committed - known <= self.departure_max() => {
                self.known = Some((committed, None));
            }
            Some(_) => {}
        }
    }

    /// Looks at the clocks.
    pub(crate) fn observe(&mut self, now: Moment) {
        let (wall, uptime) = (now.wall.as_nanos(), nanos(now.uptime));
        let looked_at = self.looked_at.replace(uptime);
        let Some((known, since)) = self.known else { return self.believe(wall, uptime) };
        let expected = known.saturating_add(uptime.saturating_sub(since.unwrap_or(uptime)));
        let ahead = wall.saturating_sub(expected);
        let most = self.departure_max().unsigned_abs();
        if ahead.unsigned_abs() <= most {
            if since.is_none() {
                return self.believe(wall, uptime);
            }
            // What is known stays: else a clock that is set forward a little again and again would get anywhere.
            (self.believed, self.doubt) = (Some(wall), None);
            return;
        }
        // Nobody knows how long no process was up. From here on it is known how time passes.
        self.known = Some((known, since.or(Some(uptime))));
        let elapsed = looked_at.map(|before| uptime.saturating_sub(before));
        let (ahead, lasted) = self.going_on(wall, ahead, elapsed).unwrap_or((ahead, 0));
        if lasted >= self.patience() {
            self.believe(wall, uptime);
        } else {
            self.doubt = Some(Doubt { ahead, observed: Observed { wall, lasted } });
        }
    }

    /// If this doubt was there at the last look: how far ahead the wall clock was when this process noticed it, and for
    /// how long it has lasted. `elapsed` is the time since that look; `None` if an earlier process took it.
    fn going_on(&self, wall: i64, ahead: i64, elapsed: Option<i64>) -> Option<(i64, i64)> {
        let most = self.departure_max();
        match elapsed {
            Some(elapsed) => {
                let Doubt { ahead: before, observed } = self.doubt?;
                let is_the_same = ahead.saturating_sub(before).unsigned_abs() <= most.unsigned_abs();
                is_the_same.then(|| (before, observed.lasted.saturating_add(elapsed)))
            }
            None => {
                let left = self.noted_doubt?;
                (-most..=AWAY_MAX).contains(&wall.saturating_sub(left.wall)).then_some((ahead, left.lasted))
            }
        }
    }

    /// Whether a wall time may be taken for the true one, shortly after clocks were observed, or before they are for
    /// the first time.
    pub(crate) fn believes(&self, wall: Timestamp) -> bool {
        let departs = |believed: i64| wall.as_nanos().saturating_sub(believed) > self.departure_max();
        self.doubt.is_none() && (self.patience() == 0 || !self.believed().is_some_and(departs))
    }

    /// Why the wall clock is not believed, if so.
    pub(crate) fn doubt(&self) -> Option<ClockDoubt> {
        self.doubt.map(|doubt| ClockDoubt { ahead: doubt.ahead, trust_after: self.patience() })
    }

    /// The last wall time that was believed, in nanoseconds since the Unix epoch.
    pub(crate) fn believed(&self) -> Option<i64> {
        self.believed.or(self.known.map(|(known, _)| known))
    }

    /// What was seen of a clock in doubt, to be written down. Nothing at the beginning of a doubt.
    pub(crate) fn observed(&self) -> Option<Observed> {
        self.doubt.map(|doubt| doubt.observed).filter(|observed| observed.lasted > 0)
    }

    /// Whether what is believed should be written down: what the medium says is so old that the next process would
    /// doubt the true time soon, or would wait too long.
    pub(crate) fn wants_note(&self) -> bool {
        let off = self.believed.zip(self.noted).map_or(0, |(believed, noted)| believed.saturating_sub(noted));
        off.saturating_abs() > self.departure_max() / 2 || self.wants_doubt_noted()
    }

    fn wants_doubt_noted(&self) -> bool {
        let Some(seen) = self.observed() else { return self.noted_doubt.is_some() };
        let news = seen.lasted.saturating_sub(self.noted_doubt.map_or(0, |noted| noted.lasted));
        news < 0 || news > NOTE_DOUBT_AFTER.min(self.patience() / DOUBT_NOTES)
    }

    /// What is believed was written down, and this of a doubt.
    pub(crate) fn set_noted(&mut self, doubt: Option<Observed>) {
        self.noted = self.believed.or(self.noted);
        self.noted_doubt = doubt;
    }

    fn believe(&mut self, wall: i64, uptime: i64) {
        (self.known, self.believed, self.doubt) = (Some((wall, Some(uptime))), Some(wall), None);
        self.noted = self.noted.or(Some(wall));
    }

    /// By how much the wall clock may depart from what is known without being doubted.
    fn departure_max(&self) -> i64 {
        self.age.map_or(DEPARTURE_MAX, |age| (age / DEPARTURE_PART).clamp(DEPARTURE_MIN, DEPARTURE_MAX))
    }

    /// How long a doubt lasts. After the age itself, whatever came before the doubt has expired by any clock.
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
        write!(f, "the clock is {off} {direction} the time that the last commits and the uptime since then give; ")?;
        write!(f, "nothing expires until the clock is right, or has stayed like this for {trust_after}")
    }
}

/// A length of time in nanoseconds, in the largest unit of which there are at least two.
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

    /// So long after the beginning, with a wall clock that is so far ahead.
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

    /// By how much it is said to be ahead.
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
            // What was true before is doubtful from now on.
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
    fn what_no_process_saw_is_doubted() {
        let left = |believed| {
            let mut clock = Clock::left(Some(believed), None);
            clock.set_age(Some(MONTH));
            clock
        };
        let mut clock = left(BEGIN - 40 * DAY);
        assert_eq!(ahead(&mut clock, moment(0, 0)), Some(40 * DAY));
        assert_eq!(ahead(&mut clock, moment(24 * HOUR, 0)), None);
        assert_eq!(ahead(&mut left(BEGIN - DAY), moment(0, 0)), None);

        // Commits tell of more time, unless they were made in doubt themselves.
        let mut clock = left(BEGIN - 3 * DAY);
        (1..=3).for_each(|day| clock.recall(BEGIN - 3 * DAY + day * DAY));
        assert_eq!(ahead(&mut clock, moment(0, 0)), None);
        let mut clock = left(BEGIN - 3 * DAY);
        (0..3).for_each(|hour| clock.recall(BEGIN + 40 * DAY + hour * HOUR));
        assert_eq!(ahead(&mut clock, moment(0, 40 * DAY)), Some(43 * DAY));
    }

    /// The next process, if this one comes to its end.
    fn next(clock: &Clock) -> Clock {
        let mut next = Clock::left(clock.noted, clock.noted_doubt);
        next.set_age(Some(MONTH));
        next
    }

    /// Looks at the clocks every ten minutes from one hour to another, and notes what is to be noted.
    fn look(clock: &mut Clock, hours: core::ops::Range<i64>, ahead: i64) {
        for minutes in (hours.start * 60..hours.end * 60).step_by(10) {
            clock.observe(moment(minutes * MINUTE, ahead));
            if clock.wants_note() {
                clock.set_noted(clock.observed());
            }
        }
    }

    #[test]
    fn a_doubt_goes_on_in_the_next_process() {
        let mut clock = clock();
        for begin in (0..36).step_by(3) {
            look(&mut clock, begin..begin + 2, 40 * DAY);
            assert!(clock.doubt().is_some(), "{begin} hours after the beginning");
            clock = next(&clock);
        }
        // Of the two hours of each process, 100 minutes were noted.
        look(&mut clock, 36..40, 40 * DAY);
        assert!(clock.doubt().is_some());
        look(&mut clock, 40..41, 40 * DAY);
        assert!(clock.doubt().is_none());
    }

    #[test]
    fn another_doubt_and_one_after_a_long_time_begin_anew() {
        let mut first = clock();
        look(&mut first, 0..23, 40 * DAY);
        assert!(first.noted_doubt.is_some_and(|left| left.lasted >= 20 * HOUR));
        for (after, ahead, goes_on) in [
            (23, 40 * DAY, true),
            (40, 40 * DAY, true),
            (49, 40 * DAY, false),
            (23, 42 * DAY, false),
            (23, 38 * DAY, false),
        ] {
            let mut clock = next(&first);
            look(&mut clock, after..after + 4, ahead);
            assert_eq!(clock.doubt().is_none(), goes_on, "after {after} hours, {ahead} ns ahead");
        }

        // One that was right meanwhile, too, whoever has seen it.
        for is_next in [false, true] {
            let mut clock = if is_next { next(&first) } else { first.clone() };
            look(&mut clock, 23..24, 0);
            assert_eq!((clock.doubt(), clock.noted_doubt), (None, None));
            let mut clock = next(&clock);
            look(&mut clock, 24..47, 40 * DAY);
            assert!(clock.doubt().is_some());
        }
    }

    #[test]
    fn before_the_first_look_a_time_is_held_against_what_is_known() {
        let mut clock = Clock::left(Some(BEGIN), None);
        clock.set_age(Some(MONTH));
        assert!(clock.believes(moment(DAY, 0).wall));
        assert!(!clock.believes(moment(DAY + 1, 0).wall));
        clock.trust_after(0);
        assert!(clock.believes(moment(DAY + 1, 0).wall), "every clock is trusted");
        assert!(Clock::default().believes(moment(0, 0).wall), "nothing is known");
    }

    #[test]
    fn what_is_believed_is_noted_twice_in_what_is_tolerated() {
        let mut clock = clock();
        clock.observe(moment(DAY / 2, 0));
        assert!(!clock.wants_note());
        clock.observe(moment(DAY / 2 + 1, 0));
        assert!(clock.wants_note());
        clock.set_noted(clock.observed());
        assert!(!clock.wants_note());
        clock.observe(moment(DAY / 2 + 1, 40 * DAY));
        assert!(!clock.wants_note(), "what is in doubt is not noted");
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut clock = clock();
        for wall in [i64::MIN, i64::MAX, i64::MIN] {
            for uptime in [Duration::ZERO, Duration::MAX] {
                clock.observe(Moment { wall: Timestamp::from_nanos(wall), uptime });
                clock.doubt().map(|doubt| doubt.to_string());
            }
        }
    }

    #[test]
    fn a_doubt_says_what_follows() {
        let text = ClockDoubt { ahead: 40 * DAY + HOUR, trust_after: DAY }.to_string();
        let expected = "the clock is 40 days ahead of the time that the last commits and the uptime since then give; nothing expires until \
                        the clock is right, or has stayed like this for 24 hours";
        assert_eq!(text, expected);
        assert!(
            ClockDoubt { ahead: -90 * SECOND, trust_after: 0 }.to_string().contains("is 90 seconds behind the time")
        );
    }
}
