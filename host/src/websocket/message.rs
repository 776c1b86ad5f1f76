//! Messages.

use bytes::Bytes;

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text. It is valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
}
