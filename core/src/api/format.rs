//! The format of a list of events, in requests and answers.

use alloc::string::String;

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
    pub(super) const ALL: [Self; 6] = [
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
