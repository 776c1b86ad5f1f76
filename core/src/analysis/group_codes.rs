//! The groups of the rows of a row group.

use alloc::vec::Vec;

use super::key;
use super::slots::{Interner, Slots, index};
use super::values::Keys;
use crate::json::{Value, write_scaled};
use crate::row_group::{NONE, Types, ValueColumn};

/// For each row of a row group a code, and the key of each code. Several codes may have the same key.
#[derive(Debug)]
pub(super) struct GroupCodes {
    keys: Keys,
    /// Empty if all rows have the first code.
    codes: Vec<u32>,
}

impl GroupCodes {
    /// One group for all rows, with this key.
    pub(super) fn same(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut keys = Keys::default();
        keys.push(write);
        Self { keys, codes: Vec::new() }
    }

    /// Groups by the event type.
    pub(super) fn of_types(types: Types<'_>) -> Self {
        match types {
            Types::One(name) => Self::same(|out| key::write_string(name.as_bytes(), out)),
            Types::Coded { names, codes } => {
                let mut keys = Keys::default();
                names.iter().for_each(|name| keys.push(|out| key::write_string(name.as_bytes(), out)));
                Self { keys, codes: codes.to_vec() }
            }
        }
    }

    /// Groups by the values of a column.
    pub(super) fn of_column(column: &ValueColumn, seed: u64) -> Self {
        match column {
            ValueColumn::Empty => Self::same(|out| out.push(key::NULL)),
            ValueColumn::Numbered(numbered) => {
                let (tokens, codes) = numbered.coded();
                Self::of_column(&ValueColumn::Coded { tokens, codes }, seed)
            }
            ValueColumn::Coded { tokens, codes } => {
                let (mut keys, mut text) = (Keys::default(), Vec::new());
                tokens.iter().for_each(|token| keys.push(|out| key::write(Value::of(token), token, &mut text, out)));
                let null = keys.len() as u32;
                keys.push(|out| out.push(key::NULL));
                let code = |code: &u32| if *code == NONE { null } else { *code };
                Self { keys, codes: codes.iter().map(code).collect() }
            }
            ValueColumn::Tokens(tokens) => Self::interned(tokens.len(), seed, |row, token| {
                token.extend_from_slice(tokens.get(row).as_bytes());
            }),
            ValueColumn::Numbers { mantissas, places, present } => {
                Self::interned(mantissas.len(), seed, |row, token| {
                    if let Some(mantissa) = mantissas.get(row)
                        && present.get(row) != Some(&false)
                    {
                        write_scaled(*mantissa, *places, token);
                    }
                })
            }
        }
    }

    /// `write` appends the value of a row as JSON; nothing if it has none.
    fn interned(rows: usize, seed: u64, write: impl Fn(usize, &mut Vec<u8>)) -> Self {
        let (mut interner, mut keys) = (Interner::new(seed), Keys::default());
        let (mut token, mut text, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        let code = |row| {
            token.clear();
            write(row, &mut token);
            bytes.clear();
            match core::str::from_utf8(&token).expect("values are texts") {
                "" => bytes.push(key::NULL),
                token => key::write(Value::of(token), token, &mut text, &mut bytes),
            }
            let code = interner.number(&bytes);
            if index(code) == keys.len() {
                keys.push(|out| out.extend_from_slice(&bytes));
            }
            code
        };
        let codes = (0..rows).map(code).collect();
        Self { keys, codes }
    }

    /// Groups by two fields, of which this is the first.
    pub(super) fn by(self, second: Self, seed: u64) -> Self {
        let mut keys = Keys::default();
        let mut push = |first: u32, other: u32| {
            let parts = [self.key(first), second.key(other)];
            keys.push(|out| parts.into_iter().for_each(|part| out.extend_from_slice(part)));
        };
        let codes = match (self.codes.is_empty(), second.codes.is_empty()) {
            (_, true) => {
                (0..self.keys.len() as u32).for_each(|first| push(first, 0));
                self.codes
            }
            (true, false) => {
                (0..second.keys.len() as u32).for_each(|other| push(0, other));
                second.codes
            }
            (false, false) => {
                let mut pairs = Slots::new(seed);
                let pair = |(first, other): (&u32, &u32)| {
                    let (before, slot) = (pairs.len(), pairs.slot(*first, *other));
                    if slot == before {
                        push(*first, *other);
                    }
                    slot as u32
                };
                self.codes.iter().zip(&second.codes).map(pair).collect()
            }
        };
        Self { keys, codes }
    }

    /// The key of each code.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key of a code.
    pub(super) fn key(&self, code: u32) -> &[u8] {
        self.keys.get(index(code)).expect("each code has a key")
    }

    /// The code of each row; `None` if all have the first.
    pub(super) fn codes(&self) -> Option<&[u32]> {
        (!self.codes.is_empty()).then_some(&self.codes)
    }
}
