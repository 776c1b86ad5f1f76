//! A stack of bits: the kinds of the open JSON containers.

use alloc::vec::Vec;

/// A stack of bits, one per open container. Up to 64 need no allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct BitStack {
    depth: usize,
    top: u64,
    below: Vec<u64>,
}

impl BitStack {
    pub(super) fn push(&mut self, bit: bool) {
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
        }
        self.top = self.top << 1 | u64::from(bit);
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.top >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.top = self.below.pop().expect("a word was pushed for each 64 bits");
        }
    }

    /// The bit on top.
    pub(super) fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.top & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::BitStack;

    #[test]
    fn bits_are_popped_in_reverse_order() {
        let bits: Vec<bool> = (0..1_000_u32).map(|n| n.wrapping_mul(2_654_435_761) >> 31 == 1).collect();
        let mut stack = BitStack::default();
        for &bit in &bits {
            stack.push(bit);
            assert_eq!(stack.last(), Some(bit));
        }
        for &bit in bits.iter().rev() {
            assert_eq!(stack.last(), Some(bit));
            stack.pop();
        }
        assert_eq!(stack.last(), None);
    }
}
