//! The template encoding, for texts of equal length that differ at some positions.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor, put_varint};
use super::packed::{Packed, pack};
use super::span::Span;

/// Texts of equal length that differ at some positions only, for example identifiers, digests and times. Saves 2.1 to
/// 6.2 bytes per event on the streams of the [module](super).
///
/// | bytes | what |
/// |---|---|
/// | varint | length l of each text |
/// | ⌈l / 8⌉ | a bit for each position, lowest first: whether it varies |
/// | varint | number a of different bytes at these positions; 0 if they are decimal digits |
/// | a | these bytes, ascending |
/// | … | for each group of positions, a number per row, [`Packed`] |
///
/// The first text lies in the heap and has the bytes at positions that do not vary. The other positions are grouped
/// from the left. With digits, 19 positions make a decimal number. Otherwise ⌊64 / w⌋ positions make a number with w
/// bits per position, the leftmost highest, where w bits suffice to count a bytes.
#[derive(Clone, Debug)]
pub(super) struct Template {
    first: Bytes,
    positions: Box<[u8]>,
    symbols: Symbols,
    groups: Vec<Packed>,
}

/// Longer texts are not encoded as templates.
pub(super) const TEMPLATE_BYTES_MAX: usize = 255;

/// How the byte at a position is coded.
#[derive(Clone, Debug)]
enum Symbols {
    Digits,
    /// As an index into up to 2^bits bytes; at least one bit.
    Alphabet {
        bits: u32,
        bytes: Box<[u8]>,
    },
}

/// Any number with this many digits fits into 64 bits.
const DIGITS_A_GROUP: usize = 19;

/// Up to this many different digits take fewer bits as indexes than as decimal numbers.
const FEW_SYMBOLS: usize = 4;

/// Builds a template.
#[derive(Debug)]
pub(super) struct TemplateBuilder {
    /// For each position, the bits in which texts differ from the first one.
    differences: [u8; TEMPLATE_BYTES_MAX],
    /// Runs of positions that vary.
    runs: Vec<Span>,
    /// The bytes at these positions, row by row.
    varying: Vec<u8>,
    /// How many of these each row has.
    width: usize,
    alphabet: Vec<u8>,
    codes: [u8; 256],
    digits: bool,
    numbers: Vec<u64>,
}

impl Default for TemplateBuilder {
    fn default() -> Self {
        Self {
            differences: [0; TEMPLATE_BYTES_MAX],
            runs: Vec::new(),
            varying: Vec::new(),
            width: 0,
            alphabet: Vec::new(),
            codes: [0; 256],
            digits: false,
            numbers: Vec::new(),
        }
    }
}

impl TemplateBuilder {
    /// Finds the positions at which the texts differ, which have equal lengths of at most [`TEMPLATE_BYTES_MAX`].
    /// Returns how many bytes they have in common at their beginning, and at their end.
    pub(super) fn compare(&mut self, text: &[u8], spans: &[Span]) -> (usize, usize) {
        let first = spans.first().map_or(&[][..], |first| first.of(text));
        let differences = self.differences.get_mut(..first.len()).unwrap_or_default();
        differences.fill(0);
        for span in spans {
            for (difference, (a, b)) in differences.iter_mut().zip(first.iter().zip(span.of(text))) {
                *difference |= a ^ b;
            }
        }
        let is_common = |difference: &&u8| **difference == 0;
        let before = differences.iter().take_while(is_common).count();
        (before, differences.iter().rev().take_while(is_common).count())
    }

