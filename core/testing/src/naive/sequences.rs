//! Funnels and retention.

#![expect(
    clippy::indexing_slicing,
    reason = "places come from the lists that they are used with, and a test may fail by panicking"
)]

use std::collections::BTreeMap;

use argus_core::analysis::{Funnel, Retention};
use argus_core::query::PayloadPath;

use super::super::filter;
use super::super::stored::StoredEvent;
use super::calendar;
use super::expected::Expected;
use super::value::{self, Value};

/// The events of each value of `by`. `events` are in the order of time.
fn by_value<'e>(by: &PayloadPath, events: &[&'e StoredEvent]) -> Vec<(Value, Vec<&'e StoredEvent>)> {
    let mut values: BTreeMap<Value, Vec<&StoredEvent>> = BTreeMap::new();
    for event in events {
        for value in value::different(by, &event.payload) {
            values.entry(value).or_default().push(event);
        }
    }
    values.remove(&Value::Null);
    values.into_iter().collect()
}

pub(super) fn funnel(question: &Funnel, events: &[&StoredEvent]) -> Expected {
    let within = question.within.map_or(i128::MAX, |within| i128::try_from(within.as_nanos()).unwrap_or(i128::MAX));
    let is_step = |event: &StoredEvent, step: usize| {
        question.steps.get(step).is_some_and(|step| {
            *step.event_type == *event.event_type
                && step.payload.iter().all(|condition| filter::matches(condition, &event.payload))
        })
    };
    let time = |event: &StoredEvent| i128::from(event.timestamp.as_nanos());
    // For each step, the nanoseconds since the step before of everyone who reached it.
    let mut reached: Vec<Vec<i128>> = vec![Vec::new(); question.steps.len()];
    for (_, own) in by_value(&question.by, events) {
        // For each step: the place of the event that reached it first, and the attempt that started last with it.
        let mut best: Vec<Option<(usize, i128)>> = vec![None; question.steps.len()];
        for start in (0..own.len()).rev().filter(|at| is_step(own[*at], 0)) {
            let (mut step, mut before) = (0, start);
            for at in start..own.len() {
                let fits = if step == 0 { at == start } else { is_step(own[at], step) && at > before };
                if fits && time(own[at]) - time(own[start]) <= within {
                    if best[step].is_none_or(|(earliest, _)| at < earliest) {
                        best[step] = Some((at, time(own[at]) - time(own[before])));
                    }
                    (step, before) = (step + 1, at);
                    if step == question.steps.len() {
                        break;
                    }
                }
            }
        }
        for (step, best) in best.into_iter().enumerate() {
            reached[step].extend(best.map(|(_, since)| since));
        }
    }
    let share = |part: usize, whole: usize| match whole {
        0 => Expected::null(),
        _ => Expected::relative(part as f64 / whole as f64, 0.0),
    };
    let steps = question.steps.iter().enumerate().map(|(at, step)| {
        let count = reached[at].len();
        let mut since = reached[at].clone();
        since.sort_unstable();
        let median = since.get(since.len().div_ceil(2).saturating_sub(1)).filter(|_| at > 0);
        Expected::Members(vec![
            ("type", Expected::Text(step.event_type.to_string())),
            ("count", Expected::Count(count)),
            ("conversion", share(count, reached[0].len())),
            ("from_previous", if at == 0 { Expected::null() } else { share(count, reached[at - 1].len()) }),
            (
                "median_seconds",
                median.map_or_else(Expected::null, |nanos| Expected::relative(*nanos as f64 / 1e9, 0.01)),
            ),
        ])
    });
    Expected::Members(vec![
        ("by", Expected::Text(format!("payload.{}", question.by))),
        ("steps", Expected::List(steps.collect())),
    ])
}

pub(super) fn retention(question: &Retention, events: &[&StoredEvent]) -> Expected {
    let interval = question.periods.interval.to_string();
    let bucket = |event: &StoredEvent| calendar::start_of(&interval, event.timestamp);
    let periods = usize::try_from(question.count).expect("few periods") + 1;
    let mut cohorts: Vec<(i128, usize, Vec<usize>)> = Vec::new();
    for (_, own) in by_value(&question.by, events) {
        let Some(first) = own.iter().position(|event| *event.event_type == *question.first) else { continue };
        let start = bucket(own[first]);
        let at = cohorts.iter().position(|cohort| cohort.0 == start).unwrap_or_else(|| {
            cohorts.push((start, 0, vec![0; periods]));
            cohorts.len() - 1
        });
        cohorts[at].1 += 1;
        let returns: Vec<i128> = own[first + 1..]
            .iter()
            .filter(|event| *event.event_type == *question.then)
            .map(|event| bucket(event))
            .collect();
        let mut period = start;
        for returned in &mut cohorts[at].2 {
            *returned += usize::from(returns.contains(&period));
            period = calendar::after(&interval, period);
        }
    }
    cohorts.sort();
    let cohort = |(start, size, returned): (i128, usize, Vec<usize>)| {
        Expected::Members(vec![
            ("time", Expected::Text(calendar::text(start))),
            ("size", Expected::Count(size)),
            ("returned", Expected::List(returned.into_iter().map(Expected::Count).collect())),
        ])
    };
    Expected::Members(vec![("cohorts", Expected::List(cohorts.into_iter().map(cohort).collect()))])
}
