//! Adds the values of many events at once.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Source, to_f64};
use crate::analysis::column::Column;
use crate::analysis::key;
use crate::analysis::numbered_hashes::NumberedHashes;
use crate::analysis::slot_rows::SlotRows;
use crate::json::{Decimal, Value, write_scaled};
use crate::row_group::{NONE, Numbered, Tokens, ValueColumn};
use crate::sketch::Quantiles;

/// Integers below this are exact as floats.
const EXACT_END: u64 = 1 << 53;

/// The sum of [`ROWS_MAX`](crate::row_group::ROWS_MAX) integers below this has 63 bits.
const SUMMED_END: u64 = 1 << 51;

/// Up to this number of pairs of a slot and a value, those that were seen are noted.
const SEEN_MAX: usize = 1 << 16;

/// Numbers of a column, as in [`ValueColumn::Numbers`].
#[derive(Clone, Copy)]
struct Numbers<'a> {
    mantissas: &'a [i64],
    places: u32,
    present: &'a [bool],
}

/// The key of one of few different values.
#[derive(Clone, Copy, Debug)]
struct CodedKey {
    /// Where its bytes are.
    start: usize,
    end: usize,
    /// Whether it is a number or a string.
    is_compared: bool,
    /// `None` if it does not count as a value.
    hash: Option<u64>,
}

impl Source {
    /// Adds the value of each row of a column to the row's slot.
    pub(in crate::analysis) fn add_rows(&mut self, rows: &SlotRows, column: &ValueColumn, hashes: &mut NumberedHashes) {
        match column {
            ValueColumn::Empty => {}
            ValueColumn::Tokens(tokens) => {
                for (slot, token) in rows.iter().zip(tokens.iter()).filter(|(_, token)| !token.is_empty()) {
                    self.add(slot, token);
                }
            }
            ValueColumn::Numbers { mantissas, places, present } => {
                let numbers = Numbers { mantissas, places: *places, present };
                self.add_numbers(rows, numbers);
                self.add_keys_of_numbers(rows, numbers);
            }
            ValueColumn::Numbered(column) if column.is_string() && self.least.is_none() && self.greatest.is_none() => {
                self.add_numbered(rows, column, hashes);
            }
            ValueColumn::Numbered(column) => {
                let (tokens, codes) = column.coded();
                self.add_rows(rows, &ValueColumn::Coded { tokens, codes }, hashes);
            }
            ValueColumn::Coded { tokens, codes } => {
                if self.sums.is_some() || self.quantiles.is_some() {
                    self.add_coded_numbers(rows, tokens, codes);
                }
                if self.least.is_some() || self.greatest.is_some() || self.distinct.is_some() {
                    self.add_coded_keys(rows, tokens, codes);
                }
            }
        }
    }

    /// Adds numbers to sums and quantiles.
    fn add_numbers(&mut self, rows: &SlotRows, numbers: Numbers<'_>) {
        if let Some(sums) = &mut self.sums {
            for (slot, (sum, count)) in rows.slots().iter().zip(numbers.sums(rows)) {
                sums.change(*slot, |state| {
                    state.total.add_scaled(sum, numbers.places);
                    state.numbers += count;
                });
            }
        }
        if let Some(quantiles) = &mut self.quantiles {
            numbers.add_to(quantiles, rows);
        }
    }

