//! `POST /events`: from the head through the body to the batch.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};

use super::acknowledgement::{Acknowledgement, Rejected, ReplyForm, invalid_events, many_reply};
use super::content::{ACCEPTED, Coding, DecodeError};
use super::fields::{MediaType, preference, values};
use super::guard::CheckedHead;
use super::params::{invalid, once, unknown};
use super::problem_reply::ProblemReply;
use super::target::Param;
use super::text::Excerpt;
use super::{Limits, Problem, ProblemKind, Reply, RequestHead, Route};
use crate::batch::Batch;
use crate::event::EventType;
use crate::ingest::{
    self, Dialect, EventFault, FaultCode, Framing, Handling, IngestError, Mapping, ParseOptions, Parsed, Pointer,
    TypeSource,
};
use crate::room::{NoRoom, Room};

/// The supported media types.
const MEDIA_TYPES: &str = "application/json, application/x-ndjson, application/jsonl";

/// A `POST /events` with a valid head.
#[derive(Debug)]
pub struct Submission {
    options: ParseOptions,
    coding: Coding,
    declared_bytes: Option<u64>,
    body_bytes_max: usize,
}

/// What to do once the body is parsed.
#[derive(Debug)]
pub enum Submitted {
    /// Send this reply. There is nothing to commit.
    Reply(Reply),
    /// Commit the batch, then call [`Acknowledgement::reply`].
    Commit(Batch, Acknowledgement),
}

impl Submission {
    /// Reads the head: first the query parameters, then the fields about the body.
    pub(super) fn read(
        limits: &Limits,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
    ) -> Result<Self, ProblemReply> {
        let dialect = read_dialect(&checked.target.params)?;
        let framing = read_framing(head)?;
        let Some(coding) = Coding::of(head) else {
            let detail = "Content-Encoding must be gzip or zstd, given once";
            return Err(
                ProblemReply::new(ProblemKind::UnsupportedMediaType, detail).with_header("accept-encoding", ACCEPTED)
            );
        };
        if checked.content_length.is_some_and(|length| length > limits.body_bytes_max as u64) {
            return Err(too_large(limits.body_bytes_max));
        }
        let handling = match preference(head, "handling").as_deref() {
            Some("lenient") => Handling::Lenient,
            // Unknown preferences are ignored (RFC 7240, section 2).
            Some(_) | None => Handling::Strict,
        };
        let Limits { payload_bytes_max, types_max, .. } = *limits;
        Ok(Self {
            options: ParseOptions { framing, dialect, handling, payload_bytes_max, types_max },
            coding,
            declared_bytes: checked.content_length,
            body_bytes_max: limits.body_bytes_max,
        })
    }

    /// The value of `Content-Length`, at most [`wire_bytes_max`](Self::wire_bytes_max). `None` for a chunked body.
    #[must_use]
    pub fn expected_bytes(&self) -> Option<u64> {
        self.declared_bytes
    }

    /// Longest body to read, in bytes before decompression. A larger `Content-Length` has already been refused.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    /// Whether the body is compressed. Decompressed, it can be many times as long.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        match self.coding {
            Coding::Identity => false,
            Coding::Gzip | Coding::Zstd => true,
        }
    }

    /// Decompresses and parses the body. The time grows with the length of the body after decompression, so large
    /// bodies do not belong on an executor's worker thread.
    #[must_use]
    pub fn handle_body(self, body: &[u8]) -> Submitted {
        self.handle_body_within(body, Room::unlimited())
    }

    /// Like [`handle_body`](Self::handle_body), but with a limit on memory: for the decompressed body and the batch,
    /// not for `body` itself. The reply is 503 if there is not enough memory, or 413 if the body can never fit.
    #[must_use]
    pub fn handle_body_within(self, body: &[u8], mut room: Room<'_>) -> Submitted {
        let mut decoded_bytes = 0;
        let parsed = match self.coding.decode(body, self.body_bytes_max, &mut room) {
            Ok(decoded) => {
                decoded_bytes = decoded.len();
                match decoded {
                    Cow::Borrowed(plain) => self.parse(plain, "", room),
                    Cow::Owned(decoded) => self.parse(&decoded, " of the decompressed body", room),
                }
            }
            Err(error @ DecodeError::Malformed { .. }) => {
                Err(Problem::new(ProblemKind::BadRequest, error.to_string()).into())
            }
            Err(DecodeError::TooLarge) => Err(too_large(self.body_bytes_max)),
            Err(DecodeError::NoRoom(no_room)) => Err(out_of_memory(no_room)),
        };
        match parsed {
            Err(problem) => Submitted::Reply(Reply { decoded_bytes, ..problem.reply(Route::Events) }),
            Ok(Parsed::One(batch)) => {
                let given_id = batch.first_id().map(|id| Box::from(id.as_str()));
                let form = ReplyForm::One { given_id };
                Submitted::Commit(batch, Acknowledgement::new(form, &self.options.dialect, decoded_bytes))
            }
            Ok(Parsed::Many { batch, indexes, rejected: listed, rejected_count: count }) => {
                let rejected = match self.options.handling {
                    Handling::Strict => None,
                    Handling::Lenient => Some(Rejected { listed, count }),
                };
                if batch.is_empty() {
                    Submitted::Reply(Reply { decoded_bytes, ..many_reply(None, rejected.as_ref()) })
                } else {
                    let form = ReplyForm::Many { indexes, rejected };
                    Submitted::Commit(batch, Acknowledgement::new(form, &self.options.dialect, decoded_bytes))
                }
            }
        }
    }

    /// `of_what` completes "at byte N" in error texts: it says which bytes the offset counts.
    fn parse(&self, decoded: &[u8], of_what: &str, room: Room<'_>) -> Result<Parsed, ProblemReply> {
        ingest::parse_within(decoded, &self.options, room).map_err(|error| match error {
            IngestError::Syntax { reason, offset, index } => {
                let detail = format!("{reason} at byte {offset}{of_what}");
                let fault = EventFault {
                    index: index.unwrap_or_default(),
                    pointer: index.map_or_else(|| String::from("#"), |index| format!("#/{index}")),
                    code: FaultCode::InvalidJson,
                    detail: detail.clone(),
                };
                Problem { kind: ProblemKind::InvalidJson, detail, errors: [fault].into() }.into()
            }
            IngestError::TooLarge(error) => Problem::new(ProblemKind::ContentTooLarge, error.to_string()).into(),
            IngestError::NoRoom(no_room) => out_of_memory(no_room),
            IngestError::Faults { listed, count } => invalid_events(listed, count).into(),
        })
    }
}

