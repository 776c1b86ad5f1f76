//! Parses query parameters into a [`Scan`]. All read routes share the parameters of its [`Filter`].

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::ProblemKind;
use super::problem_reply::ProblemReply;
use super::redaction::KEY_PARAMETER;
use super::target::Param;
use super::text::Excerpt;
use crate::auth::Access;
use crate::event::Timestamp;
use crate::query::{
    Filter, IDS_MAX, LIMIT_MAX, OPERAND_BYTES_MAX, Operand, Order, PAYLOAD_FILTERS_MAX, PAYLOAD_PATH_BYTES_MAX,
    PayloadFilter, PayloadPath, Scan, TYPES_MAX, Test, TypeTest, decode_cursor,
};

/// The parameters of a filter, for the error about an unknown one. Names of members are common mistakes.
const FILTER_PARAMETERS: &str =
    "type and type[prefix] (the event_type), start and end (the timestamp), id, payload.<path>, after_seq";

/// The further parameters of `GET /events`, after those of a filter.
const PARAMETERS: &str = ", limit, order, cursor, fields";

/// The same for `DELETE /events`.
const ERASURE_PARAMETERS: &str = ", all";

/// Parses the parameters of `GET /events`. An unknown or invalid one is an error, never ignored.
/// The filter matches only what the caller may see. So a cursor belongs to a caller with the same access.
///
/// Returns the parameter `fields` as well.
pub(super) fn read_scan<'p>(params: &'p [Param<'_>], access: &Access) -> Result<(Scan, Option<&'p str>), ProblemReply> {
    let mut scan = Scan::default();
    let (mut order, mut cursor, mut fields) = (None, None, None);
    for Param { name, value } in params {
        match name.as_ref() {
            "limit" => once(&mut scan.limit, name, parse_limit(name, value)?)?,
            "order" => once(&mut order, name, parse_order(name, value)?)?,
            "cursor" => once(&mut cursor, name, value.as_ref())?,
            "fields" => once(&mut fields, name, value.as_ref())?,
            _ => read_filter_param(&mut scan.filter, name, value, PARAMETERS)?,
        }
    }
    check_filter(&scan.filter)?;
    access.restrict(&mut scan.filter);
    scan.order = order.unwrap_or_default();
    if let Some(cursor) = cursor {
        let position = decode_cursor(cursor, &scan).map_err(|error| invalid(format!("cursor: {error}")))?;
        scan.from = Some(position);
    }
    Ok((scan, fields))
}

