//! One connection: bytes in, calls of the core, bytes out.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::api::{
    Action, AfterErasure, Caller, Draft, Read, ReadRun, ReadStep, Refusal, Reply, RequestEntry, RequestHead, Route,
    ServiceState, Transport, redacted,
};
use argus_core::event::Timestamp;
use argus_core::query::Filter;

use crate::answers::AnswerMemory;
use crate::clock::{moment, now};
use crate::gate::Visitor;
use crate::head::{Framing, HeadError, ReceivedHead};
use crate::live::{Open, write_live};
use crate::metrics::Counted;
use crate::presence::{Next, Presence};
use crate::reads::{poll, write_streamed};
use crate::reply_head::{Ids, head_bytes, write_head};
use crate::request_log::RequestLog;
use crate::server::Server;
use crate::slots::{Phase, Slot};
use crate::stream::{Received, Stream};
use crate::websocket;
use crate::writes::{erase, submit};

/// How often a connection that waits for a request checks for a drain.
const DRAIN_LOOK_INTERVAL: Duration = Duration::from_millis(20);

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
        let parsed = ReceivedHead::parse(stream.unread(), server.settings.head_bytes_max, &server.settings.limits);
        let refusal = match parsed {
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
                    Received::TimedOut => {
                        server.metrics.timed_out("head_timeout");
                        Refusal::HeadTimeout
                    }
                    // A client that leaves within a head after an answer has changed its mind.
                    Received::End if answered || stream.unread().trim_ascii().is_empty() => return Ok(None),
                    Received::End => Refusal::HeadBroken,
                }
            }
            Err(HeadError::TooLarge) => Refusal::HeadTooLarge,
            Err(HeadError::UriTooLong) => Refusal::UriTooLong,
            Err(HeadError::Malformed) => Refusal::HeadBroken,
            Err(HeadError::Version) => Refusal::HeadVersion,
        };
        let reply = Caller::default().finish(server.api.refuse(Route::Other, &refusal));
        server.metrics.answered("", &reply);
        let ids = Ids::of(server, &RequestHead::default());
        let begun = Begun::now();
        let written = write_head(stream, &reply, &ids, false, false, false).and_then(|()| stream.write(&reply.body));
        let sent = Sent { bytes: reply.body.len() as u64, complete: written.is_ok() };
        log_request(server, stream, None, &reply, &ids, &begun, &sent);
        return written.map(|()| None);
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
            Received::TimedOut if server.is_draining() => return Ok(false),
            Received::TimedOut if Instant::now() >= deadline => {
                server.metrics.timed_out("idle_timeout");
                return Ok(false);
            }
            Received::TimedOut => {}
        }
    }
    Ok(true)
}

/// The core's answer to a request.
enum Answer {
    Whole(Draft),
    Streamed(Draft, Box<(ReadRun, AnswerMemory)>),
    /// A live stream: its head, how it is sent, which events, and the last sequence number when it began.
    Live(Draft, Box<(Transport, Filter, u64)>),
}

/// What comes after the head of an answer.
enum Content {
    /// The body of the reply.
    Whole,
    Streamed(Box<(ReadRun, AnswerMemory)>),
    Live(Box<(Transport, Filter, u64)>),
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
    match &answered {
        Err(error) if slow(error) => server.metrics.timed_out("write_timeout"),
        Ok(_) if !broken => {}
        Ok(_) | Err(_) => server.metrics.connection_broke(),
    }
    answered
}