    /// Adds numbers to all that keep keys of values.
    fn add_keys_of_numbers(&mut self, rows: &SlotRows, numbers: Numbers<'_>) {
        if self.least.is_some() || self.greatest.is_some() {
            // Of each slot, only the least and the greatest number matter.
            let mut ends = alloc::vec![None::<(i64, i64)>; rows.slots().len()];
            for (row, (index, mantissa)) in rows.indexes().zip(numbers.mantissas).enumerate() {
                if numbers.is_present(row) {
                    let end = ends.get_mut(index).expect("each row has a slot");
                    let (least, greatest) = end.unwrap_or((*mantissa, *mantissa));
                    *end = Some((least.min(*mantissa), greatest.max(*mantissa)));
                }
            }
            let key = |mantissa| number_key(mantissa, numbers.places);
            for (slot, (low, high)) in rows.slots().iter().zip(ends).filter_map(|(slot, ends)| Some((slot, ends?))) {
                if let Some(least) = &mut self.least {
                    least.change(*slot, |least| least.add(&key(low)));
                }
                if let Some(greatest) = &mut self.greatest {
                    greatest.change(*slot, |greatest| greatest.add(&key(high)));
                }
            }
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.change_rows(rows, |distinct, row| {
                if let Some(mantissa) = numbers.mantissas.get(row)
                    && numbers.is_present(row)
                {
                    distinct.add_hash(key::hash(&number_key(*mantissa, numbers.places)));
                }
            });
        }
    }

    /// Adds the numbers among few different values to sums and quantiles.
    fn add_coded_numbers(&mut self, rows: &SlotRows, tokens: &Tokens, codes: &[u32]) {
        let is_number = |token: &str| matches!(Value::of(token), Value::Number(_));
        if !tokens.iter().any(is_number) {
            return;
        }
        let integer = |token: &str| if is_number(token) { token.parse::<i64>().map(Some) } else { Ok(None) };
        if let Ok(integers) = tokens.iter().map(integer).collect::<Result<Vec<Option<i64>>, _>>() {
            let of_row = |code: &u32| integers.get(*code as usize).copied().flatten();
            let present: Vec<bool> = codes.iter().map(|code| of_row(code).is_some()).collect();
            let mantissas: Vec<i64> = codes.iter().map(|code| of_row(code).unwrap_or_default()).collect();
            self.add_numbers(rows, Numbers { mantissas: &mantissas, places: 0, present: &present });
            return;
        }
        let numbers: Vec<Option<(&str, f64)>> =
            tokens.iter().map(|token| is_number(token).then(|| (token, to_f64(token)))).collect();
        let number = |row: usize| codes.get(row).and_then(|code| numbers.get(*code as usize)).copied().flatten();
        if let Some(sums) = &mut self.sums {
            sums.change_rows(rows, |sum, row| {
                if let Some((token, _)) = number(row) {
                    sum.add(token);
                }
            });
        }
        if let Some(quantiles) = &mut self.quantiles {
            quantiles.change_rows(rows, |quantiles, row| {
                if let Some((_, number)) = number(row) {
                    quantiles.add(number);
                }
            });
        }
    }

    /// Adds strings, which are in no sum and have no quantiles, to the numbers of different values.
    fn add_numbered(&mut self, rows: &SlotRows, column: &Numbered, hashes: &mut NumberedHashes) {
        let Some(distinct) = &mut self.distinct else { return };
        let mut hashes = hashes.of_column(column);
        distinct.change_rows(rows, |distinct, row| {
            if let Some(integer) = column.get(row) {
                distinct.add_hash(hashes.get(integer));
            }
        });
    }

    /// Adds few different values to all that keep keys of values. To them, it does not matter how often a value comes.
    fn add_coded_keys(&mut self, rows: &SlotRows, tokens: &Tokens, codes: &[u32]) {
        let pairs = rows.slots().len() * tokens.len();
        let mut seen = alloc::vec![false; if pairs <= SEEN_MAX { pairs } else { 0 }];
        let mut keys: Vec<Option<CodedKey>> = alloc::vec![None; tokens.len()];
        let mut bytes = Vec::new();
        for (index, code) in rows.indexes().zip(codes).filter(|(_, code)| **code != NONE) {
            let code = *code as usize;
            if seen.get_mut(index * tokens.len() + code).is_some_and(|seen| core::mem::replace(seen, true)) {
                continue;
            }
            let known = keys.get_mut(code).expect("each code has a value");
            let key = known.get_or_insert_with(|| CodedKey::of(tokens.get(code), &mut self.text, &mut bytes));
            let slot = *rows.slots().get(index).expect("each row has a slot");
            if key.is_compared {
                let key = bytes.get(key.start..key.end).expect("the key was appended here");
                if let Some(least) = &mut self.least {
                    least.change(slot, |least| least.add(key));
                }
                if let Some(greatest) = &mut self.greatest {
                    greatest.change(slot, |greatest| greatest.add(key));
                }
            }
            if let (Some(distinct), Some(hash)) = (&mut self.distinct, key.hash) {
                distinct.change(slot, |distinct| distinct.add_hash(hash));
            }
        }
    }
}

