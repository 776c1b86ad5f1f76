//! `POST /events`: from the head through the body to the batch.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};

use super::acknowledgement::{Acknowledgement, Rejected, ReplyForm, invalid_events, many_reply};
use super::content::{ACCEPTED, Coding, DecodeError};
use super::fields::{MediaType, preference, values};
use super::format::Format;
use super::guard::CheckedHead;
use super::problem_reply::ProblemReply;
use super::text::Excerpt;
use super::{Cors, Draft, Limits, Problem, ProblemKind, Reply, RequestHead, Route, charset, mapping};
use crate::auth::Access;
use crate::batch::Batch;
use crate::event::Timestamp;
use crate::ingest::{self, EventFault, FaultCode, Framing, Handling, IngestError, Line, ParseOptions, Parsed};
use crate::json::Scanner;
use crate::room::{NoRoom, Room};

/// The type of a text that `navigator.sendBeacon` sends.
const BEACON_TYPE: &str = "text/plain";

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
    Reply(Draft),
    /// Commit the batch, then call [`Acknowledgement::reply`].
    Commit(Batch, Acknowledgement),
}

impl Submission {
    /// Reads the head: first the query parameters, then the fields about the body.
    pub(super) fn read(
        limits: &Limits,
        cors: &Cors,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        access: &Access,
    ) -> Result<Self, ProblemReply> {
        let (dialect, records) = mapping::read(&checked.target.params)?;
        let framing = read_framing(head, cors)?;
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
        let Limits { payload_bytes_max, depth_max, types_max, .. } = *limits;
        let permitted = access.types().cloned();
        Ok(Self {
            options: ParseOptions {
                framing,
                records,
                dialect,
                handling,
                payload_bytes_max,
                depth_max,
                types_max,
                permitted,
            },
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

    /// Decompresses and parses the body, which arrived at the time `arrival`. The time that this takes grows with the
    /// length of the body after decompression, so large bodies do not belong on an executor's worker thread.
    #[must_use]
    pub fn handle_body(self, body: &[u8], arrival: Timestamp) -> Submitted {
        self.handle_body_within(body, arrival, Room::unlimited())
    }

    /// Like [`handle_body`](Self::handle_body), but with a limit on memory: for the decompressed body and the batch,
    /// not for `body` itself. The reply is 503 if there is not enough memory, or 413 if the body can never fit.
    #[must_use]
    pub fn handle_body_within(self, body: &[u8], arrival: Timestamp, mut room: Room<'_>) -> Submitted {
        let mut decoded_bytes = 0;
        let parsed = match self.coding.decode(body, self.body_bytes_max, &mut room) {
            Ok(decoded) => {
                decoded_bytes = decoded.len();
                match decoded {
                    Cow::Borrowed(plain) => self.parse(plain, "", arrival, room),
                    Cow::Owned(decoded) => self.parse(&decoded, " of the decompressed body", arrival, room),
                }
            }
            Err(error @ DecodeError::Malformed { .. }) => {
                Err(Problem::new(ProblemKind::BadRequest, error.to_string()).into())
            }
            Err(DecodeError::TooLarge) => Err(too_large(self.body_bytes_max)),
            Err(DecodeError::NoRoom(no_room)) => Err(out_of_memory(no_room)),
        };
        match parsed {
            Err(problem) => Submitted::Reply(Reply { decoded_bytes, ..problem.reply(Route::Events) }.into()),
            Ok(Parsed::One(batch)) => {
                let given_id = batch.first_id().map(|id| Box::from(id.as_str()));
                let form = ReplyForm::One { given_id };
                Submitted::Commit(batch, Acknowledgement::new(form, &self.options.dialect, decoded_bytes))
            }
            Ok(Parsed::Many { batch, places, rejected: listed, rejected_count: count }) => {
                let rejected = match self.options.handling {
                    Handling::Strict => None,
                    Handling::Lenient => Some(Rejected { listed, count }),
                };
                if batch.is_empty() {
                    Submitted::Reply(Reply { decoded_bytes, ..many_reply(None, rejected.as_ref()) }.into())
                } else {
                    let form = ReplyForm::Many { places: Box::new(places), rejected };
                    Submitted::Commit(batch, Acknowledgement::new(form, &self.options.dialect, decoded_bytes))
                }
            }
        }
    }

    /// `of_what` completes "at byte N" in error texts: it says which bytes the offset counts.
    fn parse(&self, decoded: &[u8], of_what: &str, arrival: Timestamp, room: Room<'_>) -> Result<Parsed, ProblemReply> {
        // No JSON begins like this. With lenient handling, its lines would be skipped one by one.
        if self.coding == Coding::Identity
            && let Some(coding) = Coding::detect(decoded)
        {
            return Err(not_json(format!("the body is {coding}: send content-encoding: {coding}"), None));
        }
        ingest::parse_within(decoded, &self.options, arrival, room).map_err(|error| match error {
            IngestError::Syntax { reason, offset, line } => {
                let line_number = line.map_or_else(String::new, |Line { number, .. }| format!(", line {number}"));
                let mut detail = format!("{reason} at byte {offset}{line_number}{of_what}");
                detail.push_str(match (self.options.framing, line) {
                    (Framing::Document, _) if is_next_object(decoded, offset) => {
                        "; several JSON texts: send each on a line of its own, as content-type application/x-ndjson"
                    }
                    (Framing::Lines, Some(Line { index: 0, .. })) if is_document(decoded) => {
                        "; one JSON text on several lines: send it as content-type application/json"
                    }
                    (Framing::Lines, _) if is_line_end(decoded, offset) => "; each line is a whole JSON text",
                    (Framing::Document | Framing::Lines, _) => "",
                });
                not_json(detail, line)
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

/// 400: the body is not JSON.
fn not_json(detail: String, line: Option<Line>) -> ProblemReply {
    let fault = EventFault {
        index: line.map_or(0, |line| line.index),
        pointer: line.map_or_else(|| "#".to_owned(), |line| format!("#/{}", line.index)),
        line: line.map(|line| line.number),
        code: FaultCode::InvalidJson,
        detail: detail.clone(),
    };
    Problem { kind: ProblemKind::InvalidJson, detail, errors: [fault].into() }.into()
}

/// Whether an object begins at this offset, after a whole JSON text.
fn is_next_object(body: &[u8], offset: usize) -> bool {
    body.split_at_checked(offset).is_some_and(|(before, after)| after.starts_with(b"{") && is_document(before))
}

/// Whether a line ends at this offset.
fn is_line_end(body: &[u8], offset: usize) -> bool {
    body.get(offset).is_none_or(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Whether the body is one JSON text. If one of its lines is none, it has several lines.
fn is_document(body: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(body) else { return false };
    let mut scanner = Scanner::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    scanner.value().is_ok() && scanner.end().is_ok()
}

/// How events are separated, which the media type says.
fn read_framing(head: &RequestHead<'_>, cors: &Cors) -> Result<Framing, ProblemReply> {
    let unsupported = |detail: String| {
        // `Accept` in a reply says what the next request may send (RFC 9110, section 12.5.1). Some clients know
        // `Accept-Post` instead.
        Err(ProblemReply::new(ProblemKind::UnsupportedMediaType, detail)
            .with_header("accept", Format::media_types())
            .with_header("accept-post", Format::media_types()))
    };
    let mut fields = values(head, "content-type");
    let value = match (fields.next(), fields.next()) {
        (Some(value), None) => value,
        (None, _) => {
            let example = "'content-type: application/json'";
            let types = Format::media_types();
            return unsupported(format!("Content-Type is missing; send one of {types}, as in {example}"));
        }
        (Some(_), Some(_)) => {
            return unsupported(format!("there is more than one Content-Type; send one of {}", Format::media_types()));
        }
    };
    // The usual spelling, which needs no parsing.
    if value == b"application/json" {
        return Ok(Framing::Document);
    }
    let Some(media_type) = MediaType::parse(value) else {
        let detail = format!("Content-Type is not a media type; it must be one of {}", Format::media_types());
        return unsupported(detail);
    };
    if let Some(charset) = media_type.charset.as_deref().filter(|charset| !charset::is_utf8(charset)) {
        return unsupported(format!("the charset in Content-Type must be UTF-8 or ASCII, not {}", Excerpt(charset)));
    }
    match Format::of(&media_type.essence) {
        Some(Format::Json) => Ok(Framing::Document),
        Some(Format::Lines(_)) => Ok(Framing::Lines),
        // `navigator.sendBeacon` labels a text like this. A browser sends such a body for any page, without asking
        // first.
        None if media_type.essence == BEACON_TYPE && cors.is_on() => {
            cors.check_sender(head)?;
            Ok(Framing::Document)
        }
        None if media_type.essence == BEACON_TYPE => unsupported(format!(
            "Content-Type must be one of {}; {BEACON_TYPE}, which navigator.sendBeacon sends, is read as JSON only \
             with the setting --cors-origin",
            Format::media_types()
        )),
        None => unsupported(format!(
            "Content-Type must be one of {}, not {}",
            Format::media_types(),
            Excerpt(&media_type.essence)
        )),
    }
}
