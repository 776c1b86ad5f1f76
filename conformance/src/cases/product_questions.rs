//! `GET /events/funnel`, `GET /events/retention`, `GET /events/types` and `GET /events/fields`.

use serde_json::{Value, json};

use super::questions::{answer, expect_bad, numbers, stored};
use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["product_questions";
    "GET /events/funnel, GET /events/retention": [
        a_funnel, conditions_of_one_step, bad_funnels, cohorts, bad_retention,
    ],
    "GET /events/types, GET /events/fields": [types, fields, bad_types],
];

fn a_funnel(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let funnel = answer(&server, "/events/funnel?step=view&step=buy&step=leave&by=payload.user&within=1h")?;
    let mut steps = funnel["steps"].clone();
    let median = steps[1]["median_seconds"].take().as_f64().unwrap_or_default();
    check!((297.0..=303.0).contains(&median), "a median of about 300 seconds, not {median}");
    let expected = json!([
        {"type": "view", "count": 3, "conversion": 1, "from_previous": null, "median_seconds": null},
        {"type": "buy", "count": 1, "conversion": 1.0 / 3.0, "from_previous": 1.0 / 3.0, "median_seconds": null},
        {"type": "leave", "count": 0, "conversion": 0, "from_previous": 0, "median_seconds": null},
    ]);
    check_eq!(steps, expected, "the steps");
    check_eq!(funnel["by"], json!("payload.user"), "the path");
    let short = answer(&server, "/events/funnel?step=view&step=buy&by=payload.user&within=299s")?;
    check_eq!(short["steps"][1]["count"], json!(0), "those who bought within 299 seconds");
    let exact = answer(&server, "/events/funnel?step=view&step=buy&by=payload.user&within=300s")?;
    check_eq!(exact["steps"][1]["count"], json!(1), "those who bought within 300 seconds");
    let twice = answer(&server, "/events/funnel?step=buy&step=buy&by=payload.user")?;
    check_eq!(twice["steps"][1]["count"], json!(1), "those who bought twice");
    Ok(())
}

fn conditions_of_one_step(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    for (query, counts) in [
        ("step.2.payload.price[gte]=12", [3, 1]),
        ("step.2.payload.price[lt]=1", [3, 1]),
        ("step.2.payload.price[gt]=20", [3, 0]),
        ("step.1.payload.ms=10&step.1.payload.tags=a", [1, 1]),
        ("payload.user=ada", [1, 1]),
        ("type=view", [3, 0]),
    ] {
        let funnel = answer(&server, &format!("/events/funnel?step=view&step=buy&by=payload.user&{query}"))?;
        let found = [0, 1].map(|step| funnel["steps"][step]["count"].clone());
        check_eq!(found, counts.map(Value::from), "the counts with {query}");
    }
    Ok(())
}

fn bad_funnels(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let eleven = "step=a&".repeat(11);
    for (query, word) in [
        ("", "step"),
        ("step=a&by=payload.u", "step"),
        ("step=a&step=b", "by"),
        (eleven.as_str(), "step"),
        ("step=a&step=b&by=type", "by"),
        ("step=a&step=b&by=payload.u&within=0s", "within"),
        ("step=a&step=b&by=payload.u&within=7", "within"),
        ("step=a&step=b&by=payload.u&within=1y", "within"),
        ("step=a&step=b&by=payload.u&step.3.payload.x=1", "step.3"),
        ("step=a&step=b&by=payload.u&step.0.payload.x=1", "step.0"),
        ("step=a&step=b&by=payload.u&step.x=1", "step.x"),
        ("step=a&step=b&by=payload.u&interval=1d", "interval"),
    ] {
        expect_bad(&server, &format!("/events/funnel?{query}"), word)?;
    }
    Ok(())
}

fn cohorts(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let retention = answer(&server, "/events/retention?first=view&then=buy&by=payload.user&periods=2")?;
    let expected = json!({"cohorts": [{"time": "2026-03-28T00:00:00Z", "size": 3, "returned": [1, 1, 0]}]});
    check_eq!(retention, expected, "the cohorts by day");
    let query = "/events/retention?first=view&then=view&by=payload.user&periods=1&timezone=Europe/Berlin";
    let berlin = json!({"cohorts": [
        {"time": "2026-03-28T00:00:00+01:00", "size": 2, "returned": [0, 1]},
        {"time": "2026-03-29T00:00:00+01:00", "size": 1, "returned": [0, 0]},
    ]});
    check_eq!(answer(&server, query)?, berlin, "the cohorts by day in Berlin");
    let weeks = answer(&server, "/events/retention?first=view&then=view&by=payload.user&interval=1w")?;
    check_eq!(weeks["cohorts"][0]["returned"], json!([1, 0, 0, 0, 0, 0, 0, 0]), "returns within weeks");
    Ok(())
}

