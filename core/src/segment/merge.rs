//! Merges fresh segments into one.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Add as _;

use super::tally::{Imbalance, Tally};
use super::{Epoch, RowsBuilder, Segment, SortKey};

/// Merges fresh segments with consecutive sequence numbers into one, a limited number of rows per call.
#[derive(Debug)]
pub(crate) struct Merge {
    inputs: Vec<Arc<Segment>>,
    /// For each input, the builder's codes for its types.
    codes: Vec<Vec<u32>>,
    /// The next row of each input that has rows left.
    next_rows: BinaryHeap<Reverse<NextRow>>,
    /// The sequence number of ordinal 0.
    base: u64,
    builder: RowsBuilder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NextRow {
    sort_key: SortKey,
    input: usize,
    row: usize,
}

impl Merge {
    /// `inputs` ascend by sequence number; there is at least one, and none is empty.
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
        let next_rows = inputs
            .iter()
            .enumerate()
            .map(|(input, segment)| Reverse(NextRow { sort_key: segment.sort_key(0), input, row: 0 }))
            .collect();
        let base = inputs.first().expect("there is at least one input").base();
        Self { inputs, codes, next_rows, base, builder }
    }

    /// Copies up to `budget` rows; `true` when none are left.
    pub(crate) fn step(&mut self, budget: u32) -> bool {
        let input_of = "each next row is of an input";
        for _ in 0..budget {
            let Some(mut top) = self.next_rows.peek_mut() else { return true };
            let NextRow { sort_key, input, row } = top.0;
            let (segment, codes) = (self.inputs.get(input).expect(input_of), self.codes.get(input).expect(input_of));
            let code = codes.get(segment.rows().row_type(row)).expect("each type of an input has a code");
            self.builder.push_row(segment.rows(), row, (sort_key.seq - self.base) as u32, *code);
            let next = row + 1;
            if next < segment.rows().len() {
                *top = Reverse(NextRow { sort_key: segment.sort_key(next), input, row: next });
            } else {
                alloc::collections::binary_heap::PeekMut::pop(top);
            }
        }
        self.next_rows.is_empty()
    }

    /// The merged segment. Call it only after [`step`](Self::step) has returned `true`.
    ///
    /// # Errors
    ///
    /// [`Imbalance`] if it does not have all events of the inputs. Then the inputs must be kept.
    pub(crate) fn finish(self) -> Result<Segment, Imbalance> {
        let mut epochs: Vec<Epoch> = Vec::new();
        for input in &self.inputs {
            let shift = (input.base() - self.base) as u32;
            for epoch in input.epochs() {
                if epochs.last().is_none_or(|last| last.millis != epoch.millis) {
                    epochs.push(Epoch { ordinal: epoch.ordinal + shift, millis: epoch.millis });
                }
            }
        }
        let read = self.inputs.iter().map(|input| input.tally()).fold(Tally::default(), Tally::add);
        let merged = Segment::new(self.base, self.builder.finish(), epochs.into());
        let written = merged.tally();
        if read == written { Ok(merged) } else { Err(Imbalance::Count { read, written, left_out: Tally::default() }) }
    }
}
