//! What holds for every route: methods, errors, request ids, connections.

use std::collections::BTreeSet;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["http";
    "Routes": [
        unknown_paths_name_the_routes, root_leads_to_the_description, paths_are_case_sensitive,
        paths_are_not_normalised, encoded_path, other_methods, unknown_method,
        lower_case_method, head_of_unknown_path, problem_of_head_has_no_body, problems_have_known_types,
        request_id_of_the_caller, request_id_is_generated, invalid_request_id_is_replaced, request_id_of_errors,
        answers_carry_a_date, connection_is_kept_alive, connection_close_is_obeyed, http10_is_answered,
        http10_keep_alive, long_head_is_accepted, answers_are_not_cached, json_ends_with_a_line_end,
    ],
    "Order of checks": [method_before_headers_of_the_body, path_before_body, headers_before_body],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":0,"payload":1}"#;

fn unknown_paths_name_the_routes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let targets = [
        "/event",
        "/events/",
        "/eventsx",
        "/events.json",
        "/v1/events",
        "//",
        "/openapi.yaml",
        "/metrics/",
        "/a/b?x=1",
    ];
    for target in targets {
        for method in ["GET", "POST", "DELETE"] {
            let response = server.send(&Request::new(method, target))?;
            for route in
                ["GET/POST/DELETE /events", "GET /events/{id}", "GET /health", "GET /metrics", "GET /openapi.json"]
            {
                response.problem_naming(404, route).map_err(|failure| failure.within(&format!("{method} {target}")))?;
            }
        }
    }
    Ok(())
}

fn root_leads_to_the_description(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for method in ["GET", "HEAD"] {
        for target in ["/", "/?x=1", "http://any-host"] {
            let response = server.connect()?.request(&Request::new(method, target))?;
            response.expect(307).map_err(|failure| failure.within(&format!("{method} {target}")))?;
            response.expect_header("location", "/openapi.json")?;
            response.expect_header("link", "</openapi.json>; rel=\"service-desc\"")?;
            check_eq!(response.text()?.contains("/openapi.json"), method == "GET", "the path in the body of {method}");
        }
    }
    Ok(())
}