fn bad_retention(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (query, word) in [
        ("then=b&by=payload.u", "first"),
        ("first=a&by=payload.u", "then"),
        ("first=a&then=b", "by"),
        ("first=a&then=b&by=payload.u&periods=0", "periods"),
        ("first=a&then=b&by=payload.u&periods=53", "periods"),
        ("first=a&then=b&by=payload.u&interval=1h", "interval"),
        ("first=a&then=b&by=payload.u&timezone=x", "timezone"),
        ("first=a&first=b&then=b&by=payload.u", "first"),
    ] {
        expect_bad(&server, &format!("/events/retention?{query}"), word)?;
    }
    Ok(())
}

fn types(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let expected = json!([
        {"type": "view", "count": 4, "first": "2026-03-28T10:00:00Z", "last": "2026-03-29T12:00:00Z"},
        {"type": "buy", "count": 2, "first": "2026-03-28T10:05:00Z", "last": "2026-03-29T11:00:00Z"},
        {"type": "leave", "count": 1, "first": "2026-03-29T12:00:00Z", "last": "2026-03-29T12:00:00Z"},
    ]);
    check_eq!(answer(&server, "/events/types")?, expected, "the types");
    let ada = answer(&server, "/events/types?payload.user=ada&type=buy")?;
    check_eq!(ada[0]["count"], json!(2), "the purchases of one user");
    check_eq!(answer(&server, "/events/types?type=")?, json!([]), "no types");
    Ok(())
}

fn fields(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let expected = json!([
        {"path": "ms", "kinds": {"number": 1}, "unique": 1, "examples": [30]},
        {"path": "price", "kinds": {"number": 2}, "unique": 2, "examples": [0.01, 12.99]},
        {"path": "user", "kinds": {"string": 2}, "unique": 1, "examples": ["ada"]},
    ]);
    check_eq!(answer(&server, "/events/fields?type=buy")?, expected, "the fields of one type");
    let all = answer(&server, "/events/fields")?;
    let paths: Vec<&str> = all.as_array().into_iter().flatten().filter_map(|entry| entry["path"].as_str()).collect();
    check_eq!(paths, ["ms", "price", "tags", "user"], "the paths");
    check_eq!(all[2]["kinds"], json!({"string": 3, "array": 2}), "the kinds of tags");
    check_eq!(all[3]["kinds"], json!({"string": 6, "null": 1}), "the kinds of user");

    let server = ctx.empty()?;
    let long = "x".repeat(300);
    server.store(&json!({"event_type": "odd", "timestamp": 0, "payload": {"a.b": {"c[0]": [{"d": long}]}}}))?;
    let odd = answer(&server, "/events/fields")?;
    check_eq!(odd[2]["path"], json!(r"a\.b.c\[0\].d"), "the path of odd names");
    check_eq!(odd[2]["examples"], json!([]), "examples of long values");
    let target = format!(r"/events?payload.{}[exists]=true", odd[2]["path"].as_str().unwrap_or_default());
    check_eq!(server.get(&target)?.events()?.len(), 1, "the events with that path");
    numbers(&server, 10_001)?;
    let sampled = answer(&server, "/events/fields?type=n")?;
    check_eq!(sampled[0]["sampled"], json!(true), "whether the fields come from a sample");
    check_eq!(sampled[0]["kinds"], json!({"number": 10_000}), "the events of a sample");
    check_eq!(sampled[0]["examples"], json!([10_000, 9_999, 9_998, 9_997, 9_996]), "the latest values");
    Ok(())
}

fn bad_types(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    expect_bad(&server, "/events/types?interval=1d", "interval")?;
    expect_bad(&server, "/events/fields?limit=1", "limit")?;
    let response = server.send(&Request::get("/events/types").header("accept", "text/csv"))?;
    response.problem(406).map(drop)
}
