//! A WebSocket (RFC 6455) that sends exactly the frames that it is given and trusts nothing that it receives.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Connection, Framing, patience};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

/// On the first byte of the last frame of a message.
pub const FIN: u8 = 0x80;
/// The opcode of a text.
pub const TEXT: u8 = 1;
/// The opcode of a message of bytes.
pub const BINARY: u8 = 2;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The opcode of a ping.
pub const PING: u8 = 9;
/// The opcode of a pong.
pub const PONG: u8 = 10;

/// The key of the example in RFC 6455, section 1.3,
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// and its answer.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The mask of every frame. With zeros, the frames would be readable in reports, but masking would not be tested.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The longest message that a case expects, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A WebSocket after its opening handshake.
#[derive(Debug)]
pub struct WebSocket {
    connection: Connection,
    /// `Argus-Last-Seq` of the answer.
    last_seq: u64,
}

/// The handshake of a client, with these further header fields, each with its line end.
#[must_use]
pub fn handshake(target: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: {KEY}\r\n{fields}\r\n"
    )
}

/// A masked frame. `first` has FIN, the reserved bits and the opcode.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The content of a close frame.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

impl WebSocket {
    /// Opens a WebSocket at `target`.
    ///
    /// # Errors
    ///
    /// [`Failure`] unless the subject answers with 101 and the fields that belong to it.
    pub fn open(mut connection: Connection, target: &str) -> Result<Self, Failure> {
        connection.write(handshake(target, "").as_bytes())?;
        Self::opened(connection)
    }

