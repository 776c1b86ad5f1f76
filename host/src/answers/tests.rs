//! What answers under way hold, by a clock that is moved by hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::api::{Action, READ_BUDGET, RequestHead, ServiceState};
use futures_util::FutureExt as _;

use super::*;
use crate::clock;
use crate::testing::Server;

const SECOND: Duration = Duration::from_secs(1);

/// A read of all events that has given so many pieces.
fn run(server: &Server, pieces: usize) -> ReadRun {
    let headers = [("host", b"x".as_slice())];
    let head = RequestHead { method: "GET", target: "/events", headers: &headers, http_10: false };
    let Action::Read(read) = server.node.api.handle_request(&head, &ServiceState::default()) else {
        panic!("GET /events reads")
    };
    let mut run = read.begin(clock::moment());
    let mut ready = 0;
    // The head is one more step.
    while ready < pieces + 1 {
        let step = run.poll(&server.node.committer.reader(), clock::moment(), READ_BUDGET).unwrap();
        ready += usize::from(step.is_ready());
    }
    run
}

fn filled() -> Server {
    let server = Server::start("--max-answer-bytes 1MiB");
    let mut writer = server.connect();
    for _ in 0..4 {
        let event = format!(r#"{{"event_type":"t","timestamp":1,"payload":"{}"}}"#, "x".repeat(100));
        let body = format!("[{}]", vec![event; 1_000].join(","));
        let length = body.len();
        let head =
            format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}");
        writer.ask(&format!("{head}\r\n\r\n{body}"), "}");
    }
    server
}

#[test]
fn a_run_that_waits_for_a_second_is_suspended_and_not_before() {
    let server = filled();
    let answers = Answers::new(usize::MAX, server.time.clock());
    let [first, second] = [(); 2].map(|()| answers.admit().now_or_never().unwrap());
    first.rest(run(&server, 1), 7);
    server.time.advance(SECOND / 4);
    second.rest(run(&server, 1), 7);
    let (held, count) = answers.held();
    assert_eq!(count, 2);
    assert_eq!(answers.sweep(server.time.now()), 3 * SECOND / 4);
    assert_eq!(answers.held().0, held);
    server.time.advance(3 * SECOND / 4);
    assert_eq!(answers.sweep(server.time.now()), SECOND / 4);
    let less = answers.held().0;
    assert!(less < held, "{less} of {held}");
    // One that was taken meanwhile does not wait.
    let second_run = second.take().unwrap();
    server.time.advance(SECOND);
    assert_eq!(answers.sweep(server.time.now()), IDLE_MAX);
    assert_eq!(answers.held().0, less);
    assert!(first.take().is_some() && first.take().is_none());
    drop((first, second, second_run));
    assert_eq!(answers.held(), (0, 0));
}

#[test]
fn beyond_the_budget_the_longest_wait_is_suspended_first() {
    let server = filled();
    let rest = |bytes_max: usize, runs: Vec<ReadRun>| {
        let answers = Answers::new(bytes_max, server.time.clock());
        let admitted: Vec<Admitted> = runs.iter().map(|_| answers.try_admit().unwrap()).collect();
        for (admitted, run) in admitted.iter().zip(runs) {
            admitted.rest(run, FIRST_BYTES);
            server.time.advance(SECOND / 100);
        }
        (answers, admitted)
    };
    let take = |admitted: &[Admitted]| admitted.iter().map(|admitted| admitted.take().unwrap()).collect::<Vec<_>>();
    // As much as they hold is too much, and one byte more is not.
    for (more, expected) in [(0, [false, true, true]), (1, [true, true, true])] {
        let (answers, admitted) = rest(usize::MAX, (0..3).map(|_| run(&server, 1)).collect());
        let (answers, admitted) = rest(answers.held().0 + more, take(&admitted));
        answers.sweep(server.time.now());
        let holds: Vec<bool> = take(&admitted).iter_mut().map(|run| run.suspend().is_some()).collect();
        assert_eq!(holds, expected);
    }
}

#[test]
fn an_answer_waits_for_room_and_gets_it() {
    let server = Server::start("");
    let answers = Answers::new(1, server.time.clock());
    let first = answers.admit().now_or_never().unwrap();
    let mut waiting = [(); 2].map(|()| Box::pin(answers.admit()));
    assert!(waiting.iter_mut().all(|waiting| waiting.as_mut().now_or_never().is_none()));
    first.set_held(0);
    let [second, third] = &mut waiting;
    let second = second.as_mut().now_or_never().unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    drop(second);
    assert!(third.as_mut().now_or_never().is_some());
}
