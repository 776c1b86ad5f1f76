//! Rate limits by address, and which address a request comes from. Cases with keys are in `keys`.

use std::thread;
use std::time::Duration;

use crate::case::{Case, cases};
use crate::client::{Connection, Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::LOCAL_NETWORKS;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["rate_limit";
    "Keys, limits, browsers": [
        off_by_default, requests_beyond_the_burst_are_refused, every_answer_says_what_is_left,
        a_burst_of_its_own, admitted_again_after_retry_after, health_is_exempt, every_other_route_counts,
        bytes_are_charged_after_the_body, chunked_bodies_are_charged, a_body_larger_than_the_burst_is_accepted,
        refused_before_the_body, connections_stay_open, invalid_limits_are_wrong_settings,
    ],
    "Keys, limits, browsers: proxies": [
        fields_of_strangers_are_ignored, trusted_proxies_name_the_client, the_rightmost_stranger_is_the_client,
        forwarded_names_the_client, both_fields_must_agree, what_is_not_an_address_counts_as_the_proxy,
        ipv6_counts_by_64_bits, the_client_is_logged,
    ],
    "Order of checks": [malformed_requests_are_not_counted, unknown_paths_and_methods_count],
];

const EVENT: &str = r#"{"event_type":"limit","timestamp":0,"payload":1}"#;
/// A limit that a case can reach, and that does not go away while it runs.
const THREE: (&str, &str) = ("--rate-limit", "3/h");
/// The tests connect from here.
const TRUST: (&str, &str) = ("--trust-proxy", LOCAL_NETWORKS);

/// Requires a refusal by the rate limit.
fn expect_refused(response: &Response) -> Outcome {
    let problem = response.problem(429)?;
    check_eq!(problem["type"].as_str(), Some("/problems/too-many-requests"), "the type of the problem");
    retry_after(response).map(drop)
}

fn retry_after(response: &Response) -> Result<u64, Failure> {
    let seconds = response.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    seconds.filter(|seconds| *seconds >= 1).ok_or_else(|| Failure::unmet("Retry-After in whole seconds, at least 1"))
}

/// Requests until the first that is refused; returns how many were not.
fn admitted(server: &Server, request: &Request) -> Result<usize, Failure> {
    for number in 0..20 {
        let response = server.send(request)?;
        if response.status() == 429 {
            expect_refused(&response)?;
            return Ok(number);
        }
    }
    Err(Failure::unmet("a refusal among twenty requests"))
}

fn off_by_default(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for _ in 0..200 {
        let response = server.get("/events")?;
        response.expect(200)?;
        check_eq!(response.header("ratelimit"), None, "RateLimit without a limit");
        check_eq!(response.header("ratelimit-policy"), None, "RateLimit-Policy without a limit");
    }
    Ok(())
}

fn requests_beyond_the_burst_are_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[THREE])?;
    check_eq!(admitted(&server, &Request::get("/events"))?, 3, "requests admitted");
    let refused = server.submit(EVENT)?;
    expect_refused(&refused)?;
    refused.problem_naming(429, "--rate-limit")?;
    check!(retry_after(&refused)? <= 1200, "Retry-After until the next request, a third of an hour");
    Ok(())
}

fn every_answer_says_what_is_left(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[THREE])?;
    for (left, status) in [(2, 201), (1, 201), (0, 201), (0, 429)] {
        let response = server.submit(EVENT)?;
        response.expect(status)?;
        response.expect_header("ratelimit-policy", "\"default\";q=3;w=3600")?;
        let field = response.header("ratelimit").unwrap_or_default();
        let (start, rest) = (format!("\"default\";r={left};t="), field.rsplit('=').next().unwrap_or_default());
        check!(field.starts_with(&start), "RateLimit with {start}, not {field}");
        check!(rest.parse::<u64>().is_ok_and(|seconds| (1..=3600).contains(&seconds)), "seconds in {field}");
    }
    Ok(())
}

fn a_burst_of_its_own(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit", "1/h"), ("--rate-burst", "5")])?;
    server.get("/")?.expect_header("ratelimit-policy", "\"default\";q=5;w=18000")?;
    check_eq!(admitted(&server, &Request::get("/events"))?, 4, "further requests admitted");
    Ok(())
}

/// A client that does as it is told is served.
fn admitted_again_after_retry_after(ctx: &Context<'_>) -> Outcome {
    // One in three seconds.
    let server = ctx.start(&[("--rate-limit", "20/m"), ("--rate-burst", "1")])?;
    for _ in 0..20 {
        let response = server.submit(EVENT)?;
        if response.status() == 429 {
            thread::sleep(Duration::from_secs(retry_after(&response)?));
            return server.submit(EVENT)?.expect(201);
        }
        response.expect(201)?;
    }
    Err(Failure::unmet("a refusal among twenty requests at one in three seconds"))
}

