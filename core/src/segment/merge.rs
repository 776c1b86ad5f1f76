//! Merges fresh segments into one.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::{Epoch, Place, RowsBuilder, Segment};

/// Merges segments that follow each other in the log into one, some rows a call.
#[derive(Debug)]
pub(crate) struct Merge {
    inputs: Vec<Arc<Segment>>,
    /// For each input, the builder's codes of its types.
    codes: Vec<Vec<u32>>,
    /// The next row of every input that has one left.
    heads: BinaryHeap<Reverse<Head>>,
    builder: RowsBuilder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    place: Place,
    input: usize,
    row: usize,
}

impl Merge {
    /// Begins to merge. `inputs` ascend by sequence number and none is empty.
    pub(crate) fn new(inputs: Vec<Arc<Segment>>) -> Self {
        let rows = inputs.iter().map(|input| input.rows().len()).sum();
        let text = inputs.iter().map(|input| input.rows().text().len()).sum();
        let mut builder = RowsBuilder::with_capacity(rows, text);
        let codes = inputs
            .iter()
            .map(|input| {
                let rows = input.rows();
                (0..rows.type_count()).map(|code| builder.intern(rows.type_name(code))).collect()
            })
            .collect();
        let heads = inputs
            .iter()
            .enumerate()
            .map(|(input, segment)| Reverse(Head { place: segment.place(0), input, row: 0 }))
            .collect();
        Self { inputs, codes, heads, builder }
    }

    /// Takes up to `budget` rows over; `true` when none is left.
    pub(crate) fn step(&mut self, budget: u32) -> bool {
        let base = self.inputs.first().map_or(0, |first| first.base());
        for _ in 0..budget {
            let Some(mut top) = self.heads.peek_mut() else { return true };
            let Head { place, input, row } = top.0;
            let (Some(segment), Some(codes)) = (self.inputs.get(input), self.codes.get(input)) else { return true };
            let code = codes.get(segment.rows().row_type(row)).copied().unwrap_or_default();
            self.builder.push_row(segment.rows(), row, (place.seq - base) as u32, code);
            let next = row + 1;
            if next < segment.rows().len() {
                *top = Reverse(Head { place: segment.place(next), input, row: next });
            } else {
                alloc::collections::binary_heap::PeekMut::pop(top);
            }
        }
        self.heads.is_empty()
    }

    /// The merged segment. Only after [`step`](Self::step) has said that nothing is left.
    pub(crate) fn finish(self) -> Segment {
        let base = self.inputs.first().map_or(0, |first| first.base());
        let mut epochs: Vec<Epoch> = Vec::new();
        for input in &self.inputs {
            let shift = (input.base() - base) as u32;
            for epoch in input.epochs() {
                if epochs.last().is_none_or(|last| last.millis != epoch.millis) {
                    epochs.push(Epoch { rank: epoch.rank + shift, millis: epoch.millis });
                }
            }
        }
        Segment::new(base, self.builder.finish(), epochs.into())
    }
}
