//! Aggregates.

use std::collections::{BTreeMap, BTreeSet};

use argus_core::analysis::{Aggregate, Aggregation, Field, Function};
use argus_core::query::PayloadPath;

use super::super::stored::StoredEvent;
use super::super::tree::Text;
use super::calendar;
use super::expected::Expected;
use super::value::{self, Value};

/// The row of an event: its bucket and its group.
type Key = (i128, Vec<Value>);

pub(super) fn answer(question: &Aggregate, events: &[&StoredEvent]) -> Expected {
    let interval = question.periods.as_ref().map(|periods| periods.interval.to_string());
    let bucket = |event: &StoredEvent| match &interval {
        Some(interval) => calendar::start_of(interval, event.timestamp),
        None => 0,
    };
    let mut keyed: BTreeMap<Key, Vec<&StoredEvent>> = BTreeMap::new();
    for event in events {
        for group in groups_of(question, event) {
            keyed.entry((bucket(event), group)).or_default().push(event);
        }
    }
    let mut buckets: BTreeSet<i128> = events.iter().map(|event| bucket(event)).collect();
    let mut groups: Vec<Vec<Value>> = keyed.keys().map(|(_, group)| group.clone()).collect();
    if question.group_by.is_empty() {
        groups.push(Vec::new());
    }
    groups.sort();
    groups.dedup();
    if interval.is_none() {
        buckets.insert(0);
    }
    if let (true, Some(interval)) = (question.fill, &interval) {
        let first = question.filter.start.or(events.first().map(|event| event.timestamp));
        let last = question.filter.end.or(events.last().map(|event| event.timestamp));
        if let (Some(first), Some(last)) = (first, last) {
            let mut bucket = calendar::start_of(interval, first);
            while bucket <= calendar::start_of(interval, last) {
                buckets.insert(bucket);
                bucket = calendar::after(interval, bucket);
            }
        }
    }
    if let (Some(top), Some(first)) = (question.top, question.aggregations.first()) {
        let result = |group: &Vec<Value>| {
            let own = keyed.iter().filter(|((_, other), _)| other == group).flat_map(|(_, events)| events);
            rank(first, &own.copied().collect::<Vec<_>>())
        };
        let texts = |group: &Vec<Value>| group.iter().map(Value::text).collect::<Vec<_>>();
        groups.sort_by_cached_key(|group| (std::cmp::Reverse(result(group)), texts(group)));
        groups.truncate(usize::try_from(top.get()).expect("a number of groups"));
    }
    let mut rows = Vec::new();
    for &bucket in &buckets {
        for group in &groups {
            let key = (bucket, group.clone());
            let own = keyed.remove(&key).unwrap_or_default();
            if own.is_empty() && interval.is_some() && !question.fill {
                continue;
            }
            let time = interval.iter().map(|_| Expected::Text(calendar::text(bucket)));
            let group = group.iter().cloned().map(Expected::Value);
            let results = question.aggregations.iter().map(|aggregation| result(aggregation, &own));
            rows.push(Expected::List(time.chain(group).chain(results).collect()));
        }
    }
    let time = interval.iter().map(|_| "time".to_string());
    let groups = question.group_by.iter().map(ToString::to_string);
    let columns = time.chain(groups).chain(question.aggregations.iter().map(ToString::to_string));
    Expected::Members(vec![
        ("columns", Expected::List(columns.map(Expected::Text).collect())),
        ("rows", Expected::List(rows)),
        ("exact", Expected::Anything),
        ("error", Expected::Anything),
    ])
}

/// All groups of an event: each combination of values.
fn groups_of(question: &Aggregate, event: &StoredEvent) -> Vec<Vec<Value>> {
    question.group_by.iter().fold(vec![Vec::new()], |groups, field| {
        let values = match field {
            Field::Type => vec![Value::Text(Text::from(event.event_type.as_str()))],
            Field::Payload(path) => value::different(path, &event.payload),
        };
        let longer = |group: &Vec<Value>| {
            let group = group.clone();
            values.clone().into_iter().map(move |value| [group.clone(), vec![value]].concat()).collect::<Vec<_>>()
        };
        groups.iter().flat_map(longer).collect()
    })
}

/// What decides the rank of a group. Only for results that are exact.
fn rank(aggregation: &Aggregation, events: &[&StoredEvent]) -> Value {
    match aggregation {
        Aggregation::Count => Value::Number(events.len().to_string()),
        Aggregation::Of(Function::Unique, path) => Value::Number(unique(path, events).to_string()),
        Aggregation::Of(Function::Min, path) => extreme(path, events, false),
        Aggregation::Of(Function::Max, path) => extreme(path, events, true),
        Aggregation::Of(_, _) => panic!("no test ranks by {aggregation}"),
    }
}

