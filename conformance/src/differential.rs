//! Odd requests, sent to all subjects, whose answers must be equal.
//!
//! Subjects with the same HTTP implementation must give the same answers. If the bytes are no valid request, different
//! implementations may detect different errors first. Between them it is enough that all refuse a request that one of
//! them calls a bad request (400).

use crate::client::{Connection, Framing, Head, Response};
use crate::context::Server;
use crate::failure::{Failure, Outcome};
use crate::random::Random;

/// Header fields that must be equal. The others are set by the HTTP implementation (`date`, `connection`), tell the end
/// of the body in one of two ways (`content-length`, `transfer-encoding`), or are random (`x-request-id`).
const FIELDS_COMPARED: [&str; 17] = [
    "content-type",
    "allow",
    "location",
    "retry-after",
    "link",
    "cache-control",
    "vary",
    "www-authenticate",
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-version",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// A subject in the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Its name in reports.
    pub name: &'a str,
    /// Its HTTP implementation.
    pub wire: &'a str,
    /// A running server.
    pub server: &'a Server,
}

/// The compared parts of each response on a connection: status, header fields and body.
type Responses = Vec<String>;

/// Requests at the limits of the contract, and invalid ones.
#[must_use]
pub fn fixed() -> Vec<Vec<u8>> {
    let event = r#"{"id":"diff","event_type":"d","timestamp":0,"payload":{"a":[1,2]}}"#;
    let post =
        |fields: &str, body: &str| format!("POST /events HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n{body}").into_bytes();
    let json = |fields: &str, body: &str| post(&format!("content-type: application/json\r\n{fields}"), body);
    let length = |body: &str| format!("content-length: {}", body.len());
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
    let mut requests = vec![
        json(&length(event), event),
        json(&length(event), event),
        json(&format!("{}\r\n{}", length(event), length(event)), event),
        json("transfer-encoding: chunked", &format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len())),
        json("transfer-encoding: Chunked", &format!("{:x}\r\n{event}\r\n0\r\n\r\n", event.len())),
        json("transfer-encoding: chunked, chunked", "0\r\n\r\n"),
        json("transfer-encoding: gzip, chunked", "0\r\n\r\n"),
        json("transfer-encoding: xchunked", "0\r\n\r\n"),
        json("transfer-encoding: chunked\r\ncontent-length: 0", "0\r\n\r\n"),
        json("content-length: 0\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        json("content-length: 0\r\ncontent-length: 1", ""),
        json("content-length: +1", "1"),
        json("content-length: 1, 1", "1"),
        json("content-length: 10", "{}"),
        json("content-length: 99999999999", ""),
        json("expect: 100-continue\r\ncontent-length: 2", "{}"),
        json("expect: nonsense\r\ncontent-length: 2", "{}"),
        json("content-encoding: br\r\ncontent-length: 2", "{}"),
        json("content-encoding: gzip\r\ncontent-length: 2", "{}"),
        json("prefer: handling=lenient\r\ncontent-length: 5", "[1,2]"),
        json("content-length: 5\r\nprefer: handling=\"lenient\"; x=1", "[1,2]"),
        post("content-length: 2", "{}"),
        post("content-type: application/json\r\ncontent-type: text/plain\r\ncontent-length: 2", "{}"),
        b"GET /health HTTP/1.1\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.0\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost:\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\nhost: x\n\n".to_vec(),
        b"get /health HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"OPTIONS /events HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"CONNECT /events HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"TRACE /events HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"HEAD /events HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"HEAD /nowhere HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"DELETE /events/diff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: x\r\nx : y\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: \0\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: x\r\nx: \xff\xfe\r\n\r\n".to_vec(),
        b"GET /health HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n".to_vec(),
        b"GET /health HTTP/2.0\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET  /health HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"nonsense\r\n\r\n".to_vec(),
        b"GET /events HTTP/1.1\r\nhost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n".to_vec(),
    ];
    let targets = [
        "/",
        "//",
        "/events",
        "/events?",
        "/events?&",
        "/events?=",
        "/events?type",
        "/events?type=%00",
        "/events?type=d&limit=1",
        "/events/diff",
        "/events/diff?x=1",
        "/events/",
        "/events/%2e%2e",
        "/events/..",
        "/events?limit=00001",
        "/events?start=-0",
        "/events?payload.a=2",
        "/events?payload.a.=2",
        "/events?payload.a%5Bgt%5D=1",
        "/events?payload.a[gt=1",
        "/events?cursor=A",
        "/health?x",
        "/openapi.json?x=1",
        "/metrics/",
        "/%",
        "/%65vents",
        "/events%3Ftype=d",
        "http://x/events",
        "http://x",
        "https://x/health",
        "http:///events",
        "ftp://x/events",
        "x:443",
        "*",
        "events",
        "/a b",
        "/#",
        "/events#top",
        "/events?type=\"",
        "/events/{id}",
        "/events?type=[]",
        "/<",
        "/>",
        "/\"",
        "/\\",
        "/^",
        "/`",
        "/|",
        "/events?type=<",
        "/events?type=>",
        "/events?type=\\",
        "/events?type=^",
        "/events?type=`",
        "/events?type=|",
    ];
    requests.extend(targets.iter().map(|target| get(target)));
    requests.extend(streams_and_browsers());
    requests
}