fn health_is_exempt(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[THREE])?;
    for _ in 0..3 {
        for target in ["/health", "/health/live", "/health/ready"] {
            let response = server.get(target)?;
            response.expect(200)?;
            check_eq!(response.header("ratelimit"), None, "RateLimit of {target}");
        }
    }
    check_eq!(admitted(&server, &Request::get("/events"))?, 3, "requests admitted after those");
    server.get("/health")?.expect(200)
}

fn every_other_route_counts(ctx: &Context<'_>) -> Outcome {
    for target in ["/events", "/events/x", "/metrics", "/openapi.json", "/"] {
        let server = ctx.start(&[THREE])?;
        check_eq!(admitted(&server, &Request::get(target))?, 3, "requests of {target} admitted");
    }
    Ok(())
}

fn bytes_are_charged_after_the_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit-bytes", "1B/h"), ("--rate-burst-bytes", "1KiB")])?;
    let half = format!("{EVENT}{}", " ".repeat(512 - EVENT.len()));
    for left in [512, 0] {
        let response = server.submit(half.as_str())?;
        response.expect(201)?;
        response.expect_header("ratelimit-policy", "\"default-bytes\";q=1024;w=3686400;qu=\"content-bytes\"")?;
        let field = response.header("ratelimit").unwrap_or_default();
        check!(field.starts_with(&format!("\"default-bytes\";r={left};t=")), "{left} bytes left, not {field}");
    }
    let refused = server.submit(EVENT)?;
    expect_refused(&refused)?;
    refused.problem_naming(429, "--rate-limit-bytes")?;
    // Requests without a body go on.
    server.get("/events")?.expect(200)
}

fn chunked_bodies_are_charged(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit-bytes", "40B/h")])?;
    let chunked = |connection: &mut Connection| -> Result<Response, Failure> {
        let head =
            "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        connection.write(format!("{head}{:x}\r\n{EVENT}\r\n0\r\n\r\n", EVENT.len()).as_bytes())?;
        connection.response_to("POST")
    };
    chunked(&mut server.connect()?)?.expect(201)?;
    expect_refused(&chunked(&mut server.connect()?)?)
}

fn a_body_larger_than_the_burst_is_accepted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit-bytes", "1KiB/h"), ("--rate-burst-bytes", "1")])?;
    let body = format!("{EVENT}{}", " ".repeat(100_000));
    server.submit(body.as_str())?.expect(201)?;
    let refused = server.submit(EVENT)?;
    expect_refused(&refused)?;
    // The debt of 100,000 bytes is paid off at 1,024 an hour.
    check!(retry_after(&refused)? > 300_000, "Retry-After that grows with the debt");
    Ok(())
}

fn refused_before_the_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit", "1/h")])?;
    server.submit(EVENT)?.expect(201)?;
    let mut connection = server.connect()?;
    let request = Request::post("/events", "application/json", vec![b' '; 1 << 20]).header("expect", "100-continue");
    connection.write(&request.head_bytes(&server.host()))?;
    expect_refused(&connection.response_to("POST")?)
}

fn connections_stay_open(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit", "1/h")])?;
    let mut connection = server.connect()?;
    connection.request(&Request::get("/events"))?.expect(200)?;
    for _ in 0..3 {
        expect_refused(&connection.request(&Request::get("/events"))?)?;
    }
    connection.request(&Request::get("/health"))?.expect(200)
}

fn invalid_limits_are_wrong_settings(ctx: &Context<'_>) -> Outcome {
    for (arguments, expected) in [
        (&["--rate-limit", "100"][..], "100/s"),
        (&["--rate-limit", "0/s"], "zero"),
        (&["--rate-limit-bytes", "1/day"], "/s"),
        (&["--rate-burst", "5"], "burst"),
        (&["--trust-proxy", "localhost"], "10.0.0.0/8"),
        (&["--trust-proxy", "10.1.0.0/8"], "10.0.0.0/8"),
    ] {
        let exit = ctx.run_to_exit(arguments)?;
        check_eq!(exit.code, Some(2), "the exit code of {arguments:?}");
        check!(exit.stderr.contains(expected), "a message that names {expected:?}, not {:?}", exit.stderr);
    }
    Ok(())
}

/// The statuses of requests with these fields, one after the other.
fn statuses(server: &Server, fields: &[&[(&str, &str)]]) -> Result<Vec<u16>, Failure> {
    let status = |fields: &&[(&str, &str)]| {
        let request = fields.iter().fold(Request::get("/events"), |request, (name, value)| request.header(name, value));
        Ok(server.send(&request)?.status())
    };
    fields.iter().map(status).collect()
}

/// A server that admits one request of each client.
fn one_each(ctx: &Context<'_>, trust: bool) -> Result<Server, Failure> {
    let settings = [("--rate-limit", "1/h"), TRUST];
    ctx.start(if trust { &settings } else { &settings[..1] })
}

fn fields_of_strangers_are_ignored(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, false)?;
    let found = statuses(
        &server,
        &[&[("x-forwarded-for", "192.0.2.1")], &[("x-forwarded-for", "192.0.2.2")], &[("forwarded", "for=192.0.2.3")]],
    )?;
    check_eq!(found, [200, 429, 429], "the statuses of one client that pretends to be three");
    Ok(())
}

