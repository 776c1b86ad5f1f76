//! The same requests, sent to all subjects, whose answers must be equal: [`odd_requests`](crate::odd_requests).
//!
//! Subjects with the same HTTP implementation must give the same answers. If the bytes are no valid request, different
//! implementations may detect different errors first. Between them it is enough that all refuse a request that one of
//! them calls a bad request (400).

use crate::client::{Connection, Framing, Head, Response};
use crate::context::Server;
use crate::failure::{Failure, Outcome};

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
