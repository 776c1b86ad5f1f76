//! Commands for a MongoDB server: as much of its protocol as tests need, without a driver.
//!
//! The formats are those of [`OP_MSG`](https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/) and
//! [BSON](https://bsonspec.org/spec.html).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::ServerError;

/// The longest time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: i32 = 1 << 20;

/// The code of `OP_MSG`.
const OP_MSG: i32 = 2013;

/// A BSON document under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document(Vec<u8>);

impl Document {
    /// Appends a text.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.member(2, name);
        self.0.extend(length(value.len() + 1));
        self.0.extend(value.bytes().chain([0]));
        self
    }

    /// Appends a number.
    pub(crate) fn number(mut self, name: &str, value: i32) -> Self {
        self.member(16, name);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Appends a document.
    pub(crate) fn document(mut self, name: &str, value: Self) -> Self {
        self.member(3, name);
        self.0.extend(value.finish());
        self
    }

    /// Appends an array of one document.
    pub(crate) fn array_of_one(mut self, name: &str, value: Self) -> Self {
        self.member(4, name);
        self.0.extend(Self::default().document("0", value).finish());
        self
    }

    fn member(&mut self, of: u8, name: &str) {
        self.0.push(of);
        self.0.extend(name.bytes().chain([0]));
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = length(self.0.len() + 5).to_vec();
        bytes.extend(self.0);
        bytes.push(0);
        bytes
    }
}

/// Executes a command of a database. Returns the bytes of the answer.
///
/// # Errors
///
/// The server does not answer, or it refuses.
pub(crate) fn command(server: SocketAddr, database: &str, command: Document) -> Result<Vec<u8>, ServerError> {
    let answer = exchange(server, &command.text("$db", database).finish());
    let answer = answer.map_err(ServerError::of(format!("a command for the MongoDB server at {server}")))?;
    if is_ok(&answer) {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&answer).replace('\0', " ");
    Err(ServerError::new(format!("the MongoDB server at {server} refuses a command: {said}")))
}

fn exchange(server: SocketAddr, document: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Flags, and one section of kind 0, which is a document.
    let body = [&[0; 5], document].concat();
    let mut message = length(16 + body.len()).to_vec();
    for number in [1, 0, OP_MSG] {
        message.extend(i32::to_le_bytes(number));
    }
    message.extend(body);
    stream.write_all(&message)?;
    let mut header = [0; 16];
    stream.read_exact(&mut header)?;
    let [a, b, c, d, ..] = header;
    let bytes = i32::from_le_bytes([a, b, c, d]).clamp(16, ANSWER_BYTES_MAX) - 16;
    let mut answer = vec![0; usize::try_from(bytes).unwrap_or(0)];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Whether an answer has the member `ok` with the number 1.
fn is_ok(answer: &[u8]) -> bool {
    let ok = [b"\x01ok\0".as_slice(), &1_f64.to_le_bytes()].concat();
    answer.windows(ok.len()).any(|window| window == ok)
}

fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_bson() {
        // The example of the specification.
        let bytes = Document::default().text("hello", "world").finish();
        assert_eq!(bytes, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
        let bytes = Document::default().number("a", 1).array_of_one("b", Document::default()).finish();
        assert_eq!(bytes, b"\x1c\0\0\0\x10a\0\x01\0\0\0\x04b\0\x0d\0\0\0\x030\0\x05\0\0\0\0\0\0");
    }

    #[test]
    fn an_answer_says_whether_the_command_was_successful() {
        assert!(is_ok(b"\x08isWritablePrimary\0\x01\x01ok\0\0\0\0\0\0\0\xf0?\0"));
        assert!(!is_ok(b"\x01ok\0\0\0\0\0\0\0\0\0\0"));
    }
}
