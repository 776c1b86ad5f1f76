//! Property tests of foreign records: what the pointers of a mapping find equals what a naive model on parsed JSON
//! finds.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use argus_core::event::{ClientId, Timestamp};
use argus_core::ingest::{
    self, Dialect, FaultCode, Framing, Handling, Mapping, ParseOptions, Parsed, Pointer, TimeSource, TypeSource,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const ARRIVAL: i64 = 7;

/// The tokens of a pointer.
type Tokens = Vec<&'static str>;

#[derive(Clone, Debug)]
struct Places {
    records: Option<Tokens>,
    event_type: Tokens,
    timestamp: Vec<Tokens>,
    or_arrival: bool,
    id: Vec<Tokens>,
    payload: Option<Tokens>,
}

/// Type, nanoseconds, payload, id, and the pointer to the record.
type Event = (String, i64, Value, Option<String>, String);

fn tokens() -> impl Strategy<Value = Tokens> {
    vec(prop::sample::select(vec!["x", "y", "0"]), 1..3)
}

fn places() -> impl Strategy<Value = Places> {
    let records = prop::option::of(vec(prop::sample::select(vec!["x", "y", "0"]), 0..4));
    let payload = prop::option::of(tokens());
    (records, tokens(), vec(tokens(), 0..3), any::<bool>(), vec(tokens(), 0..4), payload).prop_map(
        |(records, event_type, timestamp, or_arrival, id, payload)| {
            let or_arrival = or_arrival || timestamp.is_empty();
            Places { records, event_type, timestamp, or_arrival, id, payload }
        },
    )
}

/// A string or a number.
fn name() -> impl Strategy<Value = Value> {
    prop_oneof![(-3_i64..100).prop_map(Value::from), "[xy\"\\\\/ü\u{1}\u{8}\u{c}\n😀]{0,3}".prop_map(Value::from),]
}

/// A number, or a string that is not empty and has no control characters.
fn part() -> impl Strategy<Value = Value> {
    name().prop_filter("other strings are faults", |name| {
        name.as_str().is_none_or(|text| !text.is_empty() && !text.contains(char::is_control))
    })
}

/// JSON with few names, so that pointers find something.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => name(),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let member = (prop::sample::select(vec!["x", "y", "0"]), inner.clone());
        prop_oneof![
            2 => vec(member, 1..5).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
            }),
            1 => vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

fn pointer(tokens: &Tokens) -> Pointer {
    let text: String = tokens.iter().map(|token| format!("/{token}")).collect();
    Pointer::parse(&text).unwrap()
}

fn options(places: &Places, framing: Framing) -> ParseOptions {
    let pointers = |list: &[Tokens]| list.iter().map(pointer).collect();
    let mapping = Mapping {
        event_type: TypeSource::Pointer(pointer(&places.event_type)),
        timestamp: TimeSource { from: pointers(&places.timestamp), or_arrival: places.or_arrival },
        id: pointers(&places.id),
        payload: places.payload.as_ref().map(pointer),
    };
    let dialect = Dialect::Foreign(mapping);
    let (records, handling) = (places.records.as_ref().map(pointer), Handling::Lenient);
    let (payload_bytes_max, depth_max, types_max) = (1 << 16, 128, 1000);
    let permitted = None;
    ParseOptions { framing, records, dialect, handling, payload_bytes_max, depth_max, types_max, permitted }
}

