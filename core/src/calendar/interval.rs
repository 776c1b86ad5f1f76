//! The length of buckets.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::num::NonZeroU32;
use core::str::FromStr;

use thiserror::Error;

const SECONDS_PER_DAY: u32 = 86_400;

/// The length of buckets, such as `5m` or `1mo`. [`Display`](fmt::Display) gives the text that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// What the wall clock counts to find where buckets begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Seconds since midnight. A divisor of a day.
    Seconds(i64),
    /// Days.
    Day,
    /// Weeks from Monday to Sunday.
    Week,
    /// Months of a year: 1, 3 or 12.
    Months(i64),
}

/// Why a text is not an [`Interval`]. The texts are shortened to [`TEXT_CHARS_MAX`](Self::TEXT_CHARS_MAX) characters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IntervalError {
    /// The text is not a whole number and a unit.
    #[error("'{text}' is not an interval: give a number and a unit, such as 30s, 5m, 1h, 1d, 1w, 1mo, 1q or 1y")]
    Grammar {
        /// The text.
        text: String,
    },
    /// The interval does not divide a day into equal parts.
    #[error("'{text}' does not divide a day into equal parts: give one that does, such as {near}")]
    Uneven {
        /// The text.
        text: String,
        /// The nearest shorter interval of this unit that does; for 0, the shortest.
        near: Interval,
    },
    /// Several days, weeks, months, quarters or years.
    #[error("'{text}' is not supported: only seconds, minutes and hours can be grouped, so give 1{unit}")]
    NotOne {
        /// The text.
        text: String,
        /// The unit.
        unit: &'static str,
    },
}

impl IntervalError {
    /// How many characters of the text an error keeps.
    pub const TEXT_CHARS_MAX: usize = 32;
}

impl Interval {
    /// Parses a whole number and a unit without a space: `s`, `m` or `h` with a number that divides a day into equal
    /// parts, or `1d`, `1w` (weeks begin on Monday), `1mo`, `1q`, `1y`.
    ///
    /// ```
    /// use argus_core::calendar::Interval;
    ///
    /// assert_eq!(Interval::parse("15m").map(|interval| interval.to_string()), Ok("15m".to_owned()));
    /// assert_eq!(
    ///     Interval::parse("7h").unwrap_err().to_string(),
    ///     "'7h' does not divide a day into equal parts: give one that does, such as 6h",
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`IntervalError`].
    pub fn parse(text: &str) -> Result<Self, IntervalError> {
        let shortened = || text.chars().take(IntervalError::TEXT_CHARS_MAX).collect();
        let unit_at = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(unit_at);
        let unit = Unit::ALL.into_iter().find(|other| other.text() == unit);
        let (Some(unit), false) = (unit, digits.is_empty() || digits.len() > 1 && digits.starts_with('0')) else {
            return Err(IntervalError::Grammar { text: shortened() });
        };
        // A number beyond `u32` is longer than a day in any case.
        let count = digits.parse().unwrap_or(u32::MAX);
        match unit.seconds() {
            None if count == 1 => Ok(Self { count, unit }),
            None => Err(IntervalError::NotOne { text: shortened(), unit: unit.text() }),
            Some(seconds) => {
                let per_day = SECONDS_PER_DAY / seconds;
                if per_day.checked_rem(count) == Some(0) {
                    return Ok(Self { count, unit });
                }
                let shorter = (1..=count.min(per_day)).rev().find(|near| per_day.is_multiple_of(*near));
                let near = Self { count: shorter.unwrap_or(1), unit };
                Err(IntervalError::Uneven { text: shortened(), near })
            }
        }
    }

    /// Lengths of cells in seconds, the longest first; a cell of each length begins with the Unix epoch. The buckets of
    /// each zone are made of whole cells of one of these lengths: in UTC of the first, and everywhere of the last.
    pub(crate) fn cells(self) -> Vec<NonZeroU32> {
        let longest = self.unit.seconds().map_or(SECONDS_PER_DAY, |seconds| self.count * seconds);
        // Most clocks are ahead of UTC, or behind, by whole hours, and most others by quarters of an hour.
        let shorter = [3_600, 900, 60, 1].into_iter().filter(|cell| *cell < longest && longest.is_multiple_of(*cell));
        iter::once(longest).chain(shorter).filter_map(NonZeroU32::new).collect()
    }

    pub(super) fn step(self) -> Step {
        match self.unit {
            Unit::Second | Unit::Minute | Unit::Hour => {
                Step::Seconds(i64::from(self.count) * self.unit.seconds().map_or(1, i64::from))
            }
            Unit::Day => Step::Day,
            Unit::Week => Step::Week,
            Unit::Month => Step::Months(1),
            Unit::Quarter => Step::Months(3),
            Unit::Year => Step::Months(12),
        }
    }
}

