//! One connection: bytes in, calls of the core, bytes out.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use argus_core::api::{
    Action, Api, Read, ReadRun, ReadStep, Refusal, Reply, Route, ServiceState, Submission, Submitted, Transport,
};
use argus_core::query::Filter;
use httpdate::HttpDate;

use crate::answers::AnswerMemory;
use crate::body::Body;
use crate::budget::Pace;
use crate::clock::{moment, now};
use crate::head::{Framing, HeadError, ReceivedHead};
use crate::live::{self, Open};
use crate::presence::{Next, Presence};
use crate::server::Server;
use crate::slots::{Phase, Slot};
use crate::stream::{Received, Stream};
use crate::websocket;

/// How often a connection that waits for a request checks for a drain.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Events to examine between two checks whether the client is still there. Few, since each may take long.
const BUDGET: u32 = 8;

/// Serves requests until one side closes.
pub(crate) fn serve(server: &Server, socket: Arc<TcpStream>, slot: &Slot) -> io::Result<()> {
    let mut stream = Stream::new(socket, server.settings.write_timeout)?;
    let mut answered = false;
    while slot.set(Phase::Idle)
        && let Some(head) = next_head(server, &mut stream, answered, slot)?
        && slot.set(Phase::Busy)
    {
        if !answer(server, &mut stream, &head)? {
            break;
        }
        answered = true;
    }
    slot.set(Phase::Lingering);
    stream.close(server.settings.limits.body_bytes_max, || server.is_draining());
    Ok(())
}

