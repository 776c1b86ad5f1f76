//! Tests of steps of the wall clock, within a process and between processes.

use alloc::string::ToString as _;

use super::*;

/// 2023-11-14T22:13:20Z, an arbitrary time.
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
    assert_eq!(clock.trusts(now.wall), clock.doubt().is_none());
    clock.doubt().map(|doubt| doubt.ahead)
}

#[test]
fn passing_time_is_trusted_and_a_step_is_not() {
    let mut clock = clock();
    assert_eq!(ahead(&mut clock, moment(400 * DAY, 0)), None);
    assert_eq!(ahead(&mut clock, moment(400 * DAY, DAY)), None);
    assert_eq!(ahead(&mut clock, moment(400 * DAY, DAY + 1)), Some(DAY + 1));
    assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, 0)), None);
    assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, -40 * DAY)), Some(-40 * DAY));
    assert_eq!(ahead(&mut clock, moment(400 * DAY + HOUR, 5 * SECOND)), None);
}

#[test]
fn a_step_is_trusted_after_a_day() {
    for step in [40 * DAY, -40 * DAY] {
        let mut clock = clock();
        assert_eq!(ahead(&mut clock, moment(HOUR, step)), Some(step));
        assert_eq!(ahead(&mut clock, moment(25 * HOUR - 1, step)), Some(step));
        assert_eq!(ahead(&mut clock, moment(25 * HOUR, step)), None);
        // From now on, the time before the step is in doubt.
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
fn a_short_age_shortens_the_tolerance_and_the_wait() {
    let mut clock = clock();
    clock.set_age(Some(HOUR));
    assert_eq!(ahead(&mut clock, moment(0, HOUR / 8)), None);
    assert_eq!(ahead(&mut clock, moment(0, HOUR / 8 + 1)), Some(HOUR / 8 + 1));
    assert_eq!(ahead(&mut clock, moment(HOUR, HOUR / 8 + 1)), None);
}

#[test]
fn a_step_while_no_process_ran_is_doubted() {
    let inherited = |trusted| {
        let mut clock = Clock::inherited(Some(trusted), None);
        clock.set_age(Some(MONTH));
        clock
    };
    let mut clock = inherited(BEGIN - 40 * DAY);
    assert_eq!(ahead(&mut clock, moment(0, 0)), Some(40 * DAY));
    assert_eq!(ahead(&mut clock, moment(24 * HOUR, 0)), None);
    assert_eq!(ahead(&mut inherited(BEGIN - DAY), moment(0, 0)), None);

    // Commits advance the reference, unless their times differ too much.
    let mut clock = inherited(BEGIN - 3 * DAY);
    (1..=3).for_each(|day| clock.observe_commit(BEGIN - 3 * DAY + day * DAY));
    assert_eq!(ahead(&mut clock, moment(0, 0)), None);
    let mut clock = inherited(BEGIN - 3 * DAY);
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
            clock.set_saved(clock.doubt_state());
        }
    }
}

#[test]
fn the_next_process_continues_a_doubt() {
    let mut clock = clock();
    for begin in (0..36).step_by(3) {
        observe_all(&mut clock, begin..begin + 2, 40 * DAY);
        assert!(clock.doubt().is_some(), "{begin} hours after the beginning");
        clock = next(&clock);
    }
    // Each of the twelve processes saved 100 minutes of its two hours.
    observe_all(&mut clock, 36..40, 40 * DAY);
    assert!(clock.doubt().is_some());
    observe_all(&mut clock, 40..41, 40 * DAY);
    assert!(clock.doubt().is_none());
}

#[test]
fn a_saved_doubt_does_not_continue_after_another_step_or_a_long_time() {
    let mut first = clock();
    observe_all(&mut first, 0..23, 40 * DAY);
    assert!(first.saved_doubt.is_some_and(|saved| saved.lasted >= 20 * HOUR));
    for (after, ahead, continues) in [
        (23, 40 * DAY, true),
        (40, 40 * DAY, true),
        (49, 40 * DAY, false),
        (23, 42 * DAY, false),
        (23, 38 * DAY, false),
    ] {
        let mut clock = next(&first);
        observe_all(&mut clock, after..after + 4, ahead);
        assert_eq!(clock.doubt().is_none(), continues, "after {after} hours, {ahead} ns ahead");
    }

    // A clock that was correct for a while also begins a new doubt, in this process and the next.
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
fn before_the_first_observation_a_time_is_compared_with_the_reference() {
    let mut clock = Clock::inherited(Some(BEGIN), None);
    clock.set_age(Some(MONTH));
    assert!(clock.trusts(moment(DAY, 0).wall));
    assert!(!clock.trusts(moment(DAY + 1, 0).wall));
    clock.set_trust_after(0);
    assert!(clock.trusts(moment(DAY + 1, 0).wall), "every clock is trusted");
    assert!(Clock::default().trusts(moment(0, 0).wall), "there is no reference");
}

#[test]
fn the_trusted_time_is_saved_after_half_the_tolerance() {
    let mut clock = clock();
    clock.observe(moment(DAY / 2, 0));
    assert!(!clock.needs_saving());
    clock.observe(moment(DAY / 2 + 1, 0));
    assert!(clock.needs_saving());
    clock.set_saved(clock.doubt_state());
    assert!(!clock.needs_saving());
    clock.observe(moment(DAY / 2 + 1, 40 * DAY));
    assert!(!clock.needs_saving(), "a time in doubt is not saved as trusted");
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
    let expected = "the clock is 40 days ahead of the time expected from the last commits and the uptime since; \
                    nothing expires until the clock is right, or has stayed like this for 24 hours";
    assert_eq!(text, expected);
    assert!(ClockDoubt { ahead: -90 * SECOND, trust_after: 0 }.to_string().contains("is 90 seconds behind the time"));
}
