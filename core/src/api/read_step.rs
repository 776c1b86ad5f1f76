//! The steps of a read.

use bytes::Bytes;

use super::Reply;

/// The result of a step of a [`ReadRun`](super::ReadRun).
#[derive(Debug)]
pub enum ReadStep {
    /// The whole answer in one reply. The run is over.
    Whole(Reply),
    /// The head of a streamed answer (its body is empty); chunks follow.
    Start(Reply),
    /// The next piece of the body, at most about 64 KiB plus one event.
    Chunk(Bytes),
    /// The body is complete. The run is over.
    Done,
}
