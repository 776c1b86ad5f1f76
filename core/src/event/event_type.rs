use thiserror::Error;

/// The kind of an event: 1 to [`EVENT_TYPE_BYTES_MAX`](super::EVENT_TYPE_BYTES_MAX) bytes of UTF-8 without control
/// characters. Case-sensitive; compared by bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType<'a>(&'a str);

/// Why a text is no [`EventType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventTypeError {
    /// No bytes at all.
    #[error("event_type is empty")]
    Empty,
    /// Longer than the limit.
    #[error("event_type has {bytes} bytes, more than {}", super::EVENT_TYPE_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A control character, which has no place in a name.
    #[error("event_type has the control character U+{:04X} at byte {at}", *character as u32)]
    Control {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}
