//! Unit tests of the memory that parsing requests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::string::String;
use core::cell::Cell;
use std::format;

use super::tests::{ARRIVAL, GOOD, faults, foreign, native, with_ids};
use super::*;
use crate::ingest::Pointer;
use crate::room::NoRoom;

/// Parsing requests all the memory that it needs, for every kind and order of events, and not much more.
#[test]
fn all_memory_is_requested_first() {
    const EVENTS: usize = 20_000;
    let events = |line: &dyn Fn(usize) -> String| (0..EVENTS).map(line).collect::<String>();
    let ordered = events(&|n| format!("{{\"t\":{n}}}\n"));
    let unordered = events(&|n| format!("{{\"t\":{}}}\n", EVENTS - n));
    let with_ids = events(&|n| format!("{{\"t\":{},\"id\":\"{n:0100}\"}}\n", n % 7));
    let with_types = events(&|n| format!("{{\"t\":{},\"e\":\"{n:0200}\"}}\n", n % 7));
    let with_blank_lines = events(&|n| format!("{{\"t\":{n}}}\n\n"));
    let with_rejects = events(&|n| format!("{{\"t\":{n}}}\n{{}}\n"));
    let in_envelopes = events(&|n| format!("{{\"r\":[{{\"t\":{n}}}]}}\n"));
    let in_nested_envelopes = events(&|n| format!("{{\"r\":[{{\"s\":[{{\"t\":{n}}}]}}]}}\n\n"));
    let plain = foreign("r", "/t", None);
    let records = |pointer: &str| ParseOptions { records: Some(Pointer::parse(pointer).unwrap()), ..plain.clone() };
    let native = native(Framing::Lines, Handling::Strict);
    for (body, options, places_bytes_max) in [
        (ordered, plain.clone(), 0),
        (unordered, plain.clone(), 0),
        (with_ids, foreign("r", "/t", Some("/id")), 0),
        (with_types, foreign("/e", "/t", None), 0),
        (format!("{GOOD}\n\n").repeat(EVENTS), native, 8),
        (with_blank_lines, plain.clone(), 8),
        (with_rejects, plain.clone(), 20),
        (in_envelopes, records("/r"), 20),
        (in_nested_envelopes, records("/r/s"), 20 + 8),
    ] {
        let options = ParseOptions { payload_bytes_max: 1000, types_max: usize::MAX, ..options };
        let most = Cell::new(0);
        let mut ask = |bytes| {
            most.set(bytes);
            Ok(())
        };
        let parsed = parse(body.as_bytes(), &options, ARRIVAL, Room::new(&mut ask));
        let Ok(Parsed::Many { batch, places, .. }) = parsed else { panic!("many events") };
        assert_eq!(batch.len(), EVENTS);
        assert!(most.get() >= batch.bytes() + EVENTS * 24, "{} for {}", most.get(), batch.bytes());
        // Most of a batch is its text and its rows. Places grow by doubling, with the old ones beside the new ones.
        let batch_bytes_max = 3 * batch.bytes() + 60 * EVENTS;
        let bytes_max = batch_bytes_max + 3 * EVENTS * places_bytes_max;
        assert!(most.get() <= bytes_max, "{} with {places_bytes_max}", most.get());
        assert!(places.bytes() <= EVENTS * places_bytes_max + 100, "{} of {places_bytes_max}", places.bytes());
        // Parsing succeeds with all that it requested, and not with much less.
        for (part, fits) in [(most.get(), true), (most.get() / 3, false)] {
            let mut ask = |bytes| if bytes <= part { Ok(()) } else { Err(NoRoom::Now) };
            let parsed = parse(body.as_bytes(), &options, ARRIVAL, Room::new(&mut ask));
            match parsed {
                Ok(_) => assert!(fits),
                Err(error) => assert_eq!((error, fits), (IngestError::NoRoom(NoRoom::Now), false)),
            }
        }
    }
}

/// The parts of an id that is too long are not copied.
#[test]
fn long_parts_of_ids_take_no_memory() {
    let options = ParseOptions { payload_bytes_max: 1 << 20, ..with_ids(&["/a", "/b"]) };
    let mut collector = Collector::new(&options, true, 0, ARRIVAL, Room::unlimited());
    let record = format!(r#"{{"a":"x","b":"{}"}}"#, "y".repeat(100_000));
    collector.read(&mut Scanner::new(&record), Last::Yes).unwrap();
    assert_eq!(faults(&collector.listed), ["0 #/0 invalid_id"]);
    assert!(collector.scratch.id.capacity() < 1_000, "{}", collector.scratch.id.capacity());
}