/// Parses the parameters of `GET /events/stream`: the filter, and nothing else.
pub(super) fn read_stream_filter(params: &[Param<'_>]) -> Result<Filter, ProblemReply> {
    let mut filter = Filter::default();
    for Param { name, value } in params {
        // The key was checked before.
        if name != KEY_PARAMETER {
            read_filter_param(&mut filter, name, value, "")?;
        }
    }
    check_filter(&filter)?;
    Ok(filter)
}

/// Parses the parameters of `DELETE /events`: a filter, or `all=true`. The filter matches only what the caller may see.
pub(super) fn read_erasure_filter(params: &[Param<'_>], access: &Access) -> Result<Filter, ProblemReply> {
    let (mut filter, mut all) = (Filter::default(), None);
    for Param { name, value } in params {
        match name.as_ref() {
            "all" if value == "true" => once(&mut all, name, ())?,
            "all" => return Err(invalid(format!("all: must be true, not {}", Excerpt(value)))),
            _ => read_filter_param(&mut filter, name, value, ERASURE_PARAMETERS)?,
        }
    }
    check_filter(&filter)?;
    match (all, filter == Filter::default()) {
        (None, true) => {
            return Err(invalid("a filter is missing: say which events to erase, or erase every event with all=true"));
        }
        (Some(()), false) => return Err(invalid("all: erases every event; leave out all=true or the filters")),
        (None, false) | (Some(()), true) => {}
    }
    access.restrict(&mut filter);
    Ok(filter)
}

/// Reads a filter from the names and the values of its parameters, as `GET /events` takes them, for programs that find
/// events without HTTP. They are texts without the escapes of a query string.
///
/// ```
/// use argus_core::api::read_filter;
///
/// let filter = read_filter([("type", "order"), ("payload.amount[gte]", "100")])?;
/// assert_eq!(filter.payload.len(), 1);
/// assert!(read_filter([("typ", "order")]).is_err_and(|reason| reason.contains("unknown parameter")));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
///
/// The name of the parameter and the reason.
pub fn read_filter<'p>(params: impl IntoIterator<Item = (&'p str, &'p str)>) -> Result<Filter, String> {
    let mut filter = Filter::default();
    let read = params.into_iter().try_for_each(|(name, value)| read_filter_param(&mut filter, name, value, ""));
    match read.and_then(|()| check_filter(&filter)) {
        Ok(()) => Ok(filter),
        Err(reply) => Err(reply.problem.detail),
    }
}

/// Parses one parameter of the filter. `further` lists the further parameters of the route, each after a comma.
pub(super) fn read_filter_param(
    filter: &mut Filter,
    name: &str,
    value: &str,
    further: &str,
) -> Result<(), ProblemReply> {
    match name {
        "type" => filter.types.get_or_insert_with(Vec::new).push(TypeTest::Eq(value.into())),
        "type[prefix]" => filter.types.get_or_insert_with(Vec::new).push(TypeTest::Prefix(value.into())),
        "id" => filter.ids.get_or_insert_with(Vec::new).push(value.into()),
        "start" => once(&mut filter.start, name, parse_time(name, value)?)?,
        "end" => once(&mut filter.end, name, parse_time(name, value)?)?,
        "after_seq" => once(&mut filter.after_seq, name, parse_seq(name, value)?)?,
        other => match other.strip_prefix("payload.") {
            Some(_) if filter.payload.len() == PAYLOAD_FILTERS_MAX => {
                let detail = format!("more than {PAYLOAD_FILTERS_MAX} conditions on the payload");
                return Err(invalid(format!("{}: {detail}", Excerpt(name))));
            }
            Some(rest) => filter.payload.push(parse_payload_filter(name, rest, value)?),
            None => return Err(unknown(name, &format!("{FILTER_PARAMETERS}{further}"))),
        },
    }
    Ok(())
}

/// Checks rules that concern the filter as a whole.
pub(super) fn check_filter(filter: &Filter) -> Result<(), ProblemReply> {
    if let (Some(start), Some(end)) = (filter.start, filter.end)
        && start > end
    {
        return Err(invalid("start: later than end"));
    }
    if filter.ids.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
        return Err(invalid(format!("id: given more than {IDS_MAX} times")));
    }
    if filter.types.as_ref().is_some_and(|types| types.len() > TYPES_MAX) {
        return Err(invalid(format!("type: given more than {TYPES_MAX} times, with type[prefix]")));
    }
    Ok(())
}

/// Sets a parameter that may be given only once.
pub(super) fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ProblemReply> {
    match slot.replace(value) {
        Some(_) => Err(invalid(format!("{name}: given more than once"))),
        None => Ok(()),
    }
}

/// The error for a parameter that the route does not have. `known` lists those that it has.
pub(super) fn unknown(name: &str, known: &str) -> ProblemReply {
    invalid(format!("{}: unknown parameter; the parameters are {known}", Excerpt(without_value(name))))
}

/// The name of an unknown parameter, for errors. What follows a `=` that is encoded was meant as a value, and may be a
/// key.
pub(super) fn without_value(name: &str) -> &str {
    name.split_once('=').map_or(name, |(name, _)| name)
}

/// The error for an invalid parameter. `detail` begins with its name.
pub(super) fn invalid(detail: impl Into<String>) -> ProblemReply {
    ProblemReply::new(ProblemKind::InvalidParameter, detail)
}

fn parse_time(name: &str, value: &str) -> Result<Timestamp, ProblemReply> {
    Timestamp::parse(value).map_err(|error| {
        let hint = if has_lost_plus(value) { " (in a query string, '+' is written '%2B')" } else { "" };
        invalid(format!("{name}: {error}: {}{hint}", Excerpt(value)))
    })
}

/// Whether the text would be a date and a time with a plus for its last space. In a query string, a plus that is not
/// encoded is a space: a common mistake in the offset of a time.
fn has_lost_plus(value: &str) -> bool {
    value
        .rsplit_once(' ')
        .is_some_and(|(before, after)| before.contains(':') && Timestamp::parse(&format!("{before}+{after}")).is_ok())
}

