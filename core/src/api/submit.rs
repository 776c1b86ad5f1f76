//! `POST /events`: from the head through the body to the reply.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::acknowledged::{Acknowledged, Summary};
use super::content::{ACCEPTED, Coding, DecodeError};
use super::criteria::{once, refused, unknown};
use super::fields::{MediaType, preference, values};
use super::guard::CheckedHead;
use super::refused::{Refused, count_by_code};
use super::target::Param;
use super::text::{Excerpt, to_json};
use super::{Limits, Problem, ProblemKind, Reply, RequestHead, Route};
use crate::batch::Batch;
use crate::cause::Cause;
use crate::event::{ClientId, EventId, EventType, Uuid};
use crate::ingest::{
    self, Dialect, EventFault, FAULTS_LISTED_MAX, FaultCode, Framing, Handling, Indexes, IngestError, Mapping,
    ParseOptions, Parsed, Pointer, TypeSource, too_many_types,
};
use crate::repository::{CommitError, Failure, Receipt, Surplus};
use crate::room::{NoRoom, Room};

/// The supported media types.
const MEDIA_TYPES: &str = "application/json, application/x-ndjson, application/jsonl";

/// What is percent-encoded in a path segment: all but the unreserved characters (RFC 3986, section 2.3).
const ENCODED_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A `POST /events` whose head was accepted.
#[derive(Debug)]
pub struct Submission {
    options: ParseOptions,
    coding: Coding,
    declared_bytes: Option<u64>,
    body_bytes_max: usize,
}

/// What to do with a parsed body.
#[derive(Debug)]
pub enum Submitted {
    /// Send this reply. There is nothing to commit.
    Reply(Reply),
    /// Commit the batch, then call [`Acknowledgement::reply`].
    Commit(Batch, Acknowledgement),
}

/// What is needed to reply once a batch is committed.
#[derive(Debug)]
pub struct Acknowledgement {
    form: ReplyForm,
    /// Points from an event to its type, for error pointers.
    type_pointer: Cow<'static, str>,
    decoded_bytes: usize,
}

/// The form of the reply.
#[derive(Debug)]
enum ReplyForm {
    /// For a single object, and the id that the caller gave it.
    One { given_id: Option<Box<str>> },
    /// For an array or lines.
    Many { indexes: Indexes, rejected: Option<Rejected> },
}

/// Faults of the events that lenient handling skipped.
#[derive(Debug)]
struct Rejected {
    listed: Vec<EventFault>,
    count: usize,
}

