//! Rates as people write them: `100/s`, `10MiB/m`.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

use thiserror::Error;

const SIZE_UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

/// An amount for each second, minute or hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    amount: NonZeroU64,
    period: Period,
}

/// The time in which the amount of a rate is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

/// Why a text is not an amount, a size or a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RateError {
    /// It is no rate of requests.
    #[error("expected a number for each second, minute or hour, as in 100/s, 600/m or 5000/h")]
    Requests,
    /// It is no rate of bytes.
    #[error("expected a size for each second, minute or hour, as in 10MiB/s or 500KB/m")]
    Bytes,
    /// It is no whole number.
    #[error("expected a whole number")]
    Amount,
    /// It is no size.
    #[error("expected a size, as in 64MiB (units are B, KiB, MiB, GiB, TiB; KB, MB, GB, TB are powers of 1000)")]
    Size,
    /// It is zero, which would forbid everything.
    #[error("must be more than zero")]
    Zero,
}

impl Rate {
    /// Parses a rate of requests: `100/s`, `600/m`, `5000/h`.
    ///
    /// ```
    /// use argus_core::limit::{Rate, RateError};
    ///
    /// assert_eq!(Rate::parse_requests("600/m")?.amount().get(), 600);
    /// assert_eq!(Rate::parse_requests("600"), Err(RateError::Requests));
    /// # Ok::<(), RateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RateError::Requests`], [`RateError::Zero`].
    pub fn parse_requests(text: &str) -> Result<Self, RateError> {
        let (amount, period) = split(text).ok_or(RateError::Requests)?;
        let amount = parse_amount(amount).map_err(|error| error.or(RateError::Requests))?;
        Ok(Self { amount, period })
    }

    /// Parses a rate of bytes: `10MiB/s`, `500KB/m`, `1GiB/h`.
    ///
    /// # Errors
    ///
    /// [`RateError::Bytes`], [`RateError::Zero`].
    pub fn parse_bytes(text: &str) -> Result<Self, RateError> {
        let (amount, period) = split(text).ok_or(RateError::Bytes)?;
        let amount = parse_size(amount).map_err(|error| error.or(RateError::Bytes))?;
        Ok(Self { amount, period })
    }

    /// How much is granted in each [`period`](Self::period).
    #[must_use]
    pub fn amount(self) -> NonZeroU64 {
        self.amount
    }

    /// A second, a minute or an hour.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs(match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        })
    }
}

impl fmt::Display for Rate {
    /// `100/s`: a size is written in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => 's',
            Period::Minute => 'm',
            Period::Hour => 'h',
        };
        write!(f, "{}/{period}", self.amount)
    }
}

impl RateError {
    /// This error if it says more than `general`.
    fn or(self, general: Self) -> Self {
        match self {
            Self::Zero => Self::Zero,
            Self::Requests | Self::Bytes | Self::Amount | Self::Size => general,
        }
    }
}

/// Parses a whole number above zero.
///
/// # Errors
///
/// [`RateError::Amount`], [`RateError::Zero`].
pub fn parse_amount(text: &str) -> Result<NonZeroU64, RateError> {
    // `str::parse` would accept a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RateError::Amount);
    }
    let amount = text.parse::<u64>().map_err(|_| RateError::Amount)?;
    NonZeroU64::new(amount).ok_or(RateError::Zero)
}

/// Parses a size in bytes: `1048576`, `64MiB`, `1 GB`. A bare number is bytes.
///
/// # Errors
///
/// [`RateError::Size`], also if it is too large for 64 bits; [`RateError::Zero`].
pub fn parse_size(text: &str) -> Result<NonZeroU64, RateError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at_checked(digits).ok_or(RateError::Size)?;
    let unit = unit.trim_start();
    let factor = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    let number = parse_amount(digits).map_err(|error| error.or(RateError::Size))?;
    factor.and_then(|factor| number.get().checked_mul(factor)).and_then(NonZeroU64::new).ok_or(RateError::Size)
}

/// Splits a rate into its amount and its period.
fn split(text: &str) -> Option<(&str, Period)> {
    let (amount, period) = text.split_once('/')?;
    let period = match period.trim() {
        "s" | "sec" | "second" => Period::Second,
        "m" | "min" | "minute" => Period::Minute,
        "h" | "hour" => Period::Hour,
        _ => return None,
    };
    Some((amount.trim(), period))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString as _;

    use super::*;

    #[test]
    fn rates_have_an_amount_and_a_period() {
        for (text, shown, seconds) in
            [("100/s", "100/s", 1), ("1/m", "1/m", 60), ("5000/h", "5000/h", 3600), (" 7 / min ", "7/m", 60)]
        {
            let rate = Rate::parse_requests(text).unwrap();
            assert_eq!((rate.to_string().as_str(), rate.period().as_secs()), (shown, seconds), "{text}");
        }
        assert_eq!(Rate::parse_bytes("10MiB/s").unwrap().to_string(), "10485760/s");
        assert_eq!(Rate::parse_bytes("1 kb/h").unwrap().to_string(), "1000/h");
        for text in ["", "/", "100", "100/", "/s", "-1/s", "+1/s", "1.5/s", "1/d", "1/s/s", "1k/s", "1e3/s"] {
            assert_eq!(Rate::parse_requests(text), Err(RateError::Requests), "{text}");
        }
        for text in ["", "10MiB", "10XB/s", "99999999999999999999/s", "16777216TiB/s", "MiB/s"] {
            assert_eq!(Rate::parse_bytes(text), Err(RateError::Bytes), "{text}");
        }
        assert_eq!(Rate::parse_requests("0/s"), Err(RateError::Zero));
        assert_eq!(Rate::parse_bytes("0KiB/s"), Err(RateError::Zero));
    }
}
