use thiserror::Error;

/// A point in time: nanoseconds since the Unix epoch, UTC, without leap seconds.
///
/// The range is that of `i64`: 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is no [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimestampError {
    /// Not of the grammar of RFC 3339, section 5.6.
    #[error("not RFC 3339: {reason} at byte {at}")]
    Grammar {
        /// What was expected.
        reason: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A field beyond its range: month 13, February 30, hour 24.
    #[error("{field} is out of range")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// Outside what 64 bits of nanoseconds hold.
    #[error("outside 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z")]
    OutOfRange,
    /// A number finer than a nanosecond, which could not be kept exactly.
    #[error("finer than a nanosecond")]
    TooFine,
    /// Not a number either.
    #[error("not a number")]
    NotANumber,
}