    /// Builds the template of the texts that were [compared](Self::compare) last. Returns the estimated size in bytes;
    /// `None` if the texts are all equal, or there are none.
    pub(super) fn build(&mut self, text: &[u8], spans: &[Span]) -> Option<usize> {
        let first = spans.first()?.of(text);
        let differences = self.differences.get(..first.len())?;
        self.runs.clear();
        self.width = 0;
        let mut position = 0;
        for run in differences.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
            if run.first() != Some(&0) {
                self.runs.push(Span { start: position, end: position + run.len() as u32 });
                self.width += run.len();
            }
            position += run.len() as u32;
        }
        if self.width == 0 {
            return None;
        }
        self.varying.clear();
        for span in spans {
            let value = span.of(text);
            for run in &self.runs {
                self.varying.extend_from_slice(run.of(value));
            }
        }
        self.find_alphabet();
        let symbol_bits = if self.digits { 10 } else { 3 * self.bits() as usize };
        let header = first.len() + first.len() / 8 + self.alphabet.len();
        Some(header + spans.len() * self.width * symbol_bits / 24)
    }

    fn find_alphabet(&mut self) {
        let mut seen = [false; 256];
        for &byte in &self.varying {
            if let Some(seen) = seen.get_mut(usize::from(byte)) {
                *seen = true;
            }
        }
        self.alphabet.clear();
        for ((byte, code), _) in (0..=u8::MAX).zip(&mut self.codes).zip(seen).filter(|(_, seen)| *seen) {
            *code = self.alphabet.len() as u8;
            self.alphabet.push(byte);
        }
        self.digits = self.alphabet.len() > FEW_SYMBOLS && self.alphabet.iter().all(u8::is_ascii_digit);
        if self.digits {
            self.alphabet.clear();
        }
    }

    fn bits(&self) -> u32 {
        symbol_bits(self.alphabet.len())
    }

    pub(super) fn encode(&mut self, text: &[u8], spans: &[Span], heap: &mut Vec<u8>, out: &mut Vec<u8>) {
        let first = spans.first().expect("a template was built of them").of(text);
        heap.extend_from_slice(first);
        put_varint(first.len() as u64, out);
        let differences = self.differences.get(..first.len()).expect("longer texts make no template");
        out.extend(differences.chunks(8).map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0u8, |bits, (position, &difference)| bits | u8::from(difference != 0) << position)
        }));
        put_varint(self.alphabet.len() as u64, out);
        out.extend_from_slice(&self.alphabet);
        let bits = self.bits();
        let group_max = if self.digits { DIGITS_A_GROUP } else { (u64::BITS / bits) as usize };
        let Self { varying, width, codes, digits, numbers, .. } = self;
        for start in (0..*width).step_by(group_max) {
            let end = (start + group_max).min(*width);
            numbers.clear();
            let groups = varying.chunks_exact(*width);
            let groups = groups.map(|row| row.get(start..end).expect("a group ends where the row does, or before"));
            if *digits {
                numbers.extend(groups.map(|group| group.iter().fold(0, |n, &byte| n * 10 + u64::from(byte - b'0'))));
            } else {
                let code = |byte: u8| codes.get(usize::from(byte)).copied().unwrap_or_default();
                numbers.extend(groups.map(|group| group.iter().fold(0, |n, &byte| n << bits | u64::from(code(byte)))));
            }
            pack(numbers, out);
        }
    }
}

impl Template {
    pub(super) fn decode(cursor: &mut Cursor, heap: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let length = cursor.length(TEMPLATE_BYTES_MAX)?;
        let first = heap.take(length)?;
        let varies = cursor.take(length.div_ceil(8))?;
        let varies =
            |position: &u8| varies.get(usize::from(position / 8)).is_some_and(|bits| bits >> (position % 8) & 1 == 1);
        let positions: Box<[u8]> = (0..length as u8).filter(varies).collect();
        let symbols = match cursor.length(256)? {
            0 => Symbols::Digits,
            count => {
                let bits = symbol_bits(count);
                let mut bytes = vec![0; 1 << bits];
                bytes.iter_mut().zip(cursor.take(count)?).for_each(|(position, byte)| *position = byte);
                Symbols::Alphabet { bits, bytes: bytes.into_boxed_slice() }
            }
        };
        let groups = positions.len().div_ceil(symbols.group_max());
        let groups = (0..groups).map(|_| Packed::decode(cursor, count)).collect::<Result<_, _>>()?;
        Ok(Self { first, positions, symbols, groups })
    }

