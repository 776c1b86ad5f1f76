//! One connection: bytes in, calls of the core, bytes out.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_core::api::{
    Action, Api, Condition, Refusal, Reply, Route, Search, SearchRun, SearchStep, Submission, Submitted,
};

use crate::body::Body;
use crate::budget::Pace;
use crate::head::{Framing, HeadError, RequestHead};
use crate::places::{Phase, Place};
use crate::server::Server;
use crate::stream::{Received, Stream};

/// How often a connection that waits for a request looks whether the server drains.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Serves requests until one side has had enough.
pub(crate) fn serve(server: &Server, socket: Arc<TcpStream>, place: &Place) -> io::Result<()> {
    let mut stream = Stream::new(socket, server.settings.write_timeout)?;
    let mut answered = false;
    while place.set(Phase::Idle)
        && let Some(head) = next_head(server, &mut stream, answered, place)?
        && place.set(Phase::Busy)
    {
        if !answer(server, &mut stream, &head)? {
            break;
        }
        answered = true;
    }
    place.set(Phase::Lingering);
    stream.close(server.settings.limits.body_bytes_max, || server.is_draining());
    Ok(())
}

/// Reads the next request's head; `None` if there is none to come.
fn next_head(server: &Server, stream: &mut Stream, answered: bool, place: &Place) -> io::Result<Option<RequestHead>> {
    if !wait_for_head(server, stream)? {
        return Ok(None);
    }
    let deadline = Instant::now() + server.settings.header_timeout;
    loop {
        let refusal = match RequestHead::parse(stream.unread()) {
            Ok(Some(head)) => {
                stream.consume(head.length);
                return Ok(Some(head));
            }
            Ok(None) => {
                // It may be closed for another while it waits, and not with something in hand that may be a request.
                let come = if place.set(Phase::Head) { stream.wait(deadline)? } else { return Ok(None) };
                if !place.set(Phase::Busy) {
                    return Ok(None);
                }
                match come {
                    Received::Bytes => {
                        stream.receive(deadline)?;
                        continue;
                    }
                    Received::TimedOut => Refusal::HeadTimeout,
                    // Whoever has had an answer and leaves within the next head has changed its mind.
                    Received::End if answered || stream.unread().trim_ascii().is_empty() => return Ok(None),
                    Received::End => Refusal::HeadBroken,
                }
            }
            Err(HeadError::TooLarge) => Refusal::HeadTooLarge,
            Err(HeadError::Malformed) => Refusal::HeadBroken,
            Err(HeadError::Version) => Refusal::HeadVersion,
        };
        let reply = server.api.refuse(Route::Other, &refusal);
        server.metrics.answered("", &reply);
        let request_id = Api::request_id(&argus_core::api::Head::default(), server.random());
        write_head(stream, &reply, &request_id, false, false, false)?;
        stream.write(&reply.body)?;
        return Ok(None);
    }
}

/// Waits for the first byte of a request, and leaves it where it is. Whether there is one.
fn wait_for_head(server: &Server, stream: &mut Stream) -> io::Result<bool> {
    let deadline = Instant::now() + server.settings.keep_alive_timeout;
    while stream.unread().is_empty() {
        let look = deadline.min(Instant::now() + DRAIN_LOOK_INTERVAL);
        match stream.wait(look)? {
            Received::Bytes => return Ok(true),
            Received::End => return Ok(false),
            Received::TimedOut if server.is_draining() || Instant::now() >= deadline => return Ok(false),
            Received::TimedOut => {}
        }
    }
    Ok(true)
}

/// What the core makes of a request.
enum Answer {
    Whole(Reply),
    Streamed(Box<(Reply, SearchRun)>),
}

/// Answers a request. Whether the connection can be used again.
fn answer(server: &Server, stream: &mut Stream, head: &RequestHead) -> io::Result<bool> {
    let mut broken = false;
    let answered = try_answer(server, stream, head, &mut broken);
    let slow = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    if broken || answered.as_ref().is_err_and(|error| !slow(error)) {
        server.metrics.connection_broke();
    }
    answered
}