/// As [`answer`]. Sets `broken` if the body ends early or its framing is wrong.
fn try_answer(server: &Server, stream: &mut Stream, head: &ReceivedHead, broken: &mut bool) -> io::Result<bool> {
    let (ids, begun) = (head.with(|head| Ids::of(server, head)), Begun::now());
    let mut body_is_read = head.framing() == Framing::Length(0);
    let mut visitor = server.gate.visitor();
    let decided = catch_unwind(AssertUnwindSafe(|| decide(server, stream, head, &mut visitor, &mut body_is_read)));
    let answer = match decided {
        Ok(Ok(answer)) => answer,
        Ok(Err(Stop::Gone(error))) => return Err(error),
        Ok(Err(Stop::Refused(route, refusal))) => {
            *broken = refusal == Refusal::BodyBroken;
            if refusal == Refusal::BodyTimeout {
                server.metrics.timed_out("body_timeout");
            }
            Answer::Whole(server.api.refuse(route, &refusal))
        }
        Err(_) => Answer::Whole(server.api.refuse(Route::Other, &Refusal::Internal)),
    };
    let (draft, content) = match answer {
        Answer::Whole(draft) => (draft, Content::Whole),
        Answer::Streamed(draft, streamed) => (draft, Content::Streamed(streamed)),
        Answer::Live(draft, live) => (draft, Content::Live(live)),
    };
    let reply = visitor.finish(draft);
    server.metrics.answered(&head.method, &reply);
    if server.log.has_requests() {
        let client = visitor.caller.client.map_or_else(String::new, |client| client.to_string());
        server.log.line(&format!(
            "{} {} {} {} {client}{}",
            head.method,
            redacted(&head.target),
            reply.status,
            ids.request_id,
            ids.trace.map(|(trace, _)| format!(" trace_id={}", trace.trace_id())).unwrap_or_default()
        ));
    }
    let keep = body_is_read && !reply.close && head.keeps_alive() && !server.is_draining();
    let is_head = head.method == "HEAD";
    let mut sent = Sent::default();
    let written = match content {
        Content::Whole => {
            let written = write_head(stream, &reply, &ids, head.http_10, keep, is_head);
            written.and_then(|()| stream.write(&reply.body)).map(|()| {
                sent.bytes = reply.body.len() as u64;
                keep
            })
        }
        Content::Streamed(streamed) => {
            let (run, memory) = *streamed;
            let work = (run, memory, &mut sent.bytes);
            write_streamed(server, stream, &reply, work, &ids, head, keep)
        }
        Content::Live(live) => {
            let (transport, filter, last_seq) = *live;
            // Counted before the client knows of it.
            let open = Open::new(&server.streams, transport, filter, last_seq, visitor.key().cloned());
            let written = match transport {
                Transport::ServerSentEvents => write_live(server, stream, &reply, (open, &mut sent.bytes), &ids, head),
                Transport::WebSocket => stream
                    .write(&[&head_bytes(&reply, &ids, false, true)[..], b"\r\n"].concat())
                    .and_then(|()| websocket::serve(server, stream, open, &mut sent.bytes)),
            };
            written.map(|()| false)
        }
    };
    sent.complete = written.is_ok();
    log_request(server, stream, Some((head, &visitor)), &reply, &ids, &begun, &sent);
    written
}

/// When a request's head had arrived.
struct Begun {
    instant: Instant,
    time: Timestamp,
}

impl Begun {
    fn now() -> Self {
        Self { instant: Instant::now(), time: now() }
    }
}

/// How much of an answer's body was sent.
#[derive(Default)]
struct Sent {
    bytes: u64,
    complete: bool,
}