fn paths_are_case_sensitive(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/Events", "/HEALTH", "/health/Live"] {
        server.get(target)?.problem(404).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn paths_are_not_normalised(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/health/../events", "/./events", "/events/../events", "//health", "/health//live"] {
        server.get(target)?.problem(404).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn encoded_path(ctx: &Context<'_>) -> Outcome {
    // An encoded letter is the same letter (RFC 3986, section 6.2.2.2); an encoded slash is not a slash.
    let server = ctx.server()?;
    server.get("/%65vents?limit=1")?.expect(200)?;
    server.get("/health%2Flive")?.problem(404).map(drop)
}

fn other_methods(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (target, allowed) in [
        ("/", "GET, HEAD"),
        ("/events", "GET, HEAD, POST, DELETE"),
        ("/events/some-id", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/health/live", "GET, HEAD"),
        ("/health/ready", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
        ("/openapi.json", "GET, HEAD"),
    ] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            if allowed.contains(method) {
                continue;
            }
            let response = server.send(&Request::new(method, target))?;
            response.problem_naming(405, method).map_err(|failure| failure.within(&format!("{method} {target}")))?;
            let allow: BTreeSet<&str> = response.header("allow").unwrap_or_default().split(", ").collect();
            check_eq!(allow, allowed.split(", ").collect(), "Allow of {method} {target}");
        }
    }
    Ok(())
}

fn unknown_method(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for method in ["BREW", "GETX", "PROPFIND", "X-Y_Z!"] {
        server.send(&Request::new(method, "/events"))?.problem(405).map_err(|failure| failure.within(&method))?;
        server.send(&Request::new(method, "/nowhere"))?.problem(404).map_err(|failure| failure.within(&method))?;
    }
    Ok(())
}

fn lower_case_method(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // Methods are case-sensitive (RFC 9110, section 9.1), so these are unknown ones.
    for method in ["get", "Get", "head"] {
        let status = server.connect()?.request(&Request::new(method, "/events"))?.status();
        check!(matches!(status, 400 | 405 | 501), "a refusal of the method {method}, not {status}");
    }
    let post = Request { method: "post".to_owned(), ..Request::post("/events", "application/json", EVENT) };
    let status = server.send(&post)?.status();
    check!(matches!(status, 400 | 405 | 501), "a refusal of the method post, not {status}");
    server.expect_empty()
}

fn head_of_unknown_path(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let response = server.send(&Request::new("HEAD", "/nowhere"))?;
    response.expect(404)?;
    response.expect_header("content-type", "application/problem+json")
}

fn problem_of_head_has_no_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for target in ["/nowhere", "/events?limit=0", "/events/nothing"] {
        let head = connection.request(&Request::new("HEAD", target))?;
        check!(head.status() >= 400, "an error for HEAD {target}");
        // A body would be read as the start of this answer.
        connection.request(&Request::get("/health/live"))?.expect(200)?;
    }
    Ok(())
}

fn problems_have_known_types(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (request, status, kind, title) in [
        (Request::get("/nowhere"), 404, "not-found", "Not found"),
        (Request::new("PUT", "/events"), 405, "method-not-allowed", "Method not allowed"),
        (Request::get("/events?limit=x"), 400, "invalid-parameter", "Invalid query parameter"),
        (Request::post("/events", "application/json", "{"), 400, "invalid-json", "The body is not JSON"),
        (Request::post("/events", "application/json", "{}"), 422, "invalid-events", "Invalid events"),
        (Request::post("/events", "text/plain", EVENT), 415, "unsupported-media-type", "Unsupported media type"),
        (Request::get("/events").header("expect", "it"), 417, "expectation-failed", "Expectation failed"),
    ] {
        let problem = server.send(&request)?.problem(status)?;
        check_eq!(problem["type"], format!("/problems/{kind}"), "the type of the problem");
        check_eq!(problem["title"], title, "the title of the problem");
    }
    Ok(())
}

fn request_id_of_the_caller(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for id in ["a", "abc-123_x.y:z/+=", &"x".repeat(128)] {
        let response = server.send(&Request::get("/health").header("X-Request-ID", id))?;
        response.expect_header("x-request-id", id)?;
    }
    Ok(())
}

fn request_id_is_generated(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut seen = BTreeSet::new();
    let mut connection = server.connect()?;
    for _ in 0..20 {
        let response = connection.request(&Request::get("/health"))?;
        let id = response.header("x-request-id").ok_or_else(|| Failure::unmet("an X-Request-Id"))?.to_owned();
        check!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()), "a valid X-Request-Id, not {id:?}");
        check!(seen.insert(id), "a new X-Request-Id");
    }
    Ok(())
}

fn invalid_request_id_is_replaced(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for id in ["", "two words", &"x".repeat(129), "tab\there", "\u{e9}t\u{e9}"] {
        let response = server.send(&Request::get("/health").header("x-request-id", id))?;
        response.expect(200)?;
        let given = response.header("x-request-id").ok_or_else(|| Failure::unmet("one X-Request-Id"))?;
        check!(given != id && !given.is_empty(), "a generated X-Request-Id instead of {id:?}");
    }
    let twice = Request::get("/health").header("x-request-id", "one").header("x-request-id", "two");
    let response = server.send(&twice)?;
    let given = response.header("x-request-id").ok_or_else(|| Failure::unmet("one X-Request-Id"))?;
    check!(given != "one" && given != "two", "a generated X-Request-Id instead of two");
    Ok(())
}

fn request_id_of_errors(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for request in [
        Request::get("/nowhere"),
        Request::new("PUT", "/events"),
        Request::post("/events", "application/json", "{"),
        Request::get("/events?limit=0"),
    ] {
        server.send(&request.header("x-request-id", "mine"))?.expect_header("x-request-id", "mine")?;
    }
    Ok(())
}

fn answers_carry_a_date(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/health", "/events", "/nowhere"] {
        let response = server.get(target)?;
        let date = response.header("date").unwrap_or_default();
        // IMF-fixdate (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
        check!(date.len() == 29 && date.ends_with(" GMT"), "a Date with {target}, not {date:?}");
    }
    Ok(())
}

fn connection_is_kept_alive(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    for _ in 0..5 {
        connection.request(&Request::post("/events", "application/json", EVENT))?.expect(201)?;
        connection.request(&Request::get("/events"))?.expect(200)?;
        connection.request(&Request::get("/nowhere"))?.expect(404)?;
        connection.request(&Request::post("/events", "application/json", "{"))?.expect(400)?;
        connection.request(&Request::post("/events", "application/json", "{}"))?.expect(422)?;
        connection.request(&Request::new("HEAD", "/events"))?.expect(200)?;
    }
    Ok(())
}

