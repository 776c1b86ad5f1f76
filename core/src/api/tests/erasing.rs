//! Unit tests of `DELETE /events`.

use alloc::string::ToString as _;
use core::task::Poll;

use super::{LIMITS, act, act_when, body, replied};
use crate::api::{
    Action, AfterErasure, Api, Caller, Erasure, READ_BUDGET, ReadStep, Refusal, Reply, Route, ServiceState,
};
use crate::batch::{BatchBuilder, NewEvent};
use crate::clock::Moment;
use crate::engine::{Engine, Seed};
use crate::event::{EventType, Payload, Timestamp};
use crate::query::Filter;
use crate::repository::{CommitError, Failure, Repository as _};
use crate::storage::MemoryStorage;

const NOW: Moment = Moment { wall: Timestamp::from_nanos(0), uptime: core::time::Duration::ZERO };

fn erasure(query: &str) -> Erasure {
    match act("DELETE", &alloc::format!("/events?{query}"), &[]) {
        Action::Erase(erasure) => erasure,
        other => panic!("{query}: {other:?}"),
    }
}

fn after(query: &str, error: CommitError) -> Reply {
    match erasure(query).after(Err(error)) {
        AfterErasure::Reply(draft) => Caller::default().finish(draft),
        AfterErasure::Count(read) => panic!("{read:?}"),
    }
}

#[test]
fn an_erasure_needs_a_filter_or_says_all() {
    for (query, detail) in [
        ("", "a filter is missing: say which events to erase, or erase every event with all=true"),
        ("?", "a filter is missing"),
        ("?all=false", "all: must be true"),
        ("?all", "all: must be true"),
        ("?all=true&all=true", "all: given more than once"),
        ("?all=true&type=a", "all: erases every event"),
        ("?limit=1&type=a", "unknown parameter"),
        ("?type=a&order=seq", "unknown parameter"),
        ("?type=a&cursor=x", "unknown parameter"),
        ("?start=2&end=1", "start: later than end"),
    ] {
        let reply = replied(act("DELETE", &alloc::format!("/events{query}"), &[]));
        assert_eq!(reply.status, 400, "{query}");
        let said = body(&reply)["detail"].to_string();
        assert!(said.contains(detail), "{query}: {said}");
    }
    assert_eq!(*erasure("all=true").filter(), Filter::default());
    assert_eq!(erasure("type=").filter().types.as_ref().unwrap().len(), 1);
    assert_eq!(erasure("after_seq=7").filter().after_seq, Some(7));
}

#[test]
fn erased_events_are_counted_in_steps() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(1)).unwrap();
    let mut builder = BatchBuilder::new();
    for number in 0..5_000 {
        let event_type = EventType::parse(if number % 5 == 0 { "a" } else { "b" }).unwrap();
        let (timestamp, payload) = (Timestamp::from_nanos(number), Payload::parse("{}").unwrap());
        builder.push(NewEvent { event_type, timestamp, payload, id: None }).unwrap();
    }
    engine.commit(NOW.wall, &[builder.finish()]).unwrap();
    for (query, expected) in [("type=a", 1_000), ("type=a", 0), ("all=true", 4_000), ("all=true", 0)] {
        let erasure = erasure(query);
        let erased = engine.erase(NOW.wall, erasure.filter()).unwrap();
        let AfterErasure::Count(read) = erasure.after(Ok(erased)) else { panic!("it has to be counted") };
        assert_eq!((read.route(), read.may_stream()), (Route::Events, false));
        let mut run = read.begin(NOW);
        let mut steps = 0;
        let reply = loop {
            steps += 1;
            match run.poll(&engine.reader(), NOW, 100).unwrap() {
                Poll::Pending => assert!(steps < 1_000),
                Poll::Ready(ReadStep::Whole(draft)) => break Caller::default().finish(draft),
                Poll::Ready(other) => panic!("{other:?}"),
            }
        };
        assert_eq!((reply.status, body(&reply)["erased"].as_u64()), (200, Some(expected)), "{query}");
        assert!(steps > 1 || expected == 0, "{READ_BUDGET} events at a time are few enough");
    }
}

#[test]
fn an_erasure_that_was_refused_says_whether_anything_was_erased() {
    for (error, status, text) in [
        (CommitError::Full("x".into()), 503, "nothing was erased: "),
        (CommitError::unavailable("x"), 503, "nothing was erased: "),
        (CommitError::failed("x"), 503, "nothing was erased: "),
        (CommitError::in_doubt("x"), 503, "events may have been erased: "),
    ] {
        let reply = after("all=true", error);
        assert_eq!(reply.status, status);
        assert!(body(&reply)["detail"].as_str().unwrap().starts_with(text), "{text}");
        assert!(reply.header("retry-after").is_some());
    }
    let failure = Failure::Failed("x".into());
    let state = ServiceState { repository: Some(&failure), ..ServiceState::default() };
    let reply = replied(act_when(&state, "DELETE", "/events?all=true", &[]));
    assert!(body(&reply)["detail"].as_str().unwrap().starts_with("nothing was erased"));
    let api = Api::new(LIMITS);
    for (refusal, text) in [(Refusal::NotCounted, "are erased for good"), (Refusal::ErasureTimeout, "is unknown")] {
        let reply = Caller::default().finish(api.refuse(Route::Events, &refusal));
        assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true));
        assert!(body(&reply)["detail"].as_str().unwrap().contains(text), "{text}");
    }
}
