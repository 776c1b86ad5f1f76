//! W3C Trace Context: `traceparent` is read, logged and returned.

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["trace";
    "Routes": [a_trace_is_returned, an_invalid_trace_is_ignored, a_trace_is_logged],
];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traced(request: Request, field: &str) -> Request {
    request.header("traceparent", field)
}

/// The span of the server, if the answer names this trace.
fn span(response: &Response) -> Result<String, Failure> {
    let field = response.header("traceparent").ok_or_else(|| Failure::unmet("one traceparent in the answer"))?;
    let parts: Vec<&str> = field.split('-').collect();
    match parts[..] {
        ["00", TRACE, span, "01"] if span.len() == 16 && span.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(span.to_owned())
        }
        _ => Err(Failure::unmet(format!("a traceparent of the same trace, not {field:?}"))),
    }
}

fn a_trace_is_returned(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let field = format!("00-{TRACE}-{PARENT}-01");
    let mut spans = vec![PARENT.to_owned(), "0".repeat(16)];
    for (request, status) in [
        (Request::get("/health"), 200),
        (Request::get("/nowhere"), 404),
        (Request::new("PUT", "/events"), 405),
        (Request::new("HEAD", "/events?limit=1"), 200),
        (Request::get("/events?bad=1"), 400),
        (Request::post("/events", "application/json", "["), 400),
        (Request::get("/metrics"), 200),
        (Request::get(&format!("/{}", "x".repeat(40_000))), 414),
    ] {
        let what = format!("{} {:.30}", request.method, request.target);
        let response = server.send(&traced(request, &field).header("tracestate", "a=b"))?;
        check_eq!(response.status(), status, "the status of {what}");
        let span = span(&response).map_err(|failure| failure.within(&what))?;
        check!(!spans.contains(&span), "a span of its own for {what}, not {span}");
        check_eq!(response.header("tracestate"), None, "the state, which is not passed on");
        spans.push(span);
    }
    Ok(())
}

fn an_invalid_trace_is_ignored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    check_eq!(server.get("/health")?.header("traceparent"), None, "the trace of a request without one");
    let valid = format!("00-{TRACE}-{PARENT}-01");
    for field in [
        "",
        "00",
        &format!("00-{TRACE}-{PARENT}"),
        &format!("00-{TRACE}-{PARENT}-01-more"),
        &format!("ff-{TRACE}-{PARENT}-01"),
        &format!("00-{}-{PARENT}-01", "0".repeat(32)),
        &format!("00-{TRACE}-{}-01", "0".repeat(16)),
        &valid.to_ascii_uppercase(),
    ] {
        let response = server.send(&traced(Request::get("/health"), field))?;
        response.expect(200).map_err(|failure| failure.within(&field))?;
        check_eq!(response.header("traceparent"), None, "the trace in the answer to {field:?}");
    }
    let twice = traced(traced(Request::get("/health"), &valid), &valid);
    check_eq!(server.send(&twice)?.header("traceparent"), None, "the trace in the answer to two fields");
    // Of a later version, the part that is known is used.
    span(&server.send(&traced(Request::get("/health"), &format!("cc-{TRACE}-{PARENT}-01-more")))?).map(drop)
}

fn a_trace_is_logged(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--log", "debug")])?;
    server.send(&traced(Request::get("/health"), &format!("00-{TRACE}-{PARENT}-01")))?.expect(200)?;
    server.signal(Signal::Terminate)?;
    let log = server.wait()?.stderr;
    check!(log.contains(TRACE), "the trace in the log, not {log:?}");
    Ok(())
}