/// Sets `broken` where the body ends early or in the middle of its framing.
fn try_answer(server: &Server, stream: &mut Stream, head: &RequestHead, broken: &mut bool) -> io::Result<bool> {
    let request_id = head.with(|head| Api::request_id(head, server.random()));
    let mut body_is_read = head.framing() == Framing::Length(0);
    let decided = catch_unwind(AssertUnwindSafe(|| decide(server, stream, head, &mut body_is_read)));
    let answer = match decided {
        Ok(Ok(answer)) => answer,
        Ok(Err((route, refusal))) => {
            *broken = refusal == Refusal::BodyBroken;
            Answer::Whole(server.api.refuse(route, &refusal))
        }
        Err(_) => Answer::Whole(server.api.refuse(Route::Other, &Refusal::Internal)),
    };
    let reply = match &answer {
        Answer::Whole(reply) => reply,
        Answer::Streamed(streamed) => &streamed.0,
    };
    server.metrics.answered(&head.method, reply);
    if server.log.has_requests() {
        server.log.line(&format!("{} {} {} {request_id}", head.method, head.target, reply.status));
    }
    let keep = body_is_read && !reply.close && head.keeps_alive() && !server.is_draining();
    let is_head = head.method == "HEAD";
    match answer {
        Answer::Whole(reply) => {
            write_head(stream, &reply, &request_id, head.http_10, keep, is_head)?;
            stream.write(&reply.body)?;
            Ok(keep)
        }
        Answer::Streamed(streamed) => {
            let (reply, run) = *streamed;
            write_streamed(stream, &reply, run, &request_id, head, keep)
        }
    }
}

fn decide(
    server: &Server,
    stream: &mut Stream,
    head: &RequestHead,
    body_is_read: &mut bool,
) -> Result<Answer, (Route, Refusal)> {
    let repository = server.committer.failure();
    let warning = server.committer.warning();
    let condition = Condition {
        draining: server.is_draining(),
        repository: repository.as_ref(),
        failure: server.ending.failure(),
        warning: warning.as_deref(),
    };
    match head.with(|head| server.api.handle_request(head, &condition)) {
        Action::Reply(reply) => Ok(Answer::Whole(reply)),
        Action::Submit(submission) => submit(server, stream, head, submission, body_is_read)
            .map(Answer::Whole)
            .map_err(|refusal| (Route::Events, refusal)),
        Action::Search(search) => begin_search(server, search).map_err(|refusal| (Route::Events, refusal)),
        Action::Lookup(lookup) => match lookup.reply(&*server.committer.snapshot()) {
            Ok(reply) => Ok(Answer::Whole(reply)),
            Err(error) => Err((Route::Event, Refusal::Unreadable(error))),
        },
        Action::Metrics(metrics) => {
            let stats = server.committer.snapshot().stats();
            let (idle_closed, log_lines_lost) = (server.places.closed(), server.log.lost());
            Ok(Answer::Whole(metrics.reply(server.metrics.render(&stats, idle_closed, log_lines_lost))))
        }
    }
}

fn submit(
    server: &Server,
    stream: &mut Stream,
    head: &RequestHead,
    submission: Submission,
    body_is_read: &mut bool,
) -> Result<Reply, Refusal> {
    if head.expects_continue() && stream.unread().is_empty() {
        stream.write(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Refusal::BodyBroken)?;
    }
    let pace = Pace::new(server.settings.body_timeout, server.settings.body_bytes_per_second);
    let body = Body::read(stream, head.framing(), submission.wire_bytes_max(), &server.budget, pace)?;
    *body_is_read = true;
    let deadline = Instant::now() + server.settings.request_timeout;
    match submission.handle_body(&body.bytes) {
        Submitted::Reply(reply) => Ok(reply),
        Submitted::Commit(batch, acknowledgement) => {
            let outcome = server.committer.commit(batch, deadline)?;
            if let Ok(receipt) = &outcome {
                server.metrics.committed(receipt);
            }
            Ok(acknowledgement.reply(&outcome))
        }
    }
}

