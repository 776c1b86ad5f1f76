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

/// The parameters of `GET /events`, for the error about an unknown one. Names of members are common mistakes.
const PARAMETERS: &str = "type and type[prefix] (the event_type), start and end (the timestamp), id, payload.<path>, \
    after_seq, limit, order, cursor";

/// The same for `GET /events/stream`.
const STREAM_PARAMETERS: &str =
    "type and type[prefix] (the event_type), start and end (the timestamp), id, payload.<path>, after_seq";

/// Parses the parameters of `GET /events`. An unknown or invalid one is an error, never ignored.
/// The filter matches only what the caller may see. So a cursor belongs to a caller with the same access.
pub(super) fn read_scan(params: &[Param<'_>], access: &Access) -> Result<Scan, ProblemReply> {
    let mut scan = Scan::default();
    let (mut order, mut cursor) = (None, None);
    for Param { name, value } in params {
        match name.as_ref() {
            "limit" => once(&mut scan.limit, name, parse_limit(name, value)?)?,
            "order" => once(&mut order, name, parse_order(name, value)?)?,
            "cursor" => once(&mut cursor, name, value.as_ref())?,
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
    Ok(scan)
}

/// Parses the parameters of `GET /events/stream`: the filter, and nothing else.
pub(super) fn read_stream_filter(params: &[Param<'_>]) -> Result<Filter, ProblemReply> {
    let mut filter = Filter::default();
    for Param { name, value } in params {
        // The key was checked before.
        if name != KEY_PARAMETER {
            read_filter_param(&mut filter, name, value, STREAM_PARAMETERS)?;
        }
    }
    check_filter(&filter)?;
    Ok(filter)
}

/// Parses one parameter of the filter. `known` lists all parameters of the route.
fn read_filter_param(filter: &mut Filter, name: &str, value: &str, known: &str) -> Result<(), ProblemReply> {
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
            None => return Err(unknown(name, known)),
        },
    }
    Ok(())
}

/// Checks rules that concern the filter as a whole.
fn check_filter(filter: &Filter) -> Result<(), ProblemReply> {
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
fn parse_digits<T: core::str::FromStr>(value: &str) -> Option<T> {
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
fn parse_payload_filter(name: &str, rest: &str, value: &str) -> Result<PayloadFilter, ProblemReply> {
    let (path, operator) = split_operator(rest);
    for (what, text, bytes_max) in [("path", path, PAYLOAD_PATH_BYTES_MAX), ("value", value, OPERAND_BYTES_MAX)] {
        if text.len() > bytes_max {
            let length = text.len();
            return Err(invalid(format!("{}: a {what} of {length} bytes, at most {bytes_max}", Excerpt(name))));
        }
    }
    let path = PayloadPath::parse(path).map_err(|error| invalid(format!("{}: {error}", Excerpt(name))))?;
    let operand = || Operand::new(value);
    let test = match operator {
        None | Some("eq") => Test::Eq(operand()),
        Some("ne") => Test::Ne(operand()),
        Some("gt") => Test::Gt(operand()),
        Some("gte") => Test::Gte(operand()),
        Some("lt") => Test::Lt(operand()),
        Some("lte") => Test::Lte(operand()),
        Some("exists") => match value {
            "true" => Test::Exists(true),
            "false" => Test::Exists(false),
            _ => return Err(invalid(format!("{}: must be true or false, not {}", Excerpt(name), Excerpt(value)))),
        },
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::api::target::Target;
    use crate::query::{Position, encode_cursor};

    fn read(query: &str) -> Result<Scan, String> {
        let target = format!("/events?{query}");
        read_scan(&Target::parse(&target).unwrap().params, &Access::default()).map_err(|error| {
            assert_eq!(error.problem.kind, ProblemKind::InvalidParameter);
            error.problem.detail
        })
    }

    #[test]
    fn all_parameters_together() {
        let query = "type=a+b&type=&type[prefix]=c.&type%5Bprefix%5D=&id=1&id=a%26b&start=1\
            &end=2026-01-01T00%3A00%3A00Z&after_seq=7&limit=10000\
            &order=desc&payload.a.b=1&payload.a.b%5Bgte%5D=2&payload.a[exists]=false&payload.a[prefix]=x";
        let condition = |path: &str, test| PayloadFilter { path: PayloadPath::parse(path).unwrap(), test };
        let filter = Filter {
            types: Some(vec![
                TypeTest::Eq("a b".into()),
                TypeTest::Eq("".into()),
                TypeTest::Prefix("c.".into()),
                TypeTest::Prefix("".into()),
            ]),
            ids: Some(vec!["1".into(), "a&b".into()]),
            start: Some(Timestamp::from_nanos(1_000_000_000)),
            end: Some(Timestamp::parse("2026-01-01T00:00:00Z").unwrap()),
            payload: vec![
                condition("a.b", Test::Eq(Operand::new("1"))),
                condition("a.b", Test::Gte(Operand::new("2"))),
                condition("a", Test::Exists(false)),
                condition("a", Test::Prefix("x".into())),
            ],
            after_seq: Some(7),
        };
        let limit = NonZeroU32::new(10_000);
        assert_eq!(read(query), Ok(Scan { filter, order: Order::TimeDescending, limit, ..Scan::default() }));
        assert_eq!(read(""), Ok(Scan::default()));
        assert_eq!(read("order=seq"), Ok(Scan { order: Order::Sequence, ..Scan::default() }));
    }

    #[test]
    fn every_operator_is_parsed() {
        for (operator, test) in [
            ("", Test::Eq(Operand::new("v"))),
            ("[eq]", Test::Eq(Operand::new("v"))),
            ("[ne]", Test::Ne(Operand::new("v"))),
            ("[gt]", Test::Gt(Operand::new("v"))),
            ("[gte]", Test::Gte(Operand::new("v"))),
            ("[lt]", Test::Lt(Operand::new("v"))),
            ("[lte]", Test::Lte(Operand::new("v"))),
            ("[prefix]", Test::Prefix("v".into())),
            ("[contains]", Test::Contains("v".into())),
        ] {
            assert_eq!(read(&format!("payload.x{operator}=v")).unwrap().filter.payload.first().unwrap().test, test);
        }
    }

    #[test]
    fn brackets_and_empty_names_are_found_in_paths() {
        let (equal, greater) = (Test::Eq(Operand::new("1")), Test::Gt(Operand::new("1")));
        for (name, names, test) in [
            (r"payload.order\[id\]", &["order[id]"][..], &equal),
            (r"payload.order\[id\][gt]", &["order[id]"], &greater),
            (r"payload.a\\[gt]", &[r"a\"], &greater),
            (r"payload.a\[gt]", &["a[gt]"], &equal),
            (r"payload.a[gt\]", &["a[gt]"], &equal),
            ("payload.a[b].c", &["a[b]", "c"], &equal),
            ("payload.a[b].c[gt]", &["a[b]", "c"], &greater),
            ("payload.a[b", &["a[b"], &equal),
            ("payload.a]", &["a]"], &equal),
            ("payload.a.b\\.c", &["a", "b.c"], &equal),
            ("payload.", &[""], &equal),
            ("payload.[gt]", &[""], &greater),
            ("payload.a..b", &["a", "", "b"], &equal),
            ("payload.a.[gt]", &["a", ""], &greater),
        ] {
            let filter = read(&format!("{name}=1")).unwrap().filter.payload.remove(0);
            assert_eq!(filter.path.names().collect::<Vec<_>>(), names, "{name}");
            assert_eq!(filter.test, *test, "{name}");
        }
    }

    #[test]
    fn an_unknown_parameter_names_those_there_are() {
        for name in ["event_type", "timestamp", "payload", "x"] {
            let detail = read(&format!("{name}=1")).unwrap_err();
            for known in ["type and type[prefix] (the event_type)", "(the timestamp)", "payload.<path>", "cursor"] {
                assert!(detail.contains(known), "{detail}");
            }
        }
        assert!(read("payload.a[0]=1").unwrap_err().ends_with(r"A bracket in a name is written '\['"));
    }

    #[test]
    fn errors_begin_with_the_name_of_the_parameter() {
        for (query, name) in [
            ("x=1", "'x'"),
            ("=1", "''"),
            ("Type=a", "'Type'"),
            ("payload=1", "'payload'"),
            ("payload[gt]=1", "'payload[gt]'"),
            ("type[eq]=a", "'type[eq]'"),
            ("type[prefix=a", "'type[prefix'"),
            ("payload.a[like]=1", "'payload.a[like]'"),
            ("payload.a[]=1", "'payload.a[]'"),
            ("payload.a[exists]=yes", "'payload.a[exists]'"),
            ("payload.a[0]=1", "'payload.a[0]'"),
            ("payload.[a]=1", "'payload.[a]'"),
            (r"payload.a\b=1", r"'payload.a\b'"),
            (r"payload.a\[gt=1&payload.\=1", r"'payload.\'"),
            ("start=yesterday", "start"),
            ("start=", "start"),
            ("end=2026-01-01T00:00:00+01:00", "end"),
            ("after_seq=-1", "after_seq"),
            ("after_seq=%2B1", "after_seq"),
            ("after_seq=18446744073709551616", "after_seq"),
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("limit=1.0", "limit"),
            ("limit=", "limit"),
            ("order=ASC", "order"),
            ("cursor=", "cursor"),
            ("cursor=abc", "cursor"),
            ("start=2&end=1", "start"),
            ("start=1.000000001&end=1", "start"),
            ("start=1&start=1", "start"),
            ("end=1&end=1", "end"),
            ("after_seq=1&after_seq=1", "after_seq"),
            ("limit=1&limit=1", "limit"),
            ("order=asc&order=asc", "order"),
            ("cursor=a&cursor=a", "cursor"),
        ] {
            let detail = read(query).unwrap_err();
            assert!(detail.starts_with(&format!("{name}: ")), "{query}: {detail}");
        }
        for (value, hint) in [
            ("2026-01-01T00:00:00+01:00", true),
            ("2026-01-01T00:00:00+0100", true),
            ("2026-01-01+00:00:00+01", true),
            ("2026-01-01T00:00:00", false),
            ("2026-01-01%2000:00:00", false),
            ("2026-01-01+00:00:00", false),
            ("yesterday+01:00", false),
            ("1e+5", false),
        ] {
            let detail = read(&format!("end={value}")).unwrap_err();
            assert_eq!(detail.contains("%2B"), hint, "{detail}");
            assert!(!detail.contains('+') || hint, "{detail}");
        }
        assert!(read(&"x".repeat(10_000)).unwrap_err().len() < 400);
        assert!(read(&"id=a&".repeat(IDS_MAX)).is_ok());
        assert!(read(&"id=a&".repeat(IDS_MAX + 1)).unwrap_err().starts_with("id: "));
        let types = "type=a&type[prefix]=b&".repeat(TYPES_MAX / 2);
        assert!(read(&types).is_ok());
        assert!(read(&format!("{types}type[prefix]=c")).unwrap_err().starts_with("type: given more than 1000 times"));
    }

    #[test]
    fn start_and_end_may_be_the_same_moment() {
        let filter = read("start=1&end=1970-01-01T00:00:01Z").unwrap().filter;
        assert_eq!(filter.start, filter.end);
    }

    #[test]
    fn number_and_length_of_payload_conditions_are_limited() {
        let conditions = |count: usize| vec!["payload.a=1"; count].join("&");
        assert_eq!(read(&conditions(PAYLOAD_FILTERS_MAX)).unwrap().filter.payload.len(), PAYLOAD_FILTERS_MAX);
        let detail = read(&conditions(PAYLOAD_FILTERS_MAX + 1)).unwrap_err();
        assert_eq!(detail, "'payload.a': more than 256 conditions on the payload");

        let path = |bytes: usize| format!("payload.{}[exists]=true", "a".repeat(bytes));
        assert!(read(&path(PAYLOAD_PATH_BYTES_MAX)).is_ok());
        let detail = read(&path(PAYLOAD_PATH_BYTES_MAX + 1)).unwrap_err();
        assert!(detail.starts_with("'payload.aaa") && detail.ends_with("': a path of 1025 bytes, at most 1024"));

        for operator in ["", "[contains]"] {
            let operand = |bytes: usize| format!("payload.a{operator}={}", "x".repeat(bytes));
            assert!(read(&operand(OPERAND_BYTES_MAX)).is_ok());
            let detail = read(&operand(OPERAND_BYTES_MAX + 1)).unwrap_err();
            assert_eq!(detail, format!("'payload.a{operator}': a value of 4097 bytes, at most 4096"));
        }
    }

    #[test]
    fn a_cursor_may_precede_the_parameters_of_its_query() {
        let position = Position { timestamp: Timestamp::from_nanos(1), seq: 2 };
        let cursor = encode_cursor(position, &read("type=a&order=desc").unwrap());
        let query = read(&format!("cursor={cursor}&order=desc&limit=5&type=a")).unwrap();
        assert_eq!(query.from, Some(position));
        let detail = read(&format!("cursor={cursor}&order=desc&type=b")).unwrap_err();
        assert!(detail.starts_with("cursor: the cursor belongs to a query with other filters, or "), "{detail}");
    }
}
