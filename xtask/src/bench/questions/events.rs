//! Events of an online service over 30 days, the same ones for the same seed on every machine.
//!
//! Types, users and countries are few frequent and many rare ones, as in Zipf's law. Amounts and durations are
//! lognormal. Only additions and multiplications make them: `exp` and `ln` differ in the last bit between machines.

use std::io::{self, Write};

use crate::sample::draw::{Weighted, happens};

use super::super::workload::rfc3339;

/// 2026-03-02T00:00:00Z, a Monday, in milliseconds since the Unix epoch.
pub(super) const START_MS: u64 = 1_772_409_600_000;

const DAY_MS: u64 = 86_400_000;

/// The time of the events that a load of the planned size has.
pub(super) const DAYS: u64 = 30;

const HOUR_MS: u64 = 3_600_000;

/// Types, the most frequent first.
pub(super) const TYPES: [&str; 40] = [
    "page.viewed",
    "product.viewed",
    "search.submitted",
    "cart.changed",
    "page.left",
    "session.started",
    "image.loaded",
    "button.clicked",
    "product.compared",
    "checkout.started",
    "filter.applied",
    "video.started",
    "checkout.address_entered",
    "session.ended",
    "video.finished",
    "checkout.completed",
    "wishlist.changed",
    "review.read",
    "coupon.applied",
    "order.paid",
    "order.shipped",
    "newsletter.opened",
    "order.delivered",
    "error.shown",
    "account.signed_in",
    "recommendation.shown",
    "recommendation.clicked",
    "notification.sent",
    "notification.opened",
    "account.signed_out",
    "review.written",
    "account.registered",
    "support.chat_opened",
    "newsletter.subscribed",
    "order.cancelled",
    "order.returned",
    "support.ticket_created",
    "account.password_changed",
    "order.refunded",
    "account.deleted",
];

/// The index of the type that is asked for in one hour: frequent, but not the most frequent one.
pub(super) const IN_HOUR: usize = 3;

/// Countries, the most frequent first.
pub(super) const COUNTRIES: [&str; 30] = [
    "US", "DE", "GB", "FR", "JP", "BR", "IN", "CA", "IT", "ES", "NL", "PL", "AU", "MX", "SE", "CH", "AT", "BE", "KR",
    "TR", "NO", "DK", "FI", "PT", "CZ", "IE", "GR", "ZA", "NZ", "IS",
];

const DEVICES: [&str; 4] = ["desktop", "phone", "tablet", "tv"];
const PLANS: [&str; 3] = ["free", "plus", "business"];

/// How many users there are.
pub(super) const USERS: usize = 100_000;

/// The larger, the less do the most frequent users stand out.
const USER_FLATTENING: u64 = 20;

/// A step through the numbers of users that meets each once, since it has no divisor in common with [`USERS`]: the
/// number of a user says nothing about how frequent it is.
const USER_STEP: usize = 61_803;

/// One event in this many is late, by up to an hour.
const LATE_PER_MILLE: u32 = 10;

const OK_PER_MILLE: u32 = 970;

/// Both medians are in the unit of the value: hundredths for amounts, milliseconds for durations.
const AMOUNT: Lognormal = Lognormal { median: 3_000.0, sigma: 0.9 };
const DURATION: Lognormal = Lognormal { median: 120.0, sigma: 1.0 };

/// A stream of events without an end, in the order of arrival.
#[derive(Debug)]
pub(super) struct Events {
    rng: fastrand::Rng,
    /// How many events the 30 days have. Later events come at the same pace.
    planned: u64,
    index: u64,
    types: Weighted,
    users: Weighted,
    countries: Weighted,
    devices: Weighted,
    plans: Weighted,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The index in [`TYPES`].
    pub(super) event_type: usize,
    /// Milliseconds since the Unix epoch.
    pub(super) time_ms: u64,
    pub(super) is_late: bool,
    /// The rank of the user: 0 for the most frequent one.
    pub(super) user: usize,
    /// Different for every event.
    pub(super) session: u64,
    country: &'static str,
    /// In hundredths.
    amount: u64,
    duration_ms: u64,
    device: &'static str,
    plan: &'static str,
    ok: bool,
}

