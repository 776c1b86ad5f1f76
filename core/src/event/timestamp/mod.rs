//! Timestamps.

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
/// Serialized as the string that [`Display`](fmt::Display) gives, deserialized as by
/// [`parse_rfc3339`](Self::parse_rfc3339).
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

impl Timestamp {
    /// The point in time so many nanoseconds after the Unix epoch (before it, if negative).
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

    /// Reads `date-time` of RFC 3339, section 5.6, and nothing wider: an offset is required, `T` and `Z` may be in
    /// lower case, a space does not stand for `T`. `-00:00` means UTC.
    ///
    /// Second 60 is taken as a leap second, and so only where it is 23:59:60 in UTC; it counts as the first second of
    /// the next day, as in Unix time. Digits beyond the ninth of the fraction must be zeros.
    ///
    /// ```
    /// use argus_core::event::{Timestamp, TimestampError};
    ///
    /// let noon = Timestamp::parse_rfc3339("2026-03-07T12:00:00+01:00")?;
    /// assert_eq!(noon.to_string(), "2026-03-07T11:00:00Z");
    /// assert!(Timestamp::parse_rfc3339("2026-03-07T12:00:00").is_err(), "there is no offset");
    /// # Ok::<(), TimestampError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TimestampError::Grammar`], [`TimestampError::Field`], [`TimestampError::OutOfRange`],
    /// [`TimestampError::TooFine`].
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimestampError> {
        rfc3339::parse(text)
    }

    /// Reads a number token of JSON as Unix time. The unit follows from the absolute value: seconds below 1e11,
    /// milliseconds below 1e14, microseconds below 1e17, nanoseconds from there on. The arithmetic is decimal and
    /// exact.
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
    /// [`TimestampError::NotANumber`] where `token` is not of the grammar of RFC 8259, section 6;
    /// [`TimestampError::TooFine`]; [`TimestampError::OutOfRange`].
    pub fn parse_number(token: &str) -> Result<Self, TimestampError> {
        let number = Decimal::parse(token).ok_or(TimestampError::NotANumber)?;
        let shift = match number.scale() {
            ..=11 => 9,
            12..=14 => 6,
            15..=17 => 3,
            18.. => 0,
        };
        // The value in nanoseconds is 0.d₁d₂d₃… times ten to the power of `places`.
        let places = number.scale().saturating_add(shift);
        let nanos = match number.to_integer(places) {
            Some(nanos) => nanos,
            None if places > 20 => return Err(TimestampError::OutOfRange),
            None => return Err(TimestampError::TooFine),
        };
        i64::try_from(nanos).map(Self).map_err(|_| TimestampError::OutOfRange)
    }

    /// Reads a time as a query string has it: a number as in [`parse_number`](Self::parse_number), anything else as in
    /// [`parse_rfc3339`](Self::parse_rfc3339).
    ///
    /// ```
    /// use argus_core::event::{Timestamp, TimestampError};
    ///
    /// assert_eq!(Timestamp::parse_param("1772884800")?, Timestamp::parse_param("2026-03-07T12:00:00Z")?);
    /// # Ok::<(), TimestampError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn parse_param(text: &str) -> Result<Self, TimestampError> {
        match Self::parse_number(text) {
            Err(TimestampError::NotANumber) => Self::parse_rfc3339(text),
            outcome => outcome,
        }
    }

    /// Appends the text that [`Display`](fmt::Display) gives.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(rfc3339::format(self).as_bytes());
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with `Z`, and with as many fraction digits as the value needs: 0, 3, 6 or 9.
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
        Self::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(token: &str) -> Result<i64, TimestampError> {
        Timestamp::parse_number(token).map(Timestamp::as_nanos)
    }

    #[test]
    fn the_magnitude_tells_the_unit() {
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
    fn what_does_not_fit_is_refused() {
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
    fn a_parameter_is_a_number_or_a_date() {
        assert_eq!(Timestamp::parse_param("1.5"), Ok(Timestamp(1_500_000_000)));
        assert_eq!(Timestamp::parse_param("1970-01-01T00:00:01.5Z"), Ok(Timestamp(1_500_000_000)));
        assert_eq!(Timestamp::parse_param("1e400"), Err(TimestampError::OutOfRange));
        assert_eq!(
            Timestamp::parse_param("yesterday"),
            Err(TimestampError::Grammar { reason: "expected a digit of the year", at: 0 })
        );
    }
}
