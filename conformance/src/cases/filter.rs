//! `GET /events`: conditions on payloads.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["filter";
    "GET /events": [
        string_equals_by_bytes, number_equals_by_value, number_equals_beyond_floats, literals, number_and_its_text,
        the_operand_says_what_is_compared, what_equals_lies_within_gte_and_lte, nested_path,
        array_matches_if_any_element_does, array_of_objects, greater_and_less, greater_and_less_beyond_floats,
        greater_and_less_of_strings, not_equal_is_the_opposite_of_equal, exists, prefix, contains,
        same_filter_twice_means_both, range_of_a_number, encoded_brackets, unknown_operator, malformed_operator,
        empty_names_in_paths, brackets_in_names, exists_takes_true_or_false, names_with_unicode, escaped_values_match,
        objects_equal_nothing, payload_that_is_not_an_object, filter_with_type_and_time, many_conditions,
        too_many_conditions, long_path_and_value, too_long_path_or_value, needle_longer_than_the_value,
    ],
];

/// A server with one event for each payload. Its id is the index in the list.
fn with(ctx: &Context<'_>, payloads: &[&str]) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    let lines: String = payloads
        .iter()
        .enumerate()
        .map(|(n, payload)| {
            format!("{{\"id\":\"{n}\",\"event_type\":\"t\",\"timestamp\":{n},\"payload\":{payload}}}\n")
        })
        .collect();
    server.submit_lines(lines)?.expect(201)?;
    Ok(server)
}

/// Requires exactly the payloads with these indexes to match.
fn expect(server: &Server, query: &str, matching: &[usize]) -> Outcome {
    let expected: Vec<String> = matching.iter().map(ToString::to_string).collect();
    check_eq!(found(server, query)?, expected, "which payloads match {query}");
    Ok(())
}

/// The ids of the events that match.
fn found(server: &Server, query: &str) -> Result<Vec<String>, Failure> {
    // The answer is not parsed as JSON: some numbers do not fit into a `Value`.
    let request = Request::get(&format!("/events?{query}")).header("accept", "application/x-ndjson");
    let response = server.send(&request)?;
    response.expect(200).map_err(|failure| failure.within(&query))?;
    let id = |line: &str| Some(line.strip_prefix("{\"id\":\"")?.split_once('"')?.0.to_owned());
    Ok(response.text()?.lines().filter_map(id).collect())
}

fn string_equals_by_bytes(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"a":"x"}"#,
            r#"{"a":"X"}"#,
            r#"{"a":"x "}"#,
            r#"{"a":""}"#,
            r#"{"b":"x"}"#,
            r#"{"a":"é"}"#,
            r#"{"a":"e\u0301"}"#,
        ],
    )?;
    expect(&server, "payload.a=x", &[0])?;
    expect(&server, "payload.a=x+", &[2])?;
    expect(&server, "payload.a=", &[3])?;
    expect(&server, "payload.a=%C3%A9", &[5])?;
    expect(&server, "payload.a[eq]=x", &[0])
}

fn number_equals_by_value(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":10e-1}"#,
            r#"{"a":0.1e1}"#,
            r#"{"a":2}"#,
            r#"{"a":-1}"#,
            r#"{"a":1.0000000000000000000001}"#,
        ],
    )?;
    for form in ["1", "1.0", "1.000", "1e0", "10E-1", "0.01e%2B2"] {
        expect(&server, &format!("payload.a={form}"), &[0, 1, 2, 3])?;
        expect(&server, &format!("payload.a[eq]={form}"), &[0, 1, 2, 3])?;
    }
    expect(&server, "payload.a=-1", &[5])
}

fn number_equals_beyond_floats(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"a":9007199254740993}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1e401}"#,
            r#"{"a":0.1}"#,
            r#"{"a":0.1000000000000000055511151231257827}"#,
            r#"{"a":-0.0}"#,
            r#"{"a":0}"#,
        ],
    )?;
    expect(&server, "payload.a=9007199254740993", &[0])?;
    expect(&server, "payload.a=1e400", &[2])?;
    expect(&server, "payload.a=0.1", &[4])?;
    expect(&server, "payload.a=0", &[6, 7])
}

fn literals(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":true}"#, r#"{"a":false}"#, r#"{"a":null}"#, "{}"])?;
    expect(&server, "payload.a=true", &[0])?;
    expect(&server, "payload.a=false", &[1])?;
    expect(&server, "payload.a=null", &[2])
}

fn number_and_its_text(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":1}"#, r#"{"a":"1"}"#, r#"{"a":"1.0"}"#, r#"{"a":"true"}"#])?;
    expect(&server, "payload.a=1", &[0, 1])?;
    expect(&server, "payload.a=1.0", &[0, 2])?;
    expect(&server, "payload.a=true", &[3])
}

