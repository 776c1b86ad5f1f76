//! How much of the medium a scan reads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Order, Scan};
use argus_core::repository::Repository as _;
use argus_testing::{Draft, Faults, NOW, Pace, SMALL, SimStorage, collect, generate, maintain, steady};

const ORDERS: [Order; 3] = [Order::TimeAscending, Order::TimeDescending, Order::Sequence];

/// Stores the drafts in batches of 10 and does all maintenance.
fn stored(storage: SimStorage, drafts: &[Draft]) -> Engine<SimStorage> {
    let mut engine = Engine::open_with(storage, Seed(1), SMALL).unwrap();
    for drafts in drafts.chunks(10) {
        engine.commit(NOW, &[generate::batch(drafts)]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    engine
}

/// An event of one of several types, with its number as its time.
fn draft(number: u64) -> Draft {
    Draft {
        event_type: format!("type-{}", number % 3),
        timestamp: Timestamp::from_nanos(i64::try_from(number).unwrap()),
        payload: format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(40)),
        id: None,
    }
}

#[test]
fn a_scan_after_a_sequence_number_reads_nothing_before_it() {
    let drafts: Vec<Draft> = (1..=600).map(draft).collect();
    let medium = SimStorage::new(1, Faults::NONE);
    let engine = stored(medium.clone(), &drafts);
    let snapshot = engine.snapshot();
    assert!(snapshot.stats().unwrap().segments > 3, "there are several segments to skip");
    let reads = |order, after_seq, limit| {
        let filter = Filter { after_seq: Some(after_seq), ..Filter::default() };
        let before = medium.calls();
        let scan = Scan { filter, order, limit: NonZeroU32::new(limit), ..Scan::default() };
        let found = collect(&snapshot, &scan, Pace::UNBROKEN).unwrap();
        (medium.calls() - before, found.events.len())
    };
    for order in ORDERS {
        let (all, events) = reads(order, 0, 0);
        assert_eq!(events, 600);
        let (some, events) = reads(order, 590, 0);
        assert_eq!(events, 10);
        // An order page, and a block or two of each type.
        assert!(some <= 8 && all > 100, "{order:?}: {some} reads after 590, {all} in all");
    }
    // A page in the middle does not read what follows it either.
    let (some, events) = reads(Order::Sequence, 300, 10);
    assert_eq!(events, 10);
    assert!(some <= 10, "{some} reads");
}
