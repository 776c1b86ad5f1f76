//! What is computed from the values at one path.

mod rows;

use alloc::vec::Vec;

use super::accuracy::Accuracy;
use super::aggregation::Function;
use super::column::{Column, Greatest, Least, Sum};
use super::key;
use crate::json::{Decimal, Value};
use crate::sketch::{Distinct, Quantiles, write_f64};

/// A path, and what is computed from the values there.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The number of the path in [`Values`].
    pub(super) path: usize,
    sums: Option<Column<Sum>>,
    least: Option<Column<Least>>,
    greatest: Option<Column<Greatest>>,
    quantiles: Option<Column<Quantiles>>,
    distinct: Option<Column<Distinct>>,
    /// Buffer for the key of a value.
    key: Vec<u8>,
    /// Buffer for unescaped strings.
    text: Vec<u8>,
}

impl Source {
    /// Computes nothing yet.
    pub(super) fn new(path: usize) -> Self {
        Self { path, ..Self::default() }
    }

    /// Also computes this function.
    pub(super) fn compute(&mut self, function: Function) {
        let Self { path: _, sums, least, greatest, quantiles, distinct, key: _, text: _ } = self;
        match function {
            Function::Sum | Function::Avg => *sums = Some(Column::default()),
            Function::Min => *least = Some(Column::default()),
            Function::Max => *greatest = Some(Column::default()),
            Function::P50 | Function::P90 | Function::P95 | Function::P99 => *quantiles = Some(Column::default()),
            Function::Unique => *distinct = Some(Column::default()),
        }
    }

    pub(super) fn emptied(&self) -> Self {
        Self {
            path: self.path,
            sums: self.sums.as_ref().map(|_| Column::default()),
            least: self.least.as_ref().map(|_| Column::default()),
            greatest: self.greatest.as_ref().map(|_| Column::default()),
            quantiles: self.quantiles.as_ref().map(|_| Column::default()),
            distinct: self.distinct.as_ref().map(|_| Column::default()),
            key: Vec::new(),
            text: Vec::new(),
        }
    }

    pub(super) fn grow(&mut self, slots: usize) {
        let Self { path: _, sums, least, greatest, quantiles, distinct, key: _, text: _ } = self;
        sums.iter_mut().for_each(|column| column.grow(slots));
        least.iter_mut().for_each(|column| column.grow(slots));
        greatest.iter_mut().for_each(|column| column.grow(slots));
        quantiles.iter_mut().for_each(|column| column.grow(slots));
        distinct.iter_mut().for_each(|column| column.grow(slots));
    }

    /// Adds a value to a slot.
    pub(super) fn add(&mut self, slot: usize, raw: &str) {
        let Self { path: _, sums, least, greatest, quantiles, distinct, key, text } = self;
        let value = Value::of(raw);
        let (is_number, is_text) = match value {
            Value::Number(_) => (true, false),
            Value::String(_) => (false, true),
            Value::Null | Value::Array => return,
            Value::Bool(_) | Value::Object => (false, false),
        };
        if is_number {
            if let Some(sums) = sums {
                sums.change(slot, |sum| sum.add(raw));
            }
            if let Some(quantiles) = quantiles {
                quantiles.change(slot, |quantiles| quantiles.add(to_f64(raw)));
            }
        }
        let is_compared = (least.is_some() || greatest.is_some()) && (is_number || is_text);
        if !is_compared && distinct.is_none() {
            return;
        }
        key.clear();
        key::write(value, raw, text, key);
        if is_compared {
            if let Some(least) = least {
                least.change(slot, |least| least.add(key));
            }
            if let Some(greatest) = greatest {
                greatest.change(slot, |greatest| greatest.add(key));
            }
        }
        if let Some(distinct) = distinct {
            distinct.change(slot, |distinct| distinct.add_hash(key::hash(key)));
        }
    }

    pub(super) fn merge(&mut self, slot: usize, other: &Self, from: usize) {
        let Self { path: _, sums, least, greatest, quantiles, distinct, key: _, text: _ } = self;
        let pairs = (sums.as_mut().zip(other.sums.as_ref()), least.as_mut().zip(other.least.as_ref()));
        if let Some((column, other)) = pairs.0 {
            column.merge(slot, other, from);
        }
        if let Some((column, other)) = pairs.1 {
            column.merge(slot, other, from);
        }
        if let Some((column, other)) = greatest.as_mut().zip(other.greatest.as_ref()) {
            column.merge(slot, other, from);
        }
        if let Some((column, other)) = quantiles.as_mut().zip(other.quantiles.as_ref()) {
            column.merge(slot, other, from);
        }
        if let Some((column, other)) = distinct.as_mut().zip(other.distinct.as_ref()) {
            column.merge(slot, other, from);
        }
    }

