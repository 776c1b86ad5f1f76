//! Property tests of the HTTP interface, for any request.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use argus_core::analysis::AnalysisLimits;
use argus_core::api::{
    Action, AfterErasure, Api, Caller, Limits, ProblemKind, Reply, RequestHead, ServiceState, Submission, Submitted,
};
use argus_core::event::Timestamp;
use argus_core::query::{
    CursorError, Filter, Operand, Order, PayloadFilter, PayloadPath, Position, Scan, Test, TypeTest, decode_cursor,
    encode_cursor,
};
use argus_core::repository::{Erased, Failure};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const ARRIVAL: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const BODY_BYTES_MAX: usize = 10_000;

fn api() -> Api {
    Api::new(Limits {
        body_bytes_max: BODY_BYTES_MAX,
        payload_bytes_max: 1000,
        depth_max: 128,
        types_max: 1000,
        read_time: Duration::from_secs(60),
        uri_bytes_max: 1 << 15,
        head_fields_max: 100,
        query_time: None,
        scan_bytes_max: None,
        analysis: AnalysisLimits::DEFAULT,
    })
}

/// Checks the properties of every reply.
fn check_reply(reply: &Reply) {
    assert!((200..600).contains(&reply.status));
    for (name, value) in &reply.headers {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{name}: {value}");
    }
    assert_eq!(reply.problem.is_some(), reply.header("content-type") == Some("application/problem+json"));
    if let Some(problem) = reply.problem {
        assert_eq!(problem.status(), reply.status);
        assert_eq!(reply.header("allow").is_some(), problem == ProblemKind::MethodNotAllowed);
        assert_eq!(reply.header("retry-after").is_some(), reply.status == 503);
        assert!(reply.body.len() < 300_000, "a reply of {} bytes", reply.body.len());
        if !reply.body.is_empty() && reply.header("content-encoding").is_none() {
            let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(json["status"], reply.status);
        }
    }
}

fn submission(fields: &[(&str, &[u8])]) -> Submission {
    let mut headers = vec![("host", &b"localhost"[..])];
    headers.extend(fields);
    let head = RequestHead { method: "POST", target: "/events", headers: &headers, http_10: false, peer: None };
    match api().handle_request(&head, &ServiceState::default()).0 {
        Action::Submit(submission) => submission,
        other => panic!("{other:?}"),
    }
}

fn submit(coding: &str, body: &[u8]) -> Submitted {
    submission(&[("content-type", b"application/x-ndjson"), ("content-encoding", coding.as_bytes())])
        .handle_body(body, ARRIVAL)
}

/// Blank lines, which contain no events, so that the result depends only on the content coding.
fn blank(len: usize) -> Vec<u8> {
    vec![b'\n'; len]
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    member.extend(miniz_oxide::deflate::compress_to_vec(content, 6));
    member.extend(crc32fast::hash(content).to_le_bytes());
    member.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    member
}

