//! The clocks, and who sets them.

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use argus_core::repository::Maintenance as _;

use super::super::auditor::Belief;
use super::super::canary::Canary;
use super::World;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// By so much the wall clock may always differ from what was believed last.
const SMALL_STEP: i64 = 300 * SECOND;

/// How far the wall clock is off when somebody sets it: not at all, a little, and too far to be believed.
const SET_AHEAD: [i64; 6] = [0, 40 * DAY, -40 * DAY, 30 * SECOND, 400 * DAY, 3 * DAY];

/// The true time, and the clocks that the engine is shown.
#[derive(Debug)]
pub(super) struct Clocks {
    /// The true time, in nanoseconds since the Unix epoch. It may go back a little, as a clock does that is kept right.
    now: i64,
    /// By how much the wall clock is ahead of it.
    ahead: i64,
    /// The uptime; that of all processes together, since nobody knows how long none is up.
    uptime: i64,
    /// The uptime at which the wall clock was set last.
    set_at: i64,
    /// By how much the wall clock was set ahead, all times together.
    skipped: i64,
    /// What the engine that is up was shown last.
    seen: Option<Timestamp>,
    /// By how much the wall clock was ahead when it may have been believed: for long, or when there was nothing to hold
    /// it against.
    lasted: Vec<i64>,
}

impl Clocks {
    pub(super) fn new() -> Self {
        // 2023-11-14T22:13:20Z, and as good as any other.
        Self { now: 1_700_000_000 * SECOND, ahead: 0, uptime: 0, set_at: 0, skipped: 0, seen: None, lasted: Vec::new() }
    }

    /// Lets time pass; where it is negative, the wall clock is corrected a little.
    pub(super) fn pass(&mut self, nanos: i64) {
        self.now += nanos;
        self.uptime += nanos.max(0);
    }

    /// Sets the wall clock. To what it shows already is as if nobody had.
    pub(super) fn set(&mut self, ahead: i64) {
        self.skipped += (ahead - self.ahead).max(0);
        if ahead != self.ahead {
            (self.ahead, self.set_at) = (ahead, self.uptime);
        }
    }

    /// Nothing is stored, so that no other time is known than that of the wall clock.
    pub(super) fn nothing_is_known(&mut self) {
        self.lasted.push(self.ahead);
    }

    /// The engine was shown the clocks.
    pub(super) fn seen(&mut self) {
        self.seen = Some(self.wall());
    }

    /// An engine is opened that was not shown the clocks yet.
    pub(super) fn unseen(&mut self) {
        self.seen = None;
    }

    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(self.now + self.ahead)
    }

    /// What the engine is shown. The canary's uptime goes ahead with the wall clock, so that nothing speaks against it.
    pub(super) fn moment(&self, canary: Option<Canary>) -> Moment {
        let skipped = if canary == Some(Canary::CredulousClock) { self.skipped } else { 0 };
        Moment { wall: self.wall(), uptime: Duration::from_nanos((self.uptime + skipped).unsigned_abs()) }
    }

    /// The latest time that events may expire by: the true one, or that of a wall clock which is off by little, or was
    /// for long. An engine that has seen less may believe less.
    pub(super) fn credible(&mut self, age: i64) -> i64 {
        if self.uptime - self.set_at >= patience(Some(age)) {
            self.lasted.push(self.ahead);
        }
        let is_credible = self.lasted.contains(&self.ahead) || self.ahead <= (age / 8).clamp(SMALL_STEP, DAY);
        if is_credible { self.now + self.ahead.max(0) } else { self.now }
    }
}

/// After how long any clock is believed.
fn patience(age: Option<i64>) -> i64 {
    age.map_or(DAY, |age| age.min(DAY))
}

impl World {
    /// Somebody sets the wall clock, or it is long before anything else happens.
    pub(super) fn meddle_with_time(&mut self) {
        if self.source.one_in(2) {
            let ahead = self.source.pick(&SET_AHEAD);
            // Generated ids follow from the time and the sequence number. Where commits do not wait for a sync, a crash
            // may lose events and with them the time of the last id. If the clock is set back as well, an id may be
            // given again, which a caller may have sent meanwhile. `docs/http-api.md` says so; it is not drawn.
            let ahead = if self.is_deferred { ahead.max(self.clocks.ahead) } else { ahead };
            self.note(|_| format!("the wall clock is set; it is {} s ahead", ahead / SECOND));
            self.clocks.set(ahead);
            // A host asks for tasks every few seconds. Otherwise a clock that is set twice meanwhile would look as if
            // it had stayed.
            self.take_tasks();
        } else {
            let hours = self.source.pick(&[1, 25]);
            self.note(|_| format!("{hours} hours pass"));
            self.clocks.pass(hours * HOUR);
        }
    }

    /// A repository without an event believes the clock, whatever it shows.
    pub(super) fn consider_the_clock(&mut self) {
        if self.auditor.model().last_seq() == 0 {
            self.clocks.nothing_is_known();
        }
    }

    /// What the engine has to make of the wall clock.
    pub(super) fn belief(&self) -> Belief {
        let off = |seen: Timestamp| self.clocks.wall().as_nanos().abs_diff(seen.as_nanos());
        match self.clocks.seen {
            Some(_) if self.engine().clock_doubt().is_some() => Belief::Doubted,
            Some(seen) if off(seen) <= SMALL_STEP.unsigned_abs() => Belief::Believed,
            Some(_) | None => Belief::Unknown,
        }
    }

    /// The wall clock is right from now on, and everybody had time to notice.
    pub(super) fn set_clock_right(&mut self) -> Result<(), String> {
        self.clocks.set(0);
        self.take_tasks();
        self.clocks.pass(patience(self.retention.age));
        self.take_tasks();
        match self.engine().clock_doubt() {
            Some(doubt) => Err(format!("the clock is right, and still in doubt: {doubt}")),
            None => Ok(()),
        }
    }
}
