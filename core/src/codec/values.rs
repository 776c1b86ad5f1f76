//! What scalar values a column has, in short.

use alloc::vec::Vec;

use crate::json::{Value, number_bounds};

/// What scalar values a column of JSON tokens has.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueSummary {
    /// The hashes of its strings, with repetitions.
    pub(crate) hashes: Vec<u64>,
    /// Numbers that are not above the least number and not below the greatest; `None` if it has no number.
    pub(crate) numbers: Option<(f64, f64)>,
    /// Whether it has `true`, `false` or `null`.
    pub(crate) literals: bool,
    /// Buffer for strings without their escapes.
    text: Vec<u8>,
}

impl ValueSummary {
    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
        self.numbers = None;
        self.literals = false;
    }

    /// Adds a string with this hash.
    pub(super) fn add_string(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// Adds a token.
    pub(super) fn add(&mut self, token: &[u8], hash: impl Fn(&[u8]) -> u64) {
        // Tokens were valid when they were encoded. Any others belong to no value.
        let Ok(token) = core::str::from_utf8(token) else { return };
        match Value::of(token) {
            Value::String(string) => self.hashes.push(hash(string.bytes_in(&mut self.text))),
            Value::Number(number) => {
                if let Some((low, high)) = number_bounds(number) {
                    self.add_range(low, high);
                }
            }
            Value::Bool(_) | Value::Null => self.literals = true,
            Value::Object | Value::Array => {}
        }
    }

    /// Adds numbers of which the least is not below `low`, and the greatest not above `high`.
    pub(super) fn add_range(&mut self, low: f64, high: f64) {
        self.numbers = Some(self.numbers.map_or((low, high), |(least, greatest)| (least.min(low), greatest.max(high))));
    }
}
