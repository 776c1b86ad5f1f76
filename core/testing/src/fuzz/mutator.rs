//! Changes inputs at random, without knowing which code they reach. libFuzzer does that better; this needs nothing but
//! the compiler.

use super::super::Random;

/// The longest input, in bytes.
const INPUT_BYTES_MAX: usize = 4096;

/// The most changes to one input.
const CHANGES_MAX: u64 = 8;

/// Bytes and texts at which parsers decide.
const EDGES: [&str; 24] = [
    "\0",
    "\u{1}",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{feff}",
    "\u{2028}",
    "🦀",
    "\n",
    "\r\n",
    " ",
    "\"",
    "\\",
    "\\u",
    "%",
    "0",
    "-1",
    "1e",
    "9223372036854775807",
    "18446744073709551616",
    "[",
    "]",
    "{",
    "}",
];

/// An endless stream of inputs: the seeds with random changes.
#[derive(Debug)]
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    random: Random<'static>,
}

impl Mutator {
    /// Equal arguments give equal streams.
    #[must_use]
    pub fn new(seeds: Vec<Vec<u8>>, words: &'static [&'static str], seed: u64) -> Self {
        Self { seeds, words, random: Random::seeded(seed) }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.seed();
        if self.random.one_in(16) {
            // Bytes without any form.
            let len = self.random.index(64);
            input = (0..len).map(|_| self.byte()).collect();
        }
        // Mostly few changes, so that most of the input stays valid.
        let changes = 1 + self.random.below(CHANGES_MAX).min(self.random.below(CHANGES_MAX));
        for _ in 0..changes {
            self.change(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let random = &mut self.random;
        let from = random.index(input.len() + 1);
        // Ranges are mostly short.
        let bound = if random.one_in(4) { input.len() } else { 8 };
        let to = (from + random.index(bound + 1)).min(input.len());
        match random.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(from) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => {
                let byte = self.byte();
                input.splice(from..(from + 1).min(input.len()), [byte]);
            }
            2 => drop(input.drain(from..to)),
            3 => {
                let copy: Vec<u8> = input.drain(from..to).collect();
                let times = if random.one_in(16) { 100 } else { 2 };
                let at = if random.one_in(2) { from } else { random.index(input.len() + 1) };
                input.splice(at..at, copy.iter().copied().cycle().take(times * copy.len()).collect::<Vec<_>>());
            }
            4 => {
                // A number that differs a little.
                if let Some(digit) = input.iter_mut().skip(from).find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + u8::try_from(random.below(10)).expect("below 10");
                }
            }
            5 => {
                let edge = random.pick(&EDGES);
                input.splice(from..from, edge.bytes());
            }
            6 => {
                let word = self.word().as_bytes();
                let to = if self.random.one_in(2) { from } else { to };
                input.splice(from..to, word.iter().copied());
            }
            _ => {
                let other = self.seed();
                let start = self.random.index(other.len() + 1);
                let piece = other.get(start..).unwrap_or_default();
                let piece = piece.get(..self.random.index(piece.len() + 1)).unwrap_or_default();
                input.splice(from..to, piece.iter().copied());
            }
        }
    }

    fn seed(&mut self) -> Vec<u8> {
        let index = self.random.index(self.seeds.len());
        self.seeds.get(index).cloned().unwrap_or_default()
    }

    fn word(&mut self) -> &'static str {
        let index = self.random.index(self.words.len());
        self.words.get(index).copied().unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.random.below(256)).expect("below 256")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(vec![b"{\"a\":1}".to_vec(), b"[]".to_vec()], &["event_type"], seed);
        (0..1_000).map(|_| mutator.next_input()).collect()
    }

    #[test]
    fn a_seed_determines_the_inputs_and_they_differ() {
        let first = inputs(1);
        assert_eq!(first, inputs(1));
        assert_ne!(first, inputs(2));
        let distinct: BTreeSet<&Vec<u8>> = first.iter().collect();
        assert!(distinct.len() > 500, "{} distinct inputs", distinct.len());
        let has = |text: &str| first.iter().any(|input| input.windows(text.len()).any(|part| part == text.as_bytes()));
        assert!(has("event_type") && has("\u{feff}") && has("{\"a\":"));
        assert!(first.iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    }

    #[test]
    fn without_seeds_and_words_there_are_inputs_nevertheless() {
        let mut mutator = Mutator::new(Vec::new(), &[], 0);
        assert!((0..100).any(|_| !mutator.next_input().is_empty()));
    }
}
