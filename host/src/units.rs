//! Sizes and durations as people write them.

use std::num::{IntErrorKind, NonZeroUsize};
use std::time::Duration;

use thiserror::Error;

/// Why a text is not a size or a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnitError {
    /// It does not begin with digits.
    #[error("expected a whole number and a unit ({units})")]
    NoNumber {
        /// The known units.
        units: &'static str,
    },
    /// The number is not followed by a known unit.
    #[error("unknown unit '{unit}' (there are {units})")]
    UnknownUnit {
        /// What follows the number.
        unit: String,
        /// The known units.
        units: &'static str,
    },
    /// The number has no unit, and needs one.
    #[error("an age needs a unit ({units}), as in 30d")]
    NoUnit {
        /// The known units.
        units: &'static str,
    },
    /// The size is too large.
    #[error("too large")]
    TooLarge,
    /// The duration or the age is too long.
    #[error("too large: must be at most {days_max}d")]
    TooLong {
        /// The most days.
        days_max: u64,
    },
    /// Zero, which would mean "never" or "nothing at all".
    #[error("must be more than zero")]
    Zero,
}

const SIZE_UNITS: &str = "B, KiB, MiB, GiB, TiB; KB, MB, GB, TB are powers of 1000";
const TIME_UNITS: &str = "ms, s, m, h, d, w, y";
const DAY_MILLIS: u64 = 24 * 3_600_000;

/// Most days of a duration: a year is more than anybody needs, and deadlines computed from it cannot overflow.
const DURATION_DAYS_MAX: u64 = 366;

/// Most days of an age, about a century.
pub const AGE_DAYS_MAX: u64 = 36_525;

/// Reads a size in bytes: `1048576`, `64MiB`, `1 GB`. A bare number is bytes.
///
/// ```
/// use argus_host::units::{UnitError, parse_size};
///
/// assert_eq!(parse_size("64MiB")?, 64 << 20);
/// assert_eq!(parse_size("1 GB")?, 1_000_000_000);
/// # Ok::<(), UnitError>(())
/// ```
///
/// # Errors
///
/// [`UnitError`] if the text is not a size, or zero.
pub fn parse_size(text: &str) -> Result<usize, UnitError> {
    let (number, unit) = split(text, SIZE_UNITS)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(UnitError::UnknownUnit { unit: unit.to_owned(), units: SIZE_UNITS }),
    };
    let bytes = number.checked_mul(factor).ok_or(UnitError::TooLarge)?;
    // Some checks add two sizes or take a multiple of one; this leaves room for that.
    usize::try_from(bytes).ok().filter(|&bytes| bytes <= usize::MAX / 4).ok_or(UnitError::TooLarge)
}

/// Reads a duration: `250ms`, `30s`, `5m`, `1h`, `7d`, `2w`, `1y` (365 days), up to 366 days. A bare number is seconds.
///
/// ```
/// use std::time::Duration;
///
/// use argus_host::units::{UnitError, parse_duration};
///
/// assert_eq!(parse_duration("5m")?, Duration::from_secs(300));
/// assert_eq!(parse_duration("30")?, Duration::from_secs(30));
/// # Ok::<(), UnitError>(())
/// ```
///
/// # Errors
///
/// [`UnitError`] if the text is not a duration, or zero.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text, TIME_UNITS)?;
    let unit = if unit.is_empty() { "s" } else { unit };
    time(number, unit, DURATION_DAYS_MAX)
}

/// Reads an age, in the units of a [duration](parse_duration), up to [`AGE_DAYS_MAX`] days. A bare number is refused,
/// because its unit would be a guess.
///
/// ```
/// use std::time::Duration;
///
/// use argus_host::units::{UnitError, parse_age};
///
/// assert_eq!(parse_age("30d")?, Duration::from_secs(30 * 86_400));
/// assert!(parse_age("30").is_err(), "days or seconds?");
/// # Ok::<(), UnitError>(())
/// ```
///
/// # Errors
///
/// [`UnitError`] if the text is not an age, or zero.
pub fn parse_age(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text, TIME_UNITS)?;
    if unit.is_empty() {
        return Err(UnitError::NoUnit { units: TIME_UNITS });
    }
    time(number, unit, AGE_DAYS_MAX)
}

/// As [`parse_age`], and also zero: at once.
///
/// # Errors
///
/// [`UnitError`] if the text is not an age.
pub(crate) fn parse_age_or_zero(text: &str) -> Result<Duration, UnitError> {
    match parse_age(text) {
        Err(UnitError::Zero) => Ok(Duration::ZERO),
        parsed => parsed,
    }
}

