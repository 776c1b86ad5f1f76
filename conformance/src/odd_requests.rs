//! Odd requests, for the comparison of all subjects.

use crate::random::Random;

/// The origin of requests of browsers.
pub const ORIGIN: &str = "https://app.example";

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

/// Requests for servers with keys and with [`ORIGIN`] as an origin, whose key `key` may only read and stream.
#[must_use]
pub fn guarded(key: &str) -> Vec<Vec<u8>> {
    let authorized = |request: &Vec<u8>| {
        let line = request.windows(2).position(|pair| pair == b"\r\n").map_or(request.len(), |end| end + 2);
        let (line, rest) = request.split_at(line);
        [line, format!("authorization: Bearer {key}\r\n").as_bytes(), rest].concat()
    };
    let open = streams_and_browsers();
    let mut requests: Vec<Vec<u8>> = open.iter().map(authorized).collect();
    requests.extend(open);
    for target in ["/events?type=none", "/metrics", "/nowhere", "/health", "/events/none"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\norigin: {ORIGIN}\r\n\r\n").into_bytes();
        requests.push(authorized(&request));
        requests.push(request);
    }
    let event = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]";
    requests.push(authorized(&event.as_bytes().to_vec()));
    requests
}

/// Live streams, opening handshakes, requests of browsers, and keys that nobody has.
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
    let origin = format!("origin: {ORIGIN}\r\n");
    let preflight = |target: &str, method: &str| {
        request(&format!("OPTIONS {target}"), &format!("{origin}access-control-request-method: {method}\r\n"))
    };
    requests.extend([
        preflight("/events", "POST"),
        preflight("/events", "DELETE"),
        preflight("/events/stream", "GET"),
        preflight("/nowhere", "GET"),
        request("GET /events?type=none", &origin),
        request("GET /nowhere", &origin),
        request("GET /nowhere", "origin: https://other.example\r\n"),
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
    // After a refused handshake, HTTP implementations differ in whether they answer bytes that are no request.
    let is_handshake = |request: &Vec<u8>| request.windows(9).any(|part| part == b"websocket");
    let fixed: Vec<Vec<u8>> = fixed().into_iter().filter(|request| !is_handshake(request)).collect();
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
