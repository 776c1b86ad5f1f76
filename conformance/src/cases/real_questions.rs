//! Questions about two real event streams. The figures were computed in plain Python, from the files alone: with
//! `datetime`, `zoneinfo`, dictionaries and sorted lists.

use serde_json::{Value, json};

use super::questions::{answer, expect_close};
use super::real_data::imported;
use crate::case::{Case, cases};
use crate::check_eq;
use crate::context::{Context, Server};
use crate::failure::Outcome;

pub(super) const CASES: &[Case] = cases!["real_questions";
    "GET /events/aggregate": [questions_about_github_events, questions_about_wikipedia_edits],
];

/// Requires an estimate of different values: exact below 1,000, and otherwise within four standard deviations.
fn expect_unique(found: &Value, exact: f64, what: &str) -> Outcome {
    expect_close(found, exact, if exact < 1_000.0 { 0.0 } else { 0.033 }, what)
}

/// Requires the counts and medians of a funnel.
fn expect_funnel(server: &Server, query: &str, steps: &[(i64, Option<f64>)]) -> Outcome {
    let funnel = answer(server, &format!("/events/funnel?{query}"))?;
    check_eq!(funnel["steps"].as_array().map(Vec::len), Some(steps.len()), "the steps of {query}");
    for (at, (count, median)) in steps.iter().enumerate() {
        let step = &funnel["steps"][at];
        check_eq!(step["count"], json!(count), "the count of step {at} of {query}");
        match median {
            Some(median) => expect_close(&step["median_seconds"], *median, 0.01, "the median time")?,
            None => check_eq!(step["median_seconds"], Value::Null, "the median time of step {at}"),
        }
    }
    Ok(())
}

/// Five hours on two days, before and after the beginning of daylight saving time.
fn questions_about_github_events(ctx: &Context<'_>) -> Outcome {
    let server = imported(ctx, "github-events-127k.ndjson.gz", "type", "dt")?;
    let top = json!({
        "columns": ["type", "count"],
        "rows": [["push", 64_424], ["create", 16_710], ["icomment", 14_113]],
        "exact": true,
    });
    check_eq!(answer(&server, "/events/aggregate?group_by=type&top=3")?, top, "the most frequent types");
    let types = answer(&server, "/events/types")?;
    check_eq!(types.as_array().map(Vec::len), Some(14), "the types");
    check_eq!((&types[13]["type"], &types[13]["count"]), (&json!("public"), &json!(110)), "the rarest type");

    let hours = answer(
        &server,
        "/events/aggregate?type=push&interval=1h&timezone=America/St_Johns&agg=count&agg=sum(payload.commits)\
         &agg=unique(payload.actor)&agg=p95(payload.commits)&agg=avg(payload.commits)",
    )?;
    let expected = [
        ("2015-02-22T17:00:00-03:30", 6_838, 11_233, 4_250.0, 4.0, 1.642_731_792_921_907),
        ("2015-02-22T18:00:00-03:30", 13_585, 22_393, 7_307.0, 4.0, 1.648_362_164_151_638),
        ("2015-02-22T19:00:00-03:30", 12_977, 21_026, 6_838.0, 4.0, 1.620_251_213_685_751_6),
        ("2015-02-22T20:00:00-03:30", 5_806, 9_722, 3_426.0, 4.0, 1.674_474_681_364_106),
        ("2015-04-23T07:00:00-02:30", 6_441, 10_903, 4_067.0, 4.0, 1.692_749_573_047_663_4),
        ("2015-04-23T08:00:00-02:30", 12_322, 22_548, 6_784.0, 5.0, 1.829_897_743_872_748),
        ("2015-04-23T09:00:00-02:30", 6_455, 11_756, 4_090.0, 5.0, 1.821_223_857_474_825_6),
    ];
    check_eq!(hours["rows"].as_array().map(Vec::len), Some(expected.len()), "the hours");
    for (at, (time, count, sum, unique, p95, average)) in expected.into_iter().enumerate() {
        let row = &hours["rows"][at];
        check_eq!(json!([row[0], row[1], row[2]]), json!([time, count, sum]), "time, count and sum");
        expect_unique(&row[3], unique, "the different actors")?;
        expect_close(&row[4], p95, 0.01, "the 95th percentile")?;
        check_eq!(row[5], json!(average), "the average of {time}");
    }

    let funnel = "step=create&step=push&step=pr&by=payload.actor&within=1h";
    expect_funnel(&server, funnel, &[(8_076, None), (3_751, Some(302.0)), (408, Some(195.0))])?;
    let retention =
        answer(&server, "/events/retention?first=push&then=push&by=payload.actor&periods=1&timezone=Europe/Berlin")?;
    let expected = json!({"cohorts": [
        {"time": "2015-02-22T00:00:00+01:00", "size": 12_626, "returned": [5_328, 2_201]},
        {"time": "2015-02-23T00:00:00+01:00", "size": 4_117, "returned": [1_280, 0]},
        {"time": "2015-04-23T00:00:00+02:00", "size": 11_904, "returned": [4_628, 0]},
    ]});
    check_eq!(retention, expected, "who pushes again on the same day, and on the next");
    Ok(())
}