    /// Whether a text may have this byte.
    pub(super) fn has_byte(&self, byte: u8) -> bool {
        let is_symbol = match &self.symbols {
            Symbols::Digits => byte.is_ascii_digit(),
            Symbols::Alphabet { bytes, .. } => bytes.contains(&byte),
        };
        is_symbol || self.first.contains(&byte)
    }

    /// Calls `found` with the index of each text that equals this one.
    pub(super) fn find(&self, text: &[u8], count: usize, mut found: impl FnMut(usize)) {
        let Some(numbers) = self.numbers_of(text) else { return };
        let groups = || self.groups.iter().zip(&numbers);
        // Without positions that vary, all texts are equal.
        let Some((first, &number)) = groups().next() else { return (0..count).for_each(found) };
        for index in first.find(number) {
            if groups().skip(1).all(|(group, number)| group.get(index) == *number) {
                found(index);
            }
        }
    }

    /// The numbers that a text would have; `None` if the column cannot have it.
    fn numbers_of(&self, text: &[u8]) -> Option<Vec<u64>> {
        if text.len() != self.first.len() {
            return None;
        }
        let mut varies = self.positions.iter().peekable();
        for (at, (byte, own)) in text.iter().zip(&self.first).enumerate() {
            if varies.next_if(|position| usize::from(**position) == at).is_none() && byte != own {
                return None;
            }
        }
        let symbol = |byte: u8| match &self.symbols {
            Symbols::Digits => byte.is_ascii_digit().then(|| u64::from(byte - b'0')),
            Symbols::Alphabet { bytes, .. } => bytes.iter().position(|&other| other == byte).map(|code| code as u64),
        };
        let number = |positions: &[u8]| {
            positions.iter().try_fold(0u64, |number, &position| {
                let symbol = symbol(*text.get(usize::from(position))?)?;
                Some(match &self.symbols {
                    Symbols::Digits => number * 10 + symbol,
                    Symbols::Alphabet { bits, .. } => number << bits | symbol,
                })
            })
        };
        self.position_groups().map(number).collect()
    }

    pub(super) fn append(&self, index: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.first);
        let text = out.get_mut(start..).unwrap_or_default();
        for (group, positions) in self.groups.iter().zip(self.position_groups()) {
            self.symbols.write(group.get(index), positions, text);
        }
    }

    /// Calls `found` with each of `count` texts.
    pub(super) fn each(&self, count: usize, mut found: impl FnMut(&[u8])) {
        let unpacked = self.groups.iter().map(|group| {
            let mut numbers = Vec::new();
            group.append_all(&mut numbers);
            numbers
        });
        let groups: Vec<(Vec<u64>, &[u8])> = unpacked.zip(self.position_groups()).collect();
        let mut text = self.first.to_vec();
        for index in 0..count {
            for (numbers, positions) in &groups {
                self.symbols.write(numbers.get(index).copied().unwrap_or_default(), positions, &mut text);
            }
            found(&text);
        }
    }

    /// The positions of each group.
    fn position_groups(&self) -> impl Iterator<Item = &[u8]> {
        self.positions.chunks(self.symbols.group_max())
    }
}

impl Symbols {
    fn group_max(&self) -> usize {
        match self {
            Self::Digits => DIGITS_A_GROUP,
            Self::Alphabet { bits, .. } => (u64::BITS / bits) as usize,
        }
    }

    /// Writes the bytes of a group's number to these positions of a text.
    fn write(&self, number: u64, positions: &[u8], text: &mut [u8]) {
        let mut rest = number;
        let mut put = |position: u8, byte: u8| {
            if let Some(at) = text.get_mut(usize::from(position)) {
                *at = byte;
            }
        };
        match self {
            Self::Digits => {
                for &position in positions.iter().rev() {
                    put(position, b'0' + (rest % 10) as u8);
                    rest /= 10;
                }
            }
            Self::Alphabet { bits, bytes } => {
                let mask = bytes.len() - 1;
                for &position in positions.iter().rev() {
                    put(position, bytes.get(rest as usize & mask).copied().unwrap_or_default());
                    rest >>= bits;
                }
            }
        }
    }
}

/// The bits that count this many symbols, at least one.
fn symbol_bits(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1)
}