/// Logs a request whose answer is over. Without a head, it was not a request.
fn log_request(
    server: &Server,
    stream: &Stream,
    request: Option<(&ReceivedHead, &Visitor<'_>)>,
    reply: &Reply,
    ids: &Ids,
    begun: &Begun,
    sent: &Sent,
) {
    let Some(log) = &server.request_log else { return };
    let (head, visitor) = request.unzip();
    log.log(&RequestEntry {
        time: begun.time,
        peer: stream.peer(),
        client: visitor.and_then(|visitor| visitor.caller.client),
        key: visitor.and_then(Visitor::key_name),
        method: head.map_or("", |head| &head.method),
        target: head.map_or("", |head| &head.target),
        http_10: head.is_some_and(|head| head.http_10),
        status: reply.status,
        bytes: sent.bytes,
        complete: sent.complete,
        duration: begun.instant.elapsed(),
        request_id: &ids.request_id,
        trace: ids.trace,
        problem: reply.problem,
    });
}

/// Tells a client that its address has as many connections as it may have. The connection is closed after it.
pub(crate) fn turn_away(server: &Server, socket: &TcpStream) {
    let reply = Caller::default().finish(server.api.refuse(Route::Other, &Refusal::AddressFull));
    let mut bytes = head_bytes(&reply, &Ids::of(server, &RequestHead::default()), false, false);
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", reply.body.len()).as_bytes());
    bytes.extend_from_slice(&reply.body);
    // A client that is gone need not be told. Unread input would turn the end into a reset.
    let mut socket = socket;
    let told = socket.set_nonblocking(true).and_then(|()| socket.write_all(&bytes));
    let _ = told.and_then(|()| socket.shutdown(Shutdown::Write)).and_then(|()| socket.read(&mut [0; 4096]));
}

fn decide(
    server: &Server,
    stream: &mut Stream,
    head: &ReceivedHead,
    visitor: &mut Visitor<'_>,
    body_is_read: &mut bool,
) -> Result<Answer, Stop> {
    let repository = server.committer.failure();
    let warning = server.committer.warning().or_else(|| server.gate.warning());
    let peer = Some(stream.peer().ip());
    let state = ServiceState {
        draining: server.is_draining(),
        repository: repository.as_ref(),
        failure: server.ending.failure(),
        warning: warning.as_deref(),
        gate: Some(visitor.gate(moment())),
    };
    let (action, caller) = head.with(|head| server.api.handle_request(&RequestHead { peer, ..*head }, &state));
    visitor.caller = caller;
    match action {
        Action::Reply(draft) => Ok(Answer::Whole(draft)),
        Action::Submit(submission) => submit(server, stream, head, submission, visitor, body_is_read)
            .map(Answer::Whole)
            .map_err(|refusal| Stop::Refused(Route::Events, refusal)),
        Action::Erase(erasure) => match erase(server, erasure) {
            Ok(AfterErasure::Reply(draft)) => Ok(Answer::Whole(draft)),
            Ok(AfterErasure::Count(read)) => begin_read(server, stream, read).map_err(|stop| match stop {
                Stop::Refused(route, _) => Stop::Refused(route, Refusal::NotCounted),
                gone @ Stop::Gone(_) => gone,
            }),
            Err(refusal) => Err(Stop::Refused(Route::Events, refusal)),
        },
        Action::Read(read) => begin_read(server, stream, read),
        Action::Stream(live) => {
            let snapshot = server.committer.reader().take();
            let snapshot = snapshot.map_err(|error| Stop::Refused(Route::Stream, Refusal::Unreadable(error)))?;
            let (last_seq, head) = (snapshot.last_seq(), live.head(snapshot.last_seq()));
            if live.is_head_only() {
                return Ok(Answer::Whole(head));
            }
            Ok(Answer::Live(head, Box::new((live.transport(), live.into_filter(), last_seq))))
        }
        Action::Metrics(metrics) => {
            let stats = server.committer.reader().take().and_then(|snapshot| snapshot.stats());
            let stats = stats.map_err(|error| Stop::Refused(Route::Metrics, Refusal::Unreadable(error)))?;
            let counted = Counted {
                idle_closed: server.slots.closed(),
                address_limit: server.slots.refused(),
                log_lines_lost: server.log.lost(),
                request_log_lines_lost: server.request_log.as_ref().map_or(0, RequestLog::lost),
                keys: server.gate.counters(),
                streams: server.streams.counts(),
            };
            Ok(Answer::Whole(metrics.reply(server.metrics.render(&stats, server.answers.held(), &counted))))
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
        match poll(server, &mut run).map_err(|error| refused(Refusal::Unreadable(error)))? {
            Poll::Pending if Instant::now() < deadline => presence.look(stream, Next::Answer).map_err(Stop::Gone)?,
            Poll::Pending => return Err(refused(Refusal::ReadTimeout)),
            Poll::Ready(ReadStep::Whole(draft)) => return Ok(Answer::Whole(draft)),
            Poll::Ready(ReadStep::Start(draft)) => {
                let memory = memory.ok_or_else(|| refused(Refusal::Internal))?;
                return Ok(Answer::Streamed(draft, Box::new((run, memory))));
            }
            Poll::Ready(ReadStep::Stopped(refusal)) => return Err(refused(refusal)),
            // The core returns these only after `Start`.
            Poll::Ready(ReadStep::Chunk(_) | ReadStep::Done) => return Err(refused(Refusal::Internal)),
        }
    }
}
