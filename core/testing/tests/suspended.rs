//! A read that is suspended gives the answer that it gives otherwise, whatever the writer does meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use std::task::Poll;
use std::time::Duration;

use argus_core::api::{Action, Api, Caller, Read, ReadStep, Reply, RequestHead, ServiceState};
use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_core::storage::MemoryStorage;
use argus_testing::{LIMITS, NOW, Pair, Random, SMALL, generate, steady};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// A parameter of `GET /events`, or none. Not all other routes have it. The ids are those of generated events.
fn parameter(source: &mut Random<'_>, ids: &[String]) -> String {
    match source.below(13) {
        0 | 1 => String::new(),
        2 | 3 => format!("order={}&", source.pick(&["desc", "seq", "asc"])),
        4 => format!("type={}&", source.pick(&["view", "click", "buy"])),
        5 | 6 => format!("limit={}&", source.pick(&[3, 1, 40, 500])),
        7 => format!("after_seq={}&", source.below(60)),
        8 => ids.iter().filter(|_| source.one_in(2)).map(|id| format!("id={id}&")).collect(),
        9 => "payload.a[exists]=true&".to_owned(),
        // Columns decide these, and often no row of a block fulfils both.
        12 => format!("payload.a={}&payload.b[gte]={}&", source.below(3), source.below(3)),
        10 => "start=2023-11-14T22:13:20Z&".to_owned(),
        _ => "end=2023-11-14T22:13:21Z&".to_owned(),
    }
}

/// A route, and the parameters that it needs.
fn route(source: &mut Random<'_>) -> &'static str {
    source.pick(&[
        "/events?",
        "/events?",
        "/events/aggregate?interval=1h&group_by=type&group_by=payload.a&agg=count&agg=sum(payload.b)&",
        "/events/aggregate?agg=p50(payload.a)&agg=unique(payload.a)&agg=max(payload.b)&",
        "/events/funnel?step=view&step=click&by=payload.a&",
        "/events/retention?first=view&then=view&by=payload.a&",
        "/events/types?",
        "/events/fields?",
    ])
}

/// A request whose parameters are in order; the route alone where what was drawn contradicts itself.
fn read(route: &str, query: &str) -> Read {
    let api = Api::new(LIMITS);
    let begin = |target: &str| {
        let headers = [("host", b"x".as_slice())];
        let head = RequestHead { method: "GET", target, headers: &headers, http_10: false, peer: None };
        match api.handle_request(&head, &ServiceState::default()).0 {
            Action::Read(read) => Some(read),
            Action::Reply(_) | Action::Submit(_) | Action::Erase(_) | Action::Stream(_) | Action::Metrics(_) => None,
        }
    };
    let target = format!("{route}{query}");
    begin(target.trim_end_matches('&')).or_else(|| begin(route.trim_end_matches('&'))).unwrap()
}

/// The head and the body of an answer to which something happens before each step.
fn answer(
    read: Read,
    engine: &mut Engine<MemoryStorage>,
    budget: u32,
    mut happens: impl FnMut(&mut Engine<MemoryStorage>) -> (bool, Duration),
) -> (Reply, Vec<u8>) {
    let mut now = Moment { wall: Timestamp::from_nanos(0), uptime: Duration::ZERO };
    let mut run = read.begin(now);
    let (mut head, mut body) = (None, Vec::new());
    loop {
        let step = run.poll(&engine.reader(), now, budget).unwrap();
        match step {
            Poll::Pending => {}
            Poll::Ready(ReadStep::Whole(draft)) => {
                let mut reply = Caller::default().finish(draft);
                let body = std::mem::take(&mut reply.body).to_vec();
                return (reply, body);
            }
            Poll::Ready(ReadStep::Start(draft)) => {
                assert!(head.replace(Caller::default().finish(draft)).is_none());
            }
            Poll::Ready(ReadStep::Chunk(chunk)) => body.extend_from_slice(&chunk),
            Poll::Ready(ReadStep::Done) => return (head.unwrap(), body),
            Poll::Ready(ReadStep::Stopped(refusal)) => panic!("{refusal:?}"),
        }
        let (suspend, elapsed) = happens(engine);
        now.uptime += elapsed;
        let before = run.held_bytes();
        if suspend && run.suspend().is_some() {
            assert!(run.held_bytes() <= before);
        }
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_suspended_answer_is_the_same(seed: u128, steps in steps(12), drawn in bytes(400)) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step)?;
        }
        let mut engine = Engine::open_with(pair.subject().storage().clone(), Seed(7), SMALL).unwrap();
        let is_plain = |id: &String| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let ids: Vec<String> =
            pair.model().events().iter().map(|event| event.id.text()).filter(is_plain).take(40).collect();
        let mut source = Random::bytes(&drawn);
        let route = route(&mut source);
        let query: String = (0..3).map(|_| parameter(&mut source, &ids)).collect();
        let budget = source.pick(&[1, 3, 10, 100]);

        let (expected, expected_body) = answer(read(route, &query), &mut engine, u32::MAX, |_| (false, Duration::ZERO));
        let mut maintenance = MaintenanceQueue::default();
        let (found, body) = answer(read(route, &query), &mut engine, budget, |engine| {
            match source.below(8) {
                1 | 2 => {
                    let count = 1 + source.index(20);
                    drop(engine.commit(NOW, &[generate::random_batch(&mut source, count)]).unwrap());
                }
                3 | 4 => {
                    for _ in 0..source.below(6) {
                        let _progress = maintenance.step(engine, steady(NOW), 1_000).unwrap();
                    }
                }
                _ => {}
            }
            // A snapshot that was replaced is let go after a second, whoever takes the answer.
            (source.one_in(2), Duration::from_millis(source.pick(&[0, 0, 600, 1_000])))
        });
        let [body, expected_body] = [body, expected_body].map(|body| String::from_utf8(body).unwrap());
        prop_assert_eq!(body, expected_body, "{}{}", route, query);
        for name in ["argus-last-seq", "link", "content-type"] {
            prop_assert_eq!(found.header(name), expected.header(name), "{}{}", route, query);
        }
    }
}
