//! A value of a JSON text, and what the scanner has noticed in it.

/// A number of more digits is long. Common readers refuse very long ones, and with them the whole text: Python reads
/// integers of up to 4,300 digits.
pub const LONG_NUMBER_DIGITS: usize = 1000;

/// A valid value, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// The text of the value.
    pub raw: &'a str,
    /// What the scanner has noticed: the depth in the lower half, and flags above it. In one word, since spans are
    /// copied often: with a field for each, bodies of many small values took 8 % longer to parse.
    facts: u64,
}

const WHITE_SPACE: u64 = 1 << 32;
const LONG_NUMBER: u64 = 1 << 33;

impl<'a> Span<'a> {
    pub(super) fn new(raw: &'a str, depth: usize, has_white_space: bool, has_long_number: bool) -> Self {
        let flags = (u64::from(has_white_space) * WHITE_SPACE) | (u64::from(has_long_number) * LONG_NUMBER);
        Self { raw, facts: flags | u64::from(u32::try_from(depth).unwrap_or(u32::MAX)) }
    }

    /// Whether it contains insignificant white space.
    #[must_use]
    pub const fn has_white_space(&self) -> bool {
        self.facts & WHITE_SPACE != 0
    }

    /// How many arrays and objects it has within each other, itself included: 0 for `1`, 1 for `[]`, 2 for `[{}]`.
    #[must_use]
    pub const fn depth(&self) -> usize {
        (self.facts & u32::MAX as u64) as usize
    }

    /// Whether it has a number of more than [`LONG_NUMBER_DIGITS`], with those of fraction and exponent.
    #[must_use]
    pub const fn has_long_number(&self) -> bool {
        self.facts & LONG_NUMBER != 0
    }
}
