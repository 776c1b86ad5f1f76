//! A column of states, one for each slot.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::key;
use super::slot_rows::SlotRows;
use crate::json::Decimal;
use crate::sketch::{Distinct, Quantiles, Total};

/// How many digits of a mean are computed. More than the 17 that determine a float, so that the rest decides only
/// whether there is one.
const MEAN_DIGITS: usize = 25;

/// A column of states, and the memory that they hold beyond themselves.
#[derive(Debug)]
pub(super) struct Column<S> {
    states: Vec<S>,
    heap_bytes: usize,
}

/// The state of an aggregation.
pub(super) trait State: Default {
    /// Memory beyond the state itself, in bytes. Cheap.
    fn heap_bytes(&self) -> usize;

    /// Adds what another one has seen.
    fn merge(&mut self, other: &Self);
}

/// A sum, and of how many numbers.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) total: Total,
    pub(super) numbers: u64,
}

/// The key of the least number; without a number, that of the least string.
#[derive(Debug, Default)]
pub(super) struct Least(Option<Box<[u8]>>);

/// The key of the greatest number; without a number, that of the greatest string.
#[derive(Debug, Default)]
pub(super) struct Greatest(Option<Box<[u8]>>);

impl<S> Default for Column<S> {
    fn default() -> Self {
        Self { states: Vec::new(), heap_bytes: 0 }
    }
}

impl<S: State> Column<S> {
    pub(super) fn grow(&mut self, slots: usize) {
        self.states.resize_with(slots, S::default);
    }

    pub(super) fn get(&self, slot: usize) -> Option<&S> {
        self.states.get(slot)
    }

    /// Changes the state of a slot.
    pub(super) fn change(&mut self, slot: usize, change: impl FnOnce(&mut S)) {
        let Some(state) = self.states.get_mut(slot) else { return };
        let before = state.heap_bytes();
        change(state);
        self.heap_bytes = self.heap_bytes.saturating_sub(before).saturating_add(state.heap_bytes());
    }

    /// Changes the state of the slot of each row; `change` also gets the row.
    pub(super) fn change_rows(&mut self, rows: &SlotRows, mut change: impl FnMut(&mut S, usize)) {
        let Self { states, heap_bytes } = self;
        let heap = |states: &[S]| rows.slots().iter().filter_map(|slot| states.get(*slot)).map(S::heap_bytes).sum();
        let before: usize = heap(states);
        if let Some(state) = rows.only().and_then(|slot| states.get_mut(slot)) {
            (0..rows.len()).for_each(|row| change(state, row));
        } else {
            for (row, slot) in rows.iter().enumerate() {
                if let Some(state) = states.get_mut(slot) {
                    change(state, row);
                }
            }
        }
        *heap_bytes = heap_bytes.saturating_sub(before).saturating_add(heap(states));
    }

    /// Adds a state of another column to that of a slot.
    pub(super) fn merge(&mut self, slot: usize, other: &Self, from: usize) {
        if let Some(other) = other.states.get(from) {
            self.change(slot, |state| state.merge(other));
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.heap_bytes
    }
}

impl Sum {
    pub(super) fn is_exact(&self) -> bool {
        self.total.is_exact()
    }

    pub(super) fn write_total(&self, out: &mut Vec<u8>) {
        self.total.write(out);
    }

    /// The mean; `None` without numbers. If the sum is exact, this is the float nearest to the exact mean.
    pub(super) fn mean(&self) -> Option<f64> {
        if self.numbers == 0 {
            return None;
        }
        if !self.total.is_exact() {
            return Some(self.total.as_f64() / self.numbers as f64);
        }
        let mut text = Vec::new();
        self.total.write(&mut text);
        let sum = core::str::from_utf8(&text).ok().and_then(Decimal::parse)?;
        Some(quotient(&sum, self.numbers))
    }
}

impl State for Sum {
    fn heap_bytes(&self) -> usize {
        self.total.memory_bytes().saturating_sub(size_of::<Total>())
    }

    fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        self.numbers += other.numbers;
    }
}