/// Values that are written alike but differ in kind.
const ALIKE: [&str; 12] = [
    r#"{"a":500}"#,
    r#"{"a":"500"}"#,
    r#"{"a":"0500"}"#,
    r#"{"a":5e2}"#,
    r#"{"a":"abc"}"#,
    r#"{"a":true}"#,
    r#"{"a":"true"}"#,
    r#"{"a":null}"#,
    r#"{"a":"\"500\""}"#,
    r#"{"a":"5e2 "}"#,
    r#"{"a":"9"}"#,
    r#"{"a":"-1"}"#,
];

fn the_operand_says_what_is_compared(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &ALIKE)?;
    for (condition, matching) in [
        // Written as a number.
        ("=500", &[0, 1, 3][..]),
        ("=0500", &[0, 2, 3]),
        ("=%2B5e2", &[0, 3]),
        ("[ne]=0500", &[1, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("[gte]=500", &[0, 1, 2, 3]),
        ("[gt]=9", &[0, 1, 2, 3]),
        ("[lt]=%2B009.5", &[10, 11]),
        ("[lte]=-1.0", &[11]),
        // A JSON string.
        ("=%22500%22", &[1]),
        ("=%22%5Cu0035%5Cu00300%22", &[1]),
        ("=%22%5C%22500%5C%22%22", &[8]),
        ("=%22true%22", &[6]),
        ("[ne]=%22500%22", &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("[gt]=%229%22", &[4, 6]),
        ("[lte]=%22500%22", &[1, 2, 8, 11]),
        // Any other text.
        ("=%22500", &[]),
        ("=500.", &[]),
        ("[lt]=.5", &[8, 11]),
        ("[gte]=abc", &[4, 6]),
        // A literal.
        ("=true", &[5, 6]),
        ("[gte]=true", &[5, 6]),
        ("[lte]=true", &[5, 6]),
        ("[gt]=true", &[]),
        ("[lt]=true", &[]),
        ("[gte]=null", &[7]),
        // Quotes have no meaning in a search.
        ("[prefix]=%22", &[8]),
        ("[contains]=%22500%22", &[8]),
    ] {
        expect(&server, &format!("payload.a{condition}"), matching)?;
    }
    Ok(())
}

fn what_equals_lies_within_gte_and_lte(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &ALIKE)?;
    for operand in ["500", "0500", "5e2", "5e2+", "%22500%22", "%22500", "abc", "true", "null", "9", "-1", "-01", ""] {
        let equal = found(&server, &format!("payload.a={operand}"))?;
        let within = found(&server, &format!("payload.a[gte]={operand}&payload.a[lte]={operand}"))?;
        check!(equal.iter().all(|id| within.contains(id)), "{equal:?}, which equal {operand}, in {within:?}");
    }
    Ok(())
}

fn nested_path(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[r#"{"a":{"b":{"c":1}}}"#, r#"{"a":{"b":1}}"#, r#"{"a.b.c":1}"#, r#"{"a":{"b":{"c":2}}}"#, r#"{"a":1}"#],
    )?;
    expect(&server, "payload.a.b.c=1", &[0])?;
    expect(&server, "payload.a.b=1", &[1])?;
    expect(&server, "payload.a.b.c.d=1", &[])
}

fn array_matches_if_any_element_does(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":[1,2,3]}"#, r#"{"a":[]}"#, r#"{"a":["x",2]}"#, r#"{"a":4}"#])?;
    expect(&server, "payload.a=2", &[0, 2])?;
    expect(&server, "payload.a=x", &[2])?;
    expect(&server, "payload.a[gt]=2", &[0, 3])
}

fn array_of_objects(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":[{"b":1},{"b":2}]}"#, r#"{"a":[{"b":3},{"c":2}]}"#, r#"{"a":{"b":[2]}}"#])?;
    expect(&server, "payload.a.b=2", &[0, 2])
}

fn greater_and_less(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[r#"{"a":-3}"#, r#"{"a":2}"#, r#"{"a":10}"#, r#"{"a":2.5}"#, r#"{"a":null}"#, r#"{"a":true}"#, "{}"],
    )?;
    expect(&server, "payload.a[gt]=2", &[2, 3])?;
    expect(&server, "payload.a[gte]=2.0", &[1, 2, 3])?;
    expect(&server, "payload.a[lt]=2", &[0])?;
    expect(&server, "payload.a[lte]=20e-1", &[0, 1])
}

fn greater_and_less_beyond_floats(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"a":9007199254740992}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":1e400}"#,
            r#"{"a":-1e400}"#,
            r#"{"a":1e-400}"#,
        ],
    )?;
    expect(&server, "payload.a[gt]=9007199254740992", &[1, 2])?;
    expect(&server, "payload.a[lt]=0", &[3])?;
    expect(&server, "payload.a[gt]=0", &[0, 1, 2, 4])?;
    expect(&server, "payload.a[gte]=1e400", &[2])
}