fn connection_close_is_obeyed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for request in
        [Request::get("/health"), Request::get("/events?limit=1"), Request::post("/events", "application/json", EVENT)]
    {
        let mut connection = server.connect()?;
        let response = connection.request(&request.header("connection", "close"))?;
        check!(response.status() < 300, "success");
        check!(
            response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            "Connection: close"
        );
        connection.expect_close()?;
    }
    Ok(())
}

fn http10_is_answered(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(EVENT)?.expect(201)?;
    for target in ["/health", "/events", "/nowhere"] {
        let mut connection = server.connect()?;
        connection.write(format!("GET {target} HTTP/1.0\r\nhost: {}\r\n\r\n", server.host()).as_bytes())?;
        let response = connection.response_to("GET")?;
        check_eq!(response.header("transfer-encoding"), None, "Transfer-Encoding, which HTTP/1.0 does not know");
        response.json()?;
        connection.expect_close()?;
    }
    Ok(())
}

fn http10_keep_alive(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let request = format!("GET /health HTTP/1.0\r\nhost: {}\r\nconnection: keep-alive\r\n\r\n", server.host());
    connection.write(request.as_bytes())?;
    let response = connection.response_to("GET")?;
    response.expect(200)?;
    if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")) {
        connection.write(request.as_bytes())?;
        return connection.response_to("GET")?.expect(200);
    }
    connection.expect_close()
}

fn long_head_is_accepted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    server.get(&format!("/events?type={}", "x".repeat(4000)))?.expect(200)?;
    let mut request = Request::get("/health");
    for n in 0..40 {
        request = request.header(&format!("x-filler-{n}"), &"y".repeat(100));
    }
    server.send(&request)?.expect(200)
}

fn answers_are_not_cached(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/events?limit=1", "/health", "/nowhere"] {
        server.get(target)?.expect_header("cache-control", "no-store").map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

/// A shell prompt begins on a line of its own.
fn json_ends_with_a_line_end(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let json = |body: &str| Request::post("/events", "application/json", body);
    let event = EVENT.replace("login", "one").replace('}', r#","id":"a"}"#);
    for (request, status) in [
        (Request::get("/events"), 200),
        (Request::get("/events?limit=1"), 200),
        (json(&event), 201),
        (json(&event), 201),
        (json(&format!("[{EVENT},{EVENT}]")), 201),
        (json("[]"), 201),
        (json("[1]").header("prefer", "handling=lenient"), 200),
        (Request::get("/events"), 200),
        (Request::get("/events?limit=1"), 200),
        (Request::get("/events/a"), 200),
        (Request::get("/health"), 200),
        (Request::get("/health/live"), 200),
        (Request::get("/health/ready"), 200),
        (Request::get("/openapi.json"), 200),
        (json("{"), 400),
        (Request::get("/events?limit=0"), 400),
        (Request::get("/events/none"), 404),
        (Request::get("/nowhere"), 404),
        (Request::new("PUT", "/events"), 405),
        (Request::get("/events").header("accept", "text/plain"), 406),
        (Request::post("/events", "text/plain", EVENT), 415),
        (json("{}"), 422),
    ] {
        let what = format!("{} {} with {status}", request.method, request.target);
        let response = server.send(&request)?;
        response.expect(status).map_err(|failure| failure.within(&what))?;
        response.json_text().map_err(|failure| failure.within(&what))?;
    }
    // Lines of events end with one each, and no further one follows.
    let lines = server.send(&Request::get("/events").header("accept", "application/x-ndjson"))?;
    check_eq!(lines.text()?.matches('\n').count(), 3, "line ends of three events");
    Ok(())
}

fn method_before_headers_of_the_body(ctx: &Context<'_>) -> Outcome {
    let request = Request::post("/health", "text/plain", "x").header("content-encoding", "br");
    ctx.server()?.send(&request)?.problem(405).map(drop)
}

fn path_before_body(ctx: &Context<'_>) -> Outcome {
    ctx.server()?.send(&Request::post("/nowhere", "application/json", "{"))?.problem(404).map(drop)
}

fn headers_before_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // The body is never sent.
    let mut connection = server.connect()?;
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\n";
    connection.write(head.as_bytes())?;
    connection.response_to("POST")?.problem(415)?;
    connection.expect_close()?;
    server.expect_empty()
}