/// 413: the body is too large. The connection closes, since the rest of the body is not read.
pub(super) fn too_large(bytes_max: usize) -> ProblemReply {
    ProblemReply::new(
        ProblemKind::ContentTooLarge,
        format!(
            "the body has more than {bytes_max} bytes after decompression (--max-body-bytes); nothing was stored. Send \
             it in parts"
        ),
    )
    .closing()
}

/// 503: there is not enough memory at the moment; or 413, if the body can never fit.
fn out_of_memory(no_room: NoRoom) -> ProblemReply {
    match no_room {
        NoRoom::Now => ProblemReply::new(ProblemKind::Overloaded, format!("{no_room}; nothing was stored")),
        NoRoom::Ever => ProblemReply::new(
            ProblemKind::ContentTooLarge,
            format!("{no_room}; send fewer events in one body. Nothing was stored"),
        ),
    }
}

/// The format of each event, which the query parameters describe.
fn read_dialect(params: &[Param<'_>]) -> Result<Dialect, ProblemReply> {
    let (mut literal, mut type_from, mut time_from, mut id_from) = (None, None, None, None);
    for Param { name, value } in params {
        match name.as_ref() {
            "type" => {
                let event_type = EventType::parse(value).map_err(|error| invalid(format!("type: {error}")))?;
                once(&mut literal, name, Box::from(event_type.as_str()))?;
            }
            "type_from" => once(&mut type_from, name, parse_pointer(name, value)?)?,
            "time_from" => once(&mut time_from, name, parse_pointer(name, value)?)?,
            "id_from" => once(&mut id_from, name, parse_pointer(name, value)?)?,
            _ => return Err(unknown(name)),
        }
    }
    let event_type = match (literal, type_from) {
        (Some(_), Some(_)) => return Err(invalid("type_from: cannot be combined with type")),
        (Some(literal), None) => Some(TypeSource::Literal(literal)),
        (None, Some(pointer)) => Some(TypeSource::Pointer(pointer)),
        (None, None) => None,
    };
    match (event_type, time_from) {
        (Some(event_type), Some(timestamp)) => Ok(Dialect::Foreign(Mapping { event_type, timestamp, id: id_from })),
        (Some(_), None) => Err(invalid("time_from: missing; it is required with type or type_from")),
        (None, Some(_)) => Err(invalid("type_from: missing; time_from requires type_from or type")),
        (None, None) if id_from.is_some() => Err(invalid("id_from: requires time_from, and type or type_from")),
        (None, None) => Ok(Dialect::Native),
    }
}

fn parse_pointer(name: &str, value: &str) -> Result<Pointer, ProblemReply> {
    Pointer::parse(value).map_err(|error| invalid(format!("{name}: {error}: {}", Excerpt(value))))
}

/// How events are separated, which the media type says.
fn read_framing(head: &RequestHead<'_>) -> Result<Framing, ProblemReply> {
    let unsupported = |detail: String| {
        // `Accept` in a reply says what the next request may send (RFC 9110, section 12.5.1). Some clients know
        // `Accept-Post` instead.
        Err(ProblemReply::new(ProblemKind::UnsupportedMediaType, detail)
            .with_header("accept", MEDIA_TYPES)
            .with_header("accept-post", MEDIA_TYPES))
    };
    let mut fields = values(head, "content-type");
    let value = match (fields.next(), fields.next()) {
        (Some(value), None) => value,
        (None, _) => {
            let example = "content-type: application/json";
            return unsupported(format!("Content-Type is missing; send '{example}', or one of {MEDIA_TYPES}"));
        }
        (Some(_), Some(_)) => {
            return unsupported(format!("there is more than one Content-Type; send one of {MEDIA_TYPES}"));
        }
    };
    // The usual spelling, which needs no parsing.
    if value == b"application/json" {
        return Ok(Framing::Document);
    }
    let Some(media_type) = MediaType::parse(value) else {
        return unsupported(format!("Content-Type is not a media type; it must be one of {MEDIA_TYPES}"));
    };
    if media_type.charset.as_deref().is_some_and(|charset| charset != "utf-8") {
        return unsupported("the only supported charset is UTF-8".to_string());
    }
    match media_type.essence.as_str() {
        "application/json" => Ok(Framing::Document),
        "application/x-ndjson" | "application/jsonl" => Ok(Framing::Lines),
        other => unsupported(format!("Content-Type must be one of {MEDIA_TYPES}, not {}", Excerpt(other))),
    }
}