    pub(super) fn write(&self, function: Function, slot: usize, out: &mut Vec<u8>) {
        let before = out.len();
        match function {
            Function::Sum => {
                if let Some(sum) = self.sums.as_ref().and_then(|column| column.get(slot)) {
                    sum.write_total(out);
                }
            }
            Function::Avg => {
                if let Some(mean) = self.sums.as_ref().and_then(|column| column.get(slot)?.mean()) {
                    write_f64(mean, out);
                }
            }
            Function::Min => {
                if let Some(least) = self.least.as_ref().and_then(|column| column.get(slot)) {
                    least.write(out);
                }
            }
            Function::Max => {
                if let Some(greatest) = self.greatest.as_ref().and_then(|column| column.get(slot)) {
                    greatest.write(out);
                }
            }
            Function::P50 => self.write_quantile(0.5, slot, out),
            Function::P90 => self.write_quantile(0.9, slot, out),
            Function::P95 => self.write_quantile(0.95, slot, out),
            Function::P99 => self.write_quantile(0.99, slot, out),
            Function::Unique => {
                if let Some(distinct) = self.distinct.as_ref().and_then(|column| column.get(slot)) {
                    crate::json::write_u64(distinct.estimate(), out);
                }
            }
        }
        if out.len() == before {
            out.extend_from_slice(b"null");
        }
    }

    /// The key of the result; `None` if it is not one of the values, or if there is none.
    pub(super) fn extreme(&self, function: Function, slot: usize) -> Option<&[u8]> {
        match function {
            Function::Min => self.least.as_ref()?.get(slot)?.key(),
            Function::Max => self.greatest.as_ref()?.get(slot)?.key(),
            Function::Sum
            | Function::Avg
            | Function::P50
            | Function::P90
            | Function::P95
            | Function::P99
            | Function::Unique => None,
        }
    }

    fn write_quantile(&self, q: f64, slot: usize, out: &mut Vec<u8>) {
        if let Some(value) = self.quantiles.as_ref().and_then(|column| column.get(slot)?.quantile(q)) {
            write_f64(value, out);
        }
    }

    pub(super) fn accuracy(&self, function: Function, slot: usize) -> Accuracy {
        match function {
            Function::Sum | Function::Avg => match self.sums.as_ref().and_then(|column| column.get(slot)) {
                Some(sum) if !sum.is_exact() => Accuracy::Rounded,
                Some(_) | None => Accuracy::Exact,
            },
            Function::Min | Function::Max => Accuracy::Exact,
            Function::P50 | Function::P90 | Function::P95 | Function::P99 => {
                match self.quantiles.as_ref().and_then(|column| column.get(slot)) {
                    Some(quantiles) if quantiles.count() > 0 => Accuracy::Within(Quantiles::RELATIVE_ERROR_MAX),
                    Some(_) | None => Accuracy::Exact,
                }
            }
            Function::Unique => match self.distinct.as_ref().and_then(|column| column.get(slot)) {
                Some(distinct) if !distinct.is_exact() => Accuracy::Within(Distinct::RELATIVE_ERROR),
                Some(_) | None => Accuracy::Exact,
            },
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let Self { path: _, sums, least, greatest, quantiles, distinct, key, text } = self;
        sums.as_ref().map_or(0, Column::held_bytes)
            + least.as_ref().map_or(0, Column::held_bytes)
            + greatest.as_ref().map_or(0, Column::held_bytes)
            + quantiles.as_ref().map_or(0, Column::held_bytes)
            + distinct.as_ref().map_or(0, Column::held_bytes)
            + key.capacity()
            + text.capacity()
    }
}

/// The nearest float of a number token; numbers beyond the range of floats become the largest ones.
fn to_f64(token: &str) -> f64 {
    // Rust reads every number of JSON, and rounds it correctly.
    token.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX)
}

impl Sum {
    /// Adds a number token.
    fn add(&mut self, token: &str) {
        self.numbers += 1;
        // Most numbers are integers of few digits.
        match token.parse::<i64>() {
            Ok(integer) => self.total.add_integer(integer),
            Err(_) => self.total.add(&Decimal::from_token(token)),
        }
    }
}
