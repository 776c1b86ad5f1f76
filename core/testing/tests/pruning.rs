//! Events that the index of values must not hide.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Operand, PayloadFilter, PayloadPath, Scan, Test};
use argus_core::repository::Repository as _;
use argus_core::storage::MemoryStorage;
use argus_testing::{Draft, NOW, Pace, UNCOMPACTED, collect, generate, maintain, steady};

/// How many of some events fulfil a test on `n`, once they are sealed.
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
    maintain(&mut engine, steady(NOW)).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().segments, 1);
    let filter = PayloadFilter { path: PayloadPath::parse("n").unwrap(), test };
    let scan = Scan::from(Filter { payload: vec![filter], ..Filter::default() });
    collect(&engine.snapshot(), &scan, Pace::UNBROKEN).unwrap().events.len()
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