/// Live streams, opening handshakes, requests of browsers, and keys.
fn streams_and_browsers() -> Vec<Vec<u8>> {
    const HANDSHAKE: &str = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
                             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let request = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes();
    let handshake = |fields: &str| request("GET /events/stream", fields);
    let mut requests = vec![
        request("GET /events/stream?after_seq=0", ""),
        request("GET /events/stream?after_seq=0", "accept: text/event-stream\r\n"),
        request("HEAD /events/stream", ""),
        request("POST /events/stream", "content-length: 0\r\n"),
        request("GET /events/stream?limit=1", ""),
        request("GET /events/stream", "accept: application/json\r\n"),
        request("GET /events/stream", "last-event-id: x\r\n"),
        handshake(HANDSHAKE),
        handshake(&HANDSHAKE.replace("13", "8")),
        handshake(&HANDSHAKE.replace("==", "=")),
        handshake(&HANDSHAKE.replace("connection: Upgrade", "connection: close")),
        handshake(&HANDSHAKE.replace("websocket\r", "h2c\r")),
        handshake(&HANDSHAKE.replace("connection: Upgrade", "connection: keep-alive, upgrade")),
        handshake(&format!("{HANDSHAKE}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        handshake(&format!("{HANDSHAKE}sec-websocket-protocol: chat\r\nsec-websocket-extensions: x\r\n")),
        request("GET /events/stream?limit=1", HANDSHAKE),
        request("GET /events", HANDSHAKE),
        request("HEAD /events/stream", HANDSHAKE),
    ];
    let origin = "origin: https://app.example\r\n";
    let preflight = |target: &str, method: &str| {
        request(&format!("OPTIONS {target}"), &format!("{origin}access-control-request-method: {method}\r\n"))
    };
    requests.extend([
        preflight("/events", "POST"),
        preflight("/events", "DELETE"),
        preflight("/events/stream", "GET"),
        preflight("/nowhere", "GET"),
        request("GET /events?type=none", origin),
        request("GET /nowhere", origin),
        handshake(&format!("{HANDSHAKE}{origin}")),
    ]);
    for key in ["Bearer argus_x", "Bearer", "Basic eDp5", "bearer  x"] {
        requests.push(request("GET /events?type=none", &format!("authorization: {key}\r\n")));
    }
    requests.push(request("GET /events?type=none&key=argus_x", ""));
    requests.push(request("GET /events/stream?key=argus_x&key=y", ""));
    requests
}

/// Random variations of the fixed requests. The same seed gives the same ones.
#[must_use]
pub fn drawn(seed: u64, count: usize) -> Vec<Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b"%",
        b"\xff",
        b"?",
        b"&",
        b"\r\n\r\n",
        b"chunked",
        b"content-length: 3\r\n",
        b"0",
    ];
    let mut random = Random::new(seed, 0);
    let fixed = fixed();
    (0..count)
        .map(|_| {
            let mut bytes = random.pick(&fixed).cloned().unwrap_or_default();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                let piece = random.pick(PIECES).copied().unwrap_or_default();
                match random.below(4) {
                    0 => drop(bytes.drain(at..(at + random.below(8)).min(bytes.len()))),
                    1 => drop(bytes.splice(at..at, piece.iter().copied())),
                    2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
                    _ => bytes.truncate(at),
                }
            }
            bytes
        })
        .collect()
}