    /// Reads the answer to a handshake that was sent.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn opened(mut connection: Connection) -> Result<Self, Failure> {
        let head = connection.read_head("GET")?;
        if head.status != 101 {
            let body = connection.read_body(&head)?;
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Failure::unmet(format!("the status 101, not {} with {body:?}", head.status)));
        }
        check_eq!(head.framing, Framing::None, "the body of 101");
        for (name, value) in [("upgrade", "websocket"), ("connection", "upgrade")] {
            // Tokens may be in any case, and proxies rewrite them.
            let token = head.header(name).map(str::to_ascii_lowercase);
            check_eq!(token.as_deref(), Some(value), "the field {name} of 101");
        }
        check_eq!(head.header("sec-websocket-accept"), Some(ACCEPT), "the field sec-websocket-accept of 101");
        for name in ["sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"] {
            check_eq!(head.header(name), None, "the field {name} of 101");
        }
        check!(head.header("x-request-id").is_some(), "an X-Request-Id");
        // Checks the status against the document.
        connection.read_body(&head)?;
        let last_seq = head.header("argus-last-seq").and_then(|text| text.parse().ok());
        let last_seq = last_seq.ok_or_else(|| Failure::unmet("a number in Argus-Last-Seq"))?;
        Ok(Self { connection, last_seq })
    }

    /// `Argus-Last-Seq` of the answer.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The connection below.
    #[must_use]
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Sends a whole masked frame.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the subject does not take it.
    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> Outcome {
        self.connection.write(&frame(FIN | opcode, payload))
    }

    /// Reads the next frame: its opcode and its content. Pings are answered and not returned.
    ///
    /// # Errors
    ///
    /// [`Failure`] unless a frame arrives that is whole, unmasked, not fragmented and without reserved bits, or if only
    /// pings come for long.
    pub fn read(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        self.read_within(patience())
    }

    fn read_within(&mut self, patience: Duration) -> Result<(u8, Vec<u8>), Failure> {
        let begun = Instant::now();
        loop {
            let (opcode, payload) = self.read_any()?;
            if opcode != PING {
                return Ok((opcode, payload));
            }
            // Without this, a lost message would never be noticed: each ping arrives in time.
            check!(begun.elapsed() < patience, "a frame within {patience:?}, not only pings");
            self.send(PONG, &payload)?;
        }
    }

    /// As [`read`](Self::read), but returns pings and does not answer them.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_any(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        let head = self.connection.take(2)?;
        let [first, length] = head.try_into().map_err(|_| Failure::unmet("two bytes"))?;
        check!(first & 0xf0 == FIN, "a whole message without reserved bits, not a frame that begins with {first:#x}");
        let length = match length {
            126 => {
                let [high, low] = self.connection.take(2)?.try_into().map_err(|_| Failure::unmet("two bytes"))?;
                usize::from(u16::from_be_bytes([high, low]))
            }
            127 => {
                let bytes = self.connection.take(8)?.try_into().map_err(|_| Failure::unmet("eight bytes"))?;
                usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)
            }
            128.. => return Err(Failure::unmet("a frame without a mask")),
            length => usize::from(length),
        };
        check!(length <= MESSAGE_BYTES_MAX, "a frame of at most {MESSAGE_BYTES_MAX} bytes, not {length}");
        let payload = self.connection.take(length)?;
        Ok((first & 0xf, payload))
    }

    /// Reads the next message, which must be a text of JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`] if another frame or the end of the connection arrives.
    pub fn message(&mut self) -> Result<Value, Failure> {
        let (opcode, payload) = self.read()?;
        let text = String::from_utf8_lossy(&payload).into_owned();
        check_eq!(opcode, TEXT, "the opcode of a frame with {text:?}");
        serde_json::from_slice(&payload).map_err(|error| Failure::unmet(format!("a message of JSON ({error}): {text}")))
    }

    /// Reads this many events and returns their sequence numbers.
    ///
    /// # Errors
    ///
    /// [`Failure`] if another message, another frame or the end of the connection arrives.
    pub fn seqs(&mut self, count: usize) -> Result<Vec<u64>, Failure> {
        (0..count)
            .map(|_| {
                let message = self.message()?;
                let seq = message.get("seq").and_then(Value::as_u64);
                seq.ok_or_else(|| Failure::unmet(format!("an event with a seq, not {message}")))
            })
            .collect()
    }

    /// Reads to the close frame of the subject, skipping messages, and returns its code and reason.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the connection ends without one.
    pub fn read_close(&mut self) -> Result<(u16, String), Failure> {
        loop {
            let (opcode, payload) = self.read()?;
            if opcode != CLOSE {
                check!(opcode == TEXT, "a text or a close frame, not one of the opcode {opcode}");
                continue;
            }
            let (code, reason) = payload.split_at_checked(2).unwrap_or_default();
            let code = code.try_into().map_err(|_| Failure::unmet("a close frame with a code"))?;
            let reason = String::from_utf8(reason.to_vec())
                .map_err(|error| Failure::unmet(format!("a reason in UTF-8: {error}")))?;
            return Ok((u16::from_be_bytes(code), reason));
        }
    }

    /// Requires a close frame with this code, answers it, and requires the subject to end the connection in order.
    /// Returns the reason.
    ///
    /// # Errors
    ///
    /// [`Failure`] if anything else happens.
    pub fn expect_close(mut self, code: u16) -> Result<String, Failure> {
        let (received, reason) = self.read_close()?;
        check_eq!(received, code, "the code of the close frame with the reason {reason:?}");
        self.send(CLOSE, &code.to_be_bytes())?;
        self.connection.expect_close()?;
        Ok(reason)
    }

    /// Closes the WebSocket, and requires the subject to answer and to end the connection. Skips messages.
    ///
    /// # Errors
    ///
    /// [`Failure`] if anything else happens.
    pub fn close(mut self) -> Outcome {
        self.send(CLOSE, &close_payload(1000, "done"))?;
        check_eq!(self.read_close()?, (1000, "done".to_owned()), "the answer to a close frame");
        self.connection.expect_close()
    }
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
    fn pings_are_no_message() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // Until the client leaves.
            while socket.write_all(&[FIN | PING, 0]).is_ok() {}
        });
        let connection = Connection::open(address, Transcript::default()).unwrap();
        let mut socket = WebSocket { connection, last_seq: 0 };
        let failure = socket.read_within(Duration::from_millis(1)).unwrap_err();
        assert!(failure.to_string().contains("not only pings"), "{failure}");
        drop(socket);
        server.join().unwrap();
    }
}
