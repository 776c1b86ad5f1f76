//! Generates questions.

use std::num::NonZeroU32;
use std::time::Duration;

use argus_core::analysis::{
    Aggregate, Aggregation, Field, Fields, Function, Funnel, Periods, Question, Retention, Step, Types,
};
use argus_core::calendar::{Interval, Zone};
use argus_core::query::{Filter, PayloadPath};

use super::super::random::Random;
use super::{event_type, filter, payload_filter};

/// A question with names and values that [`payload`](super::payload) generates. Buckets of time are in UTC.
#[must_use]
pub fn question(random: &mut Random<'_>) -> Question {
    match random.below(8) {
        0 if random.one_in(2) => Question::Aggregate(Box::new(count(random))),
        0..=3 => Question::Aggregate(Box::new(aggregate(random))),
        4 => Question::Funnel(Box::new(funnel(random))),
        5 => Question::Retention(Box::new(retention(random))),
        6 => Question::Types(Box::new(Types { filter: filter(random) })),
        _ => Question::Fields(Box::new(Fields { filter: filter(random) })),
    }
}

/// Only counts events, which whole segments and blocks may answer.
fn count(random: &mut Random<'_>) -> Aggregate {
    let group_by = if random.one_in(2) { [Field::Type].into() } else { Vec::new() };
    let periods = random.one_in(4).then(|| periods(random, &["1d", "1mo"]));
    let mut filter = if random.one_in(4) { filter(random) } else { Filter::default() };
    if random.one_in(2) {
        narrow(&mut filter, random);
    }
    Aggregate { filter, periods, fill: false, group_by, aggregations: [Aggregation::Count].into(), top: None }
}

fn aggregate(random: &mut Random<'_>) -> Aggregate {
    let group_by = different((0..random.below(3)).map(|_| field(random)).collect());
    let mut aggregations: Vec<Aggregation> = (0..=random.below(4)).map(|_| aggregation(random)).collect();
    let top = (!group_by.is_empty() && random.one_in(3)).then(|| {
        // A rank is exact only for these.
        let function = random.pick(&[Function::Min, Function::Max, Function::Unique]);
        let first = if random.one_in(2) { Aggregation::Count } else { Aggregation::Of(function, path(random)) };
        aggregations.insert(0, first);
        NonZeroU32::MIN.saturating_add(u32::try_from(random.below(4)).expect("the bound is small"))
    });
    let periods = random.one_in(2).then(|| periods(random, &["1h", "30s", "15m", "1d", "1w", "1mo", "1q", "1y"]));
    let mut filter = filter(random);
    // To fill every bucket from 1677 on takes long.
    let fill = periods.is_some() && random.one_in(3) && narrow(&mut filter, random);
    Aggregate { filter, periods, fill, group_by, aggregations: different(aggregations), top }
}

/// Restricts a filter to a minute, so that few buckets are filled.
fn narrow(filter: &mut Filter, random: &mut Random<'_>) -> bool {
    let start = super::super::moment::NOW.as_nanos();
    let end = start + i64::try_from(random.below(60)).expect("the bound is small") * 1_000_000_000;
    filter.start = Some(argus_core::event::Timestamp::from_nanos(start));
    filter.end = Some(argus_core::event::Timestamp::from_nanos(end));
    true
}

fn funnel(random: &mut Random<'_>) -> Funnel {
    let step = |random: &mut Random<'_>| Step {
        event_type: event_type(random).into(),
        payload: if random.one_in(4) { Vec::from([payload_filter(random)]) } else { Vec::new() },
    };
    Funnel {
        filter: some_filter(random),
        steps: (0..2 + random.below(3)).map(|_| step(random)).collect(),
        by: path(random),
        within: random.one_in(2).then(|| Duration::from_secs(random.below(20))),
    }
}

fn retention(random: &mut Random<'_>) -> Retention {
    Retention {
        filter: some_filter(random),
        first: event_type(random).into(),
        then: event_type(random).into(),
        by: path(random),
        periods: periods(random, &["1d", "1w", "1mo"]),
        count: 1 + u32::try_from(random.below(4)).expect("the bound is small"),
    }
}

/// Mostly everything, since sequences of few events have few steps.
fn some_filter(random: &mut Random<'_>) -> Filter {
    if random.one_in(4) { filter(random) } else { Filter::default() }
}

fn periods<const N: usize>(random: &mut Random<'_>, intervals: &[&str; N]) -> Periods {
    let interval = Interval::parse(random.pick(intervals)).expect("these are intervals");
    Periods { interval, zone: Zone::utc() }
}

fn field(random: &mut Random<'_>) -> Field {
    if random.one_in(3) { Field::Type } else { Field::Payload(path(random)) }
}

fn aggregation(random: &mut Random<'_>) -> Aggregation {
    let functions = [
        Function::Sum,
        Function::Avg,
        Function::Min,
        Function::Max,
        Function::P50,
        Function::P90,
        Function::P95,
        Function::P99,
        Function::Unique,
    ];
    if random.one_in(4) { Aggregation::Count } else { Aggregation::Of(random.pick(&functions), path(random)) }
}

/// Mostly a name that many payloads have.
fn path(random: &mut Random<'_>) -> PayloadPath {
    if random.one_in(3) {
        payload_filter(random).path
    } else {
        PayloadPath::parse(random.pick(&["a", "b", "ä"])).expect("a name")
    }
}

fn different<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    items.into_iter().fold(Vec::new(), |mut different, item| {
        if !different.contains(&item) {
            different.push(item);
        }
        different
    })
}
