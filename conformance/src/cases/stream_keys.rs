//! A stream ends with the key that it was opened with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::key_file::wait_for_status;
use super::keys::{ALL, File, Key, NEXT, event};
use crate::case::{Case, cases};
use crate::client::websocket::WebSocket;
use crate::client::{EventStream, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["stream_keys";
    "Keys, limits, browsers": [
        a_stream_shows_nothing_after_its_key, an_idle_stream_ends_with_its_key, a_stream_ends_when_its_key_expires,
    ],
];

/// A heartbeat that a client answers in time even on a machine that is busy with other cases. The key of an idle
/// stream is checked as often.
const HEARTBEAT: &str = "2s";

/// The entry of a key for everything.
fn all() -> String {
    ALL.entry("all", "scopes = [\"write\", \"read\", \"stream\", \"metrics\"]")
}

fn open(server: &Server, key: &Key) -> Result<EventStream, Failure> {
    EventStream::open(server.connect()?, &key.on(Request::get("/events/stream")))
}

fn open_websocket(server: &Server, key: &Key) -> Result<WebSocket, Failure> {
    WebSocket::open(server.connect()?, &format!("/events/stream?key={}", key.text))
}

/// Requires both to be told that their key is no longer valid.
fn expect_revoked(mut events: EventStream, websocket: WebSocket, after_seq: u64) -> Outcome {
    // First the one that has to answer pings.
    check_eq!(websocket.expect_close(1008)?, format!("after_seq={after_seq}"), "the reason of the close frame");
    events.expect_notice("revoked", "after_seq", after_seq)?;
    events.expect_end()
}

fn a_stream_shows_nothing_after_its_key(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&[all(), NEXT.entry("next", "scopes = [\"stream\"]")].concat())?;
    let server = file.start_with(ctx, &[("--stream-heartbeat", "10m")])?;
    let (mut others, mut events, mut websocket) =
        (open(&server, &ALL)?, open(&server, &NEXT)?, open_websocket(&server, &NEXT)?);
    ALL.post(&server, &event("before"))?.expect(201)?;
    check_eq!((others.seqs(1)?, events.seqs(1)?, websocket.seqs(1)?), (vec![1], vec![1], vec![1]), "the first event");
    // A file that says the same in another way ends nothing.
    file.write(&[NEXT.entry("next", "scopes = [\"stream\"]"), all(), "# end\n".into()].concat())?;
    server.signal(crate::launcher::Signal::HangUp)?;
    ALL.post(&server, &event("meanwhile"))?.expect(201)?;
    check_eq!((others.seqs(1)?, events.seqs(1)?, websocket.seqs(1)?), (vec![2], vec![2], vec![2]), "the second event");
    file.write(&all())?;
    wait_for_status(&server, &NEXT.on(Request::get("/events")), 401)?;
    ALL.post(&server, &event("after"))?.expect(201)?;
    expect_revoked(events, websocket, 2)?;
    check_eq!(others.seqs(1)?, vec![3], "the event of a stream with another key");
    let page = ALL.get(&server, "/metrics")?;
    let page = page.text()?;
    let ended = "argus_streams_ended_total{reason=\"revoked\"} 2";
    check!(page.lines().any(|line| line == ended), "the line {ended} in {page}");
    Ok(())
}

fn an_idle_stream_ends_with_its_key(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&[all(), NEXT.entry("next", "scopes = [\"stream\"]")].concat())?;
    let server = file.start_with(ctx, &[("--stream-heartbeat", HEARTBEAT)])?;
    let (events, websocket) = (open(&server, &NEXT)?, open_websocket(&server, &NEXT)?);
    // The key itself is still valid, but for something else.
    file.write(&[all(), NEXT.entry("next", "scopes = [\"read\"]")].concat())?;
    expect_revoked(events, websocket, 0)
}

/// The time in so many seconds, in the form of RFC 3339: a server writes it as that of an event.
fn time_in(ctx: &Context<'_>, seconds: u64) -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = (now + Duration::from_secs(seconds)).as_millis() as u64;
    let id = ctx.unique("time");
    let server = ctx.server()?;
    server.store(&json!({"id": id, "event_type": "time", "timestamp": time, "payload": null}))?;
    let events = server.find(&format!("id={id}"))?;
    let written = events.first().and_then(|event| event["timestamp"].as_str());
    written.map(str::to_owned).ok_or_else(|| Failure::unmet("the timestamp of an event"))
}

fn a_stream_ends_when_its_key_expires(ctx: &Context<'_>) -> Outcome {
    // On a slow machine the key may expire before the streams are open.
    for seconds in [2, 8, 32] {
        let entry = format!("scopes = [\"stream\"]\nexpires = {}", time_in(ctx, seconds)?);
        let file = File::new(&[all(), NEXT.entry("next", &entry)].concat())?;
        let server = file.start_with(ctx, &[("--stream-heartbeat", HEARTBEAT)])?;
        let Ok(websocket) = open_websocket(&server, &NEXT) else { continue };
        let Ok(events) = open(&server, &NEXT) else { continue };
        return expect_revoked(events, websocket, 0);
    }
    Err(Failure::unmet("streams with a key that has not expired yet"))
}