/// Runs a search until it is known whether its answer is small.
fn begin_search(server: &Server, search: Search) -> Result<Answer, Refusal> {
    let deadline = Instant::now() + server.settings.request_timeout;
    let mut run = search.begin(server.committer.snapshot());
    loop {
        match run.poll().map_err(Refusal::Unreadable)? {
            SearchStep::Pending if Instant::now() < deadline => {}
            SearchStep::Pending => return Err(Refusal::Timeout),
            SearchStep::Whole(reply) => return Ok(Answer::Whole(reply)),
            SearchStep::Start(reply) => return Ok(Answer::Streamed(Box::new((reply, run)))),
            // The core says these only behind `Start`.
            SearchStep::Chunk(_) | SearchStep::Done => return Err(Refusal::Internal),
        }
    }
}

/// Writes an answer whose length is not known: in chunks, or to HTTP/1.0 up to the end of the connection.
fn write_streamed(
    stream: &mut Stream,
    reply: &Reply,
    mut run: SearchRun,
    request_id: &str,
    head: &RequestHead,
    keep: bool,
) -> io::Result<bool> {
    let chunked = !head.http_10;
    let keep = keep && chunked;
    let mut bytes = head_bytes(reply, request_id, head.http_10, keep);
    bytes.extend_from_slice(if chunked { b"transfer-encoding: chunked\r\n\r\n" } else { b"\r\n" });
    // Whatever ends it before its time, the process included: nobody shall take a part for the whole.
    stream.set_reset_on_close(true)?;
    stream.write(&bytes)?;
    loop {
        match run.poll().map_err(io::Error::other)? {
            SearchStep::Pending => {}
            SearchStep::Chunk(chunk) if chunked => {
                let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
                framed.extend_from_slice(&chunk);
                framed.extend_from_slice(b"\r\n");
                stream.write(&framed)?;
            }
            SearchStep::Chunk(chunk) => stream.write(&chunk)?,
            SearchStep::Done => {
                if chunked {
                    stream.write(b"0\r\n\r\n")?;
                }
                stream.set_reset_on_close(false)?;
                return Ok(keep);
            }
            SearchStep::Whole(_) | SearchStep::Start(_) => return Err(io::Error::other("the core began twice")),
        }
    }
}

/// Writes the head of an answer whose length is known.
fn write_head(
    stream: &mut Stream,
    reply: &Reply,
    request_id: &str,
    http_10: bool,
    keep: bool,
    is_head: bool,
) -> io::Result<()> {
    let mut bytes = head_bytes(reply, request_id, http_10, keep);
    // The core gives the length to HEAD where it knows it; 0 would be untrue.
    if !is_head && reply.header("content-length").is_none() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", reply.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    stream.write(&bytes)
}

/// Status line and header fields, without the end.
fn head_bytes(reply: &Reply, request_id: &str, http_10: bool, keep: bool) -> Vec<u8> {
    let version = if http_10 { "1.0" } else { "1.1" };
    let mut head = format!("HTTP/{version} {} \r\nx-request-id: {request_id}\r\ndate: {}\r\n", reply.status, date());
    match (http_10, keep) {
        (true, true) => head.push_str("connection: keep-alive\r\n"),
        (_, false) => head.push_str("connection: close\r\n"),
        (false, true) => {}
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// The time as `Date` has it (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date() -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // The core writes times as RFC 3339, of which this is a rearrangement.
    let mut text = Vec::new();
    crate::now().write(&mut text);
    let text = String::from_utf8(text).unwrap_or_default();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"Jan");
    let days = crate::now().as_nanos().div_euclid(86_400_000_000_000).rem_euclid(7);
    let weekday = usize::try_from(days).ok().and_then(|day| WEEKDAYS.get(day)).unwrap_or(&"Thu");
    format!("{weekday}, {} {month} {} {} GMT", part(8..10), part(0..4), part(11..19))
}
