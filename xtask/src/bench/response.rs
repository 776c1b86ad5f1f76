//! Parses HTTP/1.1 responses, as far as the bench needs it.

use anyhow::{Context, Result, bail, ensure};

/// The received bytes of a connection that were not parsed yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
}

/// A whole response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// More header fields than any of the servers sends.
const FIELDS_MAX: usize = 32;

impl Incoming {
    /// Adds received bytes.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next response, if it is complete.
    ///
    /// # Errors
    ///
    /// The bytes are no response, or the response closes the connection, which ends the measurement.
    pub(super) fn take(&mut self) -> Result<Option<Response>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut head = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(head_length) = head.parse(&self.bytes).context("not a response")? else {
            return Ok(None);
        };
        let status = head.code.context("a response without a status")?;
        let framing = framing(status, head.headers)?;
        let rest = self.bytes.get(head_length..).unwrap_or_default();
        let Some((body, length)) = body(rest, &framing)? else { return Ok(None) };
        self.bytes.drain(..head_length + length);
        Ok(Some(Response { status, body }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Response {
    /// The body as JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("a body that is not JSON: {}", self.excerpt()))
    }

    /// Fails unless the status is the expected one.
    pub(super) fn expect(&self, status: u16) -> Result<()> {
        ensure!(self.status == status, "status {} instead of {status}: {}", self.status, self.excerpt());
        Ok(())
    }

    fn excerpt(&self) -> String {
        String::from_utf8_lossy(self.body.get(..300).unwrap_or(&self.body)).into_owned()
    }
}

fn framing(status: u16, fields: &[httparse::Header<'_>]) -> Result<Framing> {
    let mut framing = None;
    for field in fields {
        let value = str::from_utf8(field.value).context("a header field that is not UTF-8")?.trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(value.parse().context("a Content-Length that is no number")?));
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            ensure!(value.eq_ignore_ascii_case("chunked"), "Transfer-Encoding: {value}");
            framing = Some(Framing::Chunked);
        } else if field.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            bail!("status {status}, and the server closes the connection");
        }
    }
    match framing {
        None if status == 204 => Ok(Framing::Length(0)),
        None => bail!("status {status}, and no length or framing of the body"),
        Some(framing) => Ok(framing),
    }
}

/// The body and its encoded length; `None` if it is incomplete.
fn body(bytes: &[u8], framing: &Framing) -> Result<Option<(Vec<u8>, usize)>> {
    match framing {
        Framing::Length(length) => Ok(bytes.get(..*length).map(|body| (body.to_vec(), *length))),
        Framing::Chunked => {
            let mut body = Vec::new();
            let mut at = 0;
            loop {
                let rest = bytes.get(at..).unwrap_or_default();
                let parsed = httparse::parse_chunk_size(rest).ok().context("not a chunk")?;
                let httparse::Status::Complete((line, size)) = parsed else { return Ok(None) };
                let size = usize::try_from(size).context("a chunk of absurd size")?;
                let Some(chunk) = rest.get(line..line + size + 2) else { return Ok(None) };
                let Some(data) = chunk.strip_suffix(b"\r\n") else { bail!("a chunk that does not end") };
                body.extend_from_slice(data);
                at += line + size + 2;
                if size == 0 {
                    return Ok(Some((body, at)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a text byte by byte; returns the responses.
    fn receive(text: &str) -> Result<Vec<(u16, String)>> {
        let mut incoming = Incoming::default();
        let mut responses = Vec::new();
        for byte in text.bytes() {
            incoming.extend(&[byte]);
            while let Some(Response { status, body }) = incoming.take()? {
                responses.push((status, String::from_utf8_lossy(&body).into_owned()));
            }
        }
        ensure!(incoming.is_empty(), "something is left over");
        Ok(responses)
    }

    #[test]
    fn responses_may_arrive_in_pieces_and_one_after_the_other() {
        let text = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 204 No Content\r\n\r\n\
                    HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        let expected = [(201, "{}"), (204, ""), (200, "abc0123456789")];
        let received = receive(text).expect("the responses are good");
        let received: Vec<(u16, &str)> = received.iter().map(|(status, body)| (*status, body.as_str())).collect();
        assert_eq!(received, expected);
    }

    #[test]
    fn invalid_or_closing_responses_are_refused() {
        for text in [
            "no response at all\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert!(receive(text).is_err(), "{text}");
        }
    }
}
