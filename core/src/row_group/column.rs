//! The values at a path, for some events.

use alloc::vec::Vec;

use super::numbered::Numbered;
use super::tokens::Tokens;

/// Mantissas are below this, and above its negative.
pub(crate) const MANTISSA_END: u64 = 1 << 62;

/// The scalar values at a path: at most one for each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueColumn {
    /// No row has a value.
    Empty,
    /// For each row the index of its value among few different ones; [`NONE`](super::NONE) if it has none.
    Coded { tokens: Tokens, codes: Vec<u32> },
    /// For each row a number: that of `mantissas`, divided by 10^`places`. Where `present` is false, there is none; it
    /// is empty if all rows have one. Mantissas are smaller than [`MANTISSA_END`].
    Numbers { mantissas: Vec<i64>, places: u32, present: Vec<bool> },
    /// For each row a value that differs from the others in an integer only.
    Numbered(Numbered),
    /// For each row its value; empty if it has none.
    Tokens(Tokens),
}
