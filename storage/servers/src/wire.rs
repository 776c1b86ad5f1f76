//! Commands for a MongoDB server: as much of its protocol as tests need, without a driver.
//!
//! The format is that of [`OP_MSG`](https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/).

use std::io::{Error, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bson::Document;

use crate::error::ServerError;

/// The longest time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer, in bytes: that of the protocol.
const ANSWER_BYTES_MAX: i32 = 48_000_000;

/// The code of `OP_MSG`.
const OP_MSG: i32 = 2013;

/// The bytes before the document of an answer: flags, and the kind of the only section.
const SECTION: usize = 5;

/// A connection to a server, without a password.
#[derive(Debug)]
pub struct MongoConnection {
    server: SocketAddr,
    stream: TcpStream,
}

impl MongoConnection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The server does not accept it.
    pub(crate) fn open(server: SocketAddr) -> Result<Self, ServerError> {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let stream = stream.map_err(ServerError::of(format!("the MongoDB server at {server}")))?;
        Ok(Self { server, stream })
    }

    /// Executes a command of a database. Returns the answer.
    ///
    /// # Errors
    ///
    /// The server refuses, or does not answer; then the connection is of no use any more.
    pub fn command(&mut self, database: &str, mut command: Document) -> Result<Document, ServerError> {
        let server = self.server;
        command.insert("$db", database);
        let answer = self.exchange(&command);
        let answer = answer.map_err(ServerError::of(format!("a command for the MongoDB server at {server}")))?;
        if is_ok(&answer) {
            return Ok(answer);
        }
        Err(ServerError::new(format!("the MongoDB server at {server} refuses a command: {answer}")))
    }

    fn exchange(&mut self, command: &Document) -> std::io::Result<Document> {
        // Flags, and one section of kind 0, which is a document.
        let body = [&[0; SECTION], &*command.to_vec().map_err(Error::other)?].concat();
        let mut message = i32::try_from(16 + body.len()).map_err(Error::other)?.to_le_bytes().to_vec();
        for number in [1, 0, OP_MSG] {
            message.extend(i32::to_le_bytes(number));
        }
        message.extend(body);
        self.stream.write_all(&message)?;
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        let [a, b, c, d, ..] = header;
        let bytes = i32::from_le_bytes([a, b, c, d]).clamp(16, ANSWER_BYTES_MAX) - 16;
        let mut answer = vec![0; usize::try_from(bytes).map_err(Error::other)?];
        self.stream.read_exact(&mut answer)?;
        Document::from_reader(answer.get(SECTION..).unwrap_or_default()).map_err(Error::other)
    }
}

/// Whether an answer has the member `ok` with the number 1, of any kind.
fn is_ok(answer: &Document) -> bool {
    answer.get("ok").is_some_and(|ok| ok.as_f64() == Some(1.0) || ok.as_i32() == Some(1))
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn an_answer_says_whether_the_command_was_successful() {
        assert!(is_ok(&doc! { "isWritablePrimary": true, "ok": 1.0 }));
        assert!(is_ok(&doc! { "ok": 1 }));
        assert!(!is_ok(&doc! { "ok": 0.0 }));
        assert!(!is_ok(&doc! {}));
    }
}
