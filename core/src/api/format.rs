//! The format of a list of events, in requests and answers.

use alloc::format;
use alloc::string::String;

use super::fields::quality;
use super::problem_reply::ProblemReply;
use super::{ProblemKind, RequestHead};

/// The format of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One array. In a request also a single object.
    Json,
    /// One object per line, under this media type.
    Lines(&'static str),
}

impl Format {
    /// In the order of the server's preference.
    const ALL: [Self; 6] = [
        Self::Json,
        Self::Lines("application/x-ndjson"),
        Self::Lines("application/ndjson"),
        Self::Lines("application/jsonl"),
        Self::Lines("application/jsonlines"),
        Self::Lines("application/x-jsonlines"),
    ];

    /// The format with this media type, in lower case.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.media_type() == media_type)
    }

    /// The media types of all formats, as a list in a header field.
    pub(super) fn media_types() -> String {
        Self::ALL.map(Self::media_type).join(", ")
    }

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
            let detail = format!("events come as {}", Self::media_types());
            ProblemReply::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept")
        })
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Lines(media_type) => media_type,
        }
    }

    /// The bytes before the first event.
    pub(super) fn opening(self) -> &'static [u8] {
        match self {
            Self::Json => b"[",
            Self::Lines(_) => b"",
        }
    }

    /// The bytes before an event. `has_previous`: whether another event precedes it.
    pub(super) fn before(self, has_previous: bool) -> &'static [u8] {
        match self {
            Self::Json if has_previous => b",",
            Self::Json | Self::Lines(_) => b"",
        }
    }

    /// The bytes after an event.
    pub(super) fn after(self) -> &'static [u8] {
        match self {
            Self::Json => b"",
            Self::Lines(_) => b"\n",
        }
    }

    /// The bytes after the last event.
    pub(super) fn closing(self) -> &'static [u8] {
        match self {
            Self::Json => b"]\n",
            Self::Lines(_) => b"",
        }
    }
}
