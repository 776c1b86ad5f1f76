//! Events that the index of values, and the search of fresh segments, must not hide.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::analysis::{Aggregate, Aggregation, Question};
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Operand, Order, PayloadFilter, PayloadPath, Scan, Test, TypeTest};
use argus_core::repository::Repository as _;
use argus_core::storage::MemoryStorage;
use argus_testing::{Draft, NOW, Pace, UNCOMPACTED, all_events, check_question, collect, generate, maintain, steady};

/// How many of some events fulfil a test on `n`, before and after they are sealed.
fn found(values: &[&str], test: Test) -> usize {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), UNCOMPACTED).unwrap();
    let draft = |(index, value): (i64, &&str)| Draft {
        event_type: "click".into(),
        timestamp: Timestamp::from_nanos(index),
        payload: format!("{{\"n\":{value}}}"),
        id: None,
    };
    let drafts: Vec<Draft> = (0..).zip(values).map(draft).collect();
    engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
    let filter = PayloadFilter { path: PayloadPath::parse("n").unwrap(), test };
    let scan = Scan::from(Filter { payload: vec![filter], ..Filter::default() });
    let fresh = collect(&engine.snapshot(), &scan, Pace::UNBROKEN).unwrap().events.len();
    maintain(&mut engine, steady(NOW)).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().segments, 1);
    assert_eq!(collect(&engine.snapshot(), &scan, Pace::UNBROKEN).unwrap().events.len(), fresh);
    fresh
}

#[test]
fn zero_has_no_sign() {
    for stored in ["0", "-0", "0.0", "-0e5"] {
        for asked in ["0", "-0", "0.0", "-0.0"] {
            let operand = || Operand::new(asked);
            for test in [Test::Eq(operand()), Test::Gte(operand()), Test::Lte(operand())] {
                assert_eq!(found(&[stored; 8], test.clone()), 8, "{stored} and {test:?}");
            }
        }
    }
}

#[test]
fn numbers_near_the_bounds_of_a_block_are_found() {
    for number in ["9007199254740993", "-9007199254740993", "0.1", "1e-400", "1e400", "18446744073709551615", "12.90"] {
        for test in [Test::Eq, Test::Gte, Test::Lte] {
            assert_eq!(found(&[number; 8], test(Operand::new(number))), 8, "{number}");
        }
    }
    assert_eq!(found(&["1", "2", "3", "4"], Test::Gt(Operand::new("4"))), 0);
}

#[test]
fn strings_are_found_however_they_are_written() {
    let strings = [r#""a""#, r#""\u0061""#, r#"["b","a"]"#, r#"[["a"],"c"]"#, r#""500""#];
    assert_eq!(found(&strings, Test::Eq(Operand::new("a"))), 4);
    assert_eq!(found(&strings, Test::Eq(Operand::new("\"a\""))), 4);
    assert_eq!(found(&strings, Test::Eq(Operand::new("500"))), 1);
    assert_eq!(found(&strings, Test::Gt(Operand::new("499.5"))), 1);
    let users: Vec<String> = (0..300).map(|user| format!("\"u-{user:05}\"")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    assert_eq!(found(&users, Test::Eq(Operand::new("u-00042"))), 1);
    assert_eq!(found(&users, Test::Eq(Operand::new("u-0004"))), 0);
    assert_eq!(found(&users, Test::Eq(Operand::new("u-00300"))), 0);
    let paths: Vec<String> = (0..300).map(|item| format!("\"/items/{item}/x\"")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    assert_eq!(found(&paths, Test::Eq(Operand::new("/items/42/x"))), 1);
    assert_eq!(found(&paths, Test::Eq(Operand::new("/items/042/x"))), 0);
}

/// Fresh segments are searched some thousand rows at a time.
#[test]
fn a_value_is_found_in_all_of_a_large_fresh_segment() {
    let events = 10_000;
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), Tuning::default()).unwrap();
    let draft = |index: i64| Draft {
        event_type: if index % 3 == 0 { "click" } else { "view" }.into(),
        timestamp: Timestamp::from_nanos(index / 2),
        // Some payloads have the value in another form, and some at another path.
        payload: match index % 16 {
            0 => r#"{"user":"u-7"}"#.to_string(),
            15 => r#"{"user":"\u0075-7"}"#.to_string(),
            2 => r#"{"user":"u-8","other":"u-7"}"#.to_string(),
            other => format!(r#"{{"user":"u-{}"}}"#, 100 + other),
        },
        id: None,
    };
    let drafts: Vec<Draft> = (0..events).map(draft).collect();
    engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
    let snapshot = engine.snapshot();
    let all = all_events(&snapshot).unwrap();
    let is_wanted = |index: &i64| matches!(index % 16, 0 | 15);
    for (types, is_click) in [(None, false), (Some(vec![TypeTest::Eq("click".into())]), true)] {
        for (order, start) in [(Order::TimeAscending, 0), (Order::TimeDescending, 0), (Order::TimeDescending, 2_049)] {
            let user = PayloadFilter { path: PayloadPath::parse("user").unwrap(), test: Test::Eq(Operand::new("u-7")) };
            let start = Some(Timestamp::from_nanos(start));
            let filter = Filter { types: types.clone(), start, payload: vec![user], ..Filter::default() };
            let question = Question::Aggregate(Box::new(Aggregate {
                filter: filter.clone(),
                periods: None,
                fill: false,
                group_by: Vec::new(),
                aggregations: vec![Aggregation::Count],
                top: None,
            }));
            check_question(&snapshot, &all, &question, 4_096, 3).unwrap();
            for pace in [Pace::UNBROKEN, Pace { budget: 1, stop_every: 1 }] {
                let scan = Scan { order, ..Scan::from(filter.clone()) };
                let found = collect(&snapshot, &scan, pace).unwrap().events;
                let expected = (0..events).filter(is_wanted).filter(|index| !is_click || index % 3 == 0);
                let mut expected: Vec<u64> = expected
                    .filter(|index| Some(Timestamp::from_nanos(index / 2)) >= start)
                    .map(|index| index as u64 + 1)
                    .collect();
                if order == Order::TimeDescending {
                    expected.reverse();
                }
                assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), expected, "{order:?} {start:?}");
            }
        }
    }
}