fn zstd(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

fn status(submitted: Submitted) -> u16 {
    match submitted {
        Submitted::Reply(draft) => {
            let reply = Caller::default().finish(draft);
            check_reply(&reply);
            reply.status
        }
        Submitted::Commit(batch, _) => panic!("{} events out of nothing", batch.len()),
    }
}

fn methods() -> impl Strategy<Value = String> {
    let known = ["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get", "PATCH"];
    prop_oneof![
        3 => prop::sample::select(known.to_vec()).prop_map(Into::into),
        1 => any::<String>(),
    ]
}

fn targets() -> impl Strategy<Value = String> {
    let paths =
        ["/events", "/events/", "/events/x%2Fy", "/events/%", "/health/ready", "/metrics", "/", "*", "http://h/events"];
    let params = prop_oneof![
        "[a-z_]{1,8}=[ -~]{0,8}",
        "payload\\.[a-z.]{0,5}(\\[[a-z]{0,6}\\])?=[!-~]{0,5}",
        Just("type=a".to_owned()),
        Just("limit=7".to_owned()),
        Just("start=1".to_owned()),
        Just("order=desc".to_owned()),
        Just("order=seq".to_owned()),
        Just("id=a".to_owned()),
        "cursor=[A-Za-z0-9_-]{40}",
        "[%+&=a-f0-9]{0,9}",
    ];
    prop_oneof![
        4 => (prop::sample::select(paths.to_vec()), vec(params, 0..4))
            .prop_map(|(path, params)| format!("{path}?{}", params.join("&"))),
        1 => any::<String>(),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names = [
        "host",
        "accept",
        "content-type",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "expect",
        "prefer",
        "x-request-id",
    ];
    let values = prop_oneof![
        prop::sample::select(vec![
            "localhost",
            "application/json",
            "application/x-ndjson; charset=utf-8",
            "5",
            "gzip",
            "chunked",
            "100-continue",
            "handling=lenient",
            "*/*;q=0.5",
            "\"",
        ])
        .prop_map(|value| value.as_bytes().to_vec()),
        vec(any::<u8>(), 0..30),
        "[ -~]{0,30}".prop_map(String::into_bytes),
    ];
    vec((prop::sample::select(names.to_vec()).prop_map(Into::into), values), 0..6)
}

fn positions() -> impl Strategy<Value = Position> {
    (any::<i64>(), any::<u64>()).prop_map(|(nanos, seq)| Position { timestamp: Timestamp::from_nanos(nanos), seq })
}

fn scans() -> impl Strategy<Value = Scan> {
    let tests = (0..9_u8, "[a-c]{0,2}|1|\"a?\"|true").prop_map(|(kind, text)| match kind {
        0 => Test::Eq(Operand::new(&text)),
        1 => Test::Ne(Operand::new(&text)),
        2 => Test::Gt(Operand::new(&text)),
        3 => Test::Gte(Operand::new(&text)),
        4 => Test::Lt(Operand::new(&text)),
        5 => Test::Lte(Operand::new(&text)),
        6 => Test::Exists(text.is_empty()),
        7 => Test::Prefix(text.into()),
        _ => Test::Contains(text.into()),
    });
    let filters = ("[ab]?(\\.[ab]?){0,2}", tests)
        .prop_map(|(path, test)| PayloadFilter { path: PayloadPath::parse(&path).unwrap(), test });
    let times = || option::of((-3..3_i64).prop_map(Timestamp::from_nanos));
    let type_tests = ("[ab]{0,2}", any::<bool>()).prop_map(|(text, is_prefix)| {
        if is_prefix { TypeTest::Prefix(text.into()) } else { TypeTest::Eq(text.into()) }
    });
    let types = option::of(vec(type_tests, 0..3));
    let ids = option::of(vec("[ab]{0,2}".prop_map(Into::into), 0..3));
    let orders = prop::sample::select(vec![Order::TimeAscending, Order::TimeDescending, Order::Sequence]);
    (types, ids, times(), times(), vec(filters, 0..3), option::of(0..3_u64), orders).prop_map(
        |(types, ids, start, end, payload, after_seq, order)| {
            let filter = Filter { types, ids, start, end, payload, after_seq };
            Scan { filter, order, ..Scan::default() }
        },
    )
}

/// The conditions of a scan in a fixed order. Equal for scans that select the same events.
fn meaning(scan: &Scan) -> String {
    let Scan { filter, order, limit: _, from: _, to: _, up_to_seq: _ } = scan;
    let Filter { types, ids, start, end, payload, after_seq } = filter;
    let [types, ids]: [Option<BTreeSet<String>>; 2] = [
        types.as_ref().map(|types| types.iter().map(|test| format!("{test:?}")).collect()),
        ids.as_ref().map(|ids| ids.iter().map(|id| format!("{id:?}")).collect()),
    ];
    let mut payload: Vec<_> = payload.iter().map(|filter| format!("{filter:?}")).collect();
    payload.sort();
    payload.dedup();
    format!("{types:?} {ids:?} {start:?} {end:?} {payload:?} {after_seq:?} {order:?}")
}

proptest! {
    #[test]
    fn any_head_has_a_reply(
        method in methods(),
        target in targets(),
        fields in fields(),
        http_10: bool,
        draining in prop::bool::weighted(0.1),
        failed in prop::bool::weighted(0.1),
        body in vec(any::<u8>(), 0..100),
    ) {
        let mut headers: Vec<(&str, &[u8])> = vec![("host", b"localhost")];
        headers.extend(fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
        let failure = Failure::Failed("EIO".into());
        let repository = failed.then_some(&failure);
        let state = ServiceState { draining, repository, ..ServiceState::default() };
        for headers in [&headers[..], &headers[1..]] {
            let head = RequestHead { method: &method, target: &target, headers, http_10, peer: None };
            let id = Api::request_id(&head, 7);
            prop_assert!((1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
            let (action, caller) = api().handle_request(&head, &state);
            match action {
                Action::Reply(draft) => {
                    let reply = caller.finish(draft);
                    check_reply(&reply);
                    prop_assert_eq!(reply.body.is_empty(), method == "HEAD" || reply.status == 304);
                }
                Action::Submit(submission) => {
                    prop_assert!(!draining && !failed && method == "POST");
                    if let Submitted::Reply(draft) = submission.handle_body(&body, ARRIVAL) {
                        check_reply(&caller.finish(draft));
                    }
                }
                Action::Read(_) => {
                    prop_assert!(!draining && (method == "GET" || method == "HEAD"));
                }
                Action::Stream(stream) => {
                    prop_assert!(!draining && (method == "GET" || method == "HEAD"));
                    check_reply(&caller.finish(stream.head(7)));
                }
                Action::Erase(erasure) => {
                    prop_assert!(!draining && !failed && method == "DELETE");
                    if let AfterErasure::Reply(draft) = erasure.after(Ok(Erased::Exactly(3))) {
                        check_reply(&caller.finish(draft));
                    }
                }
                Action::Metrics(metrics) => check_reply(&caller.finish(metrics.reply(String::new()))),
            }
        }
    }

    #[test]
    fn any_body_has_a_reply(
        body in vec(any::<u8>(), 0..300),
        text in "[\\[\\]{}\":,a-c01\n -]{0,100}",
        coding in prop::sample::select(vec!["identity", "gzip", "zstd"]),
        lenient: bool,
    ) {
        let prefer: &[u8] = if lenient { b"handling=lenient" } else { b"" };
        let coded = match coding {
            "gzip" => gzip(text.as_bytes()),
            "zstd" => zstd(text.as_bytes()),
            _ => text.into_bytes(),
        };
        for media_type in ["application/json", "application/jsonl"] {
            for body in [&body, &coded] {
                let media_type = ("content-type", media_type.as_bytes());
                let fields = [media_type, ("content-encoding", coding.as_bytes()), ("prefer", prefer)];
                if let Submitted::Reply(draft) = submission(&fields).handle_body(body, ARRIVAL) {
                    check_reply(&Caller::default().finish(draft));
                }
            }
        }
    }

    #[test]
    fn decompression_stops_at_the_limit(len in 0..3 * BODY_BYTES_MAX, cut in 0..3 * BODY_BYTES_MAX) {
        let expected = if len <= BODY_BYTES_MAX { 201 } else { 413 };
        let content = blank(len);
        let (head, tail) = content.split_at(cut.min(len));
        prop_assert_eq!(status(submit("identity", &content)), expected);
        prop_assert_eq!(status(submit("gzip", &gzip(&content))), expected);
        prop_assert_eq!(status(submit("zstd", &zstd(&content))), expected);
        prop_assert_eq!(status(submit("gzip", &[gzip(head), gzip(tail)].concat())), expected);
        prop_assert_eq!(status(submit("zstd", &[zstd(head), zstd(tail)].concat())), expected);
    }

    #[test]
    fn a_damaged_compressed_body_is_never_accepted(
        words in vec("[a-z]{1,6}", 1..200),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        // The line is not an event, so a reply of 201 would mean that the damage was not detected.
        let text = words.join(" ");
        for (coding, mut body) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
            for (index, byte) in &flips {
                *index.get_mut(&mut body) = *byte;
            }
            let status = status(submit(coding, &body));
            prop_assert!(matches!(status, 400 | 413 | 422), "{} {}", coding, status);
        }
    }

    #[test]
    fn cursors_round_trip(position in positions(), scan in scans(), limit in 1..100_u32) {
        let cursor = encode_cursor(position, &scan);
        let paged = Scan { limit: std::num::NonZeroU32::new(limit), from: Some(position), ..scan.clone() };
        prop_assert_eq!(decode_cursor(&cursor, &scan), Ok(position));
        prop_assert_eq!(decode_cursor(&cursor, &paged), Ok(position));
    }

    #[test]
    fn a_cursor_of_another_query_is_refused(position in positions(), one in scans(), other in scans()) {
        let found = decode_cursor(&encode_cursor(position, &one), &other);
        let same = meaning(&one) == meaning(&other);
        prop_assert_eq!(found, if same { Ok(position) } else { Err(CursorError::OtherQuery) });
    }

    #[test]
    fn no_other_text_is_a_cursor(text in "[A-Za-z0-9_-]{40}|.{0,60}", scan in scans()) {
        prop_assert_eq!(decode_cursor(&text, &scan), Err(CursorError::Malformed));
    }
}
