//! Which scalar values can fulfil a condition.

use alloc::boxed::Box;

/// A set of scalar values that has all values that fulfil a condition, and may have others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) strings: WantedStrings,
    /// Numbers from the first to the second; `None` for no numbers.
    pub(crate) numbers: Option<(f64, f64)>,
    /// Whether `true`, `false` and `null` are in the set.
    pub(crate) literals: bool,
}

/// The strings of a [`Wanted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedStrings {
    /// The string of these bytes, without escapes.
    One(Box<[u8]>),
    All,
}

/// The most digits of an integer that is certainly exact as `f64`.
const EXACT_DIGITS: usize = 15;

/// Two numbers around the value of a decimal number: not above it, and not below it. They are equal if it is a short
/// integer. `None` if the text is no number.
pub(crate) fn number_bounds(text: &str) -> Option<(f64, f64)> {
    let nearest: f64 = text.parse().ok()?;
    let is_exact = text.len() <= EXACT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    Some(if is_exact { (nearest, nearest) } else { (nearest.next_down(), nearest.next_up()) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn bounds_enclose_the_number() {
        assert_eq!(number_bounds("42"), Some((42.0, 42.0)));
        assert_eq!(number_bounds("-0"), Some((0.0, 0.0)));
        let (low, high) = number_bounds("0.1").unwrap();
        assert!(low < 0.1 && 0.1 < high && high - low < 1e-16);
        let (low, high) = number_bounds("9007199254740993").unwrap();
        assert!(low <= 9_007_199_254_740_992.0 && high >= 9_007_199_254_740_994.0);
        assert_eq!(number_bounds("1e400"), Some((f64::MAX, f64::INFINITY)));
        assert_eq!(number_bounds("-1e400"), Some((f64::NEG_INFINITY, f64::MIN)));
        assert_eq!(number_bounds("one"), None);
    }
}
