//! The memory of folds, and events that are a lot of work.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::format;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use super::*;
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp};
use crate::query::{Filter, PayloadPath};
use crate::row_group::{RowGroup, ValueColumn};

fn with_event<T>(event_type: &str, seconds: i64, payload: &str, act: impl FnOnce(&Event<'_>) -> T) -> T {
    act(&Event {
        id: EventId::Given(ClientId::parse("x").unwrap()),
        seq: 1,
        event_type: EventType::parse(event_type).unwrap(),
        timestamp: Timestamp::from_nanos(seconds * 1_000_000_000),
        payload: Payload::parse(payload).unwrap(),
        stored_at: Timestamp::from_nanos(0),
    })
}

fn path(text: &str) -> PayloadPath {
    PayloadPath::parse(text).unwrap()
}

fn funnel(steps: &[&str]) -> Question {
    let step = |name: &&str| Step { event_type: (*name).into(), payload: Vec::new() };
    let steps = steps.iter().map(step).collect();
    Question::Funnel(alloc::boxed::Box::new(Funnel { filter: Filter::default(), steps, by: path("u"), within: None }))
}

fn aggregate(group_by: &[&str], aggregations: &[&str]) -> Question {
    let aggregations = aggregations.iter().map(|text| Aggregation::parse(text).unwrap()).collect();
    Question::Aggregate(alloc::boxed::Box::new(Aggregate {
        filter: Filter::default(),
        periods: None,
        fill: false,
        group_by: group_by.iter().map(|text| Field::Payload(path(text))).collect(),
        aggregations,
        top: None,
    }))
}

fn answer(fold: Fold) -> Result<String, Excess> {
    let mut out = Vec::new();
    fold.finish()?.write_json(&mut out, usize::MAX);
    Ok(String::from_utf8(out).unwrap())
}

/// The most that a million users may take by default is 67 bytes each.
#[test]
fn a_million_users_fit_into_a_funnel() {
    const USERS: usize = 200_000;
    let mut fold = Fold::new(funnel(&["a", "b", "c"]), AnalysisLimits::DEFAULT, 1);
    for user in 0..USERS {
        with_event("a", 0, &format!(r#"{{"u":"user-{user}"}}"#), |event| fold.add(event));
    }
    assert!(fold.held_bytes() < USERS * 50, "{} bytes", fold.held_bytes());
    // One in four gets further.
    for user in (0..USERS).step_by(4) {
        with_event("b", 1, &format!(r#"{{"u":"user-{user}"}}"#), |event| fold.add(event));
    }
    assert!(fold.held_bytes() < USERS * 60, "{} bytes", fold.held_bytes());
    let answer = answer(fold).unwrap();
    assert!(
        answer.contains(r#""count":200000,"#) && answer.contains(r#""count":50000,"conversion":0.25,"#),
        "{answer}"
    );
}

/// Times may lie further apart than 64 bits with a sign count nanoseconds.
#[test]
fn centuries_between_two_steps_are_counted() {
    const YEAR: i64 = 31_556_952;
    for (within, count) in [(None, 1), (Some(450), 1), (Some(350), 0)] {
        let Question::Funnel(mut question) = funnel(&["a", "b"]) else { panic!("it is a funnel") };
        question.within = within.map(|years| Duration::from_secs(years * YEAR as u64));
        let mut fold = Fold::new(Question::Funnel(question), AnalysisLimits::DEFAULT, 1);
        for (event_type, years) in [("a", -200), ("b", 200)] {
            with_event(event_type, years * YEAR, r#"{"u":1}"#, |event| fold.add(event));
        }
        let answer = answer(fold).unwrap();
        assert!(answer.contains(&format!(r#""type":"b","count":{count}"#)), "{within:?}: {answer}");
        let (_, median) = answer.rsplit_once(r#""median_seconds":"#).unwrap();
        let median: Option<f64> = median.trim_end_matches(['}', ']', '\n']).parse().ok();
        let exact = (400 * YEAR) as f64;
        assert!(median.is_none_or(|median| (median / exact - 1.0).abs() < 0.01), "{within:?}: {answer}");
        assert_eq!(median.is_some(), count > 0);
    }
}

#[test]
fn an_event_in_too_many_groups_is_refused_before_they_are_built() {
    let elements = (0..2_000).map(|n| format!("{n}")).collect::<Vec<_>>().join(",");
    let payload = format!(r#"{{"a":[{elements}],"b":[{elements}],"c":[{elements}]}}"#);
    let mut fold = Fold::new(aggregate(&["a", "b", "c"], &["count"]), AnalysisLimits::DEFAULT, 1);
    with_event("t", 0, &payload, |event| fold.add(event));
    assert!(!fold.wants_more());
    assert_eq!(answer(fold).unwrap_err(), Excess::Groups { of: Rows::Groups, max: 100_000 });
}

#[test]
fn many_values_in_many_groups_are_each_counted() {
    let elements = (0..300).map(|n| format!("{n}")).collect::<Vec<_>>().join(",");
    let payload = format!(r#"{{"a":[{elements}],"n":[{elements},1e0]}}"#);
    let mut fold =
        Fold::new(aggregate(&["a"], &["count", "sum(payload.n)", "unique(payload.n)"]), AnalysisLimits::DEFAULT, 1);
    for _ in 0..2 {
        with_event("t", 0, &payload, |event| fold.add(event));
    }
    let answer = answer(fold).unwrap();
    assert!(answer.contains("[7,2,89702,300],[8,2,89702,300]"), "{answer}");
}

#[test]
fn sketches_that_would_not_fit_are_refused() {
    let limits = AnalysisLimits { groups_max: 1_000, bytes_max: 64 * 1024 };
    let mut fold = Fold::new(aggregate(&["a"], &["unique(payload.n)"]), limits, 1);
    let mut events = 0;
    while fold.wants_more() && events < 10_000 {
        events += 1;
        with_event("t", 0, &format!(r#"{{"a":{},"n":{events}}}"#, events % 20), |event| fold.add(event));
        assert!(fold.held_bytes() < 2 * limits.bytes_max);
    }
    assert_eq!(answer(fold).unwrap_err(), Excess::Memory { of: Rows::Groups, max: limits.bytes_max });
}

#[test]
fn deep_payloads_are_catalogued_without_recursion() {
    let deep = format!("{}1{}", r#"{"a":["#.repeat(2_000), "]}".repeat(2_000));
    let fields = Question::Fields(alloc::boxed::Box::new(Fields { filter: Filter::default() }));
    let mut fold = Fold::new(fields, AnalysisLimits::DEFAULT, 1);
    with_event("t", 0, &deep, |event| fold.add(event));
    assert!(fold.held_bytes() < AnalysisLimits::DEFAULT.bytes_max);
    drop(answer(fold));
}

#[test]
fn memory_is_counted_once_in_the_last_bucket_of_all() {
    let Question::Aggregate(mut question) = aggregate(&[], &["unique(payload.n)"]) else { unreachable!() };
    question.periods =
        Some(Periods { interval: crate::calendar::Interval::parse("1d").unwrap(), zone: crate::calendar::Zone::utc() });
    let mut fold = Fold::new(Question::Aggregate(question), AnalysisLimits::DEFAULT, 1);
    let times = [i64::MAX; 4096];
    for block in 0..20_i64 {
        let mantissas: Vec<i64> = (0..4096).map(|row| block * 4096 + row).collect();
        let columns = [ValueColumn::Numbers { mantissas, places: 0, present: Vec::new() }];
        let types = crate::row_group::Types::One("t");
        fold.add_rows(&RowGroup { rows: 4096, times: &times, seqs: &[], types, columns: &columns });
    }
    assert!(fold.held_bytes() < 100_000, "{}", fold.held_bytes());
    assert_eq!(answer(fold).unwrap().matches("2262-04-11").count(), 1);
}

#[test]
fn of_equal_groups_those_whose_text_comes_first_are_the_largest() {
    let ranked = [
        r#""""#,
        r#""a""#,
        r#""a\u0000""#,
        r#""a b""#,
        r#""a\"""#,
        r#""aa""#,
        "-3",
        "0.5",
        "1.5",
        "10",
        "1e400",
        "9",
        "false",
        "null",
        "true",
        r#"{"a":1}"#,
    ];
    for top in 1..=ranked.len() as u32 {
        let Question::Aggregate(mut question) = aggregate(&["a", "b"], &["count"]) else { unreachable!() };
        question.top = core::num::NonZeroU32::new(top);
        let mut fold = Fold::new(Question::Aggregate(question), AnalysisLimits::DEFAULT, 1);
        for value in ranked.iter().rev() {
            for pair in [9, 10] {
                with_event("t", 0, &format!(r#"{{"a":{value},"b":{pair}}}"#), |event| fold.add(event));
            }
        }
        let rows: Vec<String> = ranked
            .iter()
            .flat_map(|value| [10, 9].map(|pair| format!("[{value},{pair},1]")))
            .take(top as usize)
            .collect();
        let expected = format!("\"rows\":[{}]", rows.join(","));
        let answer = answer(fold).unwrap();
        assert!(answer.contains(&expected), "{expected} in {answer}");
    }
}
