//! Clients that close their half of the connection, or disconnect, while the subject computes their answer.

use std::time::{Duration, Instant};

use super::metrics::expect_broken;
use crate::case::{Case, cases};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["wire_gone";
    "GET /events": [
        query_of_a_client_that_is_gone_stops, half_closing_client_gets_a_slow_answer,
        half_closing_client_gets_the_rest_of_a_slow_answer,
    ],
];

/// An answer of unknown length ends with the connection under HTTP/1.0, and with the last chunk under HTTP/1.1.
const VERSIONS: [&str; 2] = ["HTTP/1.0", "HTTP/1.1"];

/// So many matching events that the subject sends the first of them before it has examined the rest.
const MATCHES: usize = 2_000;

/// A server with events that take long to examine.
struct Slow {
    server: Server,
    /// Conditions on payloads. Slow events meet all but the last one.
    query: String,
    /// The time to examine one slow event.
    time_an_event: Duration,
}

impl Slow {
    const EVENTS_MAX: usize = 40_000;

    fn start(ctx: &Context<'_>) -> Result<Self, Failure> {
        const CONDITIONS: usize = 100;
        const MEASURED: u32 = 5;
        let server = ctx.start(&[("--request-timeout", "1h"), ("--drain-timeout", "1h")])?;
        let conditions = (0..CONDITIONS).map(|number| format!("payload.a[gt]={}", 1000 + number));
        let query = conditions.chain(["payload.a[contains]=x".to_owned()]).collect::<Vec<_>>().join("&");
        let mut slow = Self { server, query, time_an_event: Duration::ZERO };
        slow.store(MEASURED as usize)?;
        let begun = Instant::now();
        check_eq!(slow.server.get(&format!("/events?limit=1&{}", slow.query))?.json_text()?, "[]", "events that match");
        slow.time_an_event = begun.elapsed() / MEASURED;
        Ok(slow)
    }

    /// Stores slow events.
    fn store(&self, events: usize) -> Outcome {
        const ELEMENTS: usize = 300;
        const BATCH: usize = 1_000;
        // Only the last number meets conditions, so all elements are compared with each of them. No index decides.
        let payload = format!("[{}9999,\"y\"]", "1,".repeat(ELEMENTS));
        let event = format!(r#"{{"event_type":"slow","timestamp":1,"payload":{{"a":{payload}}}}}"#) + "\n";
        let mut left = events;
        while left > 0 {
            let batch = left.min(BATCH);
            self.server.submit_lines(event.repeat(batch))?.expect(201)?;
            left -= batch;
        }
        Ok(())
    }

    /// Stores as many slow events as take this long to examine, at most [`EVENTS_MAX`](Self::EVENTS_MAX).
    fn store_for(&self, time: Duration) -> Outcome {
        let wanted = time.as_nanos() / self.time_an_event.as_nanos().max(1);
        self.store(usize::try_from(wanted).unwrap_or(Self::EVENTS_MAX).min(Self::EVENTS_MAX))
    }

    /// Stores events that match.
    fn store_matches(&self, count: usize, timestamp: u32) -> Outcome {
        let event = format!(r#"{{"event_type":"match","timestamp":{timestamp},"payload":{{"a":[9999,"x"]}}}}"#);
        self.server.submit_lines(format!("{event}\n").repeat(count))?.expect(201)
    }

    fn ask(&self, version: &str, limit: &str) -> Vec<u8> {
        format!("GET /events?{limit}{} {version}\r\nhost: x\r\n\r\n", self.query).into_bytes()
    }
}

fn query_of_a_client_that_is_gone_stops(ctx: &Context<'_>) -> Outcome {
    let mut slow = Slow::start(ctx)?;
    // Far longer than a subject may take to detect the disconnection.
    slow.store_for(Duration::from_secs(15))?;
    for (version, count) in VERSIONS.into_iter().zip([1.0, 2.0]) {
        let mut connection = slow.server.connect()?;
        connection.write(&slow.ask(version, "limit=1&"))?;
        drop(connection);
        expect_broken(&slow.server, count, "a client that disconnected before its answer")?;
    }
    // The shutdown would wait for a query that is still running.
    slow.server.signal(Signal::Terminate)?;
    check_eq!(slow.server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn half_closing_client_gets_a_slow_answer(ctx: &Context<'_>) -> Outcome {
    let slow = Slow::start(ctx)?;
    slow.store_for(Duration::from_secs(2))?;
    slow.store_matches(1, 2)?;
    for version in VERSIONS {
        let mut connection = slow.server.connect()?;
        connection.write(&slow.ask(version, "limit=1&"))?;
        connection.finish_sending();
        let response = connection.response_to("GET").map_err(|failure| failure.within(&version))?;
        check_eq!(response.events()?.len(), 1, "events in the answer to {version}");
        connection.expect_close()?;
    }
    expect_broken(&slow.server, 0.0, "clients that have their answers")
}

fn half_closing_client_gets_the_rest_of_a_slow_answer(ctx: &Context<'_>) -> Outcome {
    let slow = Slow::start(ctx)?;
    slow.store_matches(MATCHES, 0)?;
    slow.store_for(Duration::from_secs(2))?;
    slow.store_matches(1, 2)?;
    for version in VERSIONS {
        let mut connection = slow.server.connect()?;
        connection.write(&slow.ask(version, ""))?;
        connection.finish_sending();
        let head = connection.read_head("GET").map_err(|failure| failure.within(&version))?;
        check_eq!(head.status, 200, "the status");
        let body = connection.read_body(&head).map_err(|failure| failure.within(&version))?;
        let events = String::from_utf8_lossy(&body).matches("\"seq\":").count();
        check!(events == MATCHES + 1, "all of the answer to {version}, not {events} events");
    }
    expect_broken(&slow.server, 0.0, "clients that have their answers")
}
