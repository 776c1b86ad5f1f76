//! Timestamps.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::json::Decimal;

mod calendar;
mod rfc3339;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time: nanoseconds since the Unix epoch, UTC, without leap seconds.
///
/// The range is that of `i64`: 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z.
///
/// Serializes to the string of [`Display`](fmt::Display), and deserializes from a string with [`parse`](Self::parse).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is not a valid [`Timestamp`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimestampError {
    /// The text is neither a date and time nor a number.
    #[error("not RFC 3339 or Unix time: {reason} at byte {at}")]
    Grammar {
        /// What was expected.
        reason: &'static str,
        /// Offset in bytes.
        at: usize,
    },
    /// A date and time without an offset.
    #[error("a time needs an offset: 'Z' for UTC, as in {local}Z, or one such as -05:00")]
    NoOffset {
        /// The text up to the second, with `T` between date and time.
        local: Box<str>,
    },
    /// A field is out of range, for example month 13, February 30 or hour 24.
    #[error("{field} is out of range")]
    Field {
        /// The field's name.
        field: &'static str,
    },
    /// The time is outside the range of 64-bit nanoseconds.
    #[error("outside 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z")]
    OutOfRange,
    /// The time is finer than a nanosecond, so it could not be stored exactly.
    #[error("finer than a nanosecond")]
    TooFine,
    /// The text is not a number.
    #[error("not a number")]
    NotANumber,
}

impl Timestamp {
    /// The time that is `nanos` nanoseconds after the Unix epoch, or before it if negative.
    ///
    /// ```
    /// use argus_core::event::Timestamp;
    ///
    /// assert_eq!(Timestamp::from_nanos(1_500_000_000).to_string(), "1970-01-01T00:00:01.500Z");
    /// ```
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Parses a date and time of RFC 3339, section 5.6, or Unix time in digits with
    /// [`parse_number`](Self::parse_number).
    ///
    /// An offset is required. Beside `+02:00` and `Z`, it may be `+0200`, `+02` or `UTC`; `-00:00` means UTC. A space
    /// may replace `T`, and precede the offset. `T` and `Z` may be in lower case. A number may have a plus sign and
    /// leading zeros.
    ///
    /// Second 60 is a leap second, so it is valid only at 23:59:60 UTC. It counts as the first second of the next day,
    /// as in Unix time. Fraction digits after the ninth must be zeros.
    ///
    /// ```
    /// use argus_core::event::{Timestamp, TimestampError};
    ///
    /// let noon = Timestamp::parse("2026-03-07T12:00:00+01:00")?;
    /// assert_eq!(noon.to_string(), "2026-03-07T11:00:00Z");
    /// assert_eq!(noon, Timestamp::parse("2026-03-07 12:00:00+01")?, "the same, as PostgreSQL prints it");
    /// assert_eq!(noon, Timestamp::parse("1772881200")?, "the same in Unix time");
    /// assert!(Timestamp::parse("2026-03-07T12:00:00").is_err(), "there is no offset");
    /// # Ok::<(), TimestampError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimestampError::Grammar`], [`TimestampError::NoOffset`], [`TimestampError::Field`],
    /// [`TimestampError::OutOfRange`], [`TimestampError::TooFine`].
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // No text is both a date and a number. The common form comes first, since it must be fast.
        rfc3339::parse(text).or_else(|error| match (error, Decimal::parse_text(text.as_bytes())) {
            (TimestampError::Grammar { .. }, Some(number)) => Self::from_number(number),
            (grammar @ TimestampError::Grammar { .. }, None) => Err(white_space_around(text).unwrap_or(grammar)),
            (error, _) => Err(error),
        })
    }

    /// Parses a JSON number as Unix time. The absolute value determines the unit: seconds below 1e11, milliseconds
    /// below 1e14, microseconds below 1e17, nanoseconds from there on. The arithmetic is decimal and exact.
    ///
    /// ```
    /// use argus_core::event::{Timestamp, TimestampError};
    ///
    /// let second = Timestamp::parse_number("1772884800")?;
    /// assert_eq!(second, Timestamp::parse_number("1772884800000")?, "the same in milliseconds");
    /// assert_eq!(second.to_string(), "2026-03-07T12:00:00Z");
    /// # Ok::<(), TimestampError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimestampError::NotANumber`] if `token` is not a number (RFC 8259, section 6);
    /// [`TimestampError::TooFine`]; [`TimestampError::OutOfRange`].
    pub fn parse_number(token: &str) -> Result<Self, TimestampError> {
        Self::from_number(Decimal::parse(token).ok_or(TimestampError::NotANumber)?)
    }

    fn from_number(number: Decimal<'_>) -> Result<Self, TimestampError> {
        // The power of ten from the unit to nanoseconds.
        let shift = match number.scale() {
            ..=11 => 9,
            12..=14 => 6,
            15..=17 => 3,
            18.. => 0,
        };
        // The value in nanoseconds is 0.d₁d₂d₃… × 10^places.
        let places = number.scale().saturating_add(shift);
        let nanos = match number.to_integer(places) {
            Some(nanos) => nanos,
            None if places > 20 => return Err(TimestampError::OutOfRange),
            None => return Err(TimestampError::TooFine),
        };
        i64::try_from(nanos).map(Self).map_err(|_| TimestampError::OutOfRange)
    }

    /// Appends the text of [`Display`](fmt::Display).
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(rfc3339::format(self).as_bytes());
    }
}