impl Submission {
    /// Reads the head: first the query parameters, then the fields about the body.
    pub(super) fn read(limits: &Limits, head: &RequestHead<'_>, checked: &CheckedHead<'_>) -> Result<Self, Refused> {
        let dialect = read_dialect(&checked.target.params)?;
        let framing = read_framing(head)?;
        let Some(coding) = Coding::of(head) else {
            let detail = "the supported content codings are gzip and zstd, one at a time";
            return Err(
                Refused::new(ProblemKind::UnsupportedMediaType, detail).with_header("accept-encoding", ACCEPTED)
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

    /// Whether the body is compressed, so that it may become many times as long.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        match self.coding {
            Coding::Identity => false,
            Coding::Gzip | Coding::Zstd => true,
        }
    }

    /// Decompresses and parses the body. Takes time in proportion to the length of the body after decompression, so do
    /// not call it for large bodies on an executor's worker thread.
    #[must_use]
    pub fn handle_body(self, body: &[u8]) -> Submitted {
        self.handle_body_within(body, Room::unlimited())
    }

    /// Like [`handle_body`](Self::handle_body), but with a limit on memory: for the decompressed body and the batch,
    /// not for `body` itself. If there is not enough, the reply is 503, or 413 if there never will be.
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
            Err(DecodeError::NoRoom(no_room)) => Err(without_room(no_room)),
        };
        match parsed {
            Err(refused) => Submitted::Reply(Reply { decoded_bytes, ..refused.reply(Route::Events) }),
            Ok(Parsed::One(batch)) => {
                let given_id = batch.first_id().map(|id| Box::from(id.as_str()));
                Submitted::Commit(batch, self.acknowledgement(ReplyForm::One { given_id }, decoded_bytes))
            }
            Ok(Parsed::Many { batch, indexes, rejected: listed, rejected_count: count }) => {
                let rejected = match self.options.handling {
                    Handling::Strict => None,
                    Handling::Lenient => Some(Rejected { listed, count }),
                };
                if batch.is_empty() {
                    Submitted::Reply(Reply { decoded_bytes, ..many_reply(None, rejected.as_ref()) })
                } else {
                    Submitted::Commit(batch, self.acknowledgement(ReplyForm::Many { indexes, rejected }, decoded_bytes))
                }
            }
        }
    }

    fn acknowledgement(&self, form: ReplyForm, decoded_bytes: usize) -> Acknowledgement {
        let type_pointer = match &self.options.dialect {
            Dialect::Native => Cow::Borrowed("/event_type"),
            foreign @ Dialect::Foreign(_) => {
                let mut pointer = String::new();
                foreign.write_type_pointer(&mut pointer);
                Cow::Owned(pointer)
            }
        };
        Acknowledgement { form, type_pointer, decoded_bytes }
    }

    /// `of_what` completes "at byte N" in error texts: it says which bytes the offset counts.
    fn parse(&self, decoded: &[u8], of_what: &str, room: Room<'_>) -> Result<Parsed, Refused> {
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
            IngestError::NoRoom(no_room) => without_room(no_room),
            IngestError::Faults { listed, count } => invalid_events(listed, count).into(),
        })
    }
}

impl Acknowledgement {
    /// The reply to the request, for this outcome of the commit.
    #[must_use]
    pub fn reply(self, outcome: &Result<Receipt, CommitError>) -> Reply {
        let type_pointer = self.type_pointer;
        let reply = match (outcome, self.form) {
            (Ok(Receipt { surplus: Some(surplus), .. }), ReplyForm::One { .. }) => {
                let faults = surplus_faults(surplus, |_| (0, format!("#{type_pointer}")));
                Refused::from(invalid_events(faults, surplus.indexes.len())).reply(Route::Events)
            }
            (Ok(receipt), ReplyForm::One { given_id }) => one_reply(receipt, given_id.as_deref()),
            (Ok(receipt @ Receipt { surplus: Some(surplus), .. }), ReplyForm::Many { indexes, rejected }) => {
                let count = surplus.indexes.len();
                let faults =
                    surplus_faults(surplus, |at| (indexes.of(at), format!("#/{}{type_pointer}", indexes.of(at))));
                match rejected {
                    Some(rejected) => many_reply(Some(receipt), Some(&rejected.with(faults, count))),
                    None => Refused::from(invalid_events(faults, count)).reply(Route::Events),
                }
            }
            (Ok(receipt), ReplyForm::Many { rejected, .. }) => many_reply(Some(receipt), rejected.as_ref()),
            (Err(CommitError::Full(cause)), _) => {
                let detail = format!("nothing was stored: {}", cause.public_text());
                Refused::new(ProblemKind::StorageFull, detail).reply(Route::Events)
            }
            (Err(CommitError::Unavailable { cause, in_doubt }), _) => {
                not_stored(ProblemKind::StorageUnavailable, cause, *in_doubt).reply(Route::Events)
            }
            (Err(CommitError::Failed { cause, in_doubt }), _) => {
                not_stored(ProblemKind::StorageFailed, cause, *in_doubt).reply(Route::Events)
            }
        };
        Reply { decoded_bytes: self.decoded_bytes, ..reply }
    }
}

impl Rejected {
    /// Adds events that the repository rejected.
    fn with(mut self, faults: Vec<EventFault>, count: usize) -> Self {
        self.listed.extend(faults);
        self.listed.sort_by_key(|fault| fault.index);
        self.listed.truncate(FAULTS_LISTED_MAX);
        self.count += count;
        self
    }
}

