//! A client of Server-Sent Events, strict about what Argus may send.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Connection, Framing, Head, Request, patience};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

/// A stream of events. Dropping it closes its connection.
#[derive(Debug)]
pub struct EventStream {
    connection: Connection,
    head: Head,
    unread: String,
    /// The `id` of the last event that had one.
    last_id: Option<u64>,
}

/// One event of a stream, by the grammar of WHATWG HTML, section 9.2.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `id`.
    pub id: Option<u64>,
    /// `event`; empty for an ordinary one.
    pub name: String,
    /// `data`.
    pub data: String,
}

impl EventStream {
    /// Opens the stream, and reads its head and its opening.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the answer is not a stream.
    pub fn open(mut connection: Connection, request: &Request) -> Result<Self, Failure> {
        let head = connection.begin(request)?;
        check_eq!(head.status, 200, "the status of a stream");
        check_eq!(head.header("content-type"), Some("text/event-stream"), "the content type of a stream");
        check_eq!(head.framing, Framing::Chunked, "the framing of a stream");
        let mut stream = Self { connection, head, unread: String::new(), last_id: None };
        check_eq!(stream.next_block()?.as_deref(), Some("retry: 1000"), "the first bytes of a stream");
        Ok(stream)
    }

    /// The head of the answer.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The id to resume after, if there was one.
    #[must_use]
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// The text up to the next empty line, without it; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the stream breaks off, or sends nothing for long.
    pub fn next_block(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                return Ok(Some(block));
            }
            let Some(chunk) = self.connection.read_chunk()? else {
                check_eq!(self.unread, "", "the text after the last event");
                return Ok(None);
            };
            // Pieces of Argus end with an event.
            let text =
                String::from_utf8(chunk).map_err(|_| Failure::unmet("whole characters in a piece of a stream"))?;
            self.unread.push_str(&text);
        }
    }

    /// The next event, without comments; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it is malformed, the stream breaks off, or only signs of life come for long.
    pub fn next_sent(&mut self) -> Result<Option<Sent>, Failure> {
        self.next_sent_within(patience())
    }

    fn next_sent_within(&mut self, patience: Duration) -> Result<Option<Sent>, Failure> {
        let begun = Instant::now();
        while let Some(block) = self.next_block()? {
            if block == ":" {
                // Without this, a lost event would never be noticed: each sign of life arrives in time.
                check!(begun.elapsed() < patience, "an event within {patience:?}, not only signs of life");
                continue;
            }
            let sent = parse(&block)?;
            self.last_id = sent.id.or(self.last_id);
            return Ok(Some(sent));
        }
        Ok(None)
    }

    /// The next stored event; the stream must neither end nor send anything else.
    ///
    /// # Errors
    ///
    /// [`Failure`] if it does.
    pub fn next_event(&mut self) -> Result<Value, Failure> {
        let sent = self.next_sent()?.ok_or_else(|| Failure::unmet("an event, not the end of the stream"))?;
        check_eq!(sent.name, "", "the name of an event, {}", sent.data);
        let event: Value = serde_json::from_str(&sent.data)
            .map_err(|error| Failure::unmet(format!("an event in JSON ({error}), not {}", sent.data)))?;
        check_eq!(event.get("seq").and_then(Value::as_u64), sent.id, "the id of an event");
        Ok(event)
    }

    /// The sequence numbers of so many events.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is anything else.
    pub fn seqs(&mut self, count: usize) -> Result<Vec<u64>, Failure> {
        let seq =
            |event: Value| event.get("seq").and_then(Value::as_u64).ok_or_else(|| Failure::unmet("a sequence number"));
        (0..count).map(|_| self.next_event().and_then(seq)).collect()
    }

    /// Requires a notice, which is an event with this name and this member.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the next event is another.
    pub fn expect_notice(&mut self, name: &str, member: &str, value: u64) -> Outcome {
        let sent = self.next_sent()?.ok_or_else(|| Failure::unmet(format!("the notice {name}, not the end")))?;
        check_eq!((&*sent.name, sent.data), (name, format!("{{\"{member}\":{value}}}")), "a notice");
        Ok(())
    }

    /// Requires the end of the stream, complete.
    ///
    /// # Errors
    ///
    /// [`Failure`] if anything else comes.
    pub fn expect_end(&mut self) -> Outcome {
        let next = self.next_sent()?;
        check!(next.is_none(), "the end of the stream, not {next:?}");
        Ok(())
    }

    /// The connection, for what is not a stream any more.
    #[must_use]
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

fn parse(block: &str) -> Result<Sent, Failure> {
    let mut sent = Sent { id: None, name: String::new(), data: String::new() };
    for line in block.split('\n') {
        let (field, value) =
            line.split_once(": ").ok_or_else(|| Failure::unmet(format!("a field of an event, not {line:?}")))?;
        match field {
            "id" => {
                let id =
                    value.parse().map_err(|_| Failure::unmet(format!("a sequence number as id, not {value:?}")))?;
                check!(sent.id.replace(id).is_none(), "one id in {block:?}");
            }
            "event" => value.clone_into(&mut sent.name),
            "data" => {
                check!(sent.data.is_empty(), "one line of data in {block:?}");
                value.clone_into(&mut sent.data);
            }
            _ => return Err(Failure::unmet(format!("a known field of an event, not {line:?}"))),
        }
    }
    check!(!sent.data.is_empty(), "an event with data, not {block:?}");
    Ok(sent)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::client::Transcript;

    #[test]
    fn signs_of_life_are_no_event() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            socket.write_all(format!("{head}d\r\nretry: 1000\n\n\r\n").as_bytes()).unwrap();
            // Until the client leaves.
            while socket.write_all(b"3\r\n:\n\n\r\n").is_ok() {}
        });
        let connection = Connection::open(address, Transcript::default()).unwrap();
        let mut stream = EventStream::open(connection, &Request::get("/events/stream")).unwrap();
        let failure = stream.next_sent_within(Duration::from_millis(1)).unwrap_err();
        assert!(failure.to_string().contains("not only signs of life"), "{failure}");
        drop(stream);
        server.join().unwrap();
    }
}
