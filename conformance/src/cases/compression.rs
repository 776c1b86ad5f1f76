//! `Accept-Encoding`: compressed answers.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use flate2::{Decompress, FlushDecompress};

use crate::case::{Case, cases};
use crate::client::{Head, Request, patience};
use crate::compress;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::random::Random;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["compression";
    "Keys, limits, browsers": [
        short_answers_are_not_compressed, the_client_chooses, every_long_answer, streamed_answers, pages,
        a_chunk_can_be_read_as_soon_as_it_arrives, head_tells_what_get_would, an_answer_to_http_1_0,
        a_client_that_refuses_plain_answers, slow_clients_get_everything, curl_reads_it, python_reads_it,
        the_openapi_document_is_validated,
    ],
];

const EVENTS: usize = 5_000;
const CODINGS: [&str; 2] = ["gzip", "zstd"];

/// A server with [`EVENTS`] events, which are an answer of many chunks.
fn filled(ctx: &Context<'_>) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    let line = |number: usize| {
        let text = format!("{:x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(6);
        format!(r#"{{"event_type":"t{}","timestamp":{number},"payload":{{"x":"{text}"}}}}"#, number % 7) + "\n"
    };
    server.submit_lines((1..=EVENTS).map(line).collect::<String>())?.expect(201)?;
    Ok(server)
}

fn get(target: &str, accepted: &str) -> Request {
    Request::get(target).header("accept-encoding", accepted)
}

fn short_answers_are_not_compressed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for target in ["/health", "/events", "/nothing"] {
        let response = server.send(&get(target, "gzip, zstd"))?;
        check_eq!(response.header("content-encoding"), None, "the coding of {target}");
    }
    Ok(())
}

fn the_client_chooses(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let plain = server.get("/events?limit=100")?;
    for (accepted, coding) in [
        ("gzip", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("gzip, deflate, br", Some("gzip")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("GZIP;q=0.5, zstd;q=0.4", Some("gzip")),
        ("*", Some("zstd")),
        ("*;q=0.1, zstd;q=0", Some("gzip")),
        ("", None),
        ("identity", None),
        ("br", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=x", None),
    ] {
        let response = server.send(&get("/events?limit=100", accepted))?;
        response.expect(200)?;
        check_eq!(response.header("content-encoding"), coding, "the coding for {accepted:?}");
        response.expect_header("vary", "accept, accept-encoding")?;
        check!(response.decoded()?.body == plain.body, "the same content for {accepted:?}");
    }
    plain.expect_header("vary", "accept, accept-encoding")
}

fn every_long_answer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let text = "text ".repeat(500);
    server.submit(format!(r#"{{"id":"long","event_type":"a","timestamp":1,"payload":"{text}"}}"#))?.expect(201)?;
    for coding in CODINGS {
        for target in ["/events", "/events/long", "/metrics", "/openapi.json"] {
            let response = server.send(&get(target, coding))?;
            response.expect(200)?;
            response.expect_header("content-encoding", coding)?;
            response.expect_header("content-length", &response.body.len().to_string())?;
            check!(names(&response.head, "vary").contains(&"accept-encoding"), "Vary of {target}");
            let plain = server.get(target)?;
            check!(response.body.len() < plain.body.len(), "fewer bytes of {target}");
            if target != "/metrics" {
                check!(response.decoded()?.body == plain.body, "the content of {target}");
            }
        }
        let faults = format!("[{}]", vec!["{}"; 100].join(","));
        let request = Request::post("/events", "application/json", faults).header("accept-encoding", coding);
        let response = server.send(&request)?;
        response.expect_header("content-encoding", coding)?;
        response.decoded()?.problem(422)?;
    }
    Ok(())
}

fn names<'a>(head: &'a Head, field: &str) -> Vec<&'a str> {
    head.header(field).unwrap_or_default().split(',').map(str::trim).collect()
}

fn streamed_answers(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    for target in ["/events", "/events?order=desc", "/events?order=seq&type=t3"] {
        for accept in ["application/json", "application/jsonl"] {
            let plain = server.send(&Request::get(target).header("accept", accept))?;
            for coding in CODINGS {
                let response = server.send(&get(target, coding).header("accept", accept))?;
                response.expect_header("content-encoding", coding)?;
                response.expect_header("argus-last-seq", &EVENTS.to_string())?;
                check!(response.body.len() * 3 < plain.body.len() * 2, "fewer bytes of {target}");
                check!(response.decoded()?.body == plain.body, "the content of {target} in {coding}");
            }
        }
    }
    Ok(())
}

fn pages(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let mut target = "/events?limit=700".to_owned();
    let mut count = 0;
    loop {
        let response = server.send(&get(&target, "gzip"))?;
        response.expect_header("content-encoding", "gzip")?;
        let link = response.header("link").map(str::to_owned);
        count += response.decoded()?.events()?.len();
        let Some(link) = link else { break };
        target = link.trim_start_matches('<').split('>').next().unwrap_or_default().to_owned();
    }
    check_eq!(count, EVENTS, "the events of all pages");
    Ok(())
}

/// The bytes of the first chunk of an answer.
fn first_chunk(server: &Server, coding: &str) -> Result<Vec<u8>, Failure> {
    let mut connection = server.connect_with_small_buffer()?;
    let request = get("/events", coding).header("accept", "application/jsonl");
    connection.write(&request.to_bytes(&server.host()))?;
    connection.read_head("GET")?;
    let mut bytes = Vec::new();
    loop {
        if let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") {
            let size = bytes.get(..line).and_then(|size| std::str::from_utf8(size).ok());
            let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or_else(|| Failure::unmet("the size of a chunk"))?;
            if let Some(chunk) = bytes.get(line + 2..line + 2 + size) {
                return Ok(chunk.to_vec());
            }
        }
        let more = connection.read_some()?;
        check!(!more.is_empty(), "a whole chunk");
        bytes.extend(more);
    }
}

fn a_chunk_can_be_read_as_soon_as_it_arrives(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let chunk = first_chunk(&server, "gzip")?;
    let mut inflated = Vec::with_capacity(1 << 20);
    let deflated = chunk.get(10..).unwrap_or_default();
    Decompress::new(false)
        .decompress_vec(deflated, &mut inflated, FlushDecompress::Sync)
        .map_err(|error| Failure::unmet(format!("a valid start of a gzip member: {error}")))?;
    expect_lines(&inflated)?;
    // The decoder of the suite wants whole frames: the end of this one, an empty last block, comes with the next chunk.
    let frame = [&first_chunk(&server, "zstd")?, &[1, 0, 0][..]].concat();
    expect_lines(&compress::decoded(Some("zstd"), &frame)?)
}

/// Requires whole events, and many of them.
fn expect_lines(text: &[u8]) -> Outcome {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let are_whole = lines.iter().all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok());
    check!(lines.len() > 100 && are_whole && text.ends_with(b"\n"), "whole events in {} bytes", text.len());
    Ok(())
}

