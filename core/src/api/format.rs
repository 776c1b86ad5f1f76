//! The format of a list of events, and its negotiation.

use super::fields::quality;
use super::problem_reply::ProblemReply;
use super::{ProblemKind, RequestHead};

/// The format of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One array.
    Json,
    /// One object per line.
    Ndjson,
    /// The same as [`Ndjson`](Self::Ndjson), under another media type.
    Jsonl,
}

impl Format {
    /// In the order of the server's preference.
    const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Jsonl];

    /// The format that the client prefers (RFC 9110, section 12.5.1); among several, the first of [`ALL`](Self::ALL).
    pub(super) fn negotiate(head: &RequestHead<'_>) -> Result<Self, ProblemReply> {
        let (mut best, mut best_quality) = (None, 0);
        for format in Self::ALL {
            let quality = quality(head, format.media_type());
            if quality > best_quality {
                (best, best_quality) = (Some(format), quality);
            }
        }
        best.ok_or_else(|| {
            let detail = "events come as application/json, application/x-ndjson or application/jsonl";
            ProblemReply::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept")
        })
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Jsonl => "application/jsonl",
        }
    }

    /// The bytes before the first event.
    pub(super) fn opening(self) -> &'static [u8] {
        match self {
            Self::Json => b"[",
            Self::Ndjson | Self::Jsonl => b"",
        }
    }

    /// The bytes before an event. `has_previous`: whether another event precedes it.
    pub(super) fn before(self, has_previous: bool) -> &'static [u8] {
        match self {
            Self::Json if has_previous => b",",
            Self::Json | Self::Ndjson | Self::Jsonl => b"",
        }
    }

    /// The bytes after an event.
    pub(super) fn after(self) -> &'static [u8] {
        match self {
            Self::Json => b"",
            Self::Ndjson | Self::Jsonl => b"\n",
        }
    }

    /// The bytes after the last event.
    pub(super) fn closing(self) -> &'static [u8] {
        match self {
            Self::Json => b"]\n",
            Self::Ndjson | Self::Jsonl => b"",
        }
    }
}