fn greater_and_less_of_strings(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":"apple"}"#, r#"{"a":"Pear"}"#, r#"{"a":"plum"}"#, r#"{"a":7}"#])?;
    expect(&server, "payload.a[gt]=banana", &[2])?;
    expect(&server, "payload.a[lte]=apple", &[0, 1])
}

fn not_equal_is_the_opposite_of_equal(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":[1,2]}"#, r#"{"b":1}"#, "5"])?;
    expect(&server, "payload.a[ne]=1", &[1, 3, 4])
}

fn exists(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#, "{}", "null"])?;
    expect(&server, "payload.a[exists]=true", &[0, 1, 2])?;
    expect(&server, "payload.a[exists]=false", &[3, 4])
}

fn prefix(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"a":"foobar"}"#,
            r#"{"a":"foo"}"#,
            r#"{"a":"Foo"}"#,
            r#"{"a":"xfoo"}"#,
            r#"{"a":["x","foot"]}"#,
            r#"{"a":12}"#,
        ],
    )?;
    expect(&server, "payload.a[prefix]=foo", &[0, 1, 4])?;
    expect(&server, "payload.a[prefix]=1", &[])?;
    expect(&server, "payload.a[prefix]=", &[0, 1, 2, 3, 4])
}

fn contains(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[r#"{"a":"foobar"}"#, r#"{"a":"bar"}"#, r#"{"a":"BAR"}"#, r#"{"a":["x","a bar"]}"#, r#"{"a":"ba"}"#],
    )?;
    expect(&server, "payload.a[contains]=bar", &[0, 1, 3])
}

fn same_filter_twice_means_both(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":[1,2]}"#, r#"{"a":1}"#, r#"{"a":2}"#])?;
    expect(&server, "payload.a=1&payload.a=2", &[0])
}

fn range_of_a_number(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":1}"#, r#"{"a":5}"#, r#"{"a":9}"#])?;
    expect(&server, "payload.a[gt]=1&payload.a[lt]=9", &[1])
}

fn encoded_brackets(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":1}"#, r#"{"a":5}"#])?;
    expect(&server, "payload.a%5Bgt%5D=1", &[1])?;
    expect(&server, "payload%2Ea%5bgt%5d=1", &[1])
}

fn unknown_operator(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for operator in ["like", "GT", "eq%20", "", "regex"] {
        let response = server.get(&format!("/events?payload.a[{operator}]=1"))?;
        response.problem_naming(400, "payload.a").map_err(|failure| failure.within(&operator))?;
    }
    Ok(())
}

fn malformed_operator(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for name in ["payload[gt]", "payload.[a]", "payload[a", r"payload.a\b", r"payload.a\"] {
        server.get(&format!("/events?{name}=1"))?.problem(400).map_err(|failure| failure.within(&name))?;
    }
    Ok(())
}

fn empty_names_in_paths(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"":1}"#, r#"{"":{"a":1}}"#, r#"{"a":{"":1}}"#, r#"{"a":{"":{"b":1}}}"#, "1"])?;
    expect(&server, "payload.=1", &[0])?;
    expect(&server, "payload.[gte]=1", &[0])?;
    expect(&server, "payload..a=1", &[1])?;
    expect(&server, "payload.a.=1", &[2])?;
    expect(&server, "payload.a..b=1", &[3])
}

fn brackets_in_names(ctx: &Context<'_>) -> Outcome {
    let server = with(
        ctx,
        &[
            r#"{"order[id]":1}"#,
            r#"{"order":{"[id]":1},"order[id":2,"id]":2}"#,
            r#"{"a[gt]":1}"#,
            r#"{"a":2}"#,
            r#"{"a\\":2}"#,
            r#"{"a":{"b[c]":{"d":1}}}"#,
        ],
    )?;
    for (name, matching) in [
        (r"payload.order\[id\]", &[0][..]),
        ("payload.order%5C%5Bid%5C%5D", &[0]),
        (r"payload.order\[id\][gte]", &[0]),
        (r"payload.order.\[id\][eq]", &[1]),
        (r"payload.a\[gt]", &[2]),
        ("payload.a[gt]", &[3]),
        (r"payload.a\\[gt]", &[4]),
        ("payload.a.b[c].d", &[5]),
        (r"payload.a.b\[c\].d[lt]", &[]),
    ] {
        expect(&server, &format!("{name}=1"), matching)?;
    }
    Ok(())
}

fn exists_takes_true_or_false(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for value in ["", "1", "yes", "TRUE"] {
        let response = server.get(&format!("/events?payload.a[exists]={value}"))?;
        response.problem_naming(400, "payload.a").map_err(|failure| failure.within(&value))?;
    }
    Ok(())
}

