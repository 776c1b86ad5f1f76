//! Answers that are read from the repository while they are written.

use std::io;
use std::task::Poll;
use std::time::Instant;

use argus_core::api::{ReadRun, ReadStep, Refusal, Reply};
use argus_core::repository::ReadError;

use crate::answers::AnswerMemory;
use crate::clock::moment;
use crate::head::ReceivedHead;
use crate::presence::{Next, Presence};
use crate::reply_head::{Ids, begin_unknown_length, end_unknown_length, framed};
use crate::server::Server;
use crate::stream::Stream;

/// Events to examine between two checks whether the client is still there. Few, since each may take long.
const BUDGET: u32 = 8;

/// Goes on with a read, and tells it how long that took.
pub(crate) fn poll(server: &Server, run: &mut ReadRun) -> Result<Poll<ReadStep>, ReadError> {
    let begun = Instant::now();
    let step = run.poll(&server.committer.reader(), moment(), BUDGET);
    run.spend(begun.elapsed());
    if let Ok(Poll::Ready(ReadStep::Stopped(refusal))) = &step {
        server.metrics.query_stopped(if *refusal == Refusal::QueryBytes { "bytes" } else { "time" });
    }
    step
}

/// Writes an answer of unknown length: in chunks, or to HTTP/1.0 up to the end of the connection.
pub(crate) fn write_streamed(
    server: &Server,
    stream: &mut Stream,
    reply: &Reply,
    (mut run, mut memory, sent): (ReadRun, AnswerMemory, &mut u64),
    ids: &Ids,
    head: &ReceivedHead,
    keep: bool,
) -> io::Result<bool> {
    let chunked = begin_unknown_length(stream, reply, ids, head.http_10, keep)?;
    let next = if chunked { Next::ChunkSize } else { Next::Content };
    let mut presence = Presence::new();
    loop {
        match poll(server, &mut run).map_err(io::Error::other)? {
            Poll::Pending => presence.look(stream, next)?,
            Poll::Ready(ReadStep::Chunk(chunk)) => {
                presence = Presence::new();
                write_piece(stream, &framed(chunked, &chunk), &mut run, &mut memory)?;
                *sent += chunk.len() as u64;
            }
            Poll::Ready(ReadStep::Done) => return end_unknown_length(stream, chunked).map(|()| keep && chunked),
            Poll::Ready(ReadStep::Stopped(_)) => return Err(io::Error::other("the query exceeds a limit")),
            Poll::Ready(ReadStep::Whole(_) | ReadStep::Start(_)) => {
                return Err(io::Error::other("the core started one answer twice"));
            }
        }
    }
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
