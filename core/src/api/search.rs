//! `GET /events`: a query, answered piece by piece.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::criteria::read_query;
use super::fields::quality;
use super::problem::Refused;
use super::target::Target;
use super::{Head, ProblemKind, Reply, Route};
use crate::query::{Position, Query, encode_cursor};
use crate::repository::{Find, FindHead, FindStep, Flow, ReadError, Snapshot};

/// Events examined in one step: some 100 microseconds where they lie in memory.
const EVENTS_PER_STEP: u32 = 4096;
/// A chunk is sent when it has this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// Clients send these as they are; in a link they would end the reference, or offend its grammar (RFC 3986).
const ENCODED_IN_LINK: &AsciiSet = &CONTROLS
    .add(b'<')
    .add(b'>')
    .add(b'"')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'[')
    .add(b']');

/// A `GET` or `HEAD` of `/events` whose parameters are in order.
#[derive(Debug)]
pub struct Search {
    query: Query,
    format: Format,
    /// The query string as sent, but for a cursor: what a link to the next page begins with.
    link_query: String,
    head_only: bool,
}

/// A search under way.
#[expect(missing_debug_implementations, reason = "holds a running query, which has no useful picture")]
pub struct SearchRun {
    search: Search,
    find: Box<dyn Find>,
    phase: Phase,
    /// Part of the body that was not handed out yet.
    buffer: Vec<u8>,
    /// Whether an event has been written.
    any: bool,
}

/// What a step of a search gave.
#[derive(Debug)]
pub enum SearchStep {
    /// Nothing yet; call again.
    Pending,
    /// The whole answer: it is small. The run is over.
    Whole(Reply),
    /// The head of a streamed answer (its body is empty); chunks follow.
    Start(Reply),
    /// The next piece of the body, at most about 64 KiB plus one event.
    Chunk(Bytes),
    /// The body is complete.
    Done,
}

/// Where a run stands.
enum Phase {
    /// The head is not known.
    Head,
    /// The body may still turn out to be small.
    First(Reply),
    /// The head has gone out.
    Streaming,
    /// Nothing is left to say.
    Done,
}

/// How events are put into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    Jsonl,
}

impl Search {
    pub(super) fn read(head: &Head<'_>, target: &Target<'_>, head_only: bool) -> Result<Self, Refused> {
        let query = read_query(&target.params)?;
        let format = Format::negotiate(head)?;
        Ok(Self { query, format, link_query: target.raw_query_without("cursor"), head_only })
    }

    /// Begins the query on a snapshot.
    #[must_use]
    pub fn begin(self, snapshot: Arc<dyn Snapshot>) -> SearchRun {
        let find = snapshot.find(&self.query);
        let mut buffer = Vec::new();
        buffer.extend_from_slice(self.format.opening());
        SearchRun { search: self, find, phase: Phase::Head, buffer, any: false }
    }

    fn reply(&self, head: FindHead) -> Reply {
        let mut reply =
            Reply::new(Route::Events, 200, self.format.media_type(), Bytes::new()).with_header("vary", "accept");
        if let Some(next) = head.next {
            reply = reply.with_header("link", self.next_link(next));
        }
        reply
    }

    /// The link to the next page (RFC 8288): the same parameters with another cursor. Relative, because only the caller
    /// knows by which name it reached us.
    fn next_link(&self, next: Position) -> String {
        let mut link = String::from("</events?");
        link.extend(utf8_percent_encode(&self.link_query, ENCODED_IN_LINK));
        if !self.link_query.is_empty() {
            link.push('&');
        }
        link.push_str(&format!("cursor={}>; rel=\"next\"", encode_cursor(next, &self.query)));
        link
    }
}