fn names_with_unicode(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"größe":1}"#, r#"{"a b":1}"#, r#"{"gr\u00f6\u00dfe":1}"#])?;
    expect(&server, "payload.gr%C3%B6%C3%9Fe=1", &[0, 2])?;
    expect(&server, "payload.a+b=1", &[1])
}

fn escaped_values_match(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":"\u0078\/\"\n"}"#, r#"{"\u0061":"x/\"\u000a"}"#, r#"{"a":"\ud83d\ude00"}"#])?;
    expect(&server, "payload.a=x/%22%0A", &[0, 1])?;
    expect(&server, "payload.a=%F0%9F%98%80", &[2])?;
    expect(&server, "payload.a[prefix]=x/", &[0, 1])
}

fn objects_equal_nothing(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &[r#"{"a":{}}"#, r#"{"a":{"b":1}}"#])?;
    expect(&server, "payload.a=%7B%7D", &[])
}

fn payload_that_is_not_an_object(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, &["1", "\"a\"", "null", r#"[{"a":1}]"#, r#"{"a":1}"#])?;
    // A payload that is an array matches like any other array.
    expect(&server, "payload.a=1", &[3, 4])
}

fn filter_with_type_and_time(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |n: u32| {
        let event_type = format!("t{}", n % 2);
        json!({"id": n.to_string(), "event_type": event_type, "timestamp": n, "payload": {"m": n % 3}})
    };
    server.store(&(0..60).map(event).collect())?;
    expect(&server, "type=t1&start=10&end=30&payload.m=0", &[15, 21, 27])?;
    expect(&server, "type=t1&start=10&end=30&payload.m=0&order=desc&limit=2", &[27, 21])
}

fn many_conditions(ctx: &Context<'_>) -> Outcome {
    let members = |missing: Option<usize>| {
        let present = (0..256).filter(|member| Some(*member) != missing);
        let members: Vec<String> = present.map(|member| format!("\"m{member}\":[{member},\"x\"]")).collect();
        format!("{{\"a\":{{{}}}}}", members.join(","))
    };
    let (whole, first, last) = (members(None), members(Some(0)), members(Some(255)));
    let server = with(ctx, &[&whole, &first, &last])?;
    let each = |condition: fn(usize) -> String| (0..256).map(condition).collect::<Vec<_>>().join("&");
    expect(&server, &each(|member| format!("payload.a.m{member}={member}.0")), &[0])?;
    expect(&server, &each(|member| format!("payload.a.m{member}[exists]=true")), &[0])?;
    expect(&server, &each(|member| format!("payload.a.m{member}[ne]=y")), &[0, 1, 2])?;
    expect(&server, &each(|_| "payload.a.m7[contains]=x".to_owned()), &[0, 1, 2])
}

fn too_many_conditions(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let conditions = |count: usize| vec!["payload.some.name=1"; count].join("&");
    server.get(&format!("/events?{}", conditions(256)))?.expect(200)?;
    server.get(&format!("/events?{}", conditions(257)))?.problem_naming(400, "payload.some.name")?;
    server
        .get(&format!("/events?{}&payload.other[gt]=1", conditions(256)))?
        .problem_naming(400, "payload.other[gt]")?;
    Ok(())
}

fn long_path_and_value(ctx: &Context<'_>) -> Outcome {
    let (name, value) = ("n".repeat(1_024), "v".repeat(4_096));
    let server = with(ctx, &[&format!(r#"{{"{name}":"{value}"}}"#), &format!(r#"{{"{name}":"{value}v"}}"#)])?;
    expect(&server, &format!("payload.{name}={value}"), &[0])?;
    expect(&server, &format!("payload.{name}[prefix]={value}"), &[0, 1])?;
    // The limit counts decoded bytes.
    expect(&server, &format!("payload.{name}[gt]={}", "%76".repeat(4_096)), &[1])
}

fn too_long_path_or_value(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let name = "n".repeat(1_025);
    server.get(&format!("/events?payload.{name}=1"))?.problem_naming(400, "payload.nnn")?;
    for operator in ["", "[ne]", "[lt]", "[prefix]", "[contains]"] {
        let response = server.get(&format!("/events?payload.a{operator}={}", "v".repeat(4_097)))?;
        let named = response.problem_naming(400, &format!("payload.a{operator}"));
        named.map_err(|failure| failure.within(&operator))?;
    }
    Ok(())
}

fn needle_longer_than_the_value(ctx: &Context<'_>) -> Outcome {
    let needle = "abc".repeat(1_000);
    let server = with(
        ctx,
        &[r#"{"a":"abc"}"#, &format!(r#"{{"a":["ab","x{needle}y"]}}"#), &format!(r#"{{"a":"{}"}}"#, &needle[1..])],
    )?;
    expect(&server, &format!("payload.a[contains]={needle}"), &[1])
}
