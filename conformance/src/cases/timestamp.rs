//! Timestamps: which are accepted, and how they are returned.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["timestamp";
    "Events": [
        rfc3339_in_utc, rfc3339_with_offset, rfc3339_fractions, rfc3339_in_lower_case, offsets_of_other_products,
        space_for_t, days_of_the_calendar, ends_of_the_range, beyond_the_range, not_a_time, offset_is_missing,
        unix_seconds, unix_units_by_magnitude, unix_fractions_are_exact, unix_exponents, unix_finer_than_a_nanosecond,
        unix_time_in_strings,
    ],
    "GET /events": [bounds_in_every_form, invalid_bounds, bounds_without_offset, plus_that_is_not_encoded],
];

/// Stores two events for each input (a JSON value), the second as a record of another product, and compares the
/// timestamps that are returned.
fn check_table(ctx: &Context<'_>, table: &[(&str, &str)]) -> Outcome {
    let server = ctx.empty()?;
    for (index, (input, expected)) in table.iter().enumerate() {
        let body = format!(r#"{{"id":"{index}","event_type":"t","timestamp":{input},"payload":0}}"#);
        server.submit(body)?.expect(201).map_err(|failure| failure.within(input))?;
        let record = format!(r#"{{"id":"{index} mapped","at":{input}}}"#);
        let request = Request::post("/events?type=t&time_from=/at&id_from=/id", "application/json", record);
        server.send(&request)?.expect(201).map_err(|failure| failure.within(input))?;
        for id in [index.to_string(), format!("{index}%20mapped")] {
            let event = server.get(&format!("/events/{id}"))?;
            check_eq!(event.member("timestamp")?, json!(expected), "the timestamp {input} of {id}");
        }
    }
    Ok(())
}

/// Requires each input (a JSON value) to be refused as a timestamp.
fn check_refused(ctx: &Context<'_>, inputs: &[&str]) -> Outcome {
    let server = ctx.empty()?;
    for input in inputs {
        let body = format!(r#"{{"event_type":"t","timestamp":{input},"payload":0}}"#);
        server.submit(body)?.fault("#/timestamp", "invalid_timestamp").map_err(|failure| failure.within(input))?;
    }
    server.expect_empty()
}

fn rfc3339_in_utc(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-05-01T12:00:00Z""#, "2024-05-01T12:00:00Z"),
            (r#""1970-01-01T00:00:00Z""#, "1970-01-01T00:00:00Z"),
            (r#""1969-12-31T23:59:59Z""#, "1969-12-31T23:59:59Z"),
            (r#""1900-01-01T00:00:00Z""#, "1900-01-01T00:00:00Z"),
        ],
    )
}

fn rfc3339_with_offset(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-05-01T12:00:00+02:00""#, "2024-05-01T10:00:00Z"),
            (r#""2024-05-01T12:00:00-02:30""#, "2024-05-01T14:30:00Z"),
            (r#""2024-01-01T00:30:00+01:00""#, "2023-12-31T23:30:00Z"),
            (r#""2024-12-31T23:30:00-23:59""#, "2025-01-01T23:29:00Z"),
            (r#""2024-05-01T12:00:00+00:00""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01T12:00:00-00:00""#, "2024-05-01T12:00:00Z"),
        ],
    )
}

fn rfc3339_fractions(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-05-01T12:00:00.0Z""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01T12:00:00.5Z""#, "2024-05-01T12:00:00.500Z"),
            (r#""2024-05-01T12:00:00.120Z""#, "2024-05-01T12:00:00.120Z"),
            (r#""2024-05-01T12:00:00.1234Z""#, "2024-05-01T12:00:00.123400Z"),
            (r#""2024-05-01T12:00:00.123456Z""#, "2024-05-01T12:00:00.123456Z"),
            (r#""2024-05-01T12:00:00.1234567Z""#, "2024-05-01T12:00:00.123456700Z"),
            (r#""2024-05-01T12:00:00.000000001Z""#, "2024-05-01T12:00:00.000000001Z"),
            (r#""1969-12-31T23:59:59.999999999Z""#, "1969-12-31T23:59:59.999999999Z"),
        ],
    )
}

fn rfc3339_in_lower_case(ctx: &Context<'_>) -> Outcome {
    check_table(ctx, &[(r#""2024-05-01t12:00:00z""#, "2024-05-01T12:00:00Z")])
}

fn offsets_of_other_products(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-05-01T12:00:00+0200""#, "2024-05-01T10:00:00Z"),
            (r#""2024-05-01T12:00:00.123456-0330""#, "2024-05-01T15:30:00.123456Z"),
            (r#""2024-05-01T12:00:00+02""#, "2024-05-01T10:00:00Z"),
            (r#""2024-05-01T12:00:00-03""#, "2024-05-01T15:00:00Z"),
            (r#""2024-05-01T12:00:00-00""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01T12:00:00-0000""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01 12:00:00.123456 UTC""#, "2024-05-01T12:00:00.123456Z"),
            (r#""2024-05-01T12:00:00+2359""#, "2024-04-30T12:01:00Z"),
        ],
    )
}

fn space_for_t(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-05-01 12:00:00+00""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01 12:00:00.25-07""#, "2024-05-01T19:00:00.250Z"),
            (r#""2024-05-01 12:00:00Z""#, "2024-05-01T12:00:00Z"),
            (r#""2024-05-01 12:00:00 +0200""#, "2024-05-01T10:00:00Z"),
            (r#""2024-05-01T12:00:00 Z""#, "2024-05-01T12:00:00Z"),
        ],
    )
}

fn days_of_the_calendar(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""2024-02-29T00:00:00Z""#, "2024-02-29T00:00:00Z"),
            (r#""2000-02-29T23:59:59Z""#, "2000-02-29T23:59:59Z"),
            (r#""2023-12-31T23:59:59Z""#, "2023-12-31T23:59:59Z"),
        ],
    )?;
    check_refused(
        ctx,
        &[
            r#""2023-02-29T00:00:00Z""#,
            r#""1900-02-29T00:00:00Z""#,
            r#""2024-04-31T00:00:00Z""#,
            r#""2024-13-01T00:00:00Z""#,
            r#""2024-00-01T00:00:00Z""#,
            r#""2024-01-00T00:00:00Z""#,
            r#""2024-01-32T00:00:00Z""#,
            r#""2024-01-01T24:00:00Z""#,
            r#""2024-01-01T00:60:00Z""#,
            r#""2024-01-01T00:00:61Z""#,
            r#""2024-01-01T00:00:00+24:00""#,
            r#""2024-01-01T00:00:00+00:60""#,
            r#""2024-01-01T00:00:00+24""#,
            r#""2024-01-01T00:00:00+0060""#,
        ],
    )
}

fn ends_of_the_range(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""1677-09-21T00:12:43.145224192Z""#, "1677-09-21T00:12:43.145224192Z"),
            (r#""2262-04-11T23:47:16.854775807Z""#, "2262-04-11T23:47:16.854775807Z"),
            (r#""2262-04-12T01:47:16.854775807+02:00""#, "2262-04-11T23:47:16.854775807Z"),
            ("9223372036854775807", "2262-04-11T23:47:16.854775807Z"),
            ("-9223372036854775808", "1677-09-21T00:12:43.145224192Z"),
        ],
    )
}

fn beyond_the_range(ctx: &Context<'_>) -> Outcome {
    check_refused(
        ctx,
        &[
            r#""1677-09-21T00:12:43.145224191Z""#,
            r#""2262-04-11T23:47:16.854775808Z""#,
            r#""0000-01-01T00:00:00Z""#,
            r#""9999-12-31T23:59:59Z""#,
            // Numbers below 1e11 are seconds, and this one is in the year 5138.
            "99999999999",
            "9223372036854775808",
            "-9223372036854775809",
            "1e400",
            "-1e400",
            r#""99999999999""#,
            r#""1e400""#,
        ],
    )
}

fn not_a_time(ctx: &Context<'_>) -> Outcome {
    check_refused(
        ctx,
        &[
            r#""""#,
            r#""yesterday""#,
            r#""2024-05-01""#,
            r#""2024-05-01T12:00:00""#,
            r#""2024-05-01T12:00Z""#,
            r#""2024-05-01 12:00:00""#,
            r#""2024-05-01  12:00:00Z""#,
            r#""2024-05-01T12:00:00  Z""#,
            r#""2024-05-01T12:00:00 02:00""#,
            r#""2024-05-01T12:00:00+2""#,
            r#""2024-05-01T12:00:00+020""#,
            r#""2024-05-01T12:00:00+02:0000""#,
            r#"" 2024-05-01T12:00:00Z""#,
            r#""2024-05-01T12:00:00Z ""#,
            r#""2024-05-01T12:00:00.Z""#,
            r#""2024-05-01T12:00:00,5Z""#,
            r#""2024-5-1T12:00:00Z""#,
            r#""20240501T120000Z""#,
            r#""2024-W18-3T12:00:00Z""#,
            r#""+02024-05-01T12:00:00Z""#,
            "\"2024-05-01T12:00:00\u{2212}02:00\"",
            r#""2024-05-01T12:00:00Z[UTC]""#,
            r#""Wed, 01 May 2024 12:00:00 GMT""#,
            r#""1714564800s""#,
            r#"" 1714564800""#,
            r#""1_714_564_800""#,
            r#""0x10""#,
            r#""1714564800,5""#,
        ],
    )
}

fn offset_is_missing(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for time in ["2024-05-01T12:00:00", "2024-05-01 12:00:00", "2024-05-01T12:00:00.123456"] {
        let response = server.submit(json!({"event_type": "t", "timestamp": time, "payload": 0}).to_string())?;
        response.fault("#/timestamp", "invalid_timestamp")?;
        let detail = fault_detail(&response)?;
        check!(detail.contains("2024-05-01T12:00:00Z"), "the time {time} with an offset in {detail:?}");
    }
    server.expect_empty()
}

/// The detail of the first fault.
fn fault_detail(response: &Response) -> Result<String, Failure> {
    Ok(response.json()?["errors"][0]["detail"].as_str().unwrap_or_default().to_owned())
}

fn unix_seconds(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            ("1714564800", "2024-05-01T12:00:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("-0", "1970-01-01T00:00:00Z"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("9223372036", "2262-04-11T23:47:16Z"),
        ],
    )
}

fn unix_units_by_magnitude(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            ("1714564800123", "2024-05-01T12:00:00.123Z"),
            ("1714564800123456", "2024-05-01T12:00:00.123456Z"),
            ("1714564800123456789", "2024-05-01T12:00:00.123456789Z"),
            ("100000000000", "1973-03-03T09:46:40Z"),
            ("100000000000000", "1973-03-03T09:46:40Z"),
            ("100000000000000000", "1973-03-03T09:46:40Z"),
            ("-100000000000", "1966-10-31T14:13:20Z"),
        ],
    )
}

fn unix_fractions_are_exact(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            ("1714564800.123456789", "2024-05-01T12:00:00.123456789Z"),
            ("1714564800.1", "2024-05-01T12:00:00.100Z"),
            ("1714564800.000000001", "2024-05-01T12:00:00.000000001Z"),
            ("1714564800.100000000000", "2024-05-01T12:00:00.100Z"),
            ("-0.5", "1969-12-31T23:59:59.500Z"),
            ("1714564800123.25", "2024-05-01T12:00:00.123250Z"),
            ("1714564800123456.5", "2024-05-01T12:00:00.123456500Z"),
        ],
    )
}

fn unix_exponents(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            ("1.7145648e9", "2024-05-01T12:00:00Z"),
            ("17145648E+2", "2024-05-01T12:00:00Z"),
            ("17145648001e-1", "2024-05-01T12:00:00.100Z"),
            ("1e11", "1973-03-03T09:46:40Z"),
            ("0e999999999", "1970-01-01T00:00:00Z"),
            (r#""1.7145648e9""#, "2024-05-01T12:00:00Z"),
            (r#""1e11""#, "1973-03-03T09:46:40Z"),
        ],
    )
}

fn unix_finer_than_a_nanosecond(ctx: &Context<'_>) -> Outcome {
    let inputs = ["1714564800.1234567891", "1714564800123456789.5", "1e-10", r#""1714564800.1234567891""#];
    check_refused(ctx, &inputs)
}

fn unix_time_in_strings(ctx: &Context<'_>) -> Outcome {
    check_table(
        ctx,
        &[
            (r#""1714564800""#, "2024-05-01T12:00:00Z"),
            (r#""1714564800.000100""#, "2024-05-01T12:00:00.000100Z"),
            (r#""1714564800123""#, "2024-05-01T12:00:00.123Z"),
            (r#""1714564800123456""#, "2024-05-01T12:00:00.123456Z"),
            (r#""1714564800123456789""#, "2024-05-01T12:00:00.123456789Z"),
            (r#""-1.5""#, "1969-12-31T23:59:58.500Z"),
            (r#""0""#, "1970-01-01T00:00:00Z"),
            (r#""+1714564800""#, "2024-05-01T12:00:00Z"),
            (r#""00001714564800000""#, "2024-05-01T12:00:00Z"),
        ],
    )
}

fn bounds_in_every_form(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!([
        {"event_type": "t", "timestamp": "2024-05-01T11:59:59.999999999Z", "payload": "before"},
        {"event_type": "t", "timestamp": "2024-05-01T12:00:00Z", "payload": "at"},
        {"event_type": "t", "timestamp": "2024-05-01T12:00:00.000000001Z", "payload": "after"},
    ]))?;
    let forms = [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00.000Z",
        "2024-05-01T14:00:00%2B02:00",
        "2024-05-01T10:00:00-02:00",
        "2024-05-01T14:00:00%2B0200",
        "2024-05-01T14:00:00%2b02",
        "2024-05-01T10:00:00-02",
        "2024-05-01%2012:00:00Z",
        "2024-05-01+12:00:00+-0000",
        "1714564800",
        "1714564800.0",
        "1714564800000",
        "1714564800000000",
        "1714564800000000000",
    ];
    for form in forms {
        let (from, to) = (format!("start={form}"), format!("end={form}"));
        check_eq!(server.payloads(&from)?, [json!("at"), json!("after")], "events with {from}");
        check_eq!(server.payloads(&to)?, [json!("before"), json!("at")], "events with {to}");
    }
    Ok(())
}

fn invalid_bounds(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for value in
        ["", "yesterday", "2024-05-01", "2024-05-01T12:00:00", "0x10", "1_000", "NaN", "inf", "9999-12-31T23:59:59Z"]
    {
        for name in ["start", "end"] {
            let response = server.get(&format!("/events?{name}={value}"))?;
            response.problem_naming(400, name).map_err(|failure| failure.within(&value))?;
        }
    }
    Ok(())
}

fn bounds_without_offset(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for value in ["2024-05-01T12:00:00", "2024-05-01%2012:00:00", "2024-05-01+12:00:00", "2024-05-01T12:00:00.5"] {
        for name in ["start", "end"] {
            let response = server.get(&format!("/events?{name}={value}"))?;
            response.problem_naming(400, "2024-05-01T12:00:00Z").map_err(|failure| failure.within(&value))?;
            let detail = response.text()?;
            check!(!detail.contains('+') && !detail.contains("%2B"), "no word about a plus in {detail:?}");
        }
    }
    Ok(())
}

fn plus_that_is_not_encoded(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for value in ["2024-05-01T12:00:00+02:00", "2024-05-01T12:00:00+0200", "2024-05-01+12:00:00+02"] {
        for name in ["start", "end"] {
            let response = server.get(&format!("/events?{name}={value}"))?;
            response.problem_naming(400, "%2B").map_err(|failure| failure.within(&value))?;
        }
    }
    Ok(())
}
