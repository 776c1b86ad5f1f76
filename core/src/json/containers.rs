//! The open containers of a JSON text, as a stack of bits.

use alloc::vec::Vec;

/// An array or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    Object,
}

/// A stack of containers, one bit each. Up to 64 need no allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenContainers {
    depth: usize,
    /// The innermost containers, the last one in the lowest bit. Set bits are objects.
    top: u64,
    /// The other containers, 64 in each word.
    below: Vec<u64>,
}

impl OpenContainers {
    pub(super) fn push(&mut self, container: Container) {
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
        }
        self.top = self.top << 1 | u64::from(container == Container::Object);
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.top >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth != 0 && self.depth.is_multiple_of(64) {
            self.top = self.below.pop().expect("a word was pushed for each 64 containers");
        }
    }

    /// How many containers are open.
    pub(super) const fn len(&self) -> usize {
        self.depth
    }

    /// The innermost container.
    pub(super) fn last(&self) -> Option<Container> {
        let container = if self.top & 1 == 1 { Container::Object } else { Container::Array };
        (self.depth > 0).then_some(container)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn containers_are_popped_in_reverse_order() {
        let is_object = |n: u32| n.wrapping_mul(2_654_435_761) >> 31 == 1;
        let containers: Vec<Container> =
            (0..1_000).map(|n| if is_object(n) { Container::Object } else { Container::Array }).collect();
        let mut open = OpenContainers::default();
        for &container in &containers {
            open.push(container);
            assert_eq!(open.last(), Some(container));
        }
        for &container in containers.iter().rev() {
            assert_eq!(open.last(), Some(container));
            open.pop();
        }
        assert_eq!(open.last(), None);
    }
}