fn head_tells_what_get_would(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let text = "text ".repeat(500);
    server.submit(format!(r#"{{"id":"long","event_type":"a","timestamp":1,"payload":"{text}"}}"#))?.expect(201)?;
    for target in ["/events/long", "/openapi.json", "/health"] {
        let response = server.send(&get(target, "gzip"))?;
        let head = server.send(&Request::new("HEAD", target).header("accept-encoding", "gzip"))?;
        for field in ["content-encoding", "content-length", "vary", "content-type", "etag"] {
            check_eq!(head.header(field), response.header(field), "{field} of {target}");
        }
    }
    let head = server.send(&Request::new("HEAD", "/events").header("accept-encoding", "gzip"))?;
    head.expect(200)?;
    head.expect_header("vary", "accept, accept-encoding")?;
    check_eq!(head.header("content-length"), None, "the length of an answer that was not made");
    Ok(())
}

fn an_answer_to_http_1_0(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let plain = server.get("/events")?;
    for coding in CODINGS {
        let mut connection = server.connect()?;
        connection.write(format!("GET /events HTTP/1.0\r\naccept-encoding: {coding}\r\n\r\n").as_bytes())?;
        let response = connection.response_to("GET")?;
        response.expect_header("content-encoding", coding)?;
        check!(response.decoded()?.body == plain.body, "the content in {coding}");
    }
    Ok(())
}

fn a_client_that_refuses_plain_answers(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.send(&get("/health", "gzip, identity;q=0"))?;
    response.expect_header("content-encoding", "gzip")?;
    response.decoded()?.json()?;
    // There is nothing else to send.
    let response = server.send(&get("/health", "identity;q=0"))?;
    response.expect(200)?;
    check_eq!(response.header("content-encoding"), None, "the coding");
    Ok(())
}

fn slow_clients_get_everything(ctx: &Context<'_>) -> Outcome {
    const WAITING_BYTES_MAX: f64 = 200.0 * 1024.0;
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let server = ctx.start(&[("--write-timeout", "5m")])?;
    // Hardly compressible, so that the answers are larger than all buffers.
    let mut random = Random::new(7, 0);
    let mut line = |number: usize| {
        let text: String = (0..1_200).filter_map(|_| random.pick(LETTERS)).map(|letter| char::from(*letter)).collect();
        format!(r#"{{"event_type":"a","timestamp":{number},"payload":"{text}"}}"#) + "\n"
    };
    for part in 0..2 {
        let lines: String = (0..3_000).map(|number| line(part * 3_000 + number)).collect();
        server.submit_lines(lines)?.expect(201)?;
    }
    let plain = server.get("/events")?;
    let mut readers = Vec::new();
    for coding in CODINGS {
        let mut connection = server.connect_with_small_buffer()?;
        connection.write(&get("/events", coding).to_bytes(&server.host()))?;
        let head = connection.read_head("GET")?;
        readers.push((connection, head));
    }
    check_eq!(server.metric("argus_answers_in_flight")?, 2.0, "running answers");
    let deadline = Instant::now() + patience();
    while server.metric("argus_answer_bytes_held")? > 2.0 * WAITING_BYTES_MAX {
        check!(Instant::now() < deadline, "answers that wait to hold little");
    }
    for (mut connection, head) in readers {
        let body = connection.read_body(&head)?;
        check!(*compress::decoded(head.header("content-encoding"), &body)? == *plain.body, "the content");
    }
    Ok(())
}

/// Runs a client that the suite does not have; returns what it wrote.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<Vec<u8>, Failure> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| Failure::skipped(format!("needs {program}: {error}")))?;
    let unmet = |error: std::io::Error| Failure::unmet(format!("{program} to run: {error}"));
    child.stdin.take().into_iter().try_for_each(|mut stdin| stdin.write_all(input.as_bytes())).map_err(unmet)?;
    let output = child.wait_with_output().map_err(unmet)?;
    check!(output.status.success(), "{program} to succeed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn curl_reads_it(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let plain = server.get("/events")?;
    let url = format!("{server}/events");
    check!(run("curl", &["-sS", "--fail", "--compressed", &url], "")? == plain.body, "the content by curl");
    let codings = ["-sS", "--fail", "-H", "accept-encoding: gzip", "--output", "-", &url];
    let gzip = run("curl", &codings, "")?;
    check!(*compress::decoded(Some("gzip"), &gzip)? == *plain.body, "the content by curl and another decoder");
    Ok(())
}

/// The standard library's decoder, which is zlib.
const PYTHON: &str = "
import sys, urllib.request, zlib
request = urllib.request.Request(sys.argv[1], headers={'accept-encoding': 'gzip'})
answer = urllib.request.urlopen(request)
assert answer.headers['content-encoding'] == 'gzip', answer.headers
decoder = zlib.decompressobj(31)
while piece := answer.read1(65536):
    sys.stdout.buffer.write(decoder.decompress(piece))
sys.stdout.buffer.write(decoder.flush())
assert decoder.eof and not decoder.unused_data
";

fn python_reads_it(ctx: &Context<'_>) -> Outcome {
    let server = filled(ctx)?;
    let plain = server.get("/events")?;
    let content = run("python3", &["-", &format!("{server}/events")], PYTHON)?;
    check!(content == plain.body, "the content by Python");
    Ok(())
}

fn the_openapi_document_is_validated(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for accepted in ["identity", "gzip", "zstd"] {
        let document = server.send(&get("/openapi.json", accepted))?;
        document.expect_header("cache-control", "no-cache")?;
        let tag = document.header("etag").unwrap_or_default().to_owned();
        check!(tag.starts_with('"') && tag.len() > 10, "a strong ETag, not {tag}");
        for value in [&*tag, "*", &format!("W/{tag}"), &format!("\"other\", {tag}")] {
            for method in ["GET", "HEAD"] {
                let request = Request::new(method, "/openapi.json").header("accept-encoding", accepted);
                let mut connection = server.connect()?;
                let known = connection.request(&request.header("if-none-match", value))?;
                known.expect(304)?;
                known.expect_header("etag", &tag)?;
                for field in ["content-length", "content-type", "content-encoding", "transfer-encoding"] {
                    check_eq!(known.header(field), None, "the field {field} of a 304");
                }
                // The connection goes on behind it.
                connection.request(&Request::get("/health"))?.expect(200)?;
            }
        }
        let request = get("/openapi.json", accepted).header("if-none-match", "\"other\"");
        server.send(&request)?.expect(200)?;
    }
    Ok(())
}