/// Reads the head of the next request; `None` if there is none.
fn next_head(server: &Server, stream: &mut Stream, answered: bool, slot: &Slot) -> io::Result<Option<ReceivedHead>> {
    if !wait_for_head(server, stream)? {
        return Ok(None);
    }
    let deadline = Instant::now() + server.settings.header_timeout;
    loop {
        let refusal = match ReceivedHead::parse(stream.unread()) {
            Ok(Some(head)) => {
                stream.consume(head.length);
                return Ok(Some(head));
            }
            Ok(None) => {
                // The connection may be evicted while it waits, but not with bytes in hand that may be a request.
                let come = if slot.set(Phase::Head) { stream.wait(deadline)? } else { return Ok(None) };
                if !slot.set(Phase::Busy) {
                    return Ok(None);
                }
                match come {
                    Received::Bytes => {
                        stream.receive(deadline)?;
                        continue;
                    }
                    Received::TimedOut => Refusal::HeadTimeout,
                    // A client that leaves within a head after an answer has changed its mind.
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
        let request_id = Api::request_id(&argus_core::api::RequestHead::default(), server.random());
        write_head(stream, &reply, &request_id, false, false, false)?;
        stream.write(&reply.body)?;
        return Ok(None);
    }
}

/// Waits for the first byte of a request without consuming it. Returns whether there is one.
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

/// The core's answer to a request.
enum Answer {
    Whole(Reply),
    Streamed(Box<(Reply, ReadRun, AnswerMemory)>),
    /// A live stream: its head, how it is sent, which events, and the last sequence number when it began.
    Live(Box<(Reply, Transport, Filter, u64)>),
}

/// Why an answer was abandoned.
enum Stop {
    Refused(Route, Refusal),
    /// The client is gone.
    Gone(io::Error),
}

/// Answers a request; returns whether the connection can be reused.
fn answer(server: &Server, stream: &mut Stream, head: &ReceivedHead) -> io::Result<bool> {
    let mut broken = false;
    let answered = try_answer(server, stream, head, &mut broken);
    let slow = |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    if broken || answered.as_ref().is_err_and(|error| !slow(error)) {
        server.metrics.connection_broke();
    }
    answered
}

/// As [`answer`]. Sets `broken` if the body ends early or its framing is wrong.
fn try_answer(server: &Server, stream: &mut Stream, head: &ReceivedHead, broken: &mut bool) -> io::Result<bool> {
    let request_id = head.with(|head| Api::request_id(head, server.random()));
    let mut body_is_read = head.framing() == Framing::Length(0);
    let decided = catch_unwind(AssertUnwindSafe(|| decide(server, stream, head, &mut body_is_read)));
    let answer = match decided {
        Ok(Ok(answer)) => answer,
        Ok(Err(Stop::Gone(error))) => return Err(error),
        Ok(Err(Stop::Refused(route, refusal))) => {
            *broken = refusal == Refusal::BodyBroken;
            Answer::Whole(server.api.refuse(route, &refusal))
        }
        Err(_) => Answer::Whole(server.api.refuse(Route::Other, &Refusal::Internal)),
    };
    let reply = match &answer {
        Answer::Whole(reply) => reply,
        Answer::Streamed(streamed) => &streamed.0,
        Answer::Live(stream) => &stream.0,
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
            let (reply, run, memory) = *streamed;
            write_streamed(server, stream, &reply, (run, memory), &request_id, head, keep)
        }
        Answer::Live(live) => {
            let (reply, transport, filter, last_seq) = *live;
            // Counted before the client knows of it.
            let open = Open::new(&server.streams, transport, filter, last_seq);
            match transport {
                Transport::ServerSentEvents => write_live(server, stream, &reply, open, &request_id, head)?,
                Transport::WebSocket => {
                    stream.write(&[&head_bytes(&reply, &request_id, false, true)[..], b"\r\n"].concat())?;
                    websocket::serve(server, stream, open)?;
                }
            }
            Ok(false)
        }
    }
}

fn decide(server: &Server, stream: &mut Stream, head: &ReceivedHead, body_is_read: &mut bool) -> Result<Answer, Stop> {
    let repository = server.committer.failure();
    let warning = server.committer.warning();
    let state = ServiceState {
        draining: server.is_draining(),
        repository: repository.as_ref(),
        failure: server.ending.failure(),
        warning: warning.as_deref(),
    };
    match head.with(|head| server.api.handle_request(head, &state)) {
        Action::Reply(reply) => Ok(Answer::Whole(reply)),
        Action::Submit(submission) => submit(server, stream, head, submission, body_is_read)
            .map(Answer::Whole)
            .map_err(|refusal| Stop::Refused(Route::Events, refusal)),
        Action::Read(read) => begin_read(server, stream, read),
        Action::Stream(live) => {
            let snapshot = server.committer.reader().take();
            let snapshot = snapshot.map_err(|error| Stop::Refused(Route::Stream, Refusal::Unreadable(error)))?;
            let (last_seq, reply) = (snapshot.last_seq(), live.head(snapshot.last_seq()));
            if live.is_head_only() {
                return Ok(Answer::Whole(reply));
            }
            Ok(Answer::Live(Box::new((reply, live.transport(), live.into_filter(), last_seq))))
        }
        Action::Metrics(metrics) => {
            let stats = server.committer.reader().take().and_then(|snapshot| snapshot.stats());
            let stats = stats.map_err(|error| Stop::Refused(Route::Metrics, Refusal::Unreadable(error)))?;
            let (idle_closed, log_lines_lost) = (server.slots.closed(), server.log.lost());
            Ok(Answer::Whole(metrics.reply(server.metrics.render(
                &stats,
                server.answers.held(),
                &server.streams,
                idle_closed,
                log_lines_lost,
            ))))
        }
    }
}

fn submit(
    server: &Server,
    stream: &mut Stream,
    head: &ReceivedHead,
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
    match submission.handle_body(&body.bytes, now()) {
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

/// Runs a read until its answer is known to be small or streamed.
fn begin_read(server: &Server, stream: &mut Stream, read: Read) -> Result<Answer, Stop> {
    let deadline = Instant::now() + server.settings.request_timeout;
    let route = read.route();
    let refused = |refusal| Stop::Refused(route, refusal);
    let mut memory = match read.may_stream() {
        true => Some(server.answers.admit(deadline).map_err(refused)?),
        false => None,
    };
    let mut run = read.begin(moment());
    let mut presence = Presence::new();
    loop {
        memory.iter_mut().for_each(|memory| memory.set(run.held_bytes()));
        match run
            .poll(&server.committer.reader(), moment(), BUDGET)
            .map_err(|error| refused(Refusal::Unreadable(error)))?
        {
            Poll::Pending if Instant::now() < deadline => presence.look(stream, Next::Answer).map_err(Stop::Gone)?,
            Poll::Pending => return Err(refused(Refusal::ReadTimeout)),
            Poll::Ready(ReadStep::Whole(reply)) => return Ok(Answer::Whole(reply)),
            Poll::Ready(ReadStep::Start(reply)) => {
                let memory = memory.ok_or_else(|| refused(Refusal::Internal))?;
                return Ok(Answer::Streamed(Box::new((reply, run, memory))));
            }
            // The core returns these only after `Start`.
            Poll::Ready(ReadStep::Chunk(_) | ReadStep::Done) => return Err(refused(Refusal::Internal)),
        }
    }
}

/// Writes an answer of unknown length: in chunks, or to HTTP/1.0 up to the end of the connection.
fn write_streamed(
    server: &Server,
    stream: &mut Stream,
    reply: &Reply,
    (mut run, mut memory): (ReadRun, AnswerMemory),
    request_id: &str,
    head: &ReceivedHead,
    keep: bool,
) -> io::Result<bool> {
    let chunked = !head.http_10;
    let keep = keep && chunked;
    let mut bytes = head_bytes(reply, request_id, head.http_10, keep);
    bytes.extend_from_slice(if chunked { b"transfer-encoding: chunked\r\n\r\n" } else { b"\r\n" });
    // If the answer ends early, even by the end of the process, it must not look complete.
    stream.set_reset_on_close(true)?;
    stream.write(&bytes)?;
    let next = if chunked { Next::ChunkSize } else { Next::Content };
    let mut presence = Presence::new();
    loop {
        match run.poll(&server.committer.reader(), moment(), BUDGET).map_err(io::Error::other)? {
            Poll::Pending => presence.look(stream, next)?,
            Poll::Ready(ReadStep::Chunk(chunk)) if chunked => {
                presence = Presence::new();
                let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
                framed.extend_from_slice(&chunk);
                framed.extend_from_slice(b"\r\n");
                write_piece(stream, &framed, &mut run, &mut memory)?;
            }
            Poll::Ready(ReadStep::Chunk(chunk)) => write_piece(stream, &chunk, &mut run, &mut memory)?,
            Poll::Ready(ReadStep::Done) => {
                if chunked {
                    stream.write(b"0\r\n\r\n")?;
                }
                stream.set_reset_on_close(false)?;
                return Ok(keep);
            }
            Poll::Ready(ReadStep::Whole(_) | ReadStep::Start(_)) => {
                return Err(io::Error::other("the core started one answer twice"));
            }
        }
    }
}

/// Writes a live stream: in chunks, or to HTTP/1.0 up to the end of the connection. The connection is not used again.
fn write_live(
    server: &Server,
    stream: &mut Stream,
    reply: &Reply,
    open: Open<'_>,
    request_id: &str,
    head: &ReceivedHead,
) -> io::Result<()> {
    let chunked = !head.http_10;
    let mut bytes = head_bytes(reply, request_id, head.http_10, false);
    bytes.extend_from_slice(if chunked { b"transfer-encoding: chunked\r\n\r\n" } else { b"\r\n" });
    stream.set_reset_on_close(true)?;
    stream.write(&bytes)?;
    let next = if chunked { Next::ChunkSize } else { Next::Content };
    live::serve(server, stream, open, next, |stream, piece| {
        if !chunked {
            return stream.write(piece);
        }
        let mut framed = format!("{:x}\r\n", piece.len()).into_bytes();
        framed.extend_from_slice(piece);
        framed.extend_from_slice(b"\r\n");
        stream.write(&framed)
    })?;
    if chunked {
        stream.write(b"0\r\n\r\n")?;
    }
    stream.set_reset_on_close(false)
}

/// Writes a piece of an answer. If it does not fit into the socket's buffer, the read is suspended first, so that it
/// holds no memory while it waits for the client.
fn write_piece(stream: &mut Stream, piece: &[u8], run: &mut ReadRun, memory: &mut AnswerMemory) -> io::Result<()> {
    let rest = stream.write_at_once(piece)?;
    if !rest.is_empty() {
        drop(run.suspend());
    }
    memory.set(run.held_bytes() + rest.len());
    stream.write(rest)
}

/// Writes the head of an answer of known length.
fn write_head(
    stream: &mut Stream,
    reply: &Reply,
    request_id: &str,
    http_10: bool,
    keep: bool,
    is_head: bool,
) -> io::Result<()> {
    let mut bytes = head_bytes(reply, request_id, http_10, keep);
    // The core sets the length for HEAD if it knows it; 0 would be wrong.
    if !is_head && reply.header("content-length").is_none() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", reply.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    stream.write(&bytes)
}

/// The status line and header fields, without the empty line.
fn head_bytes(reply: &Reply, request_id: &str, http_10: bool, keep: bool) -> Vec<u8> {
    let version = if http_10 { "1.0" } else { "1.1" };
    let mut head = format!(
        "HTTP/{version} {} \r\nx-request-id: {request_id}\r\ndate: {}\r\n",
        reply.status,
        HttpDate::from(SystemTime::now())
    );
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
