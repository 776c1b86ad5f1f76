//! What an aggregate computes.

use core::fmt;

use thiserror::Error;

use crate::query::{PathError, PayloadPath};

/// One column of results.
///
/// All but [`Count`](Self::Count) take the values at a path. Each element of an array counts, also a repeated one.
/// Missing values and `null` never count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// The number of events.
    Count,
    /// A function of the values at a path.
    Of(Function, PayloadPath),
}

/// A function of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The sum of the numbers; 0 if there is none. Exact for integers, and for decimals of ordinary size: see
    /// [`Total`](crate::sketch::Total).
    Sum,
    /// The mean of the numbers, as the nearest 64-bit float.
    Avg,
    /// The least number; if there is no number, the least string by bytes.
    Min,
    /// The greatest number; if there is no number, the greatest string by bytes.
    Max,
    /// The median of the numbers. All percentiles are those of [`Quantiles`](crate::sketch::Quantiles).
    P50,
    /// The number that 90 % of the numbers do not exceed.
    P90,
    /// The number that 95 % of the numbers do not exceed.
    P95,
    /// The number that 99 % of the numbers do not exceed.
    P99,
    /// The number of different values of any kind, by [`Distinct`](crate::sketch::Distinct).
    Unique,
}

/// Why a text is not an [`Aggregation`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AggregationError {
    /// Neither `count` nor a function of a path.
    #[error(
        "must be count, or one of sum, avg, min, max, p50, p90, p95, p99 and unique of a path: sum(payload.amount)"
    )]
    Form,
    /// A function without parentheses.
    #[error("needs the path of its values: {0}(payload.amount)")]
    NoPath(Function),
    /// The path is not valid.
    #[error("{0}")]
    Path(#[from] PathError),
}

impl Function {
    const ALL: [Self; 9] =
        [Self::Sum, Self::Avg, Self::Min, Self::Max, Self::P50, Self::P90, Self::P95, Self::P99, Self::Unique];

    /// The name in a query string.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Unique => "unique",
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Aggregation {
    /// Parses `count` or `<function>(payload.<path>)`.
    ///
    /// ```
    /// use argus_core::analysis::Aggregation;
    ///
    /// let aggregation = Aggregation::parse("p95(payload.response.ms)")?;
    /// assert_eq!(aggregation.to_string(), "p95(payload.response.ms)");
    /// # Ok::<(), argus_core::analysis::AggregationError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AggregationError`].
    pub fn parse(text: &str) -> Result<Self, AggregationError> {
        if text == "count" {
            return Ok(Self::Count);
        }
        let (name, rest) = text.split_once('(').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let named = Function::ALL.into_iter().find(|function| function.name() == name);
        let function = named.ok_or(AggregationError::Form)?;
        let argument = rest.and_then(|rest| rest.strip_suffix(')')).ok_or(AggregationError::NoPath(function))?;
        let path = argument.strip_prefix("payload.").ok_or(AggregationError::NoPath(function))?;
        Ok(Self::Of(function, PayloadPath::parse(path)?))
    }
}

impl fmt::Display for Aggregation {
    /// The text that [`Aggregation::parse`] parses to this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Of(function, path) => write!(f, "{function}(payload.{path})"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn aggregations_are_written_as_they_are_parsed() {
        for text in [
            "count",
            "sum(payload.a)",
            "avg(payload.a.b)",
            "min(payload.)",
            "max(payload.a)b)",
            "p50(payload.a)",
            "p90(payload.a)",
            "p95(payload.a)",
            r"p99(payload.a\.b)",
            r"unique(payload.\[)",
        ] {
            assert_eq!(Aggregation::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_right_form() {
        for (text, reason) in [
            ("", "must be count"),
            ("Count", "must be count"),
            ("count()", "must be count"),
            ("median(payload.a)", "must be count"),
            ("sum", "sum(payload.amount)"),
            ("p50(a)", "p50(payload.amount)"),
            ("p50(payload.a", "p50(payload.amount)"),
            (r"sum(payload.\a)", "must be followed by"),
        ] {
            let error = Aggregation::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
