//! Reads columns of JSON tokens as values.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Form, Texts};
use crate::codec::affixed::Affixed;
use crate::codec::cursor::Corrupt;
use crate::codec::dictionary::Dictionary;
use crate::json::write_scaled;
use crate::row_group::{NONE, Numbered, RowSet, Tokens, ValueColumn, ValueTest};

const NOT_TEXT: Corrupt = Corrupt("a value is not UTF-8");

impl Texts {
    /// The values of some rows: those of the leaves with these numbers, [`NONE`] for a row without a value. Without
    /// `leaves`, each of `count` rows has the leaf of its own number.
    pub(crate) fn values(&self, count: usize, leaves: Option<&[u32]>) -> Result<ValueColumn, Corrupt> {
        match &self.form {
            Form::Dictionary(dictionary) if leaves.is_none_or(|leaves| leaves.len() >= dictionary.len() / 2) => {
                return self.coded(dictionary, leaves);
            }
            Form::Integers(_) | Form::Decimals(_) => {
                if let Some((mantissas, places)) = self.numbers() {
                    return Ok(chosen_numbers(mantissas, places, leaves));
                }
            }
            Form::Affixed(affixed) => return self.numbered(affixed, leaves),
            Form::Dictionary(_) | Form::Strings(_) | Form::Template(_) => {}
        }
        let (mut tokens, mut token) = (Tokens::default(), Vec::new());
        let mut push = |leaf: u32| {
            token.clear();
            if leaf != NONE {
                self.append(leaf as usize, &mut token)?;
            }
            tokens.push(core::str::from_utf8(&token).map_err(|_| NOT_TEXT)?);
            Ok(())
        };
        match leaves {
            Some(leaves) => leaves.iter().try_for_each(|leaf| push(*leaf))?,
            None => (0..count as u32).try_for_each(push)?,
        }
        Ok(ValueColumn::Tokens(tokens))
    }

    /// The leaves, of which there are `count`, for which a test holds.
    pub(crate) fn select(&self, count: usize, test: &mut dyn ValueTest) -> Result<RowSet, Corrupt> {
        if let Some((mantissas, places)) = self.numbers() {
            return Ok(select_numbers(&mantissas, places, test));
        }
        // In a string with escapes, the bytes are not those of the token.
        let plain = test.only().filter(|string| self.quoted && is_plain(string)).map(Vec::from);
        let mut found = RowSet::EMPTY;
        match (&self.form, &plain) {
            (Form::Template(template), Some(string)) if !template.has_byte(b'\\') => {
                template.find(string, count, |leaf| found.insert(leaf));
            }
            (Form::Affixed(affixed), Some(string)) if !affixed.has_byte(b'\\') => {
                affixed.find(string, |leaf| found.insert(leaf));
            }
            (Form::Dictionary(dictionary), _) => {
                let wanted = self.wanted_codes(dictionary, plain.as_deref(), test)?;
                // A code without a text is reported when the text is read.
                match wanted.len() {
                    _ if !wanted.contains(&true) => {}
                    0..=64 => {
                        let mask = wanted.iter().rev().fold(u64::MAX, |mask, wanted| mask << 1 | u64::from(*wanted));
                        found = RowSet::of(&dictionary.codes(), |code| mask >> (*code).min(63) & 1 == 1);
                    }
                    _ => {
                        let is_wanted = |code: &u64| wanted.get(*code as usize).copied().unwrap_or(true);
                        found = RowSet::of(&dictionary.codes(), is_wanted);
                    }
                }
            }
            (
                Form::Strings(_) | Form::Integers(_) | Form::Decimals(_) | Form::Template(_) | Form::Affixed(_),
                Some(_) | None,
            ) => {
                let mut token = Vec::new();
                for leaf in 0..count {
                    token.clear();
                    self.append(leaf, &mut token)?;
                    if core::str::from_utf8(&token).is_ok_and(|token| test.holds_for(token)) {
                        found.insert(leaf);
                    }
                }
            }
        }
        Ok(found)
    }

    /// For each code, whether a test holds for its text. `plain` is the string for which alone it holds, if there is
    /// one that needs no escapes.
    fn wanted_codes(
        &self,
        dictionary: &Dictionary,
        plain: Option<&[u8]>,
        test: &mut dyn ValueTest,
    ) -> Result<Vec<bool>, Corrupt> {
        let mut token = Vec::new();
        let is_wanted = |code: usize| {
            let text = dictionary.text(code)?;
            if let Some(plain) = plain
                && memchr::memchr(b'\\', text).is_none()
            {
                return Ok(text == plain);
            }
            token.clear();
            self.append_code(dictionary, code, &mut token)?;
            Ok(core::str::from_utf8(&token).is_ok_and(|token| test.holds_for(token)))
        };
        (0..dictionary.len()).map(is_wanted).collect()
    }

