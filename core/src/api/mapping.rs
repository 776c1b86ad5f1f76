//! The query parameters of `POST /events`: where records have the fields of an event.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::params::{invalid, once, unknown};
use super::problem_reply::ProblemReply;
use super::redaction::KEY_PARAMETER;
use super::target::Param;
use super::text::Excerpt;
use crate::event::EventType;
use crate::ingest::{Dialect, Mapping, Pointer, TimeSource, TypeSource};

/// The parameters, for the error about an unknown one. Names of members are common mistakes.
const PARAMETERS: &str = "type or type_from (the event_type), time_from or time (the timestamp), id_from, \
    payload_from, records_from";

/// Most pointers of one repeatable parameter. Each takes time for each record: as much as reading it again, if all lead
/// into the same large member.
const POINTERS_MAX: usize = 8;

/// The format of each event, and the pointer to the array of events in each JSON text of the body.
pub(super) fn read(params: &[Param<'_>]) -> Result<(Dialect, Option<Pointer>), ProblemReply> {
    let (mut literal, mut type_from, mut now, mut payload, mut records) = (None, None, None, None, None);
    let (mut time_from, mut id_from) = (Vec::new(), Vec::new());
    for Param { name, value } in params {
        match name.as_ref() {
            "type" => {
                let event_type = EventType::parse(value).map_err(|error| invalid(format!("type: {error}")))?;
                once(&mut literal, name, Box::from(event_type.as_str()))?;
            }
            "type_from" => once(&mut type_from, name, parse_field_pointer(name, value)?)?,
            "time" if value == "now" => once(&mut now, name, ())?,
            "time" => return Err(invalid(format!("time: the only value is now, not {}", Excerpt(value)))),
            "time_from" => add(&mut time_from, name, parse_field_pointer(name, value)?)?,
            "id_from" => add(&mut id_from, name, parse_field_pointer(name, value)?)?,
            "payload_from" => once(&mut payload, name, parse_pointer(name, value)?)?,
            "records_from" => once(&mut records, name, parse_pointer(name, value)?)?,
            // The gate has read it. A server without keys ignores it, so that a client need not know.
            KEY_PARAMETER => {}
            _ => return Err(unknown(name, PARAMETERS)),
        }
    }
    let event_type = match (literal, type_from) {
        (Some(_), Some(_)) => return Err(invalid("type_from: cannot be combined with type")),
        (Some(literal), None) => Some(TypeSource::Literal(literal)),
        (None, Some(pointer)) => Some(TypeSource::Pointer(pointer)),
        (None, None) => None,
    };
    let timestamp = TimeSource { from: time_from.into(), or_arrival: now.is_some() };
    let has_time = timestamp.or_arrival || !timestamp.from.is_empty();
    let dialect = match (event_type, has_time) {
        (Some(event_type), true) => Dialect::Foreign(Mapping { event_type, timestamp, id: id_from.into(), payload }),
        (Some(_), false) => {
            return Err(invalid("time_from: missing; type and type_from require time_from or time=now"));
        }
        (None, true) => return Err(invalid("type_from: missing; time_from and time require type_from or type")),
        (None, false) => {
            for (name, is_given) in [("id_from", !id_from.is_empty()), ("payload_from", payload.is_some())] {
                if is_given {
                    return Err(invalid(format!("{name}: requires type_from or type, and time_from or time=now")));
                }
            }
            Dialect::Native
        }
    };
    Ok((dialect, records))
}

fn parse_pointer(name: &str, value: &str) -> Result<Pointer, ProblemReply> {
    Pointer::parse(value).map_err(|error| invalid(format!("{name}: {error}: {}", Excerpt(value))))
}

/// Parses a pointer to a type, a time or an id. An empty one is usually a variable that is not set.
fn parse_field_pointer(name: &str, value: &str) -> Result<Pointer, ProblemReply> {
    if value.is_empty() {
        let detail = "empty, so it is the whole record, which is no type, time or id; name a member, as in /id";
        return Err(invalid(format!("{name}: {detail}")));
    }
    parse_pointer(name, value)
}

fn add(pointers: &mut Vec<Pointer>, name: &str, pointer: Pointer) -> Result<(), ProblemReply> {
    if pointers.len() >= POINTERS_MAX {
        return Err(invalid(format!("{name}: given more than {POINTERS_MAX} times")));
    }
    pointers.push(pointer);
    Ok(())
}
