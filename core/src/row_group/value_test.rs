//! Tests on scalar values.

use core::cmp::Ordering;

/// A test on scalar values, which are given as JSON texts.
pub(crate) trait ValueTest {
    /// The string, without escapes, for which alone the test holds; `None` if it holds for other values.
    fn only(&self) -> Option<&[u8]>;

    /// Whether the test holds for a value.
    fn holds_for(&mut self, token: &str) -> bool;

    /// How a number compares with that of the test, which decides whether the test [holds](Self::holds_if); `None` if
    /// the test holds for no number.
    fn order(&mut self, number: &str) -> Option<Ordering>;

    /// Whether the test holds for numbers in this order relative to that of the test.
    fn holds_if(&self, order: Ordering) -> bool;
}