    /// The numbers of the column as integers, which are divided by 10 to the power of the second; `None` if it has
    /// other values, or numbers that do not fit.
    fn numbers(&self) -> Option<(Vec<i64>, u32)> {
        match &self.form {
            Form::Integers(integers) if !self.quoted => integers.mantissas().map(|mantissas| (mantissas, 0)),
            Form::Decimals(decimals) if !self.quoted => decimals.mantissas(),
            Form::Integers(_)
            | Form::Decimals(_)
            | Form::Strings(_)
            | Form::Dictionary(_)
            | Form::Template(_)
            | Form::Affixed(_) => None,
        }
    }

    /// The values of a column whose texts differ in an integer.
    fn numbered(&self, affixed: &Affixed, leaves: Option<&[u32]>) -> Result<ValueColumn, Corrupt> {
        let all = affixed.integers();
        let (integers, present) = match leaves {
            Some(leaves) => {
                let present = if leaves.contains(&NONE) { is_present(leaves) } else { Vec::new() };
                (leaves.iter().map(|leaf| all.get(*leaf as usize).copied().unwrap_or_default()).collect(), present)
            }
            None => (all, Vec::new()),
        };
        let (before, after) = affixed.affixes();
        let quote = if self.quoted { "\"" } else { "" };
        let affix = |parts: [&[u8]; 2]| String::from_utf8(parts.concat()).map_err(|_| NOT_TEXT);
        let (before, after) = (affix([quote.as_bytes(), before])?, affix([after, quote.as_bytes()])?);
        Ok(ValueColumn::Numbered(Numbered { before, after, integers, present }))
    }

    fn coded(&self, dictionary: &Dictionary, leaves: Option<&[u32]>) -> Result<ValueColumn, Corrupt> {
        let (mut tokens, mut token) = (Tokens::default(), Vec::new());
        for code in 0..dictionary.len() {
            token.clear();
            self.append_code(dictionary, code, &mut token)?;
            tokens.push(core::str::from_utf8(&token).map_err(|_| NOT_TEXT)?);
        }
        let all = dictionary.codes();
        if all.iter().any(|code| *code >= dictionary.len() as u64) {
            return Err(Corrupt("the code of a text is invalid"));
        }
        let codes = match leaves {
            Some(leaves) => {
                leaves.iter().map(|leaf| all.get(*leaf as usize).map_or(NONE, |code| *code as u32)).collect()
            }
            None => all.iter().map(|code| *code as u32).collect(),
        };
        Ok(ValueColumn::Coded { tokens, codes })
    }
}

fn is_present(leaves: &[u32]) -> Vec<bool> {
    leaves.iter().map(|leaf| *leaf != NONE).collect()
}

fn chosen_numbers(all: Vec<i64>, places: u32, leaves: Option<&[u32]>) -> ValueColumn {
    let Some(leaves) = leaves else {
        return ValueColumn::Numbers { mantissas: all, places, present: Vec::new() };
    };
    let present = if leaves.contains(&NONE) { is_present(leaves) } else { Vec::new() };
    let mantissas = leaves.iter().map(|leaf| all.get(*leaf as usize).copied().unwrap_or_default()).collect();
    ValueColumn::Numbers { mantissas, places, present }
}

/// The numbers for which a test holds. Whether it does depends only on their order relative to one number, so three
/// ranges are found by bisection, and no number but those that it meets becomes a text.
fn select_numbers(mantissas: &[i64], places: u32, test: &mut dyn ValueTest) -> RowSet {
    let (Some(&least), Some(&greatest)) = (mantissas.iter().min(), mantissas.iter().max()) else {
        return RowSet::EMPTY;
    };
    let mut token = Vec::new();
    let mut order = |mantissa: i64| {
        token.clear();
        write_scaled(mantissa, places, &mut token);
        core::str::from_utf8(&token).ok().and_then(|token| test.order(token))
    };
    if order(least).is_none() {
        return RowSet::EMPTY;
    }
    let mut first_not = |is_below: fn(Ordering) -> bool| {
        let (mut low, mut high) = (least, greatest + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if order(middle).is_some_and(is_below) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    let (equal, greater) = (first_not(Ordering::is_lt), first_not(Ordering::is_le));
    let end = greatest + 1;
    // No test holds for lower and for higher numbers, but not for equal ones.
    let ranges = [(Ordering::Less, least, equal), (Ordering::Equal, equal, greater), (Ordering::Greater, greater, end)];
    let mut wanted = ranges.into_iter().filter(|(order, ..)| test.holds_if(*order));
    let Some((_, start, first_end)) = wanted.next() else { return RowSet::EMPTY };
    let end = wanted.last().map_or(first_end, |(.., end)| end);
    let count = end.abs_diff(start);
    RowSet::of(mantissas, |mantissa| (mantissa.wrapping_sub(start) as u64) < count)
}

/// Whether a JSON string of these bytes needs no escapes.
fn is_plain(string: &[u8]) -> bool {
    string.iter().all(|byte| *byte >= b' ' && !matches!(byte, b'"' | b'\\'))
}
