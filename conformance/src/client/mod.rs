//! An HTTP/1.1 client that sends exactly the bytes that it is given and trusts nothing that it receives.
//!
//! A library would correct requests that a case needs to be invalid. It would also hide where a response ends, and
//! whether the connection stays open.

mod connection;
mod events;
mod request;
mod response;
pub mod websocket;

pub use connection::{Connection, End, PATIENCE, patience, wait_longer};
pub use events::{EventStream, Sent};
pub use request::Request;
pub use response::{Framing, Head, Response};

use std::sync::{Arc, Mutex, PoisonError};

/// The bytes that were sent and received during a case, for the report of a failure. Clones share one record.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Arc<Mutex<Vec<String>>>);

/// How many of the last entries a report shows.
const ENTRIES_SHOWN: usize = 6;
/// How many bytes of each entry a report shows.
const ENTRY_BYTES_SHOWN: usize = 1200;

impl Transcript {
    /// Notes bytes that were sent (`>`), received (`<`) or an event on the connection (`*`).
    pub fn note(&self, direction: char, bytes: &[u8]) {
        let mut text = bytes
            .get(..ENTRY_BYTES_SHOWN)
            .unwrap_or(bytes)
            .escape_ascii()
            .to_string()
            .replace("\\r\\n", "\n")
            .replace("\\n", "\n")
            .replace("\\\"", "\"");
        if bytes.len() > ENTRY_BYTES_SHOWN {
            text.push_str(&format!(" … ({} bytes in all)", bytes.len()));
        }
        let entry = text.lines().map(|line| format!("    {direction} {line}\n")).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// The last entries, oldest first.
    #[must_use]
    pub fn recent(&self) -> String {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().skip(entries.len().saturating_sub(ENTRIES_SHOWN)).map(String::as_str).collect()
    }
}