impl Unit {
    const ALL: [Self; 8] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    const fn text(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
            Self::Day => "d",
            Self::Week => "w",
            Self::Month => "mo",
            Self::Quarter => "q",
            Self::Year => "y",
        }
    }

    /// The length of the units whose multiples divide a day.
    const fn seconds(self) -> Option<u32> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(3_600),
            Self::Day | Self::Week | Self::Month | Self::Quarter | Self::Year => None,
        }
    }
}

impl FromStr for Interval {
    type Err = IntervalError;

    fn from_str(text: &str) -> Result<Self, IntervalError> {
        Self::parse(text)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit.text())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_interval_is_written_as_it_was_parsed() {
        for text in
            ["1s", "30s", "86400s", "1m", "5m", "90m", "1440m", "1h", "6h", "24h", "1d", "1w", "1mo", "1q", "1y"]
        {
            assert_eq!(Interval::parse(text).map(|interval| interval.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn cells_are_parts_of_a_bucket_or_of_a_day() {
        for (text, expected) in [
            ("1s", &[1][..]),
            ("50s", &[50, 1]),
            ("20m", &[1_200, 60, 1]),
            ("1h", &[3_600, 900, 60, 1]),
            ("6h", &[21_600, 3_600, 900, 60, 1]),
            ("1d", &[86_400, 3_600, 900, 60, 1]),
            ("1y", &[86_400, 3_600, 900, 60, 1]),
        ] {
            let cells =
                Interval::parse(text).map(|interval| interval.cells().into_iter().map(NonZeroU32::get).collect());
            assert_eq!(cells, Ok(expected.to_vec()), "{text}");
        }
    }

    #[test]
    fn seconds_minutes_and_hours_divide_a_day() {
        for (text, near) in [
            ("7h", "6h"),
            ("25h", "24h"),
            ("1441m", "1440m"),
            ("7m", "6m"),
            ("55s", "54s"),
            ("99999999999999999999h", "24h"),
            ("0h", "1h"),
        ] {
            let reason = format!("'{text}' does not divide a day into equal parts: give one that does, such as {near}");
            assert_eq!(Interval::parse(text).map_err(|error| error.to_string()), Err(reason));
        }
        let even = (1..=1_440).filter(|count| Interval::parse(&format!("{count}m")).is_ok()).count();
        assert_eq!(even, 36, "1,440 = 2^5 × 3^2 × 5 has 6 × 3 × 2 divisors");
    }

    #[test]
    fn days_and_longer_units_are_not_grouped() {
        for (text, one) in [("2d", "1d"), ("0w", "1w"), ("3mo", "1mo"), ("2q", "1q"), ("10y", "1y")] {
            let reason =
                format!("'{text}' is not supported: only seconds, minutes and hours can be grouped, so give {one}");
            assert_eq!(Interval::parse(text).map_err(|error| error.to_string()), Err(reason));
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_expected() {
        for text in
            ["", "h", "1", "1 h", " 1h", "1H", "01h", "00s", "+1h", "-1h", "1.5h", "1hour", "1ms", "1mon", "٣h", "1h1m"]
        {
            let reason = format!(
                "'{text}' is not an interval: give a number and a unit, such as 30s, 5m, 1h, 1d, 1w, 1mo, 1q or 1y"
            );
            assert_eq!(Interval::parse(text).map_err(|error| error.to_string()), Err(reason));
        }
        let long = Interval::parse(&"é".repeat(1_000));
        assert_eq!(long, Err(IntervalError::Grammar { text: "é".repeat(IntervalError::TEXT_CHARS_MAX) }));
    }
}