impl State for Quantiles {
    fn heap_bytes(&self) -> usize {
        self.memory_bytes().saturating_sub(size_of::<Self>())
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

impl State for Distinct {
    fn heap_bytes(&self) -> usize {
        self.memory_bytes().saturating_sub(size_of::<Self>())
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

impl Least {
    /// Adds the key of a number or a string.
    pub(super) fn add(&mut self, key: &[u8]) {
        // The keys of numbers are lower than those of strings.
        if self.0.as_deref().is_none_or(|least| key < least) {
            self.0 = Some(key.into());
        }
    }

    /// The key of the value.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// Appends the value as JSON; nothing if there is none.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_value(self.0.as_deref(), out);
    }
}

impl Greatest {
    /// Adds the key of a number or a string.
    pub(super) fn add(&mut self, key: &[u8]) {
        let is_greater = |greatest: &[u8]| match (key::is_number(key), key::is_number(greatest)) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => key > greatest,
        };
        if self.0.as_deref().is_none_or(is_greater) {
            self.0 = Some(key.into());
        }
    }

    /// The key of the value.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// Appends the value as JSON; nothing if there is none.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_value(self.0.as_deref(), out);
    }
}

impl State for Least {
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |key| key.len())
    }

    fn merge(&mut self, other: &Self) {
        if let Some(key) = &other.0 {
            self.add(key);
        }
    }
}

impl State for Greatest {
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |key| key.len())
    }

    fn merge(&mut self, other: &Self) {
        if let Some(key) = &other.0 {
            self.add(key);
        }
    }
}

fn write_value(key: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(mut key) = key {
        key::decode(&mut key).write_json(out);
    }
}

/// A decimal divided by a count, as the nearest float: by long division, to [`MEAN_DIGITS`] digits and one more if
/// there is a rest.
fn quotient(dividend: &Decimal<'_>, divisor: u64) -> f64 {
    let divisor = u128::from(divisor);
    let mut digits = dividend.digits().bytes().filter(u8::is_ascii_digit);
    let (mut text, mut exponent) = (String::new(), dividend.scale());
    if dividend.is_negative() {
        text.push('-');
    }
    text.push_str("0.");
    let (mut rest, mut significant) = (0_u128, 0);
    while significant < MEAN_DIGITS {
        let next = digits.next();
        if next.is_none() && rest == 0 {
            break;
        }
        rest = rest * 10 + next.map_or(0, |digit| u128::from(digit - b'0'));
        let digit = u8::try_from(rest / divisor).expect("the rest was below the divisor, so this is one digit");
        rest %= divisor;
        if digit == 0 && significant == 0 {
            exponent -= 1;
        } else {
            text.push(char::from(b'0' + digit));
            significant += 1;
        }
    }
    if rest != 0 || digits.any(|digit| digit != b'0') {
        text.push('1');
    }
    text.push('e');
    text.push_str(&alloc::format!("{exponent}"));
    text.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn quotients_are_the_nearest_floats() {
        for (dividend, divisor, expected) in [
            ("0", 3, 0.0_f64),
            ("1", 3, 1.0 / 3.0),
            ("-2", 3, -2.0 / 3.0),
            ("0.3", 3, 0.1),
            ("10", 4, 2.5),
            ("1e30", 10, 1e29),
            ("-0.00001", 1, -0.00001),
            ("9007199254740993", 1, 9_007_199_254_740_992.0),
            ("9007199254740993.0001", 1, 9_007_199_254_740_994.0),
            ("18014398509481986", 2, 9_007_199_254_740_992.0),
            ("1", u64::MAX, 1.0 / 18_446_744_073_709_551_615.0),
        ] {
            let dividend = Decimal::parse(dividend).unwrap();
            assert_eq!(quotient(&dividend, divisor).to_bits(), expected.to_bits(), "{dividend:?} / {divisor}");
        }
    }

    #[test]
    fn numbers_are_compared_before_strings() {
        let key = |json: &str| {
            let mut out = Vec::new();
            key::write(crate::json::Value::of(json), json, &mut Vec::new(), &mut out);
            out
        };
        for (values, least, greatest) in [
            (&["\"b\"", "\"a\"", "\"ab\""][..], "\"a\"", "\"b\""),
            (&["\"b\"", "5", "-1.50", "\"a\"", "5e0"], "-1.5", "5"),
            (&[], "", ""),
        ] {
            let (mut low, mut high) = (Least::default(), Greatest::default());
            for value in values {
                low.add(&key(value));
                high.add(&key(value));
            }
            let (mut written, mut other) = (Vec::new(), Vec::new());
            low.write(&mut written);
            high.write(&mut other);
            assert_eq!((written.as_slice(), other.as_slice()), (least.as_bytes(), greatest.as_bytes()));
        }
    }
}