fn questions_about_wikipedia_edits(ctx: &Context<'_>) -> Outcome {
    let server = imported(ctx, "wikipedia-edits-39k.ndjson.gz", "channel", "time")?;
    let days = answer(
        &server,
        "/events/aggregate?interval=1d&timezone=Asia/Kolkata&start=2015-09-11T00:00:00%2B05:30\
         &end=2015-09-13T23:59:59%2B05:30&agg=count&agg=sum(payload.delta)&agg=min(payload.delta)\
         &agg=max(payload.delta)&agg=unique(payload.user)&agg=p50(payload.delta)&agg=p99(payload.delta)",
    )?;
    let expected = [
        ("2015-09-11T00:00:00+05:30", 1, 36, 36, 36, 1.0, 36.0, 36.0),
        ("2015-09-12T00:00:00+05:30", 29_419, 6_866_363, -500, 199_818, 8_310.0, 18.0, 3_983.0),
        ("2015-09-13T00:00:00+05:30", 9_781, 2_122_649, -495, 102_719, 3_437.0, 18.0, 3_407.0),
    ];
    check_eq!(days["rows"].as_array().map(Vec::len), Some(expected.len()), "the days");
    for (at, (time, count, sum, min, max, unique, p50, p99)) in expected.into_iter().enumerate() {
        let row = &days["rows"][at];
        let exact: Vec<&Value> = (0..5).map(|column| &row[column]).collect();
        check_eq!(json!(exact), json!([time, count, sum, min, max]), "the exact figures");
        expect_unique(&row[5], unique, "the different users")?;
        expect_close(&row[6], p50, 0.01, "the median")?;
        expect_close(&row[7], p99, 0.01, "the 99th percentile")?;
    }

    let target = "/events/aggregate?group_by=payload.namespace&group_by=payload.isRobot&agg=sum(payload.added)\
                  &agg=count&top=3";
    let largest = json!([
        ["Main", false, 4_487_036, 17_803],
        ["User talk", false, 770_646, 945],
        ["Discussioni utente", true, 504_321, 87],
    ]);
    check_eq!(answer(&server, target)?["rows"], largest, "the largest groups");
    let countries = answer(&server, "/events/aggregate?type=%23en.wikipedia&group_by=payload.countryName&top=4")?;
    let expected = json!([[null, 9_993], ["United States", 502], ["United Kingdom", 228], ["India", 119]]);
    check_eq!(countries["rows"], expected, "the countries with the most edits, most of them unknown");

    let funnel = "step=%23en.wikipedia&step=%23de.wikipedia&step=%23fr.wikipedia&by=payload.user&within=1d";
    expect_funnel(&server, funnel, &[(4_343, None), (19, Some(17_087.825)), (3, Some(389.466))])?;
    let weeks = answer(
        &server,
        "/events/retention?first=%23de.wikipedia&then=%23de.wikipedia&by=payload.user&interval=1w&periods=1\
         &timezone=Europe/Berlin",
    )?;
    let expected = json!({"cohorts": [
        {"time": "2015-09-07T00:00:00+02:00", "size": 894, "returned": [349, 0]},
        {"time": "2015-10-19T00:00:00+02:00", "size": 1, "returned": [0, 0]},
    ]});
    check_eq!(weeks, expected, "who edits again in the same week, and in the next");
    let days = answer(
        &server,
        "/events/retention?first=%23en.wikipedia&then=%23en.wikipedia&by=payload.user&periods=2\
         &timezone=America/Los_Angeles",
    )?;
    check_eq!(days["cohorts"].as_array().map(Vec::len), Some(8), "the cohorts by day in Los Angeles");
    let busiest = json!([
        {"time": "2015-09-11T00:00:00-07:00", "size": 1_137, "returned": [335, 353, 0]},
        {"time": "2015-09-12T00:00:00-07:00", "size": 3_200, "returned": [986, 0, 0]},
    ]);
    check_eq!(json!([days["cohorts"][2], days["cohorts"][3]]), busiest, "the two largest cohorts");
    Ok(())
}