/// The error for white space before or after the time, if there is any.
fn white_space_around(text: &str) -> Option<TimestampError> {
    let end = text.trim_end().len();
    let at = if text.starts_with(char::is_whitespace) { 0 } else { end };
    (text.trim().len() < text.len()).then_some(TimestampError::Grammar { reason: "unexpected white space", at })
}

impl fmt::Display for Timestamp {
    /// Formats as RFC 3339 in UTC with `Z`, with as many fraction digits as needed: 0, 3, 6 or 9.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(rfc3339::format(*self).as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rfc3339::format(*self).as_str())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(token: &str) -> Result<i64, TimestampError> {
        Timestamp::parse_number(token).map(Timestamp::as_nanos)
    }

    #[test]
    fn the_magnitude_determines_the_unit() {
        for (token, nanos) in [
            ("0", 0),
            ("-0.0e5", 0),
            ("1", 1_000_000_000),
            ("-1", -1_000_000_000),
            ("1700000000", 1_700_000_000_000_000_000),
            ("1700000000000", 1_700_000_000_000_000_000),
            ("1700000000000000", 1_700_000_000_000_000_000),
            ("1700000000000000000", 1_700_000_000_000_000_000),
            ("-1700000000000", -1_700_000_000_000_000_000),
            ("100000000000", 100_000_000_000_000_000),
            ("99999999999999", i64::MAX),
            ("100000000000000", 100_000_000_000_000_000),
            ("99999999999999999", i64::MAX),
            ("100000000000000000", 100_000_000_000_000_000),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            let expected = if nanos == i64::MAX && token != "9223372036854775807" {
                Err(TimestampError::OutOfRange)
            } else {
                Ok(nanos)
            };
            assert_eq!(number(token), expected, "{token}");
        }
    }

    #[test]
    fn fractions_and_exponents_are_exact() {
        for (token, nanos) in [
            ("1.5", 1_500_000_000),
            ("1.5e9", 1_500_000_000_000_000_000),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("1700000000.12345678900000000000", 1_700_000_000_123_456_789),
            ("1700000000123.456789", 1_700_000_000_123_456_789),
            ("1700000000123456.789", 1_700_000_000_123_456_789),
            ("17e8", 1_700_000_000_000_000_000),
            ("1700000000E0", 1_700_000_000_000_000_000),
            ("17000000000e-1", 1_700_000_000_000_000_000),
            ("1e-9", 1),
            ("0.000000001", 1),
            ("1E+2", 100_000_000_000),
        ] {
            assert_eq!(number(token), Ok(nanos), "{token}");
        }
    }

    #[test]
    fn other_numbers_are_refused() {
        for token in
            ["1.0000000001", "1e-10", "1e-99999999999999999999999", "1700000000000.1234567", "1700000000000000000.5"]
        {
            assert_eq!(number(token), Err(TimestampError::TooFine), "{token}");
        }
        for token in
            ["99999999999", "9223372036854775808", "-9223372036854775809", "1e19", "1e400", "1e99999999999999999999999"]
        {
            assert_eq!(number(token), Err(TimestampError::OutOfRange), "{token}");
        }
        for token in ["", "-", "01", "+1", ".5", "1.", "1e", " 1", "1 ", "NaN", "0x10", "1_000"] {
            assert_eq!(number(token), Err(TimestampError::NotANumber), "{token}");
        }
    }

    #[test]
    fn a_text_is_a_number_or_a_date() {
        for (text, expected) in [
            ("1.5", Ok(Timestamp(1_500_000_000))),
            ("-1", Ok(Timestamp(-1_000_000_000))),
            ("1700000000", Ok(Timestamp(1_700_000_000_000_000_000))),
            ("1700000000.000100", Ok(Timestamp(1_700_000_000_000_100_000))),
            ("1700000000123456", Ok(Timestamp(1_700_000_000_123_456_000))),
            ("1970-01-01T00:00:01.5Z", Ok(Timestamp(1_500_000_000))),
            ("1e400", Err(TimestampError::OutOfRange)),
            ("1.0000000001", Err(TimestampError::TooFine)),
            ("yesterday", Err(TimestampError::Grammar { reason: "expected a digit of the year", at: 0 })),
            ("+1", Ok(Timestamp(1_000_000_000))),
            ("00001700000000", Ok(Timestamp(1_700_000_000_000_000_000))),
            ("1700000000 ", Err(TimestampError::Grammar { reason: "unexpected white space", at: 10 })),
            ("\t1700000000", Err(TimestampError::Grammar { reason: "unexpected white space", at: 0 })),
            ("1970-01-01 00:00:01 UTC", Ok(Timestamp(1_000_000_000))),
            ("1970-01-01T00:00:01UTC", Ok(Timestamp(1_000_000_000))),
        ] {
            assert_eq!(Timestamp::parse(text), expected, "{text}");
        }
    }
}