/// The records in a text, each with its pointer; `Err` where there should be an array.
fn records<'a>(text: &'a Value, tokens: &[&str], at: &str, found: &mut Vec<(String, Result<&'a Value, FaultCode>)>) {
    let Some((token, rest)) = tokens.split_first() else {
        match text.as_array() {
            Some(list) => {
                found.extend(list.iter().enumerate().map(|(index, record)| (format!("{at}/{index}"), Ok(record))));
            }
            None => found.push((at.to_owned(), Err(FaultCode::WrongType))),
        }
        return;
    };
    let next = match (text, token.parse::<usize>()) {
        (Value::Object(members), _) => members.get(*token),
        (Value::Array(list), Ok(index)) => list.get(index),
        (Value::Array(list), Err(_)) => {
            for (index, element) in list.iter().enumerate() {
                let at = format!("{at}/{index}");
                if element.is_object() {
                    records(element, tokens, &at, found);
                } else {
                    found.push((format!("{at}/{token}"), Err(FaultCode::MissingField)));
                }
            }
            return;
        }
        _ => None,
    };
    match next {
        Some(value) => records(value, rest, &format!("{at}/{token}"), found),
        None => found.push((format!("{at}/{token}"), Err(FaultCode::MissingField))),
    }
}

/// A fault: its pointer and its code.
type Fault = (String, FaultCode);

/// The code of a value that is not valid. `invalid` is for strings.
fn code(value: Option<&Value>, invalid: FaultCode) -> FaultCode {
    match value {
        None => FaultCode::MissingField,
        Some(Value::String(_)) => invalid,
        Some(_) => FaultCode::WrongType,
    }
}

/// The event of a record, or its faults.
fn event(record: &Value, at: &str, places: &Places) -> Result<Event, Vec<Fault>> {
    if !record.is_object() {
        return Err(vec![(at.to_owned(), FaultCode::NotAnObject)]);
    }
    let text = |tokens: &Tokens| tokens.iter().map(|token| format!("/{token}")).collect::<String>();
    let get = |tokens: &Tokens| record.pointer(&text(tokens));
    let mut faults = Vec::new();
    let mut fault = |tokens: &Tokens, code| faults.push((format!("{at}{}", text(tokens)), code));
    let name = |value: &Value| {
        let valid = |name: &str| !name.is_empty() && !name.contains(char::is_control);
        let number = || value.is_number().then(|| value.to_string());
        value.as_str().filter(|name| valid(name)).map(ToOwned::to_owned).or_else(number)
    };

    let event_type = get(&places.event_type).and_then(name);
    if event_type.is_none() {
        fault(&places.event_type, code(get(&places.event_type), FaultCode::InvalidEventType));
    }
    let mut candidates = places.timestamp.iter().filter_map(|tokens| get(tokens).map(|value| (tokens, value)));
    let nanos = match candidates.find(|(_, value)| !value.is_null()) {
        Some((_, Value::Number(number))) => number.as_i64().unwrap() * 1_000_000_000,
        Some((tokens, value)) => {
            fault(tokens, code(Some(value), FaultCode::InvalidTimestamp));
            0
        }
        None if places.or_arrival => ARRIVAL,
        None => {
            fault(&places.timestamp[0], FaultCode::MissingField);
            0
        }
    };
    let parts: Vec<&Value> = places.id.iter().map(|tokens| get(tokens).unwrap_or(&Value::Null)).collect();
    for (tokens, part) in places.id.iter().zip(&parts) {
        if name(part).is_none() && !part.is_null() {
            fault(tokens, code(Some(*part), FaultCode::InvalidId));
        }
    }
    let id = match parts.as_slice() {
        [part] => name(part),
        parts if parts.is_empty() || parts.iter().any(|part| part.is_null()) => None,
        parts => Some(serde_json::to_string(parts).unwrap()),
    };
    let payload = places.payload.as_ref().map_or(Some(record), get);
    if payload.is_none() {
        places.payload.iter().for_each(|tokens| fault(tokens, FaultCode::MissingField));
    }
    match (event_type, payload) {
        (Some(event_type), Some(payload)) if faults.is_empty() => {
            Ok((event_type, nanos, payload.clone(), id, at.to_owned()))
        }
        _ => Err(faults),
    }
}

