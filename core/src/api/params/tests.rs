//! Valid and invalid parameters.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::vec;

use super::*;
use crate::api::target::Target;
use crate::query::{Position, encode_cursor};

fn read(query: &str) -> Result<Scan, String> {
    let target = format!("/events?{query}");
    read_scan(&Target::parse(&target).unwrap().params, &Access::default()).map(|(scan, _)| scan).map_err(|error| {
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
