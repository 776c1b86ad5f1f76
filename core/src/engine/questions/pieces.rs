//! The blocks that a question still has to look at.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::plan::Plan;
use crate::column::partition_point;
use crate::engine::scan::RequestedTypes;
use crate::segment::{Sealed, SealedError};

/// Blocks of sealed segments that a question still has to look at.
#[derive(Debug, Default)]
pub(super) struct Pieces(Vec<PartPiece>);

/// Some blocks of a segment: one of every `step`, beginning with the one at `first`.
#[derive(Debug)]
struct PartPiece {
    sealed: Arc<Sealed>,
    first: usize,
    step: usize,
    opened: Option<Opened>,
}

/// The blocks of a piece that may have matching events, as far as the indexes tell.
#[derive(Debug)]
struct Opened {
    requested: RequestedTypes,
    /// Their numbers. The next is at the end.
    numbers: Vec<u32>,
}

/// A block to look at.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) sealed: Arc<Sealed>,
    pub(super) requested: RequestedTypes,
    pub(super) number: usize,
}

/// The next step.
pub(super) enum Next {
    Piece(Piece),
    /// An index was read.
    Opened,
    End,
}

impl Pieces {
    /// All blocks of these segments. The last segment comes first.
    pub(super) fn of(sealed: impl Iterator<Item = Arc<Sealed>>) -> Self {
        Self(sealed.map(|sealed| PartPiece { sealed, first: 0, step: 1, opened: None }).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many blocks there are at most.
    pub(super) fn blocks_max(&self) -> usize {
        self.0.iter().map(PartPiece::blocks_max).sum()
    }

    /// Takes about half of the blocks away, and at least one if there are two.
    pub(super) fn split(&mut self) -> Self {
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        // Every second one of those that cannot be divided.
        let mut is_taken = false;
        for mut piece in mem::take(&mut self.0) {
            match piece.split() {
                Some(half) => {
                    taken.push(half);
                    kept.push(piece);
                }
                None if is_taken => {
                    taken.push(piece);
                    is_taken = false;
                }
                None => {
                    kept.push(piece);
                    is_taken = true;
                }
            }
        }
        self.0 = kept;
        Self(taken)
    }

    /// Takes all blocks of another one.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The next segment, if none of its blocks was taken or handed out.
    pub(super) fn next_segment(&self) -> Option<&Arc<Sealed>> {
        self.0.last().filter(|piece| piece.opened.is_none() && piece.step == 1).map(|piece| &piece.sealed)
    }

    /// Passes over all blocks of the next segment.
    pub(super) fn skip_segment(&mut self) {
        self.0.pop();
    }

    /// # Errors
    ///
    /// [`SealedError`] if an index cannot be read or is damaged.
    pub(super) fn next(&mut self, plan: &Plan) -> Result<Next, SealedError> {
        let Some(piece) = self.0.last_mut() else { return Ok(Next::End) };
        let Some(opened) = &mut piece.opened else {
            match piece.open(plan)? {
                Some(opened) => piece.opened = Some(opened),
                None => drop(self.0.pop()),
            }
            return Ok(Next::Opened);
        };
        let Some(number) = opened.numbers.pop() else {
            self.0.pop();
            return self.next(plan);
        };
        let (sealed, requested) = (Arc::clone(&piece.sealed), opened.requested.clone());
        Ok(Next::Piece(Piece { sealed, requested, number: number as usize }))
    }

    /// Memory in bytes, without the segments.
    pub(super) fn held_bytes(&self) -> usize {
        let opened = self.0.iter().filter_map(|piece| piece.opened.as_ref());
        let numbers: usize = opened.map(|opened| opened.numbers.capacity() * size_of::<u32>()).sum();
        self.0.capacity() * size_of::<PartPiece>() + numbers
    }
}

impl PartPiece {
    fn blocks_max(&self) -> usize {
        match &self.opened {
            Some(opened) => opened.numbers.len(),
            None => self.sealed.index().blocks().saturating_sub(self.first).div_ceil(self.step),
        }
    }

    /// Takes half of the blocks away; `None` if there are not two.
    fn split(&mut self) -> Option<Self> {
        if self.blocks_max() < 2 {
            return None;
        }
        let sealed = Arc::clone(&self.sealed);
        Some(match &mut self.opened {
            Some(Opened { requested, numbers }) => {
                let numbers = numbers.split_off(numbers.len() / 2);
                let opened = Some(Opened { requested: requested.clone(), numbers });
                Self { sealed, first: self.first, step: self.step, opened }
            }
            None => {
                // There are at least two blocks, so the step is lower than their number.
                let first = self.first + self.step;
                self.step *= 2;
                Self { sealed, first, step: self.step, opened: None }
            }
        })
    }

    /// The blocks that may have matching events; `None` if there are none.
    fn open(&self, plan: &Plan) -> Result<Option<Opened>, SealedError> {
        let (sealed, bounds) = (&self.sealed, &plan.bounds);
        if !bounds.has_any_seq(sealed.seqs()) || !bounds.has_any_time(sealed.times()) {
            return Ok(None);
        }
        let Some(requested) = RequestedTypes::in_sealed(&plan.filter, sealed) else { return Ok(None) };
        let index = sealed.index();
        let mut numbers = Vec::new();
        for partition in index.partitions() {
            let number = |at| partition.get(at) as usize;
            let start = partition_point(0..partition.len(), |at| bounds.is_before(index.last(number(at))));
            let end = partition_point(start..partition.len(), |at| !bounds.is_after(index.first(number(at))));
            let in_time = (start..end).map(number);
            numbers.extend(in_time.filter(|number| requested.has_any(sealed, *number)).map(|number| number as u32));
        }
        let candidates = if numbers.is_empty() { None } else { plan.pruning.blocks(sealed)? };
        let candidates = |number: &u32| candidates.as_ref().is_none_or(|blocks| blocks.has(*number as usize));
        let numbers: Vec<u32> = numbers.into_iter().filter(candidates).skip(self.first).step_by(self.step).collect();
        Ok((!numbers.is_empty()).then_some(Opened { requested, numbers }))
    }
}