/// The events of a list of texts, and the faults.
fn model(texts: &[(String, &Value)], places: &Places) -> (Vec<Event>, Vec<Fault>) {
    let mut found = Vec::new();
    for (at, text) in texts {
        match &places.records {
            Some(tokens) => records(text, tokens, at, &mut found),
            None => found.push((at.clone(), Ok(*text))),
        }
    }
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    for (at, record) in found {
        match record.map_err(|code| vec![(at.clone(), code)]).and_then(|record| event(record, &at, places)) {
            Ok(event) => events.push(event),
            Err(listed) => faults.extend(listed),
        }
    }
    (events, faults)
}

/// With escapes that change no string.
fn escaped(json: &str) -> String {
    json.replace('x', "\\u0078").replace('ü', "\\u00fc").replace('/', "\\/")
}

fn parsed(body: &str, places: &Places, framing: Framing) -> Result<(Vec<Event>, Vec<Fault>), TestCaseError> {
    match ingest::parse(body.as_bytes(), &options(places, framing), Timestamp::from_nanos(ARRIVAL)) {
        Ok(Parsed::Many { batch, places, rejected, .. }) => {
            let event = |(position, event): (u32, argus_core::batch::NewEvent<'_>)| {
                let payload = serde_json::from_str(event.payload.as_str()).unwrap();
                let id = event.id.map(|id: ClientId<'_>| id.as_str().to_owned());
                let place = places.fault(position, "", FaultCode::TooManyTypes, String::new());
                // In bodies of lines, every other one is blank.
                let text = place.line.map_or_else(|| "#".to_owned(), |line| format!("#/{}", line / 2));
                assert!(place.pointer.starts_with(&text), "{place:?}");
                (event.event_type.as_str().to_owned(), event.timestamp.as_nanos(), payload, id, place.pointer)
            };
            Ok((
                (0..).zip(batch.events()).map(event).collect(),
                rejected.into_iter().map(|fault| (fault.pointer, fault.code)).collect(),
            ))
        }
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn mapped_records_equal_those_of_the_model(places in places(), texts in vec(value(), 0..4)) {
        let list: Vec<_> = texts.iter().enumerate().map(|(index, text)| (format!("#/{index}"), text)).collect();
        let expected = model(&list, &places);
        let document = json!(texts).to_string();
        let lines: String = texts.iter().map(|text| format!("{text}\n\n")).collect();
        for (body, framing) in [(&document, Framing::Document), (&lines, Framing::Lines)] {
            prop_assert_eq!(&parsed(body, &places, framing)?, &expected, "{}", body);
            prop_assert_eq!(&parsed(&escaped(body), &places, framing)?, &expected, "{}", escaped(body));
        }
    }

    #[test]
    fn an_id_of_several_values_is_their_json_array(parts in vec(part(), 2..6)) {
        let names = ["0", "1", "2", "3", "4"].iter().take(parts.len());
        let tokens: Vec<Tokens> = names.map(|name| vec![*name]).collect();
        let record: Map<_, _> = tokens.iter().map(|token| token[0].to_owned()).zip(parts.clone()).collect();
        let id = Some(serde_json::to_string(&parts).unwrap());
        let record = json!({ "x": "t", "y": Value::Object(record) });
        let id_from = tokens.into_iter().map(|token| [vec!["y"], token].concat()).collect();
        let (event_type, payload) = (vec!["x"], Some(vec!["x"]));
        let places =
            Places { records: None, event_type, timestamp: Vec::new(), or_arrival: true, id: id_from, payload };
        let expected = (vec![("t".to_owned(), ARRIVAL, json!("t"), id, "#/0".to_owned())], Vec::new());
        for body in [record.to_string(), escaped(&record.to_string())] {
            prop_assert_eq!(&parsed(&body, &places, Framing::Lines)?, &expected, "{}", body);
        }
    }

    #[test]
    fn records_of_one_object_equal_those_of_the_model(places in places(), text in value()) {
        if places.records.is_some() && !text.is_array() {
            let expected = model(&[("#".to_owned(), &text)], &places);
            prop_assert_eq!(parsed(&text.to_string(), &places, Framing::Document)?, expected);
        }
    }
}
