//! Property tests of ingestion: valid events are unchanged, invalid ones are faults, and nothing panics.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use argus_core::batch::Batch;
use argus_core::event::{ClientId, Payload, Timestamp};
use argus_core::ingest::{
    self, Dialect, FAULTS_LISTED_MAX, Framing, Handling, IngestError, Mapping, ParseOptions, Parsed, Pointer,
    TimeSource, TypeSource,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const ARRIVAL: Timestamp = Timestamp::from_nanos(7);

fn options(framing: Framing, handling: Handling, dialect: Dialect) -> ParseOptions {
    ParseOptions {
        framing,
        records: None,
        dialect,
        handling,
        payload_bytes_max: 1 << 16,
        depth_max: 128,
        types_max: 1000,
        permitted: None,
    }
}

fn all_options() -> Vec<ParseOptions> {
    let pointer = |text: &str| Pointer::parse(text).unwrap();
    let mapping = Mapping {
        event_type: TypeSource::Pointer(pointer("/event_type")),
        timestamp: TimeSource { from: [pointer("/timestamp")].into(), or_arrival: false },
        id: [pointer("/payload/0")].into(),
        payload: None,
    };
    let mut all_options = Vec::new();
    for framing in [Framing::Document, Framing::Lines] {
        for handling in [Handling::Strict, Handling::Lenient] {
            for dialect in [Dialect::Native, Dialect::Foreign(mapping.clone())] {
                all_options.push(options(framing, handling, dialect));
            }
        }
    }
    all_options
}

#[derive(Clone, Debug, PartialEq)]
struct Sent {
    event_type: String,
    nanos: i64,
    payload: Value,
    id: Option<String>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<String>(), 0..4).prop_map(Value::from),
        (any::<String>(), any::<bool>()).prop_map(|(name, value)| json!({ name: { "nested": value } })),
    ];
    let id = prop::option::of("[a-z\"\\\\/ü]{1,30}");
    (r"[^\pC\p{Zl}\p{Zp}]{1,40}", any::<i64>(), payload, id).prop_map(|(event_type, nanos, payload, id)| Sent {
        event_type,
        nanos,
        payload,
        id,
    })
}

fn written(event: &Sent) -> Value {
    let timestamp = Timestamp::from_nanos(event.nanos).to_string();
    let mut object = json!({ "event_type": event.event_type, "timestamp": timestamp, "payload": event.payload });
    if let Some(id) = &event.id {
        object["id"] = json!(id);
    }
    object
}

fn received(batch: &Batch) -> Vec<Sent> {
    batch
        .events()
        .map(|event| Sent {
            event_type: event.event_type.as_str().to_owned(),
            nanos: event.timestamp.as_nanos(),
            payload: serde_json::from_str(event.payload.as_str()).unwrap(),
            id: event.id.map(|id: ClientId<'_>| id.as_str().to_owned()),
        })
        .collect()
}

fn almost_valid_events() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        " ",
        "\"event_type\":\"t\"",
        "\"timestamp\":1",
        "\"payload\":[1]",
        "\"id\":\"i\"",
        "\"x\":0",
        "\"event_type\":",
        "\"timestamp\":",
        "\"payload\":",
        "null",
        "\"\\ud800\"",
        "\"",
        "1e999",
        "\u{feff}",
        "ü",
        "{\"event_type\":\"t\",\"timestamp\":1,\"payload\":[\"a\"]}",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn check(body: &[u8]) -> Result<(), TestCaseError> {
    for options in all_options() {
        match ingest::parse(body, &options, ARRIVAL) {
            Ok(Parsed::One(batch)) => prop_assert_eq!(batch.events().count(), 1),
            Ok(Parsed::Many { batch, rejected, rejected_count, .. }) => {
                prop_assert_eq!(batch.events().count(), batch.len());
                prop_assert!(rejected.len() >= rejected_count.min(FAULTS_LISTED_MAX));
                prop_assert!(options.handling == Handling::Lenient || rejected_count == 0);
                for event in batch.events() {
                    prop_assert!(Payload::parse(event.payload.as_str()).is_ok());
                }
            }
            Err(IngestError::Syntax { offset, .. }) => prop_assert!(offset <= body.len()),
            Err(IngestError::Faults { listed, count }) => {
                prop_assert!(count > 0);
                prop_assert_eq!(listed.len(), count.min(FAULTS_LISTED_MAX));
                prop_assert!(listed.iter().all(|fault| fault.pointer.starts_with('#') && fault.pointer.is_ascii()));
            }
            Err(error @ IngestError::NoRoom(_)) => return Err(TestCaseError::fail(error.to_string())),
            Err(IngestError::TooLarge(full)) => return Err(TestCaseError::fail(full.to_string())),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn valid_events_are_unchanged(events in prop::collection::vec(sent(), 0..8), pretty in any::<bool>()) {
        let objects: Vec<Value> = events.iter().map(written).collect();
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let document = write(&objects).unwrap();
        let lines: String = objects.iter().map(|object| format!("{object}\n\n")).collect();
        for (framing, body) in [(Framing::Document, document), (Framing::Lines, lines)] {
            for handling in [Handling::Strict, Handling::Lenient] {
                match ingest::parse(body.as_bytes(), &options(framing, handling, Dialect::Native), ARRIVAL) {
                    Ok(Parsed::Many { batch, rejected_count: 0, .. }) => prop_assert_eq!(&received(&batch), &events),
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                }
            }
        }
    }

    #[test]
    fn lenient_handling_drops_only_the_invalid_lines(events in prop::collection::vec((sent(), any::<bool>()), 0..12)) {
        let lines: Vec<String> = events
            .iter()
            .map(|(event, good)| {
                let line = written(event).to_string();
                if *good { line } else { line[..line.len() - 1].to_owned() }
            })
            .collect();
        let good: Vec<Sent> = events.iter().filter(|(_, good)| *good).map(|(event, _)| event.clone()).collect();
        let bad: Vec<usize> = (0..events.len()).filter(|index| !events[*index].1).collect();
        let options = options(Framing::Lines, Handling::Lenient, Dialect::Native);
        match ingest::parse(lines.join("\n").as_bytes(), &options, ARRIVAL) {
            Ok(Parsed::Many { batch, rejected, rejected_count, .. }) => {
                prop_assert_eq!(received(&batch), good);
                prop_assert_eq!(rejected_count, bad.len());
                prop_assert_eq!(rejected.iter().map(|fault| fault.index).collect::<Vec<_>>(), bad);
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn any_bytes_cause_no_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
        check(&body)?;
    }

    #[test]
    fn almost_valid_events_cause_no_panic(body in almost_valid_events()) {
        check(body.as_bytes())?;
    }

    #[test]
    fn a_changed_byte_causes_no_panic(event in sent(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = written(&event).to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        check(&body)?;
    }

    #[test]
    fn pointers_round_trip_through_text(text in "[/a~01ü]{0,12}") {
        if let Ok(pointer) = Pointer::parse(&text) {
            prop_assert_eq!(pointer.to_string(), &*text);
        }
    }
}