/// A number of this unit, up to `days_max` days.
fn time(number: u64, unit: &str, days_max: u64) -> Result<Duration, UnitError> {
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MILLIS,
        "w" => 7 * DAY_MILLIS,
        "y" => 365 * DAY_MILLIS,
        _ => return Err(UnitError::UnknownUnit { unit: unit.to_owned(), units: TIME_UNITS }),
    };
    match number.checked_mul(factor) {
        Some(millis) if millis <= days_max * DAY_MILLIS => Ok(Duration::from_millis(millis)),
        Some(_) | None => Err(UnitError::TooLong { days_max }),
    }
}

/// Formats a size in the largest unit that divides it.
///
/// ```
/// assert_eq!(argus_host::units::format_size(64 << 20), "64MiB");
/// assert_eq!(argus_host::units::format_size(1000), "1000B");
/// ```
#[must_use]
pub fn format_size(bytes: usize) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

fn split<'a>(text: &'a str, units: &'static str) -> Result<(u64, &'a str), UnitError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber { units });
    }
    // Only digits: what does not fit is larger than any limit.
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    if number == 0 { Err(UnitError::Zero) } else { Ok((number, unit.trim_start())) }
}

/// Reads a count of at least 1.
pub(crate) fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<usize>() {
        Ok(count) => NonZeroUsize::new(count).ok_or_else(|| "must be at least 1".to_owned()),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err("too large".to_owned()),
        Err(_) => Err("expected a whole number of at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_may_be_zero_only_where_that_means_at_once() {
        assert_eq!(parse_age("0s"), Err(UnitError::Zero));
        assert_eq!(parse_age_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_age_or_zero("90m"), Ok(Duration::from_secs(5_400)));
        assert!(parse_age_or_zero("soon").is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("1"), Ok(1));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size(" 64 mib "), Ok(64 << 20));
        assert_eq!(parse_size("3GB"), Ok(3_000_000_000));
        assert_eq!(parse_size("2TB"), Ok(2_000_000_000_000));
        assert_eq!(parse_size("2 tib"), Ok(2 << 40));
        assert_eq!(parse_size("2T"), Ok(2 << 40));
        assert_eq!(parse_size("0"), Err(UnitError::Zero));
        assert_eq!(parse_size("99999999999999999999"), Err(UnitError::TooLarge));
        assert_eq!(parse_size("9999999999GiB"), Err(UnitError::TooLarge));
        assert_eq!(parse_size("4194304TiB"), Err(UnitError::TooLarge));
        assert_eq!(parse_size("18446744073709551615TB"), Err(UnitError::TooLarge));
        assert!(matches!(parse_size("MiB"), Err(UnitError::NoNumber { .. })));
        assert!(matches!(parse_size("-1"), Err(UnitError::NoNumber { .. })));
        assert!(matches!(parse_size("1.5MiB"), Err(UnitError::UnknownUnit { .. })));
        assert!(matches!(parse_size("1 parsec"), Err(UnitError::UnknownUnit { .. })));
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for text in ["64MiB", "256KiB", "1GiB", "2TiB", "1000B", "3MiB"] {
            assert_eq!(parse_size(text).map(format_size), Ok(text.to_owned()));
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_secs(2 * 86_400)));
        assert_eq!(parse_duration("2W"), Ok(Duration::from_secs(14 * 86_400)));
        assert_eq!(parse_duration("1y"), Ok(Duration::from_secs(365 * 86_400)));
        assert_eq!(parse_duration("0s"), Err(UnitError::Zero));
        assert_eq!(parse_duration("9999999h"), Err(UnitError::TooLong { days_max: 366 }));
        assert_eq!(parse_duration("2y"), Err(UnitError::TooLong { days_max: 366 }));
        assert_eq!(parse_duration("99999999999999999999ms"), Err(UnitError::TooLong { days_max: 366 }));
        assert!(matches!(parse_duration("1 fortnight"), Err(UnitError::UnknownUnit { .. })));
    }

    #[test]
    fn ages() {
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert_eq!(parse_age("90 s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_age("6w"), Ok(Duration::from_secs(42 * 86_400)));
        assert_eq!(parse_age("100y"), Ok(Duration::from_secs(36_500 * 86_400)));
        assert_eq!(parse_age("0d"), Err(UnitError::Zero));
        assert_eq!(parse_age("36526d"), Err(UnitError::TooLong { days_max: AGE_DAYS_MAX }));
        assert_eq!(parse_age("101y"), Err(UnitError::TooLong { days_max: AGE_DAYS_MAX }));
        assert_eq!(parse_age("18446744073709551615y"), Err(UnitError::TooLong { days_max: AGE_DAYS_MAX }));
        assert!(matches!(parse_age("30"), Err(UnitError::NoUnit { .. })));
        assert!(matches!(parse_age("1mo"), Err(UnitError::UnknownUnit { .. })));
    }
}
