//! The reply to `POST /events` once its batch is committed.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::acknowledgement_body::{Acknowledged, Summary};
use super::problem_reply::{ProblemReply, count_by_code};
use super::text::{Start, to_json};
use super::{Draft, Problem, ProblemKind, Reply, Route};
use crate::cause::Cause;
use crate::event::{ClientId, EventId, Uuid};
use crate::ingest::{Dialect, EventFault, FAULTS_LISTED_MAX, FaultCode, Places, too_many_types};
use crate::repository::{CommitError, Failure, Receipt, Surplus};

/// The characters to percent-encode in a path segment: all but the unreserved ones (RFC 3986, section 2.3).
const ENCODED_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the reply needs to know about a request, kept until its batch is committed.
#[derive(Debug)]
pub struct Acknowledgement {
    form: ReplyForm,
    /// The JSON pointer from an event to its type, for faults.
    type_pointer: Cow<'static, str>,
    decoded_bytes: usize,
}

/// The form of the reply.
#[derive(Debug)]
pub(super) enum ReplyForm {
    /// For a single object. `given_id` is the id that the caller chose.
    One { given_id: Option<Box<str>> },
    /// For an array, lines or records. `rejected` only with lenient handling.
    Many { places: Box<Places>, rejected: Option<Rejected> },
}

/// Faults of the events that lenient handling skipped.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) listed: Vec<EventFault>,
    /// The number of rejected events, including those with faults that are not listed.
    pub(super) count: usize,
}

impl Acknowledgement {
    pub(super) fn new(form: ReplyForm, dialect: &Dialect, decoded_bytes: usize) -> Self {
        let type_pointer = match dialect {
            Dialect::Native => Cow::Borrowed("/event_type"),
            Dialect::Foreign(_) => {
                let mut pointer = String::new();
                dialect.write_type_pointer(&mut pointer);
                Cow::Owned(pointer)
            }
        };
        Self { form, type_pointer, decoded_bytes }
    }

    /// The reply to the request, for this outcome of the commit.
    pub fn reply(self, outcome: &Result<Receipt, CommitError>) -> Draft {
        let type_pointer = self.type_pointer;
        let reply = match (outcome, self.form) {
            (Ok(Receipt { surplus: Some(surplus), .. }), ReplyForm::One { .. }) => {
                let fault = |_, code, detail| EventFault {
                    index: 0,
                    pointer: format!("#{type_pointer}"),
                    line: None,
                    code,
                    detail,
                };
                let faults = surplus_faults(surplus, fault);
                ProblemReply::from(invalid_events(faults, surplus.indexes.len())).reply(Route::Events)
            }
            (Ok(receipt), ReplyForm::One { given_id }) => one_reply(receipt, given_id.as_deref()),
            (Ok(receipt @ Receipt { surplus: Some(surplus), .. }), ReplyForm::Many { places, rejected }) => {
                let count = surplus.indexes.len();
                let faults = surplus_faults(surplus, |at, code, detail| places.fault(at, &type_pointer, code, detail));
                match rejected {
                    Some(rejected) => many_reply(Some(receipt), Some(&rejected.with(faults, count))),
                    None => ProblemReply::from(invalid_events(faults, count)).reply(Route::Events),
                }
            }
            (Ok(receipt), ReplyForm::Many { rejected, .. }) => many_reply(Some(receipt), rejected.as_ref()),
            (Err(CommitError::Full(cause)), _) => {
                let detail = format!("nothing was stored: {}", cause.public_text());
                ProblemReply::new(ProblemKind::StorageFull, detail).reply(Route::Events)
            }
            (Err(CommitError::Unavailable { cause, in_doubt }), _) => {
                not_stored(ProblemKind::StorageUnavailable, cause, *in_doubt).reply(Route::Events)
            }
            (Err(CommitError::Failed { cause, in_doubt }), _) => {
                not_stored(ProblemKind::StorageFailed, cause, *in_doubt).reply(Route::Events)
            }
        };
        Reply { decoded_bytes: self.decoded_bytes, ..reply }.into()
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

/// The listed faults of events whose types exceeded the limit of the repository. `fault` builds the fault of the event
/// at a position in the batch.
fn surplus_faults(surplus: &Surplus, fault: impl Fn(u32, FaultCode, String) -> EventFault) -> Vec<EventFault> {
    let listed = surplus.indexes.iter().take(FAULTS_LISTED_MAX);
    listed.map(|&at| fault(at, FaultCode::TooManyTypes, too_many_types(surplus.types_max))).collect()
}

/// 422: there are `count` faults in all; `listed` has the first ones.
pub(super) fn invalid_events(listed: Vec<EventFault>, count: usize) -> Problem {
    let counted = match count {
        1 => "1 fault".to_owned(),
        count if count > listed.len() => format!("{count} faults (the first {} are listed)", listed.len()),
        count => format!("{count} faults"),
    };
    // Many tools show only this text.
    let first = listed.first().map_or_else(String::new, |EventFault { pointer, line, detail, .. }| {
        let first = if count == 1 { "" } else { "the first " };
        let place = line.map_or_else(String::new, |line| format!("line {line}, "));
        format!("; {first}at {place}{}: {detail}", Start(pointer))
    });
    let detail = format!("{counted}; nothing was stored{first}");
    Problem { kind: ProblemKind::InvalidEvents, detail, errors: listed }
}

/// 503: the repository accepts no commits.
pub(super) fn storage_problem(failure: &Failure) -> ProblemReply {
    match failure {
        Failure::Unavailable(cause) => not_stored(ProblemKind::StorageUnavailable, cause, false),
        Failure::Failed(cause) => not_stored(ProblemKind::StorageFailed, cause, false),
    }
}

/// 503: the commit failed. `in_doubt`: the events may have been stored nevertheless.
fn not_stored(kind: ProblemKind, cause: &Cause, in_doubt: bool) -> ProblemReply {
    let outcome = if in_doubt { "whether the events were stored is unknown" } else { "nothing was stored" };
    ProblemReply::new(kind, format!("{outcome}: {}", cause.public_text()))
}

/// 201 for a single event.
fn one_reply(receipt: &Receipt, given_id: Option<&str>) -> Reply {
    let given = given_id.map(|id| EventId::Given(ClientId::from_validated(id)));
    let generated = receipt.generated_id.map(EventId::Generated);
    let (id, seq, duplicate) = match (receipt.duplicates.first(), given, generated) {
        (Some(duplicate), Some(id), _) => (id, duplicate.seq, true),
        (None, Some(id), _) | (None, None, Some(id)) => (id, receipt.first_seq, false),
        // The repository broke its contract: it stored an event without a caller's id, but returned no generated id.
        (_, None, _) => {
            let detail = "the event was stored, but its id is unknown";
            return ProblemReply::new(ProblemKind::Internal, detail).reply(Route::Events);
        }
    };
    let acknowledged =
        Acknowledged { id, seq, duplicate, durable: receipt.durable, expired: NonZeroU32::new(receipt.expired) };
    let mut body = Vec::with_capacity(Acknowledged::BYTES_USUAL);
    acknowledged.write_json(&mut body);
    body.push(b'\n');
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
pub(super) fn many_reply(receipt: Option<&Receipt>, rejected: Option<&Rejected>) -> Reply {
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
