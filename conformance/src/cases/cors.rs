//! Browsers: pages of other origins, beacons, and names of the server.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["cors";
    "Keys, limits, browsers": [
        an_origin_has_no_effect_by_default, preflight_of_an_allowed_page, preflight_of_another_page,
        preflight_of_a_private_network, options_without_a_preflight, every_answer_names_the_page, every_origin,
        several_origins, beacons, beacons_of_other_pages, beacons_need_the_setting, no_type_is_sniffed,
        only_listed_hosts, wrong_origins_and_hosts,
    ],
];

const PAGE: &str = "https://app.example";
const EVENT: &str = r#"{"event_type":"web.click","timestamp":1,"payload":null}"#;

/// A server whose interface pages of [`PAGE`] may use.
fn for_page(ctx: &Context<'_>) -> Result<Server, Failure> {
    ctx.start(&[("--cors-origin", PAGE)])
}

fn from(origin: &str, request: Request) -> Request {
    request.header("origin", origin)
}

fn preflight(origin: &str, target: &str, method: &str) -> Request {
    from(origin, Request::new("OPTIONS", target)).header("access-control-request-method", method)
}

/// The names in a field, in lower case.
fn names(response: &Response, field: &str) -> Vec<String> {
    let value = response.header(field).unwrap_or_default();
    value.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn expect_fields(response: &Response, field: &str, expected: &[&str]) -> Outcome {
    let names = names(response, field);
    for name in expected {
        check!(names.iter().any(|other| other == name), "{name} in {field}, not only {names:?}");
    }
    Ok(())
}

fn expect_no_cors(response: &Response) -> Outcome {
    let fields = response.head.headers.iter().filter(|(name, _)| name.starts_with("access-control-"));
    check_eq!(fields.count(), 0, "fields of CORS");
    Ok(())
}

fn an_origin_has_no_effect_by_default(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for request in [Request::get("/health"), Request::get("/nothing"), Request::new("OPTIONS", "/events")] {
        let (plain, asked) = (server.send(&request)?, server.send(&from(PAGE, request.clone()))?);
        check_eq!(asked.status(), plain.status(), "the status");
        expect_no_cors(&asked)?;
        check!(!names(&asked, "vary").contains(&"origin".to_owned()), "no variants by origin");
    }
    let response = server.send(&preflight(PAGE, "/events", "POST"))?;
    response.expect(405)?;
    expect_no_cors(&response)
}

fn preflight_of_an_allowed_page(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    for (target, methods) in
        [("/events", &["get", "head", "post"][..]), ("/events/x", &["get", "head"]), ("/nothing", &["get"])]
    {
        let request = preflight(PAGE, target, "POST");
        let request = request.header("access-control-request-headers", "authorization,content-type,x-of-a-library");
        let response = server.send(&request)?;
        response.expect(204)?;
        response.expect_header("access-control-allow-origin", PAGE)?;
        expect_fields(&response, "access-control-allow-methods", methods)?;
        let fields = ["authorization", "content-type", "prefer", "last-event-id", "traceparent", "x-of-a-library"];
        expect_fields(&response, "access-control-allow-headers", &fields)?;
        expect_fields(&response, "vary", &["origin"])?;
        let age = response.header("access-control-max-age").and_then(|age| age.parse::<u32>().ok());
        check!(age.is_some_and(|age| age > 0), "an age of the preflight, not {age:?}");
        for field in ["access-control-allow-credentials", "content-length", "content-type", "transfer-encoding"] {
            check_eq!(response.header(field), None, "the field {field}");
        }
    }
    Ok(())
}

fn preflight_of_another_page(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    for origin in ["https://evil.example", "http://app.example", "https://app.example:8443", "null"] {
        let response = server.send(&preflight(origin, "/events", "POST"))?;
        response.problem_naming(403, "--cors-origin")?;
        expect_no_cors(&response)?;
    }
    Ok(())
}

fn preflight_of_a_private_network(ctx: &Context<'_>) -> Outcome {
    let field = "access-control-request-private-network";
    let request = preflight(PAGE, "/events", "POST").header(field, "true");
    let response = for_page(ctx)?.send(&request)?;
    response.expect_header("access-control-allow-private-network", "true")?;
    let response = ctx.start(&[("--cors-origin", "*")])?.send(&request)?;
    response.expect(204)?;
    check_eq!(response.header("access-control-allow-private-network"), None, "leave for any page");
    Ok(())
}

fn options_without_a_preflight(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    let response = server.send(&from(PAGE, Request::new("OPTIONS", "/events")))?;
    response.expect(405)?;
    response.expect_header("allow", "GET, HEAD, POST, DELETE")?;
    server.send(&Request::new("OPTIONS", "*"))?.expect(405)
}

fn every_answer_names_the_page(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    let lines = format!("{EVENT}\n").repeat(5_000);
    let post = |body: &str| Request::post("/events", "application/json", body);
    for (request, status) in [
        (Request::post("/events", "application/x-ndjson", lines), 201),
        (post(EVENT), 201),
        (post("{"), 400),
        (post("{}"), 422),
        (Request::post("/events", "text/html", "x"), 415),
        (Request::get("/events"), 200),
        (Request::get("/events?limit=1"), 200),
        (Request::new("HEAD", "/events"), 200),
        (Request::get("/events/none"), 404),
        (Request::get("/events?x=1"), 400),
        (Request::new("PUT", "/events"), 405),
        (Request::get("/nothing"), 404),
        (Request::get("/metrics"), 200),
        (Request::get("/health/ready"), 200),
        (Request::get("/openapi.json"), 200),
    ] {
        let place = format!("{request:?}");
        let response = server.send(&from(PAGE, request.clone()))?;
        let named = response
            .expect(status)
            .and_then(|()| response.expect_header("access-control-allow-origin", PAGE))
            .and_then(|()| expect_fields(&response, "vary", &["origin"]))
            .and_then(|()| {
                let exposed = ["argus-last-seq", "location", "link", "retry-after", "x-request-id", "etag"];
                expect_fields(&response, "access-control-expose-headers", &exposed)
            });
        named.map_err(|failure| failure.within(&place.get(..120).unwrap_or(&place)))?;
        let other = server.send(&from("https://evil.example", request))?;
        check_eq!(other.status(), status, "the status for another page");
        expect_no_cors(&other)?;
        // A cache must not give this answer to the page that may read it.
        expect_fields(&other, "vary", &["origin"])?;
    }
    Ok(())
}

fn every_origin(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--cors-origin", "*")])?;
    for origin in [PAGE, "http://localhost:5173", "null"] {
        server.send(&preflight(origin, "/events", "POST"))?.expect(204)?;
        let response = server.send(&from(origin, Request::get("/health")))?;
        response.expect_header("access-control-allow-origin", "*")?;
        check!(!names(&response, "vary").contains(&"origin".to_owned()), "no variants by origin");
    }
    Ok(())
}

fn several_origins(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--cors-origin", PAGE), ("--cors-origin", "HTTP://LocalHost:80")])?;
    for origin in [PAGE, "http://localhost"] {
        let response = server.send(&from(origin, Request::get("/health")))?;
        response.expect_header("access-control-allow-origin", origin)?;
    }
    expect_no_cors(&server.send(&from("http://localhost:80", Request::get("/health")))?)
}

fn beacons(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    let beacon = |body: &str| from(PAGE, Request::post("/events", "text/plain;charset=UTF-8", body));
    server.send(&beacon(EVENT))?.expect(201)?;
    server.send(&beacon(&format!("[{EVENT},{EVENT}]")))?.expect(201)?;
    // Not from a browser, and from a page of the server itself.
    server.send(&Request::post("/events", "text/plain", EVENT))?.expect(201)?;
    let own = format!("http://{}", server.host());
    server.send(&from(&own, Request::post("/events", "text/plain", EVENT)))?.expect(201)?;
    check_eq!(server.payloads("")?, [json!(null), json!(null), json!(null), json!(null), json!(null)], "the events");
    // One JSON text, not lines.
    server.send(&beacon(&format!("{EVENT}\n{EVENT}")))?.problem_naming(400, "application/x-ndjson")?;
    server.send(&beacon("{}"))?.expect(422)
}

fn beacons_of_other_pages(ctx: &Context<'_>) -> Outcome {
    let server = for_page(ctx)?;
    for origin in ["https://evil.example", "null"] {
        let request = from(origin, Request::post("/events", "text/plain;charset=UTF-8", EVENT));
        server.send(&request)?.problem_naming(403, "--cors-origin")?;
    }
    server.expect_empty()
}

fn beacons_need_the_setting(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = from(PAGE, Request::post("/events", "text/plain;charset=UTF-8", EVENT));
    server.send(&request)?.problem_naming(415, "--cors-origin")?;
    server.expect_empty()
}

fn no_type_is_sniffed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (bytes, status) in [
        ("GET /health HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 200),
        ("GET /events HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 200),
        ("GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 404),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\nhost: x\r\n\r\n".to_owned(), 505),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(100_000)), 431),
    ] {
        let mut connection = server.connect()?;
        connection.write(bytes.as_bytes())?;
        let head = connection.read_head("GET")?;
        check_eq!(head.status, status, "the status");
        check_eq!(head.header("x-content-type-options"), Some("nosniff"), "the field with the status {status}");
    }
    Ok(())
}

