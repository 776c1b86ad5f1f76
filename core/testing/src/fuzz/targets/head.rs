//! Whole requests with any method, target and fields.

use argus_core::api::{Action, AfterErasure, Api, RequestHead, ServiceState, Submitted};
use argus_core::query::Filter;
use argus_core::repository::{Erased, Failure};

use super::super::super::NOW;
use super::super::Target;
use super::super::replies::{act, answer, checked};
use super::super::store::store;

pub(super) const TARGET: Target = Target {
    name: "head",
    about: "every request has a reply that can be sent, and a problem says what is wrong",
    run: head,
    seeds,
    words: &[
        "GET ",
        "HEAD ",
        "POST ",
        "DELETE ",
        "OPTIONS ",
        "CONNECT ",
        "/events",
        "/events/",
        "/events/id-1",
        "/health",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/events/stream",
        "\nupgrade: websocket",
        "\nconnection: upgrade",
        "\nsec-websocket-version: 13",
        "\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "\naccept-encoding: zstd, gzip",
        "\nif-none-match: *",
        "http://h",
        "*",
        "?",
        "?all=true",
        "%2F",
        "%",
        "\nhost: a",
        "\ncontent-type: ",
        "\ncontent-length: ",
        "\ntransfer-encoding: chunked",
        "\ncontent-encoding: gzip",
        "\nexpect: 100-continue",
        "\nprefer: handling=lenient",
        "\naccept: ",
        "\nx-request-id: ",
        "application/json",
        "application/x-ndjson",
        ";q=0.5",
        "; charset=\"utf-8\"",
        "*/*",
        ",",
        "\n\n",
    ],
    smoke_runs: 2_000,
};

/// The input is written as a request is: the request line, fields, an empty line, and a body. A leading `!` stands for
/// a service that drains, and `~` for one whose repository has failed.
///
/// # Panics
///
/// If a reply could not be sent, or if the interface asks for something that does not fit the request.
fn head(data: &[u8]) {
    let (data, draining) = data.strip_prefix(b"!").map_or((data, false), |rest| (rest, true));
    let (data, failed) = data.strip_prefix(b"~").map_or((data, false), |rest| (rest, true));
    let (head, body) = split(data, b"\n\n");
    let (line, fields) = split(head, b"\n");
    let line = String::from_utf8_lossy(line);
    let (method, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let (target, http_10) = rest.strip_suffix(" HTTP/1.0").map_or((rest, false), |target| (target, true));
    let fields: Vec<(String, &[u8])> = fields.split(|byte| *byte == b'\n').map(field).collect();
    let headers: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let head = RequestHead { method, target, headers: &headers, http_10, peer: None };
    let failure = Failure::Failed("EIO".into());
    let state = ServiceState { draining, repository: failed.then_some(&failure), ..ServiceState::default() };

    let id = Api::request_id(&head, 7);
    assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()), "request id {id:?}");
    let (action, caller) = act(&head, &state);
    match action {
        Action::Reply(draft) => {
            let reply = checked(&caller, draft);
            assert!(method != "HEAD" || reply.body.is_empty(), "a reply to HEAD with a body");
        }
        Action::Submit(submission) => {
            assert!(!draining && !failed && method == "POST", "{method} {target} is asked for a body");
            assert!(submission.expected_bytes().is_none_or(|bytes| bytes <= submission.wire_bytes_max() as u64));
            match submission.handle_body(body, NOW) {
                Submitted::Reply(draft) => drop(checked(&caller, draft)),
                Submitted::Commit(batch, _) => assert!(!batch.is_empty(), "a batch without events"),
            }
        }
        Action::Erase(erasure) => {
            assert!(!draining && !failed && method == "DELETE", "{method} {target} erases");
            assert!(
                target.contains("all=true") || *erasure.filter() != Filter::default(),
                "{target} erases everything"
            );
            let erased = Erased::Among(store().reader.take().expect("a reader in memory never fails"));
            match erasure.after(Ok(erased)) {
                AfterErasure::Reply(draft) => drop(checked(&caller, draft)),
                AfterErasure::Count(read) => drop(answer(&caller, read, &store().reader, 1_000, None)),
            }
        }
        Action::Read(read) => {
            assert!(!draining && matches!(method, "GET" | "HEAD"), "{method} {target} is read");
            let answer = answer(&caller, read, &store().reader, 1_000, None);
            assert!(method != "HEAD" || answer.body.is_empty(), "an answer to HEAD with a body");
        }
        Action::Stream(stream) => {
            assert!(!draining && matches!(method, "GET" | "HEAD"), "{method} {target} is streamed");
            drop(checked(&caller, stream.head(7)));
        }
        Action::Metrics(metrics) => drop(checked(&caller, metrics.reply("argus_up 1\n".to_owned()))),
    }
}

/// Both sides of the first separator; the second side is empty if there is none.
fn split<'a>(data: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = data.windows(separator.len()).position(|part| part == separator).unwrap_or(data.len());
    let (before, after) = data.split_at(at);
    (before, after.get(separator.len()..).unwrap_or_default())
}

/// A field as a host passes it on: its name in lower case, its value without white space around it.
fn field(line: &[u8]) -> (String, &[u8]) {
    let (name, value) = split(line, b":");
    (String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii())
}

fn seeds() -> Vec<Vec<u8>> {
    let requests = [
        "GET /events?limit=2&payload.a=1\nhost: a\naccept: text/html, application/x-ndjson;q=0.5",
        "HEAD /events/id-1 HTTP/1.0",
        "GET http://a:80/health/ready\nhost: a:80\nx-request-id: 0-a_b",
        "!GET /health\nhost: a",
        "!GET /health/ready\nhost: a",
        "!POST /events\nhost: a",
        "GET /events/stream?type=a&after_seq=3\nhost: a\naccept: text/event-stream\nlast-event-id: 5",
        "GET /events/stream\nhost: a\nupgrade: websocket\nconnection: upgrade\nsec-websocket-version: 13\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "HEAD /openapi.json\nhost: a\naccept-encoding: gzip;q=0.5, identity;q=0",
        "~POST /events\nhost: a\ncontent-type: application/json",
        "GET /metrics\nhost: a\nhost: b",
        "OPTIONS *\nhost: a",
        "CONNECT a:443\nhost: a",
        "GET /events/%E2%82%AC%2F#x\nhost: a",
        "GET /openapi.json\nhost: a\nexpect: 100-continue",
        "POST /events\nhost: a\ncontent-type: application/json; charset=\"utf-8\"\ncontent-length: 52\n\n\
         {\"event_type\":\"a\",\"timestamp\":1,\"payload\":{},\"id\":\"b\"}",
        "POST /events?type_from=/a&time=now\nhost: a\ncontent-type: application/x-ndjson\nprefer: handling=lenient\n\n\
         {\"a\":1}\n[]\n{\"a\":null}\n",
        "POST /events\nhost: a\ntransfer-encoding: chunked\ncontent-length: 1\ncontent-type: application/json\n\n[]",
        "POST /events\nhost: a\ncontent-encoding: gzip\ncontent-type: application/json\n\n\x1f\x08",
    ];
    requests.map(|request| request.as_bytes().to_vec()).to_vec()
}
