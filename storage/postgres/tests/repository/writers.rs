//! Several writers before one database, and what it promises them.

use std::collections::BTreeSet;
use std::thread;

use argus_core::batch::{Batch, Handling};
use argus_core::query::{Filter, Scan};
use argus_core::repository::{Duplicate, Repository as _, Surplus};
use argus_postgres::PostgresRepository;
use argus_testing::{Draft, NOW, Pace, collect, generate};

use super::database::{Database, options};

fn batch(drafts: &[(&str, &str, Option<&str>)]) -> Batch {
    let draft = |&(event_type, payload, id): &(&str, &str, Option<&str>)| Draft {
        event_type: event_type.into(),
        timestamp: NOW,
        payload: payload.into(),
        id: id.map(Into::into),
    };
    generate::batch(&drafts.iter().map(draft).collect::<Vec<_>>())
}

fn payloads(repository: &PostgresRepository) -> Vec<(u64, String)> {
    let snapshot = repository.reader().take().unwrap();
    let events = collect(&snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.into_iter().map(|event| (event.seq, event.payload)).collect()
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
fn a_snapshot_knows_that_events_were_removed_since() {
    let Some(database) = Database::new() else { return };
    let (mut one, mut other) = (database.open(), database.open());
    one.commit(NOW, &[batch(&[("a", "1", None), ("b", "2", None)])]).unwrap();
    let snapshot = one.reader().take().unwrap();
    one.commit(NOW, &[batch(&[("a", "3", None)])]).unwrap();
    assert!(!snapshot.keeps_events() && !snapshot.has_lost_events().unwrap());
    other.erase(NOW, &Filter::default()).unwrap();
    assert!(snapshot.has_lost_events().unwrap());
    assert!(!one.reader().take().unwrap().has_lost_events().unwrap());
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
    let documents = database.sql("SELECT count(*) FROM argus.events WHERE document IS NOT NULL");
    assert_eq!(documents.trim(), "6", "jsonb cannot hold the others");
}
