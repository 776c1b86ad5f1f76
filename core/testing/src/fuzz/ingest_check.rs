//! Compares how the core reads a body of native events with the model.

use std::collections::BTreeSet;

use argus_core::batch::{Batch, NewEvent};
use argus_core::ingest::{self, Dialect, FAULTS_LISTED_MAX, Framing, Handling, IngestError, ParseOptions, Parsed};

use super::super::generate::{self, Draft};
use super::super::{NOW, Random};
use super::ingest_model::{DEPTH_MAX, Item, PAYLOAD_BYTES_MAX, TYPES_MAX};

/// Texts that bodies of events have.
pub(super) const WORDS: &[&str] = &[
    "\"event_type\":",
    "\"timestamp\":",
    "\"payload\":",
    "\"id\":",
    "\"seq\":1",
    "\"id\":null",
    "{\"event_type\":\"a\",\"timestamp\":1,\"payload\":null}",
    "event_t\\u0079pe",
    "\\ud83e\\udd80",
    "\\udd80",
    "\"2026-01-01T00:00:00Z\"",
    "1e400",
    "[[[[[[[",
    "\n",
    "\r\n",
    "null",
    "true",
];

/// Checks what the core makes of a body. `items` is what the model makes of it; a document that is not JSON is one
/// broken item.
///
/// # Panics
///
/// If they differ.
pub(super) fn check(body: &[u8], framing: Framing, items: &[Item], is_single: bool) {
    let valid: Vec<&Draft> = items.iter().filter_map(Item::draft).collect();
    let is_broken = items.contains(&Item::Broken);
    for handling in [Handling::Strict, Handling::Lenient] {
        let found = ingest::parse(body, &options(framing, handling), NOW);
        let is_strict = is_single || handling == Handling::Strict;
        let is_refused = is_broken && (is_strict || framing == Framing::Document);
        match found {
            Err(IngestError::Syntax { offset, .. }) => {
                assert!(is_refused && offset <= body.len(), "not JSON at {offset}, but {items:?}");
            }
            Err(IngestError::Faults { listed, count }) => {
                assert!(is_strict && !is_broken && valid.len() < items.len(), "{listed:?}, but {items:?}");
                check_faults(items, &listed, count);
            }
            Err(error @ (IngestError::TooLarge(_) | IngestError::NoRoom(_))) => panic!("{error}"),
            Ok(Parsed::One(batch)) => {
                assert!(is_single && valid.len() == 1, "accepted, but {items:?}");
                check_events(&batch, &valid);
            }
            Ok(Parsed::Many { batch, rejected, rejected_count, .. }) => {
                assert!(!is_single && !is_refused, "accepted, but {items:?}");
                assert_eq!(batch.handling(), handling);
                check_events(&batch, &valid);
                assert_eq!(rejected_count, items.len() - valid.len(), "{rejected:?}, but {items:?}");
                assert!(rejected_count == 0 || !is_strict, "strict handling rejects all or nothing");
                check_faults(items, &rejected, rejected.len());
            }
        }
    }
}

/// All faults are those of invalid items, and each of these has one.
fn check_faults(items: &[Item], listed: &[ingest::EventFault], count: usize) {
    assert!(listed.len() == count.min(FAULTS_LISTED_MAX), "{} faults listed of {count}", listed.len());
    let faulty: BTreeSet<usize> = listed.iter().map(|fault| fault.index).collect();
    let invalid: BTreeSet<usize> =
        (0..).zip(items).filter(|(_, item)| item.draft().is_none()).map(|(index, _)| index).collect();
    assert!(faulty.is_subset(&invalid), "faults of {faulty:?}, but {items:?}");
    assert!(listed.len() == FAULTS_LISTED_MAX || faulty == invalid, "faults of {faulty:?} only, but {items:?}");
}

fn check_events(batch: &Batch, expected: &[&Draft]) {
    let found: Vec<Draft> = batch.events().map(owned).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}

/// An event of a batch, as a draft.
pub(super) fn owned(event: NewEvent<'_>) -> Draft {
    Draft {
        event_type: event.event_type.as_str().to_owned(),
        timestamp: event.timestamp,
        payload: event.payload.as_str().to_owned(),
        id: event.id.map(|id| id.as_str().to_owned()),
    }
}

fn options(framing: Framing, handling: Handling) -> ParseOptions {
    ParseOptions {
        framing,
        records: None,
        dialect: Dialect::Native,
        handling,
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        depth_max: DEPTH_MAX,
        types_max: TYPES_MAX,
        permitted: None,
    }
}

/// The JSON of an event as clients send it.
pub(super) fn json(draft: &Draft) -> String {
    let quoted = |text: &str| serde_json::to_string(text).expect("a string is JSON");
    let id = draft.id.as_deref().map_or_else(String::new, |id| format!(",\"id\": {}", quoted(id)));
    let (event_type, time) = (quoted(&draft.event_type), draft.timestamp);
    format!("{{\"event_type\":{event_type}, \"timestamp\":\"{time}\",\"payload\" :{}{id}}}", draft.payload)
}

/// Bodies of generated events, and some by hand.
pub(super) fn seeds(between: &str, before: &str, behind: &str) -> Vec<Vec<u8>> {
    let mut random = Random::seeded(1);
    let mut events =
        |count: usize| -> Vec<String> { (0..count).map(|_| json(&generate::draft(&mut random))).collect() };
    let mut bodies: Vec<String> = (0..12).flat_map(|_| events(1)).collect();
    bodies.extend([1, 3, 5].map(|count| format!("{before}{}{behind}", events(count).join(between))));
    bodies.extend(
        [
            "",
            " \r\n\t\r\n",
            "[]",
            "\u{feff}{\"event_type\":\"a\",\"timestamp\":1.5e9,\"payload\":{\"n\":[1.0,1e400]}}",
            "{\"event_type\":\"\\ud83e\",\"timestamp\":\"1\",\"payload\":null,\"id\":\"\"}",
            "{\"event_type\":\"a\",\"timestamp\":1,\"payload\":1,\"payload\":2,\"seq\":3}",
            "{\"event_type\":\"a\",\"timestamp\":1,\"payload\":[[[[[[[]]]]]]]}",
        ]
        .map(str::to_owned),
    );
    bodies.into_iter().map(String::into_bytes).filter(|body| body.len() <= 4096).collect()
}