fn trusted_proxies_name_the_client(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    let found = statuses(
        &server,
        &[
            &[("x-forwarded-for", "192.0.2.1")],
            &[("x-forwarded-for", "192.0.2.1")],
            &[("x-forwarded-for", "192.0.2.2")],
            &[("x-forwarded-for", "192.0.2.1:4711")],
            &[("x-forwarded-for", "::ffff:192.0.2.2")],
            &[],
            &[],
        ],
    )?;
    check_eq!(found, [200, 429, 200, 429, 429, 200, 429], "the statuses of two clients and the proxy");
    Ok(())
}

fn the_rightmost_stranger_is_the_client(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    let found = statuses(
        &server,
        &[
            &[("x-forwarded-for", "192.0.2.1")],
            &[("x-forwarded-for", "203.0.113.1, 192.0.2.1")],
            &[("x-forwarded-for", "203.0.113.1, 192.0.2.1, 10.0.0.1, 10.0.0.2")],
            &[("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "10.0.0.1")],
            &[("x-forwarded-for", "192.0.2.1, 203.0.113.1")],
            &[("x-forwarded-for", "10.0.0.7, 10.0.0.8")],
            &[("x-forwarded-for", "10.0.0.7")],
        ],
    )?;
    check_eq!(found, [200, 429, 429, 429, 200, 200, 429], "the statuses of clients behind several proxies");
    Ok(())
}

fn forwarded_names_the_client(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    let found = statuses(
        &server,
        &[
            &[("forwarded", "for=192.0.2.1")],
            &[("forwarded", "For=\"192.0.2.1:80\";proto=https;by=10.0.0.1")],
            &[("forwarded", "for=203.0.113.1, proto=http;for=192.0.2.1, for=10.0.0.1")],
            &[("forwarded", "for=\"[2001:db8::1]:_port\"")],
            &[("forwarded", "host=\"a, for=203.0.113.9\";for=\"[2001:db8::2]\"")],
        ],
    )?;
    check_eq!(found, [200, 429, 429, 200, 429], "the statuses of two clients");
    Ok(())
}

fn both_fields_must_agree(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    let found = statuses(
        &server,
        &[
            &[("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")],
            &[("x-forwarded-for", "192.0.2.1")],
            &[("forwarded", "for=192.0.2.8"), ("x-forwarded-for", "192.0.2.9")],
            &[("forwarded", "for=192.0.2.6"), ("x-forwarded-for", "192.0.2.7")],
            &[],
        ],
    )?;
    check_eq!(found, [200, 429, 200, 429, 429], "the statuses: fields that differ count as the proxy");
    Ok(())
}

fn what_is_not_an_address_counts_as_the_proxy(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    check_eq!(statuses(&server, &[&[]])?, [200], "the status of the proxy itself");
    for field in [
        ("x-forwarded-for", "unknown"),
        ("x-forwarded-for", "192.0.2.1, nonsense"),
        ("x-forwarded-for", "192.0.2.1.5"),
        ("forwarded", "for=unknown"),
        ("forwarded", "for=_secret"),
        ("forwarded", "for=\"192.0.2.1"),
        ("forwarded", "for=192.0.2.1;for=192.0.2.2"),
        ("forwarded", "for=192.0.2.1, proto=http"),
    ] {
        check_eq!(statuses(&server, &[&[field]])?, [429], "the status with {field:?}");
    }
    Ok(())
}

fn ipv6_counts_by_64_bits(ctx: &Context<'_>) -> Outcome {
    let server = one_each(ctx, true)?;
    let found = statuses(
        &server,
        &[
            &[("x-forwarded-for", "2001:db8:0:1::1")],
            &[("x-forwarded-for", "2001:db8:0:1:ffff::2")],
            &[("x-forwarded-for", "2001:db8:0:2::1")],
        ],
    )?;
    check_eq!(found, [200, 429, 200], "the statuses of two networks");
    Ok(())
}

fn the_client_is_logged(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[TRUST, ("--log", "debug")])?;
    server.send(&Request::get("/events").header("x-forwarded-for", "203.0.113.77"))?.expect(200)?;
    server.signal(crate::launcher::Signal::Terminate)?;
    let log = server.wait()?.stderr;
    check!(log.contains("203.0.113.77"), "the client's address in the log, not {log}");
    Ok(())
}

fn malformed_requests_are_not_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit", "1/h")])?;
    for _ in 0..3 {
        server.get("/events?x=%zz")?.problem(400)?;
    }
    server.get("/events")?.expect(200)?;
    server.get("/events?x=%zz")?.problem(400)?;
    expect_refused(&server.get("/events")?)
}

fn unknown_paths_and_methods_count(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--rate-limit", "2/h")])?;
    server.get("/nowhere")?.problem(404)?;
    server.send(&Request::new("PUT", "/events"))?.problem(405)?;
    for request in [Request::get("/nowhere"), Request::new("PUT", "/events"), Request::get("/events?x=1")] {
        expect_refused(&server.send(&request)?)?;
    }
    Ok(())
}
