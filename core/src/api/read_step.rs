//! The steps of a read.

use bytes::Bytes;

use super::{Draft, Refusal};

/// The result of a step of a [`ReadRun`](super::ReadRun).
#[derive(Debug)]
pub enum ReadStep {
    /// The whole answer in one reply. The run is over.
    Whole(Draft),
    /// The head of a streamed answer (its body is empty); chunks follow.
    Start(Draft),
    /// The next piece of the body, at most about 64 KiB plus one event before compression. The client can decode it
    /// without those that follow.
    Chunk(Bytes),
    /// The body is complete. The run is over.
    Done,
    /// The query exceeds a limit. If nothing was sent yet, the host replies with this refusal; otherwise it resets the
    /// connection, so that the client does not take a part for the whole. The run is over.
    Stopped(Refusal),
}