impl Events {
    pub(super) fn new(seed: u64, planned: u64) -> Self {
        // 1 / (rank - 0.1): a quarter for the first. Zipf's law itself would give it 23 %.
        let types = Weighted::new((1..=40).map(|rank| 10_000_000_000 / (10 * rank - 1)));
        Self {
            rng: fastrand::Rng::with_seed(seed),
            planned,
            index: 0,
            types,
            users: Weighted::zipf(100_000, USER_FLATTENING),
            countries: Weighted::zipf(30, 1),
            devices: Weighted::zipf(4, 0),
            plans: Weighted::zipf(3, 0),
        }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let rng = &mut self.rng;
        let pace = DAYS * DAY_MS;
        let begin = START_MS + self.index * pace / self.planned;
        let end = START_MS + (self.index + 1) * pace / self.planned;
        self.index += 1;
        let on_time = rng.u64(begin..end.max(begin + 1));
        let is_late = happens(rng, LATE_PER_MILLE);
        let late_ms = if is_late { rng.u64(1..=HOUR_MS) } else { 0 };
        let drawn = |from: &[&'static str], index: usize| from.get(index).copied().expect("as many weights as names");
        Some(Event {
            event_type: self.types.draw(rng),
            time_ms: on_time.saturating_sub(late_ms).max(START_MS),
            is_late,
            user: self.users.draw(rng),
            session: rng.u64(..),
            country: drawn(&COUNTRIES, self.countries.draw(rng)),
            amount: AMOUNT.draw(rng),
            duration_ms: DURATION.draw(rng),
            device: drawn(&DEVICES, self.devices.draw(rng)),
            plan: drawn(&PLANS, self.plans.draw(rng)),
            ok: happens(rng, OK_PER_MILLE),
        })
    }
}

impl Event {
    /// The event as a line of NDJSON, with the line end.
    pub(super) fn write(&self, mut out: impl Write) -> io::Result<()> {
        let Self { country, amount, duration_ms, device, plan, ok, .. } = self;
        let event_type = TYPES.get(self.event_type).copied().unwrap_or_default();
        writeln!(
            out,
            "{{\"event_type\":\"{event_type}\",\"timestamp\":\"{time}\",\"payload\":{{\"user_id\":\"{user}\",\
             \"session\":\"{session}\",\"country\":\"{country}\",\"amount\":{whole}.{hundredths:02},\
             \"duration_ms\":{duration_ms},\"device\":\"{device}\",\"plan\":\"{plan}\",\"ok\":{ok}}}}}",
            time = rfc3339(self.time_ms),
            user = user_name(self.user),
            session = session_name(self.session),
            whole = amount / 100,
            hundredths = amount % 100,
        )
    }
}

/// The `user_id` of the user with this rank.
pub(super) fn user_name(rank: usize) -> String {
    format!("u-{}", rank * USER_STEP % USERS)
}

/// The text of a session.
pub(super) fn session_name(session: u64) -> String {
    format!("{session:016x}")
}

/// Numbers whose logarithm has a normal distribution.
#[derive(Clone, Copy, Debug)]
struct Lognormal {
    median: f64,
    /// The standard deviation of the logarithm.
    sigma: f64,
}

impl Lognormal {
    /// e^(1/128).
    const STEP: f64 = 1.007_843_097_206_448;

