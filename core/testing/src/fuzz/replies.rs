//! What holds for every reply, and requests in a form that can be read and changed.

use std::task::Poll;
use std::time::Duration;

use argus_core::analysis::AnalysisLimits;
use argus_core::api::{Action, Api, Caller, Draft, Limits, Read, ReadRun, ReadStep, Reply, RequestHead, ServiceState};
use argus_core::repository::Reader;
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::{NOW, Random, steady};
use super::ingest_model::{DEPTH_MAX, PAYLOAD_BYTES_MAX, TYPES_MAX};

/// Longest body, in bytes, after decompression.
pub(super) const BODY_BYTES_MAX: usize = 4096;

/// The interface with limits that small inputs reach.
fn api() -> Api {
    Api::new(Limits {
        body_bytes_max: BODY_BYTES_MAX,
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        depth_max: DEPTH_MAX,
        types_max: TYPES_MAX,
        read_time: Duration::from_secs(60),
        uri_bytes_max: 64 * 1024,
        head_fields_max: 100,
        query_time: None,
        scan_bytes_max: None,
        analysis: AnalysisLimits::DEFAULT,
    })
}

/// What the interface does with a request, which gets a `Host`.
pub(super) fn request(method: &str, target: &str, fields: &[(&str, &[u8])]) -> Action {
    let mut headers: Vec<(&str, &[u8])> = Vec::from([("host", &b"localhost"[..])]);
    headers.extend(fields);
    let head = RequestHead { method, target, headers: &headers, ..RequestHead::default() };
    act(&head, &ServiceState::default()).0
}

/// What the interface does with a request.
pub(super) fn act(head: &RequestHead<'_>, state: &ServiceState<'_>) -> (Action, Caller) {
    api().handle_request(head, state)
}

/// Finishes a reply to this caller, and checks what holds for every reply.
///
/// # Panics
///
/// If the reply could not be sent, or is a problem without a document that says so.
pub(super) fn checked(caller: &Caller, draft: Draft) -> Reply {
    let reply = caller.finish(draft);
    assert!(reply.status == 101 || (200..600).contains(&reply.status), "status {}", reply.status);
    for (name, value) in &reply.headers {
        let is_name = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        assert!(!name.is_empty() && name.bytes().all(is_name), "field name {name:?}");
        let is_value = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        assert!(is_value && value.trim() == value.as_ref(), "field {name}: {value:?}");
    }
    let is_problem = reply.header("content-type") == Some("application/problem+json");
    // A report about the health of the service says what is wrong by itself.
    let is_report = reply.header("content-type") == Some("application/health+json");
    assert_eq!(reply.problem.is_some(), is_problem);
    assert_eq!(reply.status >= 400 && !is_report, is_problem, "{reply:?}");
    if let Some(kind) = reply.problem {
        assert_eq!(kind.status(), reply.status);
        assert!(reply.body.len() < 300_000, "a problem of {} bytes", reply.body.len());
    }
    let is_readable = !reply.body.is_empty() && reply.header("content-encoding").is_none();
    if reply.header("content-type") == Some("application/json") && is_readable {
        let json: Result<&RawValue, _> = serde_json::from_slice(&reply.body);
        assert!(json.is_ok(), "the body is not JSON: {json:?}");
    }
    if is_problem && is_readable {
        let json: Value = serde_json::from_slice(&reply.body).expect("a problem is JSON");
        for member in ["type", "title", "detail"] {
            assert!(json.get(member).is_some_and(Value::is_string), "{member} of {json}");
        }
        assert_eq!(json.get("status"), Some(&reply.status.into()), "{json}");
    }
    reply
}

/// A whole answer to a request that reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) body: Vec<u8>,
}

/// Reads to the end for this caller, in steps of this budget. With `random`, the read is suspended now and then.
pub(super) fn answer(
    caller: &Caller,
    read: Read,
    reader: &Reader,
    budget: u32,
    mut random: Option<&mut Random<'_>>,
) -> Answer {
    answer_between(caller, read, reader, budget, |run| {
        if let Some(random) = &mut random
            && random.one_in(4)
            && !run.is_starting()
        {
            drop(run.suspend());
        }
    })
}

/// Reads to the end for this caller, in steps of this budget, and calls `between` after each.
pub(super) fn answer_between(
    caller: &Caller,
    read: Read,
    reader: &Reader,
    budget: u32,
    mut between: impl FnMut(&mut ReadRun),
) -> Answer {
    let now = steady(NOW);
    let mut run = read.begin(now);
    let (mut head, mut body) = (None, Vec::new());
    for _ in 0..100_000 {
        match run.poll(reader, now, budget).expect("a store in memory can be read") {
            Poll::Pending => {}
            Poll::Ready(ReadStep::Whole(draft)) => {
                assert!(head.is_none() && body.is_empty(), "a whole reply begins and ends an answer");
                let reply = checked(caller, draft);
                return Answer { body: reply.body.to_vec(), reply: Reply { body: Bytes::new(), ..reply } };
            }
            Poll::Ready(ReadStep::Start(draft)) => {
                let reply = checked(caller, draft);
                assert!(head.is_none() && reply.body.is_empty(), "an answer has one head");
                head = Some(reply);
            }
            Poll::Ready(ReadStep::Chunk(chunk)) => body.extend_from_slice(&chunk),
            Poll::Ready(ReadStep::Done) => {
                return Answer { reply: head.expect("an answer begins with its head"), body };
            }
            Poll::Ready(ReadStep::Stopped(refusal)) => panic!("a read without limits is stopped: {refusal:?}"),
        }
        between(&mut run);
    }
    panic!("a read of a small store does not end");
}