/// Sends each request to each subject and requires the same answer from all.
///
/// # Errors
///
/// [`Failure`] that lists the requests that were answered differently, and how.
pub fn compare(parties: &[Party<'_>], requests: &[Vec<u8>]) -> Outcome {
    let mut differences = String::new();
    for request in requests {
        let answers = parties
            .iter()
            .map(|party| answer(party.server, request).map(|answer| (party, answer)))
            .collect::<Result<Vec<_>, _>>()?;
        let differs = answers.iter().zip(answers.iter().skip(1)).any(|((one, left), (other, right))| {
            if one.wire == other.wire { left != right } else { !agree(left, right) }
        });
        if differs {
            differences.push_str(&format!("\n  to {:?}:", request.escape_ascii().to_string()));
            for (party, answer) in answers {
                differences.push_str(&format!("\n    {:8} {}", party.name, answer.join(" | ")));
            }
        }
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Failure::unmet(format!("the same answer from all subjects{differences}")))
    }
}

/// Whether subjects with different HTTP implementations agree.
fn agree(left: &Responses, right: &Responses) -> bool {
    let refused = |response: &str| response.starts_with(['4', '5']);
    let bad = |response: &str| response.starts_with("400 ");
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left == right || (refused(left) && refused(right) && (bad(left) || bad(right))))
}

/// The server's answers to these bytes. The client sends nothing after them.
fn answer(server: &Server, bytes: &[u8]) -> Result<Responses, Failure> {
    let mut connection = server.connect()?;
    connection.write(bytes)?;
    connection.finish_sending();
    let mut answer = Vec::new();
    let mut head_only = bytes.starts_with(b"HEAD ");
    loop {
        let start = connection.read_some()?;
        if start.is_empty() {
            return Ok(answer);
        }
        connection.unread(start);
        let response = if head_only { response_to_head(&mut connection) } else { response(&mut connection) };
        head_only = false;
        match response {
            Ok(response) => {
                answer.push(compared(&response));
                if is_endless(&response.head) {
                    return Ok(answer);
                }
            }
            Err(failure) => {
                answer.push(failure.to_string());
                return Ok(answer);
            }
        }
    }
}

/// A stream, or another protocol: what follows the head has no end, and depends on time.
fn is_endless(head: &Head) -> bool {
    head.status == 101 || (head.header("content-type") == Some("text/event-stream") && head.framing != Framing::None)
}

/// The next response; without its body if that is endless.
fn response(connection: &mut Connection) -> Result<Response, Failure> {
    let mut head = connection.read_head("GET")?;
    while head.status == 100 {
        head = connection.read_head("GET")?;
    }
    let body = if is_endless(&head) { Vec::new() } else { connection.read_body(&head)? };
    Ok(Response { head, body })
}

/// The response to bytes that begin like a `HEAD`. If they are no valid request, the response may have a body.
fn response_to_head(connection: &mut Connection) -> Result<Response, Failure> {
    let head = connection.read_head("HEAD")?;
    let next = connection.read_some()?;
    if next.is_empty() || next.starts_with(b"HTTP/") {
        connection.unread(next);
        return Ok(Response { head, body: Vec::new() });
    }
    connection.unread(next);
    Ok(Response { head, body: connection.read_to_end()? })
}

/// The compared parts of a response.
fn compared(response: &Response) -> String {
    let mut parts = response.status().to_string();
    for name in FIELDS_COMPARED {
        if let Some(value) = response.header(name) {
            parts.push_str(&format!(" {name}: {value};"));
        }
    }
    // Metrics are plain text, and differ between processes.
    if !response.header("content-type").is_some_and(|value| value.starts_with("text/plain")) {
        parts.push_str(&format!(" {}", response.body.escape_ascii()));
    }
    // Durability depends on the repository.
    let parts = parts.replace(r#",\"durable\":true"#, "").replace(r#",\"durable\":false"#, "");
    without_uuids(&parts)
}

/// Replaces UUIDs: the ids that subjects generate are random.
fn without_uuids(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let uuid = rest.get(..36).is_some_and(|start| {
            start.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                14 => byte == b'7',
                _ => byte.is_ascii_hexdigit(),
            })
        });
        if uuid {
            out.push_str("(uuid)");
        } else {
            out.push(first);
        }
        rest = rest.get(if uuid { 36 } else { first.len_utf8() }..).unwrap_or_default();
    }
    out
}