impl SearchRun {
    /// Does a bounded amount of work (some 100 microseconds).
    ///
    /// # Errors
    ///
    /// [`ReadError`]: before [`SearchStep::Start`] the host sends [`Api::refuse`](super::Api::refuse) with
    /// [`Refusal::Unreadable`](super::Refusal::Unreadable); after it, it cuts the connection, so that nobody takes a
    /// part for the whole. The run is of no further use.
    pub fn poll(&mut self) -> Result<SearchStep, ReadError> {
        match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Head => {
                let Some(head) = self.find.poll_head(EVENTS_PER_STEP)? else {
                    self.phase = Phase::Head;
                    return Ok(SearchStep::Pending);
                };
                let reply = self.search.reply(head);
                if self.search.head_only {
                    return Ok(SearchStep::Whole(reply));
                }
                self.first(reply)
            }
            Phase::First(reply) => self.first(reply),
            Phase::Streaming => self.stream(),
            Phase::Done => Ok(SearchStep::Done),
        }
    }

    fn first(&mut self, mut reply: Reply) -> Result<SearchStep, ReadError> {
        match self.fill()? {
            FindStep::Done => {
                reply.body = self.take();
                Ok(SearchStep::Whole(reply))
            }
            FindStep::Pending if self.is_full() => {
                self.phase = Phase::Streaming;
                Ok(SearchStep::Start(reply))
            }
            FindStep::Pending => {
                self.phase = Phase::First(reply);
                Ok(SearchStep::Pending)
            }
        }
    }

    fn stream(&mut self) -> Result<SearchStep, ReadError> {
        // The step that gave the head left a chunk behind.
        if !self.is_full() && self.fill()? == FindStep::Done {
            return Ok(if self.buffer.is_empty() { SearchStep::Done } else { SearchStep::Chunk(self.take()) });
        }
        self.phase = Phase::Streaming;
        Ok(if self.is_full() { SearchStep::Chunk(self.take()) } else { SearchStep::Pending })
    }

    /// Takes events from the query until the chunk is full, the step's work is done or the query ends; then the body
    /// ends as well.
    fn fill(&mut self) -> Result<FindStep, ReadError> {
        let Self { search, find, buffer, any, .. } = self;
        let format = search.format;
        let step = find.poll_events(EVENTS_PER_STEP, &mut |event| {
            buffer.extend_from_slice(format.before(*any));
            event.write_json(buffer);
            buffer.extend_from_slice(format.after());
            *any = true;
            if buffer.len() < CHUNK_BYTES { Flow::More } else { Flow::Stop }
        })?;
        if step == FindStep::Done {
            buffer.extend_from_slice(format.closing());
        }
        Ok(step)
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK_BYTES
    }

    fn take(&mut self) -> Bytes {
        core::mem::take(&mut self.buffer).into()
    }
}

impl Format {
    /// In the order in which we like them.
    const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Jsonl];

    /// The most welcome format; the first of them where several are (RFC 9110, section 12.5.1).
    fn negotiate(head: &Head<'_>) -> Result<Self, Refused> {
        let (mut best, mut best_quality) = (None, 0);
        for format in Self::ALL {
            let quality = quality(head, format.media_type());
            if quality > best_quality {
                (best, best_quality) = (Some(format), quality);
            }
        }
        best.ok_or_else(|| {
            let detail = "events come as application/json, application/x-ndjson or application/jsonl";
            Refused::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept")
        })
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Jsonl => "application/jsonl",
        }
    }

    fn opening(self) -> &'static [u8] {
        match self {
            Self::Json => b"[",
            Self::Ndjson | Self::Jsonl => b"",
        }
    }

    /// What goes before an event, given whether another came before.
    fn before(self, any: bool) -> &'static [u8] {
        match self {
            Self::Json if any => b",",
            Self::Json | Self::Ndjson | Self::Jsonl => b"",
        }
    }

    fn after(self) -> &'static [u8] {
        match self {
            Self::Json => b"",
            Self::Ndjson | Self::Jsonl => b"\n",
        }
    }

    fn closing(self) -> &'static [u8] {
        match self {
            Self::Json => b"]",
            Self::Ndjson | Self::Jsonl => b"",
        }
    }
}