fn only_listed_hosts(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--allow-host", "events.example"), ("--allow-host", "other.example:8443")])?;
    let status = |host: &str| -> Result<u16, Failure> {
        let mut connection = server.connect()?;
        connection.write(format!("GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())?;
        Ok(connection.response_to("GET")?.status())
    };
    for (host, expected) in [
        ("events.example", 200),
        ("EVENTS.example:1234", 200),
        ("other.example:8443", 200),
        ("other.example:8444", 421),
        ("127.0.0.1:3000", 200),
        ("[::1]", 200),
        ("localhost:3000", 200),
        ("", 200),
        ("evil.example", 421),
        ("events.example.evil.example", 421),
        ("localhost.evil.example", 421),
        ("a b", 400),
    ] {
        check_eq!(status(host)?, expected, "the status for {host:?}");
    }
    let mut connection = server.connect()?;
    connection.write(b"POST /events HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\n\r\n")?;
    connection.response_to("POST")?.problem_naming(421, "--allow-host")
}

fn wrong_origins_and_hosts(ctx: &Context<'_>) -> Outcome {
    for (flag, value, reason) in [
        ("--cors-origin", "app.example", "scheme"),
        ("--cors-origin", "https://app.example/", "path"),
        ("--cors-origin", "https://*.example", "wildcard"),
        ("--allow-host", "http://a", "host"),
        ("--allow-host", "*.example", "host"),
    ] {
        let exit = ctx.run_to_exit(&[flag, value])?;
        check_eq!(exit.code, Some(2), "the exit code after {flag} {value}");
        check!(exit.stderr.contains(flag) && exit.stderr.contains(reason), "{reason} in {:?}", exit.stderr);
    }
    Ok(())
}
