//! Comma-separated values: events, and tables of figures.

use serde_json::json;

use super::questions::{expect_bad, numbers};
use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};

pub(super) const CASES: &[Case] = cases!["csv";
    "GET /events": [events_as_csv, pages_as_csv, bad_fields],
    "GET /events/aggregate": [a_table_as_csv],
];

fn csv(server: &Server, target: &str) -> Result<String, Failure> {
    let response = server.send(&Request::get(target).header("accept", "text/csv"))?;
    response.expect(200)?;
    response.expect_header("content-type", "text/csv; charset=utf-8; header=present")?;
    Ok(response.text()?.to_owned())
}

fn events_as_csv(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!([
        {
            "id": "a,1", "event_type": "x", "timestamp": 0,
            "payload": {"a": {"b": [1, "y"]}, "c": null, "d": "line\nbreak"},
        },
        {"id": "2", "event_type": "x", "timestamp": 1.5, "payload": "text"},
    ]))?;
    let whole = "id,seq,timestamp,event_type,payload\r\n\
                 \"a,1\",1,1970-01-01T00:00:00Z,x,\"{\"\"a\"\":{\"\"b\"\":[1,\"\"y\"\"]},\"\"c\"\":null,\
                 \"\"d\"\":\"\"line\\nbreak\"\"}\"\r\n\
                 2,2,1970-01-01T00:00:01.500Z,x,text\r\n";
    check_eq!(csv(&server, "/events")?, whole, "all events");
    let some = "seq,payload.a.b,payload.c,payload.d\r\n1,\"[1,\"\"y\"\"]\",,\"line\nbreak\"\r\n2,,,\r\n";
    check_eq!(csv(&server, "/events?fields=seq,payload.a.b,payload.c,payload.d")?, some, "some columns");
    check_eq!(csv(&server, "/events?type=none&fields=seq")?, "seq\r\n", "no events");
    Ok(())
}

fn pages_as_csv(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    numbers(&server, 5)?;
    let mut target = "/events?fields=seq,payload.n&limit=2".to_owned();
    let mut lines = Vec::new();
    loop {
        let response = server.send(&Request::get(&target).header("accept", "text/csv"))?;
        response.expect(200)?;
        let mut page = response.text()?.lines();
        check_eq!(page.next(), Some("seq,payload.n"), "the head of a page");
        lines.extend(page.map(str::to_owned));
        let Some(link) = response.header("link") else { break };
        target = link.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
    }
    check_eq!(lines, ["1,0", "2,1", "3,2", "4,3", "5,4"], "the lines of all pages");
    Ok(())
}

fn bad_fields(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    expect_bad(&server, "/events?fields=id", "fields")?;
    for fields in ["", "id,", "type", "id,id", r"payload.\x"] {
        let request = Request::get(&format!("/events?fields={fields}")).header("accept", "text/csv");
        server.send(&request)?.problem_naming(400, "fields")?;
    }
    Ok(())
}

fn a_table_as_csv(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!([
        {"event_type": "a", "timestamp": 0, "payload": {"k": "x, \"y\"", "n": 1.50}},
        {"event_type": "a", "timestamp": 0, "payload": {"k": "", "n": "z"}},
        {"event_type": "a", "timestamp": 0, "payload": {"k": {"o": 1}}},
        {"event_type": "a", "timestamp": 0, "payload": null},
    ]))?;
    let expected = "time,payload.k,count,max(payload.n)\r\n\
                    1970-01-01T00:00:00Z,,1,\r\n\
                    1970-01-01T00:00:00Z,\"\",1,z\r\n\
                    1970-01-01T00:00:00Z,\"x, \"\"y\"\"\",1,1.5\r\n\
                    1970-01-01T00:00:00Z,\"{\"\"o\"\":1}\",1,\r\n";
    let target = "/events/aggregate?interval=1d&group_by=payload.k&agg=count&agg=max(payload.n)";
    check_eq!(csv(&server, target)?, expected, "the table");
    Ok(())
}
