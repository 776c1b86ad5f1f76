//! The memory of answers in flight, with a manual clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::task::Poll;

use argus_core::api::{Action, READ_BUDGET, ReadStep, RequestHead, ServiceState};
use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use futures_util::FutureExt as _;

use super::*;
use crate::testing::Server;

const SECOND: Duration = Duration::from_secs(1);

/// For reads no time passes.
const STILL: Moment = Moment { wall: Timestamp::from_nanos(0), uptime: Duration::ZERO };

/// A read that was not polled yet.
fn begin(server: &Server, target: &str) -> ReadRun {
    let headers = [("host", b"x".as_slice())];
    let head = RequestHead { method: "GET", target, headers: &headers, http_10: false, peer: None };
    let Action::Read(read) = server.node.api.handle_request(&head, &ServiceState::default()).0 else {
        panic!("{target} reads")
    };
    read.begin(STILL)
}

fn poll(server: &Server, run: &mut ReadRun, budget: u32) -> Poll<ReadStep> {
    run.poll(&server.node.committer.reader(), STILL, budget).unwrap()
}

/// A read of all events that has made so many chunks.
fn run(server: &Server, chunks: usize) -> ReadRun {
    let mut run = begin(server, "/events");
    let mut ready = 0;
    // The head is one more step.
    while ready < chunks + 1 {
        ready += usize::from(poll(server, &mut run, READ_BUDGET).is_ready());
    }
    run
}

/// Parks a read that has made a chunk.
fn park(admitted: &Admitted, mut run: ReadRun) {
    admitted.account(&mut run, FIRST_BYTES);
    admitted.park(run);
}

fn holds_a_scan(mut run: ReadRun) -> bool {
    run.suspend().is_some()
}

fn filled() -> Server {
    let server = Server::start("--max-answer-bytes 1MiB --query-memory 1MiB");
    let mut writer = server.connect();
    for _ in 0..4 {
        let event = format!(r#"{{"event_type":"t","timestamp":1,"payload":"{}"}}"#, "x".repeat(100));
        let body = format!("[{}]", vec![event; 1_000].join(","));
        let length = body.len();
        let head =
            format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}");
        writer.ask(&format!("{head}\r\n\r\n{body}"), "}\n");
    }
    server
}

#[test]
fn a_read_is_suspended_when_it_was_parked_for_a_second_and_not_before() {
    let server = filled();
    let answers = Answers::new(usize::MAX, server.time.clock());
    let [first, second] = [(); 2].map(|()| answers.admit().now_or_never().unwrap());
    park(&first, run(&server, 1));
    server.time.advance(SECOND / 4);
    park(&second, run(&server, 1));
    let (held, count) = answers.held();
    assert_eq!(count, 2);
    assert_eq!(answers.sweep(server.time.now()), 3 * SECOND / 4);
    assert_eq!(answers.held().0, held);
    server.time.advance(3 * SECOND / 4);
    assert_eq!(answers.sweep(server.time.now()), SECOND / 4);
    let less = answers.held().0;
    assert!(less < held, "{less} of {held}");
    // One that was taken meanwhile is not parked.
    let second_run = second.take().unwrap();
    server.time.advance(SECOND);
    assert_eq!(answers.sweep(server.time.now()), PARKED_MAX);
    assert_eq!(answers.held().0, less);
    assert!(first.take().is_some() && first.take().is_none());
    drop((first, second, second_run));
    assert_eq!(answers.held(), (0, 0));
}

#[test]
fn beyond_the_budget_the_longest_parked_is_suspended_first() {
    let server = filled();
    let park_three = |bytes_max: usize| {
        let answers = Answers::new(bytes_max, server.time.clock());
        let admitted = [(); 3].map(|()| answers.try_admit().unwrap());
        for admitted in &admitted {
            park(admitted, run(&server, 1));
            server.time.advance(SECOND / 100);
        }
        (answers, admitted)
    };
    let (unlimited, parked) = park_three(usize::MAX);
    let bytes = unlimited.held().0;
    drop(parked);
    // One more answer exhausts the budget, unless there is one byte more.
    for (more, expected) in [(0, [false, true, true]), (1, [true, true, true])] {
        let (answers, parked) = park_three(bytes + FIRST_BYTES + more);
        let _fourth = answers.try_admit().unwrap();
        answers.sweep(server.time.now());
        assert_eq!(parked.each_ref().map(|admitted| holds_a_scan(admitted.take().unwrap())), expected);
    }
}

#[test]
fn beyond_the_budget_a_read_that_was_computed_is_suspended() {
    let server = filled();
    let account = |bytes_max: usize, run: &mut ReadRun| {
        let answers = Answers::new(bytes_max, server.time.clock());
        let admitted = answers.try_admit().unwrap();
        admitted.account(run, 7);
        answers.held().0
    };
    let mut page = begin(&server, "/events?limit=4000");
    assert!(poll(&server, &mut page, 1).is_pending());
    for mut computed in [run(&server, 1), page] {
        let bytes = account(usize::MAX, &mut computed);
        assert_eq!(bytes, computed.held_bytes() + 7);
        assert_eq!(account(bytes + 1, &mut computed), bytes);
        let suspended = account(bytes, &mut computed);
        assert!(suspended < 2048 && bytes > 10 * suspended, "{suspended} of {bytes}");
        assert!(!holds_a_scan(computed));
    }
}

#[test]
fn the_last_two_chunks_count() {
    let server = filled();
    let answers = Answers::new(usize::MAX, server.time.clock());
    let admitted = answers.try_admit().unwrap();
    let mut run = begin(&server, "/events");
    // A time slice that makes no chunk changes nothing.
    for (chunk_bytes, held) in [(0, 0), (3, 3), (40, 43), (0, 43), (500, 540)] {
        admitted.account(&mut run, chunk_bytes);
        assert_eq!(answers.held(), (held, 1));
    }
}

#[test]
fn a_read_that_was_continued_is_not_suspended_before_it_has_examined_an_event() {
    let server = filled();
    let account = |run: &mut ReadRun| Answers::new(1, server.time.clock()).try_admit().unwrap().account(run, 0);
    let mut continued = begin(&server, "/events?order=seq");
    assert!(poll(&server, &mut continued, 10).is_pending());
    assert!(continued.suspend().is_some() && continued.is_starting());
    assert!(poll(&server, &mut continued, 1).is_pending() && continued.is_starting());
    let held = continued.held_bytes();
    account(&mut continued);
    assert_eq!(continued.held_bytes(), held);
    while continued.is_starting() {
        assert!(poll(&server, &mut continued, 1).is_pending());
    }
    account(&mut continued);
    assert!(!holds_a_scan(continued));
}

#[test]
fn an_answer_waits_for_room_and_gets_it() {
    let server = Server::start("");
    let answers = Answers::new(1, server.time.clock());
    let first = answers.admit().now_or_never().unwrap();
    let mut waiting = [(); 2].map(|()| Box::pin(answers.admit()));
    assert!(waiting.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
    // A read that was not polled holds nothing.
    first.account(&mut begin(&server, "/events"), 0);
    let [second, third] = &mut waiting;
    let second = second.as_mut().now_or_never().unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    drop(second);
    assert!(third.as_mut().now_or_never().is_some());
}
