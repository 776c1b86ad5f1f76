//! Foreign records: any mapping, and any records.

use argus_core::api::{Action, Caller, Submitted};
use argus_core::ingest::Pointer;

use super::super::super::{Draft, NOW};
use super::super::ingest_model::{self, Item};
use super::super::mapping_model::MappingModel;
use super::super::replies::{checked, request};
use super::super::{Target, ingest_check};

pub(super) const TARGET: Target = Target {
    name: "mapping",
    about: "a mapping reads the events that the model reads, from lines, from an array and leniently",
    run: mapping,
    seeds,
    words: &[
        "type_from=/",
        "type=a",
        "time_from=/",
        "time=now",
        "id_from=/",
        "payload_from=/",
        "records_from=/",
        "&",
        "~0",
        "~1",
        "%2F",
        "/0",
        "/a",
        "/b/c",
        "\"a\":",
        "\"b\":{",
        "null",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "1700000000",
    ],
    smoke_runs: 1_500,
};

/// A native event, as foreign records have it.
const NATIVE: &str = "type_from=/event_type&time_from=/timestamp&id_from=/id&payload_from=/payload";

/// The first line is a query string, the others are records.
///
/// # Panics
///
/// If the events differ from the model's, or those of two ways to send the same records.
fn mapping(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (query, body) = data.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let query = String::from_utf8_lossy(query);
    if let Ok(pointer) = Pointer::parse(&query) {
        assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer), "{query:?}");
    }

    let strict = submit(&query, "application/x-ndjson", false, body);
    let lenient = submit(&query, "application/x-ndjson", true, body);
    match (&strict, &lenient) {
        (Ok(events), _) => assert_eq!(Ok(events), lenient.as_ref(), "lenient handling of valid events"),
        (Err(status), Ok(_)) => assert!(matches!(status, 400 | 422), "{status}, but lenient handling accepts"),
        (Err(status), Err(other)) => assert_eq!(status, other, "a mapping is refused in both ways"),
    }
    if let (Ok(events), Some(mapping)) = (&lenient, MappingModel::parse(&query)) {
        let items = ingest_model::lines(body, |json| mapping.read(json));
        let valid: Vec<&Draft> = items.iter().filter_map(Item::draft).collect();
        assert_eq!(events.iter().collect::<Vec<_>>(), valid, "{query}: {items:?}");
        assert_eq!(strict.is_ok(), valid.len() == items.len(), "{query}: {strict:?}, but {items:?}");
    }
    if let Some(array) = as_array(body) {
        let document = submit(&query, "application/json", false, array.as_bytes());
        assert_eq!(document, strict, "{array} as a document and as lines");
    }

    let native = submit("", "application/x-ndjson", false, body);
    if native.is_ok() {
        assert_eq!(submit(NATIVE, "application/x-ndjson", false, body), native, "native events as foreign records");
    }
}

/// The lines as an array; `None` if a line is not JSON.
fn as_array(body: &[u8]) -> Option<String> {
    if ingest_model::lines(body, ingest_model::native).contains(&Item::Broken) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}');
    let lines: Vec<&str> = text.split('\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    Some(format!("[{}]", lines.join(",")))
}

/// The events of a body, or the status of its refusal.
fn submit(query: &str, media_type: &str, lenient: bool, body: &[u8]) -> Result<Vec<Draft>, u16> {
    let prefer: &[u8] = if lenient { b"handling=lenient" } else { b"handling=strict" };
    let fields = [("content-type", media_type.as_bytes()), ("prefer", prefer)];
    let action = request("POST", &format!("/events?{query}"), &fields);
    let submission = match action {
        Action::Submit(submission) => submission,
        Action::Reply(draft) => return Err(checked(&Caller::default(), draft).status),
        Action::Erase(_) | Action::Read(_) | Action::Stream(_) | Action::Metrics(_) => panic!("{action:?} to POST"),
    };
    match submission.handle_body(body, NOW) {
        Submitted::Commit(batch, _) => Ok(batch.events().map(ingest_check::owned).collect()),
        Submitted::Reply(draft) => match checked(&Caller::default(), draft).status {
            200 | 201 => Ok(Vec::new()),
            status => Err(status),
        },
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let by_hand = [
        "type=a&time=now\n{}\n{\"a\":[1,2]}",
        "type_from=/a&time_from=/b/c&id_from=/d\n\
         {\"a\":\"x\",\"b\":{\"c\":1700000000},\"d\":7}\n{\"a\":1,\"b\":{\"c\":\"1\"}}",
        "type_from=/a~1b&time_from=/x&time_from=/y&time=now&id_from=/0&id_from=/1\n\
         {\"a/b\":\"t\",\"y\":1,\"0\":\"p\",\"1\":2}",
        "type_from=/t&time=now&records_from=/Records\n\
         {\"Records\":[{\"t\":\"a\"},{\"t\":\"b\"}]}\n{\"Records\":[]}\n{}",
        "type=a&time=now&records_from=/a/b\n{\"a\":[{\"b\":[{},1]},{\"b\":null},2]}\n[{\"a\":{\"b\":[{}]}}]",
        "type=a&time=now&payload_from=/p/0\n{\"p\":[[1.0, 2]]}\n{\"p\":{\"0\":null}}\n{\"p\":1,\"p\":2}",
        "type_from=/a/b&time_from=/a/0&time=now\n\
         {\"a\":{\"b\":1,\"b\":\"2\"}}\n{\"a\":{\"b\":\"x\",\"0\":5,\"0\":null}}",
    ];
    let native = ingest_check::seeds("\n", "", "\n").into_iter().step_by(3);
    let native = native.map(|body| [NATIVE.as_bytes(), b"\n", &body].concat());
    by_hand.into_iter().map(|seed| seed.as_bytes().to_vec()).chain(native).filter(|seed| seed.len() <= 4096).collect()
}
