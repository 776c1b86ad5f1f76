//! Several writers before one database, and what it promises them.

use std::collections::BTreeSet;
use std::thread;

use argus_core::batch::Handling;
use argus_core::query::Filter;
use argus_core::repository::{Duplicate, Erased, Repository as _, Surplus};
use argus_mongodb::MongoRepository;
use argus_testing::NOW;

use super::database::{Database, batch, events, options};

fn payloads(repository: &MongoRepository) -> Vec<(u64, String)> {
    events(repository).into_iter().map(|event| (event.seq, event.payload)).collect()
}

#[test]
fn sequence_numbers_have_no_gaps_and_ids_are_stored_once() {
    const ROUNDS: usize = 40;
    let Some(database) = Database::new() else { return };
    // All writers send the same ids, and events without one, at the same time.
    let writers: Vec<(u64, u64)> = thread::scope(|scope| {
        let write = |writer: usize| {
            let mut repository = database.open();
            let (mut stored, mut duplicates) = (0, 0);
            for round in 0..ROUNDS {
                let (shared, own) = (format!("shared-{round}"), format!("{writer}-{round}"));
                let group = [batch(&[("a", "1", Some(&shared)), ("b", "2", None)]), batch(&[("a", "3", Some(&own))])];
                for receipt in repository.commit(NOW, &group).unwrap() {
                    stored += u64::from(receipt.stored);
                    duplicates += receipt.duplicates.len() as u64;
                }
            }
            (stored, duplicates)
        };
        let threads: Vec<_> = (0..3).map(|writer| scope.spawn(move || write(writer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stored: u64 = writers.iter().map(|(stored, _)| stored).sum();
    let duplicates: u64 = writers.iter().map(|(_, duplicates)| duplicates).sum();
    let rounds = ROUNDS as u64;
    assert_eq!((stored, duplicates), (rounds * (1 + 3 + 3), rounds * 2));
    let repository = database.open();
    let seqs: BTreeSet<u64> = payloads(&repository).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, (1..=stored).collect());
    assert_eq!(repository.reader().take().unwrap().stats().unwrap().events, stored);
}

#[test]
fn what_one_process_stores_another_sees_at_once() {
    let Some(database) = Database::new() else { return };
    let (mut one, mut other) = (database.open(), database.open());
    for number in 1..=10_u64 {
        let writer = if number % 2 == 0 { &mut one } else { &mut other };
        let receipts = writer.commit(NOW, &[batch(&[("a", &number.to_string(), None)])]).unwrap();
        assert_eq!(receipts.first().unwrap().first_seq, number);
        for reader in [&one, &other] {
            assert_eq!(reader.reader().take().unwrap().last_seq(), number);
        }
    }
    let id = Some("x");
    one.commit(NOW, &[batch(&[("a", "1", id)])]).unwrap();
    let receipts = other.commit(NOW, &[batch(&[("a", "2", id), ("a", "3", id)])]).unwrap();
    let receipt = receipts.first().unwrap();
    assert_eq!(*receipt.duplicates, [Duplicate { index: 0, seq: 11 }, Duplicate { index: 1, seq: 11 }]);
    assert_eq!(receipt.stored, 0);
}

#[test]
fn the_limit_of_types_holds_for_all_together() {
    let Some(database) = Database::new() else { return };
    let (mut one, mut other) = (database.open(), database.open());
    let names: Vec<String> = (0..options().types_max).map(|number| format!("type-{number}")).collect();
    for name in &names {
        one.commit(NOW, &[batch(&[(name, "1", None)])]).unwrap();
    }
    let further = batch(&[("type-0", "1", None), ("further", "2", None)]);
    let receipts = other.commit(NOW, &[further.clone(), further.clone().handled(Handling::Lenient)]).unwrap();
    let surplus = Some(Box::new(Surplus { indexes: [1].into(), types_max: options().types_max as u64 }));
    let outcomes: Vec<_> = receipts.into_iter().map(|receipt| (receipt.stored, receipt.surplus)).collect();
    assert_eq!(outcomes, [(0, surplus.clone()), (1, surplus)]);

    // Each knows the types that the other has erased.
    let filter = serde_json::from_str(r#"{"types":[{"eq":"type-1"}]}"#).unwrap();
    one.erase(NOW, &filter).unwrap();
    let receipts = other.commit(NOW, &[further]).unwrap();
    assert_eq!(receipts.first().unwrap().stored, 2);
    let receipts = one.commit(NOW, &[batch(&[("type-1", "1", None)])]).unwrap();
    assert!(receipts.first().unwrap().surplus.is_some());
}

#[test]
fn payloads_come_back_byte_for_byte() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let long = format!("\"{}\"", "ü".repeat(100_000));
    let texts = [
        "1.0",
        "1e400",
        "-0",
        "123456789012345678901234567890",
        r#"{"a":1,"a":2,"":null}"#,
        r#"{"b":"\u0000","a":"\ud800","c":"\/"}"#,
        r#"[[[[[[1]]]]]]"#,
        r#"{"z":{"y":[1,{"x":"\"\\"}]}}"#,
        &long,
    ];
    let events: Vec<_> = texts.iter().map(|text| ("a", *text, None)).collect();
    repository.commit(NOW, &[batch(&events)]).unwrap();
    let stored: Vec<String> = payloads(&repository).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(stored, texts);
}

#[test]
fn erasures_and_commits_of_several_processes_keep_the_head_true() {
    const ROUNDS: usize = 30;
    let Some(database) = Database::new() else { return };
    let filter: Filter = serde_json::from_str(r#"{"types":[{"eq":"a"}]}"#).unwrap();
    let erased: u64 = thread::scope(|scope| {
        for writer in 0..2 {
            let database = &database;
            scope.spawn(move || {
                let mut repository = database.open();
                for round in 0..ROUNDS {
                    let id = format!("{writer}-{round}");
                    repository.commit(NOW, &[batch(&[("a", "1", None), ("b", "2", Some(&id))])]).unwrap();
                }
            });
        }
        let eraser = scope.spawn(|| {
            let mut repository = database.open();
            let erase = |_| match repository.erase(NOW, &filter).unwrap() {
                Erased::Exactly(events) => events,
                Erased::Among(_) => panic!("the number is known at once"),
            };
            (0..ROUNDS).map(erase).sum()
        });
        eraser.join().unwrap()
    });
    let mut repository = database.open();
    let Erased::Exactly(rest) = repository.erase(NOW, &filter).unwrap() else { panic!("the number is known at once") };
    assert_eq!(erased + rest, 2 * ROUNDS as u64);
    let (found, stats) = (payloads(&repository), repository.reader().take().unwrap().stats().unwrap());
    assert!(found.iter().all(|(_, payload)| payload == "2"));
    let expected = (found.len() as u64, 4 * ROUNDS as u64, 1, ROUNDS as u64 + 1);
    assert_eq!((stats.events, stats.last_seq, stats.event_types, stats.erasures.accepted), expected);
    assert_eq!(stats.events, 2 * ROUNDS as u64);
}
