//! The clocks, and changes to them.

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use argus_core::repository::Maintenance as _;

use super::super::auditor::Belief;
use super::super::canary::Canary;
use super::World;
use crate::NOW;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// The engine always accepts a change of the wall clock by this much.
const SMALL_STEP: i64 = 300 * SECOND;

/// By how much a changed wall clock is ahead: not at all, a little, and too much to be trusted.
const SET_AHEAD: [i64; 6] = [0, 40 * DAY, -40 * DAY, 30 * SECOND, 400 * DAY, 3 * DAY];

/// The true time, and the clocks shown to the engine.
#[derive(Debug)]
pub(super) struct Clocks {
    /// The true time, in nanoseconds since the Unix epoch. It may go back a little, like a clock under NTP.
    now: i64,
    /// By how much the wall clock is ahead of the true time.
    ahead: i64,
    /// The uptime of all processes together. The time between two processes counts, since its length is unknown.
    uptime: i64,
    /// The uptime when the wall clock was last changed.
    set_at: i64,
    /// The sum of all changes ahead.
    skipped: i64,
    /// The wall time that the running engine saw last.
    seen: Option<Timestamp>,
    /// How far ahead the wall clock was whenever the engine may have trusted it: after it had lasted, or while the
    /// store was empty.
    trusted: Vec<i64>,
}

impl Clocks {
    pub(super) fn new() -> Self {
        Self { now: NOW.as_nanos(), ahead: 0, uptime: 0, set_at: 0, skipped: 0, seen: None, trusted: Vec::new() }
    }

    /// Lets time pass. A negative time is a small correction of the clock.
    pub(super) fn pass(&mut self, nanos: i64) {
        self.now += nanos;
        self.uptime += nanos.max(0);
    }

    /// Sets the wall clock. Setting it to the same value changes nothing.
    pub(super) fn set(&mut self, ahead: i64) {
        self.skipped += (ahead - self.ahead).max(0);
        if ahead != self.ahead {
            (self.ahead, self.set_at) = (ahead, self.uptime);
        }
    }

    /// The store is empty: the engine can compare the wall clock with nothing.
    pub(super) fn store_is_empty(&mut self) {
        self.trusted.push(self.ahead);
    }

    /// The engine has seen the clocks.
    pub(super) fn seen(&mut self) {
        self.seen = Some(self.wall());
    }

    /// An engine was opened and has not seen the clocks.
    pub(super) fn reset_seen(&mut self) {
        self.seen = None;
    }

    pub(super) fn wall(&self) -> Timestamp {
        Timestamp::from_nanos(self.now + self.ahead)
    }

    /// The moment shown to the engine. With the canary, the uptime moves along with the wall clock, so that the engine
    /// cannot notice a change.
    pub(super) fn moment(&self, canary: Option<Canary>) -> Moment {
        let skipped = if canary == Some(Canary::CredulousClock) { self.skipped } else { 0 };
        Moment { wall: self.wall(), uptime: Duration::from_nanos((self.uptime + skipped).unsigned_abs()) }
    }

    /// The latest time by which events may expire: the true time, or that of a wall clock which is off by little or has
    /// lasted long. An engine that has seen less may use an earlier time.
    pub(super) fn credible(&mut self, age: i64) -> i64 {
        if self.uptime - self.set_at >= patience(Some(age)) {
            self.trusted.push(self.ahead);
        }
        let is_credible = self.trusted.contains(&self.ahead) || self.ahead <= (age / 8).clamp(SMALL_STEP, DAY);
        if is_credible { self.now + self.ahead.max(0) } else { self.now }
    }
}

/// After this time any clock is trusted.
fn patience(age: Option<i64>) -> i64 {
    age.map_or(DAY, |age| age.min(DAY))
}

impl World {
    /// Changes the wall clock, or lets a long time pass.
    pub(super) fn change_clocks(&mut self) {
        if self.random.one_in(2) {
            let ahead = self.random.pick(&SET_AHEAD);
            // Generated ids depend on the time and the sequence number. With deferred syncs a crash may lose events,
            // and with them the time of the last id. If the clock is then set back, an id may be generated twice.
            // `docs/http-api.md` says so; this is not simulated.
            let ahead = if self.is_deferred { ahead.max(self.clocks.ahead) } else { ahead };
            self.note(|_| format!("the wall clock is set to {} s ahead", ahead / SECOND));
            self.clocks.set(ahead);
            // A host asks for tasks every few seconds. Otherwise two changes in between would look like none.
            self.take_tasks();
        } else {
            let hours = self.random.pick(&[1, 25]);
            self.note(|_| format!("{hours} hours pass"));
            self.clocks.pass(hours * HOUR);
        }
    }

    /// An empty repository believes any clock.
    pub(super) fn trust_first_clock(&mut self) {
        if self.auditor.model().last_seq() == 0 {
            self.clocks.store_is_empty();
        }
    }

    /// What the engine must think of the wall clock.
    pub(super) fn belief(&self) -> Belief {
        let off = |seen: Timestamp| self.clocks.wall().as_nanos().abs_diff(seen.as_nanos());
        match self.clocks.seen {
            Some(_) if self.engine().clock_doubt().is_some() => Belief::Doubted,
            Some(seen) if off(seen) <= SMALL_STEP.unsigned_abs() => Belief::Believed,
            Some(_) | None => Belief::Unknown,
        }
    }

    /// Sets the wall clock right, and lets enough time pass for the engine to believe it.
    pub(super) fn set_clock_right(&mut self) -> Result<(), String> {
        self.clocks.set(0);
        self.take_tasks();
        self.clocks.pass(patience(self.retention.age));
        self.take_tasks();
        match self.engine().clock_doubt() {
            Some(doubt) => Err(format!("the clock is right, but the engine still doubts it: {doubt}")),
            None => Ok(()),
        }
    }
}
