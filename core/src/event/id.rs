use core::fmt;

use thiserror::Error;

/// An id that the caller chose: its idempotency key. 1 to [`CLIENT_ID_BYTES_MAX`](super::CLIENT_ID_BYTES_MAX) bytes of UTF-8
/// without control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId<'a>(&'a str);

/// Why a text is no [`ClientId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientIdError {
    /// No bytes at all.
    #[error("id is empty")]
    Empty,
    /// Longer than the limit.
    #[error("id has {bytes} bytes, more than {}", super::CLIENT_ID_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A control character, which has no place in a key.
    #[error("id has the control character U+{:04X} at byte {at}", *character as u32)]
    Control {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

/// A UUID (RFC 9562), most significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The id of a stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventId<'a> {
    /// The caller's.
    Given(ClientId<'a>),
    /// Ours, a UUID version 7.
    Generated(Uuid),
}

impl fmt::Display for Uuid {
    /// The usual form: 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