/// The listed faults of events whose types exceeded the limit of the repository. `locate` maps a position in the batch
/// to the index of the event in the body and a pointer to its type.
fn surplus_faults(surplus: &Surplus, locate: impl Fn(u32) -> (usize, String)) -> Vec<EventFault> {
    let listed = surplus.indexes.iter().take(FAULTS_LISTED_MAX);
    let fault = |&at: &u32| {
        let (index, pointer) = locate(at);
        EventFault { index, pointer, code: FaultCode::TooManyTypes, detail: too_many_types(surplus.types_max) }
    };
    listed.map(fault).collect()
}

/// 422: there are `count` faults, of which these are listed.
fn invalid_events(listed: Vec<EventFault>, count: usize) -> Problem {
    let detail = if count > listed.len() {
        format!("{count} faults, of which {} are listed; nothing was stored", listed.len())
    } else {
        format!("{count} {}; nothing was stored", if count == 1 { "fault" } else { "faults" })
    };
    Problem { kind: ProblemKind::InvalidEvents, detail, errors: listed }
}

/// 503: the repository accepts no commits.
pub(super) fn storage_problem(failure: &Failure) -> Refused {
    match failure {
        Failure::Unavailable(cause) => not_stored(ProblemKind::StorageUnavailable, cause, false),
        Failure::Failed(cause) => not_stored(ProblemKind::StorageFailed, cause, false),
    }
}

/// 503: the commit failed. `in_doubt` if the events may be stored nevertheless.
fn not_stored(kind: ProblemKind, cause: &Cause, in_doubt: bool) -> Refused {
    let outcome = if in_doubt { "whether the events were stored is unknown" } else { "nothing was stored" };
    Refused::new(kind, format!("{outcome}: {}", cause.public_text()))
}

/// 413. The connection closes, since the rest of the body is not read.
pub(super) fn too_large(bytes_max: usize) -> Refused {
    Refused::new(ProblemKind::ContentTooLarge, format!("the body has more than {bytes_max} bytes after decompression"))
        .closing()
}

/// 503, or 413 if trying again is of no use.
fn without_room(no_room: NoRoom) -> Refused {
    match no_room {
        NoRoom::Now => Refused::new(ProblemKind::Overloaded, format!("{no_room}; nothing was stored")),
        NoRoom::Ever => Refused::new(
            ProblemKind::ContentTooLarge,
            format!("{no_room}; send fewer events in one body. Nothing was stored"),
        ),
    }
}

