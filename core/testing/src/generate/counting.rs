//! Generates questions about numbers of events, on the clocks of zones whose clocks are set.

use std::num::NonZeroU32;

use argus_core::analysis::{Aggregate, Aggregation, Field, Periods, Question, Types};
use argus_core::calendar::{Interval, Zone};
use argus_core::event::Timestamp;
use argus_core::query::Filter;

use super::super::random::Random;
use super::{filter, timestamp};

/// A zone, and an instant at which its clock is set.
const TURNS: [(&str, &str); 12] = [
    ("UTC", "2026-01-01T00:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Asia/Kolkata", "2026-02-28T18:30:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30:00Z"),
    // By half an hour.
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    // One minute after midnight.
    ("America/St_Johns", "2006-04-02T03:31:00Z"),
    // By a day.
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    // From an offset with seconds.
    ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
    ("Europe/Amsterdam", "1937-06-30T23:40:28Z"),
    ("America/New_York", "1883-11-18T17:00:00Z"),
];

/// A time near one at which a clock is set, often a whole hour or day from it; sometimes any [`timestamp`].
#[must_use]
pub fn turning_time(random: &mut Random<'_>) -> Timestamp {
    if random.one_in(6) {
        return timestamp(random);
    }
    let (_, turn) = random.pick(&TURNS);
    let turn = Timestamp::parse(turn).expect("these are times").as_nanos();
    let unit = random.pick(&[86_400, 3_600, 1_800, 900, 60, 30, 1]) * 1_000_000_000;
    let units = i64::try_from(random.below(9)).expect("the bound is small") - 4;
    let nanos = random.pick(&[0, 0, 1, -1, 999, 1_000, 500_000_000]);
    Timestamp::from_nanos(turn + units * unit + nanos)
}

/// A question that numbers of events suffice to answer, unless it has conditions on payloads or ids, which is rare.
#[must_use]
pub fn counted(random: &mut Random<'_>) -> Question {
    let mut filter = filter(random);
    if !random.one_in(8) {
        filter = Filter { payload: Vec::new(), ids: None, ..filter };
    }
    if random.one_in(2) {
        filter.start = random.one_in(2).then(|| turning_time(random));
        filter.end = random.one_in(2).then(|| turning_time(random));
    }
    if random.one_in(5) {
        return Question::Types(Box::new(Types { filter }));
    }
    let group_by = if random.one_in(2) { Vec::from([Field::Type]) } else { Vec::new() };
    let top = (!group_by.is_empty() && random.one_in(3))
        .then(|| NonZeroU32::MIN.saturating_add(u32::try_from(random.below(4)).expect("the bound is small")));
    let periods = (!random.one_in(4)).then(|| periods(random));
    let fill = periods.is_some() && random.one_in(3);
    Question::Aggregate(Box::new(Aggregate {
        filter,
        periods,
        fill,
        group_by,
        aggregations: Vec::from([Aggregation::Count]),
        top,
    }))
}

fn periods(random: &mut Random<'_>) -> Periods {
    let intervals = ["1s", "30s", "15m", "20m", "90m", "1h", "6h", "24h", "1d", "1w", "1mo", "1q", "1y"];
    let (zone, _) = random.pick(&TURNS);
    Periods {
        interval: Interval::parse(random.pick(&intervals)).expect("these are intervals"),
        zone: Zone::parse(zone).expect("these are zones"),
    }
}