fn result(aggregation: &Aggregation, events: &[&StoredEvent]) -> Expected {
    let Aggregation::Of(function, path) = aggregation else { return Expected::Count(events.len()) };
    match function {
        Function::Sum => sum(&numbers(path, events)),
        _ if events.is_empty() => Expected::null(),
        Function::Avg => mean(&numbers(path, events)),
        Function::Min => Expected::Value(extreme(path, events, false)),
        Function::Max => Expected::Value(extreme(path, events, true)),
        Function::P50 => percentile(&numbers(path, events), 50),
        Function::P90 => percentile(&numbers(path, events), 90),
        Function::P95 => percentile(&numbers(path, events), 95),
        Function::P99 => percentile(&numbers(path, events), 99),
        Function::Unique => Expected::Count(unique(path, events)),
    }
}

fn values(path: &PayloadPath, events: &[&StoredEvent]) -> Vec<Value> {
    events.iter().flat_map(|event| value::all(path, &event.payload)).filter(|value| *value != Value::Null).collect()
}

fn numbers(path: &PayloadPath, events: &[&StoredEvent]) -> Vec<String> {
    let number = |value| match value {
        Value::Number(number) => Some(number),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::Object(_) => None,
    };
    values(path, events).into_iter().filter_map(number).collect()
}

fn unique(path: &PayloadPath, events: &[&StoredEvent]) -> usize {
    let mut values = values(path, events);
    values.sort();
    values.dedup();
    values.len()
}

/// The least or greatest number, or else string.
fn extreme(path: &PayloadPath, events: &[&StoredEvent], greatest: bool) -> Value {
    let values = values(path, events);
    let numbers: Vec<Value> = values.iter().filter(|value| matches!(value, Value::Number(_))).cloned().collect();
    let texts: Vec<Value> = values.into_iter().filter(|value| matches!(value, Value::Text(_))).collect();
    let compared = if numbers.is_empty() { texts } else { numbers };
    let found = if greatest { compared.into_iter().max() } else { compared.into_iter().min() };
    found.unwrap_or(Value::Null)
}

/// The sum: exact if all numbers are of ordinary size, and otherwise close to that of floats.
fn sum(numbers: &[String]) -> Expected {
    match exact_sum(numbers) {
        Some(sum) => Expected::Value(Value::Number(format!("{sum}e-{PLACES}"))),
        None => rounded(numbers, 1.0),
    }
}

fn mean(numbers: &[String]) -> Expected {
    let count = numbers.len() as f64;
    match exact_sum(numbers) {
        _ if numbers.is_empty() => Expected::null(),
        Some(sum) => {
            let sum: f64 = format!("{sum}e-{PLACES}").parse().expect("a number");
            Expected::relative(sum / count, 1e-15)
        }
        None => rounded(numbers, count),
    }
}

fn rounded(numbers: &[String], count: f64) -> Expected {
    let floats: Vec<f64> = numbers.iter().map(|number| float(number)).collect();
    let sizes: f64 = floats.iter().map(|number| number.abs()).sum();
    if sizes < 1e300 { Expected::Near(floats.iter().sum::<f64>() / count, sizes * 1e-9) } else { Expected::AnyNumber }
}

/// Decimal places of exact sums.
const PLACES: usize = 18;

/// The sum, times 10^[`PLACES`]; `None` if a number is not of ordinary size.
fn exact_sum(numbers: &[String]) -> Option<i128> {
    numbers.iter().map(|number| scaled(number)).sum()
}

fn scaled(number: &str) -> Option<i128> {
    let lower = number.to_ascii_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() < 40)?;
    let places = i32::try_from(PLACES).ok()? + exponent - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(10_i128.checked_pow(u32::try_from(places).ok()?)?)?;
    // Far from the end, so that the sum of a test fits as well.
    Some(scaled).filter(|scaled| scaled.abs() < 1 << 118)
}

/// The number with this rank, within one percent.
fn percentile(numbers: &[String], percent: usize) -> Expected {
    let mut floats: Vec<f64> = numbers.iter().map(|number| float(number)).collect();
    floats.sort_by(f64::total_cmp);
    let rank = (percent * floats.len()).div_ceil(100).max(1);
    floats.get(rank - 1).map_or_else(Expected::null, |value| Expected::relative(*value, 0.01))
}

fn float(number: &str) -> f64 {
    number.parse::<f64>().expect("a number of JSON is a number").clamp(f64::MIN, f64::MAX)
}