impl CodedKey {
    /// Appends the key of a value to `bytes`. `text` is a buffer.
    fn of(token: &str, text: &mut Vec<u8>, bytes: &mut Vec<u8>) -> Self {
        let value = Value::of(token);
        let start = bytes.len();
        key::write(value, token, text, bytes);
        let hash = || bytes.get(start..).map(key::hash);
        let (is_compared, hash) = match value {
            Value::Number(_) | Value::String(_) => (true, hash()),
            Value::Bool(_) | Value::Object => (false, hash()),
            Value::Null | Value::Array => (false, None),
        };
        Self { start, end: bytes.len(), is_compared, hash }
    }
}

impl Numbers<'_> {
    fn is_present(&self, row: usize) -> bool {
        self.present.get(row).copied().unwrap_or(true)
    }

    /// For each slot the sum of its mantissas, and how many numbers it has.
    fn sums(&self, rows: &SlotRows) -> Vec<(i128, u64)> {
        let greatest = self.mantissas.iter().fold(0, |bits, mantissa| bits | mantissa.unsigned_abs());
        if self.present.is_empty() && greatest < SUMMED_END {
            let mut sums = alloc::vec![0_i64; rows.slots().len()];
            for (index, mantissa) in rows.indexes().zip(self.mantissas) {
                *sums.get_mut(index).expect("each row has a slot") += mantissa;
            }
            return sums.into_iter().map(i128::from).zip(rows.counts().iter().copied()).collect();
        }
        let mut sums = alloc::vec![(0_i128, 0_u64); rows.slots().len()];
        for (row, (index, mantissa)) in rows.indexes().zip(self.mantissas).enumerate() {
            let is_present = self.is_present(row);
            let (sum, count) = sums.get_mut(index).expect("each row has a slot");
            *sum += i128::from(if is_present { *mantissa } else { 0 });
            *count += u64::from(is_present);
        }
        sums
    }

    /// Adds the numbers, each as the nearest float.
    fn add_to(&self, quantiles: &mut Column<Quantiles>, rows: &SlotRows) {
        let Self { mantissas, places, .. } = *self;
        // Up to 10^22, powers of ten are exact, so that one division rounds once.
        let unit = 10_u64.pow(places) as f64;
        quantiles.change_rows(rows, |quantiles, row| {
            let Some(&mantissa) = mantissas.get(row).filter(|_| self.is_present(row)) else { return };
            quantiles.add(match places {
                _ if mantissa.unsigned_abs() >= EXACT_END => to_f64(&text(mantissa, places)),
                // Division takes longer than all else.
                0 => mantissa as f64,
                _ => mantissa as f64 / unit,
            });
        });
    }
}

/// `mantissa` divided by 10^`places`.
fn text(mantissa: i64, places: u32) -> String {
    let mut text = Vec::new();
    write_scaled(mantissa, places, &mut text);
    String::from_utf8(text).expect("a number is ASCII")
}

/// The key of `mantissa` divided by 10^`places`.
fn number_key(mantissa: i64, places: u32) -> Vec<u8> {
    let (token, mut key) = (text(mantissa, places), Vec::new());
    key::write_number(&Decimal::from_token(&token), &mut key);
    key
}
