//! Texts that differ in an integer only.

use alloc::string::String;
use alloc::vec::Vec;

use super::tokens::{NONE, Tokens};
use crate::json::write_u64;

/// For each row a JSON text in which an integer stands between the same bytes, such as `"/items/7"`; or none.
///
/// A column may have as many different texts as rows. So that most never become one, whoever takes the column may tell
/// them apart by their integers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbered {
    /// What stands before the integer, with the quotation mark of a string.
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) integers: Vec<u64>,
    /// Which rows have a text; empty if all have one.
    pub(crate) present: Vec<bool>,
}

impl Numbered {
    /// The integer of a row; `None` if it has no text.
    pub(crate) fn get(&self, row: usize) -> Option<u64> {
        let is_present = self.present.get(row).copied().unwrap_or(true);
        self.integers.get(row).copied().filter(|_| is_present)
    }

    /// Whether the texts are strings. Otherwise, they may be numbers.
    pub(crate) fn is_string(&self) -> bool {
        self.before.starts_with('"')
    }

    /// Appends the text with this integer.
    pub(crate) fn write(&self, integer: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        write_u64(integer, out);
        out.extend_from_slice(self.after.as_bytes());
    }

    /// The texts, and for each row the index of its text; [`NONE`] if it has none. Most different texts come only once.
    pub(crate) fn coded(&self) -> (Tokens, Vec<u32>) {
        let (mut tokens, mut token) = (Tokens::default(), Vec::new());
        let mut numbers = IntegerNumbers::new(self.integers.len());
        let code = |row| {
            let Some(integer) = self.get(row) else { return NONE };
            let code = numbers.number(integer);
            if code as usize == tokens.len() {
                token.clear();
                self.write(integer, &mut token);
                tokens.push(core::str::from_utf8(&token).expect("digits between two texts are a text"));
            }
            code
        };
        let codes = (0..self.integers.len()).map(code).collect();
        (tokens, codes)
    }
}

/// If callers choose integers that collide, some get several numbers, but no time is lost.
const PROBES_MAX: usize = 8;

/// Numbers integers in the order in which they come. Most get only one number.
struct IntegerNumbers {
    /// A hash table with open addressing: the numbers of integers, or [`NONE`]. At most half of it is used.
    table: Vec<u32>,
    integers: Vec<u64>,
}

impl IntegerNumbers {
    /// For at most this number of integers.
    fn new(count: usize) -> Self {
        Self { table: alloc::vec![NONE; (2 * count).next_power_of_two()], integers: Vec::new() }
    }

    fn number(&mut self, integer: u64) -> u32 {
        let mask = self.table.len() - 1;
        let start = (integer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        let next = self.integers.len() as u32;
        for probe in 0..PROBES_MAX {
            let entry = self.table.get_mut((start + probe) & mask).expect("the mask is the last index");
            match self.integers.get(*entry as usize) {
                Some(other) if *other == integer => return *entry,
                Some(_) => {}
                None => {
                    *entry = next;
                    break;
                }
            }
        }
        self.integers.push(integer);
        next
    }
}