    /// A random number, rounded.
    fn draw(self, rng: &mut fastrand::Rng) -> u64 {
        // The sum of twelve uniform numbers is nearly normal, with a standard deviation of one of them.
        let sum: i32 = (0..12).map(|_| i32::from(rng.u16(..))).sum();
        let exponent = f64::from(sum - 6 * 65_536) / 65_536.0 * self.sigma * 128.0;
        let steps = exponent.floor();
        // Between two whole steps, e^x is nearly a line.
        let mut value = self.median * (1.0 + (exponent - steps) * (Self::STEP - 1.0));
        value *= power(steps);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive and below 2^53")]
        let rounded = (value + 0.5) as u64;
        rounded
    }
}

/// [`Lognormal::STEP`] to the power of a whole number.
fn power(exponent: f64) -> f64 {
    let base = if exponent < 0.0 { 1.0 / Lognormal::STEP } else { Lognormal::STEP };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 6 × 128 × 1.0")]
    let mut left = exponent.abs() as u32;
    let (mut square, mut product) = (base, 1.0);
    while left > 0 {
        if left % 2 == 1 {
            product *= square;
        }
        square *= square;
        left /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const COUNT: usize = 50_000;

    fn events(seed: u64) -> Vec<Event> {
        Events::new(seed, COUNT as u64).take(COUNT).collect()
    }

    fn share(events: &[Event], of: impl Fn(&Event) -> bool) -> f64 {
        events.iter().filter(|event| of(event)).count() as f64 / COUNT as f64
    }

    #[test]
    fn a_seed_gives_the_same_events() {
        assert_eq!(events(1), events(1));
        assert_ne!(events(1), events(2));
    }

    #[test]
    fn a_quarter_has_the_most_frequent_type_and_each_type_is_there() {
        let events = events(1);
        let shares: Vec<f64> = (0..40).map(|rank| share(&events, |event| event.event_type == rank)).collect();
        assert!((0.24..0.26).contains(&shares[0]), "{shares:?}");
        assert!((0.10..0.13).contains(&shares[1]), "{shares:?}");
        assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");
    }

    #[test]
    fn times_ascend_but_for_one_event_in_a_hundred_which_is_at_most_an_hour_late() {
        let events = events(1);
        let late = share(&events, |event| event.is_late);
        assert!((0.008..0.012).contains(&late), "{late}");
        let in_time: Vec<u64> = events.iter().filter(|event| !event.is_late).map(|event| event.time_ms).collect();
        assert!(in_time.is_sorted());
        assert!(in_time.last().unwrap() - in_time[0] > 29 * DAY_MS);
        let mut latest = START_MS;
        for event in &events {
            assert!((START_MS..START_MS + DAYS * DAY_MS).contains(&event.time_ms));
            assert!(event.time_ms + HOUR_MS >= latest, "{event:?}");
            latest = latest.max(event.time_ms);
        }
    }

    #[test]
    fn users_sessions_and_numbers_are_distributed_as_promised() {
        let events = events(1);
        let most = share(&events, |event| event.user == 0);
        assert!((0.004..0.008).contains(&most), "{most}");
        assert_eq!(events.iter().map(|event| event.session).collect::<BTreeSet<_>>().len(), COUNT);
        assert_eq!((0..USERS).map(user_name).collect::<BTreeSet<_>>().len(), USERS);
        let ok = share(&events, |event| event.ok);
        assert!((0.965..0.975).contains(&ok), "{ok}");
        let below = share(&events, |event| event.duration_ms < 120);
        assert!((0.48..0.52).contains(&below), "{below}");
        // One standard deviation above the median: e × 120 ms.
        let above = share(&events, |event| event.duration_ms > 326);
        assert!((0.14..0.18).contains(&above), "{above}");
    }

    #[test]
    fn lines_are_events_of_about_216_bytes() {
        let mut text = Vec::new();
        for event in events(1) {
            event.write(&mut text).unwrap();
        }
        let text = String::from_utf8(text).unwrap();
        let bytes = text.len() / COUNT;
        assert!((206..=226).contains(&bytes), "{bytes}");
        for line in text.lines().take(100) {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["payload"].as_object().unwrap().len(), 8, "{line}");
            assert!(event["payload"]["amount"].is_f64() && event["payload"]["duration_ms"].is_u64(), "{line}");
        }
    }
}
