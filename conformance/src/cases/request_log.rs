//! The request log: `--request-log`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::keys::WEB;
use crate::case::{Case, cases};
use crate::client::websocket::WebSocket;
use crate::client::{Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::{LOCAL_NETWORKS, Signal};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["request_log";
    "Routes": [
        common_log_format, json_lines, keys_and_line_ends_are_not_logged, a_streamed_answer_is_logged_at_its_end,
        live_streams_are_logged_at_their_end, clients_and_keys_are_named,
        a_renamed_file_is_opened_again, standard_output_can_be_the_log, an_impossible_file_is_refused_at_the_start,
    ],
];

/// A folder for a log, and the path of the log.
fn place() -> Result<(TempDir, PathBuf), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    let path = folder.path().join("requests.log");
    Ok((folder, path))
}

fn start(ctx: &Context<'_>, path: &Path, format: &str) -> Result<Server, Failure> {
    ctx.start(&[("--request-log", &path.display().to_string()), ("--request-log-format", format)])
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::unmet(format!("a log at {}: {error}", path.display())))
}

/// The lines about requests of this case: those with this text.
fn lines(log: &str, text: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

fn finish(server: &mut Server) -> Outcome {
    server.signal(Signal::Terminate)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

/// Whether the log names a client of this address: by its own address, if the server sees it.
fn is_client(server: &Server, text: &str, own: IpAddr) -> bool {
    text.parse::<IpAddr>().is_ok_and(|logged| logged == own || !server.sees_clients())
}

fn common_log_format(ctx: &Context<'_>) -> Outcome {
    let (_folder, path) = place()?;
    let mut server = start(ctx, &path, "clf")?;
    let found = server.get("/events?type=case")?;
    server.send(&Request::new("HEAD", "/nowhere?case"))?.expect(404)?;
    let mut old = server.connect()?;
    old.write(b"GET /case HTTP/1.0\r\n\r\n")?;
    old.response_to("GET")?.problem(404)?;
    let mut garbage = server.connect()?;
    garbage.write(b"no request at all\r\n\r\n")?;
    garbage.response_to("GET")?.problem(400)?;
    let own = garbage.local_address()?.ip();
    finish(&mut server)?;
    let log = read(&path)?;
    let parts = |line: &str| {
        // 127.0.0.1 - - [29/Nov/2026:05:36:21 +0000] "GET / HTTP/1.1" 200 12
        let (start, rest) = line.split_once(" \"")?;
        let (request, end) = rest.rsplit_once("\" ")?;
        let (address, time) = start.split_once(" - - [")?;
        let time = time.strip_suffix(" +0000]")?;
        let (day, clock) = time.split_once(':')?;
        let is_time =
            day.len() == 11 && clock.len() == 8 && day.split('/').nth(1)?.bytes().all(|b| b.is_ascii_alphabetic());
        (is_client(&server, address, own) && is_time).then(|| format!("{request}|{end}"))
    };
    let logged: Vec<String> = lines(&log, "case").iter().filter_map(|line| parts(line)).collect();
    for expected in [
        format!("GET /events?type=case HTTP/1.1|200 {}", found.body.len()),
        "HEAD /nowhere?case HTTP/1.1|404 -".to_owned(),
    ] {
        check!(logged.contains(&expected), "a line about {expected:?}, not {logged:?}");
    }
    check_eq!(logged.len(), 3, "the lines in {log}");
    check!(logged.iter().any(|line| line.starts_with("GET /case HTTP/1.0|404 ")), "a request of HTTP/1.0 in {log}");
    let is_garbage = |line: &str| line.contains("\"-\" 400 ");
    let is_of_client = |line: &str| line.split_once(' ').is_some_and(|(address, _)| is_client(&server, address, own));
    check!(
        log.lines().any(|line| is_garbage(line) && is_of_client(line)),
        "a line about what was no request, in {log}"
    );
    Ok(())
}

fn json_lines(ctx: &Context<'_>) -> Outcome {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (_folder, path) = place()?;
    let mut server = start(ctx, &path, "json")?;
    let request = Request::get("/events?type=case")
        .header("x-request-id", "mine")
        .header("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"));
    let mut connection = server.connect()?;
    let own = connection.local_address()?;
    let found = connection.request(&request)?;
    server.get("/events?case=1")?.expect(400)?;
    finish(&mut server)?;
    let log = read(&path)?;
    let lines: Vec<Value> = lines(&log, "case").iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    check_eq!(lines.len(), 2, "the lines in {log}");
    // Requests on different connections may be logged in any order.
    let with_status = |status: u16| {
        let line = lines.iter().find(|line| line["status"] == status);
        line.ok_or_else(|| Failure::unmet(format!("a line with the status {status}, not {log}")))
    };
    let (first, second) = (with_status(200)?, with_status(400)?);
    for (name, value) in [
        ("method", Value::from("GET")),
        ("target", "/events?type=case".into()),
        ("version", "1.1".into()),
        ("status", 200.into()),
        ("bytes", found.body.len().into()),
        ("complete", true.into()),
        ("request_id", "mine".into()),
        ("trace_id", TRACE.into()),
        ("parent_id", "b7ad6b7169203331".into()),
    ] {
        check_eq!(first[name], value, "the member {name} of {first}");
    }
    let span = found.header("traceparent").and_then(|field| field.split('-').nth(2)).map(str::to_owned);
    check_eq!(first["span_id"].as_str().map(str::to_owned), span, "the span of the answer");
    check!(first["duration_us"].is_u64() && first["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{first}");
    let peer = first["peer"].as_str().and_then(|peer| peer.parse::<SocketAddr>().ok());
    let is_peer = peer.is_some_and(|peer| peer == own || !server.sees_clients());
    check!(is_peer, "the peer {own} in {first}");
    check_eq!(second["problem"], "invalid-parameter", "the problem in {second}");
    check!(second.get("trace_id").is_none(), "no trace in {second}");
    Ok(())
}

fn keys_and_line_ends_are_not_logged(ctx: &Context<'_>) -> Outcome {
    for format in ["clf", "json"] {
        let (_folder, path) = place()?;
        let mut server = ctx.start(&[
            ("--request-log", &path.display().to_string()),
            ("--request-log-format", format),
            ("--log", "debug"),
        ])?;
        // What the server makes of a key is another case's matter.
        server.get("/nowhere?key=argus_secret")?;
        server.get("/nowhere?a=1&%6bey=argus_secret")?;
        let mut connection = server.connect()?;
        connection.write(b"GET /\"x\\y%0d%0a HTTP/1.1\r\nhost: x\r\n\r\n")?;
        connection.response_to("GET")?;
        let mut connection = server.connect()?;
        let own = connection.local_address()?.ip();
        connection.write("GET /\u{1b}[31mcase\u{85} HTTP/1.1\r\nhost: x\r\n\r\n".as_bytes())?;
        connection.response_to("GET")?;
        server.signal(Signal::Terminate)?;
        // The log is complete once the server has ended.
        let stderr = server.wait()?.stderr;
        let log = read(&path)?;
        check!(!log.contains("argus_secret") && !stderr.contains("argus_secret"), "no key in {log} and {stderr}");
        check!(log.lines().filter(|line| line.contains("/nowhere")).count() == 2, "two lines, not {log}");
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
        check!(log.bytes().all(is_plain), "only visible ASCII, not {log:?}");
        for line in log.lines() {
            let has_start = || line.split_once(" - - [").is_some_and(|(address, _)| is_client(&server, address, own));
            let is_whole = if format == "clf" { has_start() } else { line.ends_with('}') };
            check!(is_whole, "whole lines, not {line:?}");
        }
    }
    Ok(())
}

fn a_streamed_answer_is_logged_at_its_end(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 60_000;
    let (_folder, path) = place()?;
    let mut server = start(ctx, &path, "json")?;
    let event = "{\"event_type\":\"log\",\"timestamp\":0,\"payload\":1}\n";
    server.submit_lines(event.repeat(EVENTS))?.expect(201)?;
    let mut reader = server.connect_with_small_buffer()?;
    reader.write(&Request::get("/events?type=log").to_bytes(&server.host()))?;
    let head = reader.read_head("GET")?;
    check!(lines(&read(&path)?, "type=log").is_empty(), "no line before the end of the answer");
    let body = reader.read_body(&head)?;
    let mut left = server.connect_with_small_buffer()?;
    left.write(&Request::get("/events?type=log&x").to_bytes(&server.host()))?;
    left.read_head("GET")?;
    drop(left);
    let mut left = server.connect_with_small_buffer()?;
    left.write(&Request::get("/events?type=log&order=desc").to_bytes(&server.host()))?;
    left.read_head("GET")?;
    left.reset()?;
    drop(reader);
    finish(&mut server)?;
    let log = read(&path)?;
    let logged = |query: &str| -> Result<Value, Failure> {
        let line = log.lines().find(|line| line.contains(&format!("/events?{query}\"")));
        let line = line.ok_or_else(|| Failure::unmet(format!("a line about {query}, not {log}")))?;
        serde_json::from_str(line).map_err(|error| Failure::unmet(format!("JSON ({error}), not {line}")))
    };
    let whole = logged("type=log")?;
    check_eq!(whole["bytes"], body.len(), "the bytes in {whole}");
    check_eq!(whole["complete"], true, "whether all of it was sent, in {whole}");
    let broken = logged("type=log&order=desc")?;
    check_eq!(broken["complete"], false, "whether all of it was sent, in {broken}");
    check!(broken["bytes"].as_u64() < Some(body.len() as u64), "fewer bytes in {broken}");
    Ok(())
}

fn live_streams_are_logged_at_their_end(ctx: &Context<'_>) -> Outcome {
    /// The answer to a close frame: its header, its code and the reason of the client.
    const CLOSE_BYTES: usize = 2 + 2 + "done".len();
    let (_folder, path) = place()?;
    let mut server = start(ctx, &path, "json")?;
    server.submit_lines("{\"event_type\":\"log\",\"timestamp\":0,\"payload\":1}\n".repeat(10))?.expect(201)?;
    let mut socket = WebSocket::open(server.connect()?, "/events/stream?after_seq=0")?;
    let mut bytes = 0;
    for _ in 0..10 {
        // The header of a frame has two bytes, or four before more than 125 bytes.
        let length = socket.read()?.1.len();
        bytes += length + if length > 125 { 4 } else { 2 };
    }
    let mut events = server.connect()?;
    let target = "/events/stream?after_seq=0&type=log";
    events.write(&Request::get(target).header("accept", "text/event-stream").to_bytes(&server.host()))?;
    let head = events.read_head("GET")?;
    check!(lines(&read(&path)?, "/events/stream").is_empty(), "no line while the streams are open");
    socket.close()?;
    server.signal(Signal::Terminate)?;
    let body = events.read_body(&head)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    let log = read(&path)?;
    for (name, status, sent) in [("after_seq=0\"", 101, bytes + CLOSE_BYTES), ("type=log", 200, body.len())] {
        let line = lines(&log, name).pop().ok_or_else(|| Failure::unmet(format!("a line about {name}, not {log}")))?;
        let line: Value = serde_json::from_str(&line).map_err(|error| Failure::unmet(format!("{error}: {line}")))?;
        check_eq!(line["status"], status, "the status in {line}");
        check_eq!(line["bytes"], sent, "the bytes in {line}");
        check_eq!(line["complete"], true, "whether the end was written, in {line}");
    }
    Ok(())
}

fn clients_and_keys_are_named(ctx: &Context<'_>) -> Outcome {
    let (folder, path) = place()?;
    let file = folder.path().join("keys.toml");
    fs::write(&file, WEB.entry("reporter", "scopes = [\"read\"]"))
        .map_err(|error| Failure::unmet(format!("a file of keys: {error}")))?;
    for format in ["clf", "json"] {
        let mut server = ctx.start(&[
            ("--request-log", &path.display().to_string()),
            ("--request-log-format", format),
            ("--keys", &file.display().to_string()),
            ("--trust-proxy", LOCAL_NETWORKS),
        ])?;
        let request = Request::get("/events?type=case").header("x-forwarded-for", "192.0.2.1");
        server.send(&WEB.on(request.clone()))?.expect(200)?;
        server.send(&request)?.expect(401)?;
        finish(&mut server)?;
    }
    let log = read(&path)?;
    let found = lines(&log, "type=case");
    check_eq!(found.len(), 4, "the lines in {log}");
    // Requests on different connections may be logged in any order.
    for (status, start) in [("\" 200 ", "192.0.2.1 - reporter ["), ("\" 401 ", "192.0.2.1 - - [")] {
        let count = found.iter().filter(|line| line.starts_with(start) && line.contains(status)).count();
        check_eq!(count, 1, "the lines with {start:?} and {status:?} in {log}");
    }
    for (status, names) in
        [(200, r#""client":"192.0.2.1","key":"reporter","method""#), (401, r#""client":"192.0.2.1","method""#)]
    {
        let status = format!("\"status\":{status},");
        let count = found.iter().filter(|line| line.contains(names) && line.contains(&status)).count();
        check_eq!(count, 1, "the lines with {names} and {status} in {log}");
    }
    check!(!log.contains(WEB.text), "no key in {log}");
    Ok(())
}

fn a_renamed_file_is_opened_again(ctx: &Context<'_>) -> Outcome {
    let (folder, path) = place()?;
    let server = start(ctx, &path, "clf")?;
    let renamed = folder.path().join("requests.log.1");
    server.get("/first")?.expect(404)?;
    wait_for(&path, "/first")?;
    fs::rename(&path, &renamed).map_err(|error| Failure::unmet(format!("to rename the log: {error}")))?;
    server.get("/second")?.expect(404)?;
    wait_for(&renamed, "/second")?;
    server.signal(Signal::HangUp)?;
    // The signal may take a moment to arrive.
    let begun = Instant::now();
    while !path.exists() {
        check!(begun.elapsed() < patience(), "the log to be opened again");
        server.get("/third")?.expect(404)?;
        thread::sleep(Duration::from_millis(10));
    }
    wait_for(&path, "/third")?;
    check!(!read(&path)?.contains("/second"), "only new lines in the new file");
    server.expect_alive()
}

fn wait_for(path: &Path, text: &str) -> Outcome {
    let begun = Instant::now();
    while !path.exists() || !read(path)?.contains(text) {
        check!(begun.elapsed() < patience(), "{text} in {}", path.display());
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn standard_output_can_be_the_log(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--request-log", "-")])?;
    server.get("/case")?.expect(404)?;
    server.signal(Signal::Terminate)?;
    let out = server.wait()?.stdout;
    check!(out.contains("\"GET /case HTTP/1.1\" 404 "), "the request on standard output, not {out:?}");
    check_eq!(
        out.lines().filter(|line| line.starts_with("argus: listening on ")).count(),
        1,
        "lines that say where it listens"
    );
    Ok(())
}

fn an_impossible_file_is_refused_at_the_start(ctx: &Context<'_>) -> Outcome {
    let (folder, _) = place()?;
    let path = folder.path().join("no/such/folder/requests.log").display().to_string();
    let arguments = ["--endpoint", "127.0.0.1:0", "--repository", "memory:", "--request-log", &path];
    let exit = ctx.run_to_exit(&arguments)?;
    check_eq!(exit.code, Some(2), "the exit code, with the message {}", exit.stderr);
    check!(exit.stderr.contains("request log"), "a message about the request log, not {:?}", exit.stderr);
    Ok(())
}