/// Accepts digits only; `str::parse` would also accept a sign.
pub(super) fn parse_digits<T: core::str::FromStr>(value: &str) -> Option<T> {
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

fn parse_seq(name: &str, value: &str) -> Result<u64, ProblemReply> {
    parse_digits(value).ok_or_else(|| invalid(format!("{name}: must be a sequence number, not {}", Excerpt(value))))
}

fn parse_limit(name: &str, value: &str) -> Result<NonZeroU32, ProblemReply> {
    parse_digits::<NonZeroU32>(value)
        .filter(|limit| limit.get() <= LIMIT_MAX)
        .ok_or_else(|| invalid(format!("{name}: must be an integer from 1 to {LIMIT_MAX}, not {}", Excerpt(value))))
}

fn parse_order(name: &str, value: &str) -> Result<Order, ProblemReply> {
    match value {
        "asc" => Ok(Order::TimeAscending),
        "desc" => Ok(Order::TimeDescending),
        "seq" => Ok(Order::Sequence),
        _ => Err(invalid(format!("{name}: must be asc, desc or seq, not {}", Excerpt(value)))),
    }
}

/// Parses a condition on the payload. `rest` follows `payload.` in the name: a path and an optional operator in
/// brackets.
pub(super) fn parse_payload_filter(name: &str, rest: &str, value: &str) -> Result<PayloadFilter, ProblemReply> {
    let (path, operator) = split_operator(rest);
    check_length(name, "value", value, OPERAND_BYTES_MAX)?;
    let path = parse_path(name, path)?;
    let operand = || Operand::new(value);
    let test = match operator {
        None | Some("eq") => Test::Eq(operand()),
        Some("ne") => Test::Ne(operand()),
        Some("gt") => Test::Gt(operand()),
        Some("gte") => Test::Gte(operand()),
        Some("lt") => Test::Lt(operand()),
        Some("lte") => Test::Lte(operand()),
        Some("exists") => Test::Exists(parse_bool(name, value)?),
        Some("prefix") => Test::Prefix(Box::from(value)),
        Some("contains") => Test::Contains(Box::from(value)),
        Some(other) => {
            let known = "eq, ne, gt, gte, lt, lte, exists, prefix, contains";
            return Err(invalid(format!(
                "{}: unknown operator {}; the operators are {known}. A bracket in a name is written '\\['",
                Excerpt(name),
                Excerpt(other)
            )));
        }
    };
    Ok(PayloadFilter { path, test })
}

/// Parses a path without an operator.
pub(super) fn parse_path(name: &str, path: &str) -> Result<PayloadPath, ProblemReply> {
    check_length(name, "path", path, PAYLOAD_PATH_BYTES_MAX)?;
    PayloadPath::parse(path).map_err(|error| invalid(format!("{}: {error}", Excerpt(name))))
}

pub(super) fn parse_bool(name: &str, value: &str) -> Result<bool, ProblemReply> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(format!("{}: must be true or false, not {}", Excerpt(name), Excerpt(value)))),
    }
}

pub(super) fn check_length(name: &str, what: &str, text: &str, bytes_max: usize) -> Result<(), ProblemReply> {
    if text.len() > bytes_max {
        let length = text.len();
        return Err(invalid(format!("{}: a {what} of {length} bytes, at most {bytes_max}", Excerpt(name))));
    }
    Ok(())
}

/// Splits an operator in brackets off the end of a condition's name. Neither bracket has a backslash before it.
fn split_operator(text: &str) -> (&str, Option<&str>) {
    let (mut open, mut is_closed, mut is_escaped) = (None, false, false);
    for (at, byte) in text.bytes().enumerate() {
        is_closed = byte == b']' && !is_escaped;
        if byte == b'[' && !is_escaped {
            open = Some(at);
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    let split = open.filter(|_| is_closed).and_then(|open| text.split_at_checked(open));
    match split.and_then(|(path, operator)| Some((path, operator.strip_prefix('[')?.strip_suffix(']')?))) {
        Some((path, operator)) => (path, Some(operator)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests;