/// Reads from the query parameters what the records look like.
fn read_dialect(params: &[Param<'_>]) -> Result<Dialect, Refused> {
    let (mut literal, mut type_from, mut time_from, mut id_from) = (None, None, None, None);
    for Param { name, value } in params {
        match name.as_ref() {
            "type" => {
                let event_type = EventType::parse(value).map_err(|error| refused(format!("type: {error}")))?;
                once(&mut literal, name, Box::from(event_type.as_str()))?;
            }
            "type_from" => once(&mut type_from, name, parse_pointer(name, value)?)?,
            "time_from" => once(&mut time_from, name, parse_pointer(name, value)?)?,
            "id_from" => once(&mut id_from, name, parse_pointer(name, value)?)?,
            _ => return Err(unknown(name)),
        }
    }
    let event_type = match (literal, type_from) {
        (Some(_), Some(_)) => return Err(refused("type_from: cannot be combined with type")),
        (Some(literal), None) => Some(TypeSource::Literal(literal)),
        (None, Some(pointer)) => Some(TypeSource::Pointer(pointer)),
        (None, None) => None,
    };
    match (event_type, time_from) {
        (Some(event_type), Some(timestamp)) => Ok(Dialect::Foreign(Mapping { event_type, timestamp, id: id_from })),
        (Some(_), None) => Err(refused("time_from: missing; it is required with type or type_from")),
        (None, Some(_)) => Err(refused("type_from: missing; time_from requires type_from or type")),
        (None, None) if id_from.is_some() => Err(refused("id_from: requires time_from, and type or type_from")),
        (None, None) => Ok(Dialect::Native),
    }
}

fn parse_pointer(name: &str, value: &str) -> Result<Pointer, Refused> {
    Pointer::parse(value).map_err(|error| refused(format!("{name}: {error}: {}", Excerpt(value))))
}

/// Reads from the media type how events are separated.
fn read_framing(head: &RequestHead<'_>) -> Result<Framing, Refused> {
    let unsupported = |detail: String| {
        // `Accept` in a reply says what the next request may send (RFC 9110, section 12.5.1). Some clients know
        // `Accept-Post` instead.
        Err(Refused::new(ProblemKind::UnsupportedMediaType, detail)
            .with_header("accept", MEDIA_TYPES)
            .with_header("accept-post", MEDIA_TYPES))
    };
    let mut fields = values(head, "content-type");
    let (Some(value), None) = (fields.next(), fields.next()) else {
        return unsupported(format!("there must be one Content-Type, with one of {MEDIA_TYPES}"));
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

/// 201 for a single event.
fn one_reply(receipt: &Receipt, given_id: Option<&str>) -> Reply {
    let given = given_id.map(|id| EventId::Given(ClientId::from_validated(id)));
    let generated = receipt.generated_id.map(EventId::Generated);
    let (id, seq, duplicate) = match (receipt.duplicates.first(), given, generated) {
        (Some(duplicate), Some(id), _) => (id, duplicate.seq, true),
        (None, Some(id), _) | (None, None, Some(id)) => (id, receipt.first_seq, false),
        // A repository gave no id, which breaks its contract: the event is stored, but the reply cannot name it.
        (_, None, _) => {
            let detail = "the event was stored, but its id is unknown";
            return Refused::new(ProblemKind::Internal, detail).reply(Route::Events);
        }
    };
    let acknowledged =
        Acknowledged { id, seq, duplicate, durable: receipt.durable, expired: NonZeroU32::new(receipt.expired) };
    let mut body = Vec::with_capacity(Acknowledged::BYTES_USUAL);
    acknowledged.write_json(&mut body);
    Reply::new(Route::Events, 201, "application/json", body).with_header("location", location(id))
}

/// The path of the event.
fn location(id: EventId<'_>) -> String {
    const PATH: &str = "/events/";
    // The exact length for a generated id, so that it becomes a header field without a copy.
    let mut location = String::with_capacity(PATH.len() + Uuid::TEXT_BYTES);
    location.push_str(PATH);
    match id {
        EventId::Given(id) => location.extend(utf8_percent_encode(id.as_str(), ENCODED_IN_SEGMENT)),
        EventId::Generated(id) => {
            location.push_str(core::str::from_utf8(&id.to_text()).expect("digits and hyphens are ASCII"));
        }
    }
    location
}

/// 201 for many events, or 200 with lenient handling, which may have skipped some.
fn many_reply(receipt: Option<&Receipt>, rejected: Option<&Rejected>) -> Reply {
    let stored = receipt.map_or(0, |receipt| u64::from(receipt.stored));
    let first_seq = receipt.filter(|_| stored > 0).map(|receipt| receipt.first_seq);
    let summary = Summary {
        accepted: stored,
        duplicates: receipt.map_or(0, |receipt| receipt.duplicates.len()),
        first_seq,
        last_seq: first_seq.map(|first_seq| first_seq.saturating_add(stored - 1)),
        durable: receipt.map(|receipt| receipt.durable),
        expired: receipt.and_then(|receipt| NonZeroU32::new(receipt.expired)),
        rejected: rejected.map(|rejected| rejected.listed.as_slice()),
        rejected_count: rejected.and_then(|Rejected { listed, count }| (*count > listed.len()).then_some(*count)),
    };
    let body = to_json(&summary);
    let Some(Rejected { listed, .. }) = rejected else {
        return Reply::new(Route::Events, 201, "application/json", body);
    };
    let mut reply =
        Reply::new(Route::Events, 200, "application/json", body).with_header("preference-applied", "handling=lenient");
    reply.rejected = count_by_code(listed);
    reply
}
