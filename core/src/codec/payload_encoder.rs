//! Encodes a column of payloads as version 2 of segments did, for tests of reading it.

use alloc::vec::Vec;

use super::cursor::put_varint;
use super::heap::Compressor;
use super::packed::pack;
use super::shape::{SHAPES_MAX, Shapes};
use super::span::Span;
use super::texts::ColumnEncoder;

/// Shapes with fewer rows cost more than they save.
const ROWS_MIN: usize = 4;

/// Longer texts are stored whole.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Encodes columns of payloads as [`Payloads`](super::Payloads). Reuses its buffers.
#[derive(Debug, Default)]
pub(crate) struct PayloadEncoder {
    shapes: Shapes,
    column: ColumnEncoder,
    compressor: Compressor,
    /// All rows.
    rows: Vec<Row>,
    /// For each row of the current shape, the index of its first leaf.
    leaves: Vec<u32>,
    /// The pieces of the current shape.
    pieces: Vec<Span>,
    spans: Vec<Span>,
    numbers: Vec<u64>,
    heap: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    text: Span,
    shape: Option<usize>,
    leaves: u32,
}

impl PayloadEncoder {
    /// Appends the encoded column to `out`. `text` has the concatenated texts, at most 1 GiB, and `ends` their ends.
    pub(crate) fn encode(&mut self, text: &[u8], ends: &[u32], out: &mut Vec<u8>) {
        self.split_texts(text, ends);
        self.heap.clear();
        self.body.clear();
        self.number_shapes(out);
        for shape in 0..self.shapes.len() {
            self.encode_shape(text, shape);
        }
        self.spans.clear();
        self.spans.extend(self.rows.iter().filter(|row| row.shape.is_none()).map(|row| row.text));
        if !self.spans.is_empty() {
            self.column.encode(text, &mut self.spans, &mut self.heap, &mut self.body);
        }
        self.compressor.encode(&self.heap, out);
        out.extend_from_slice(&self.body);
    }

    fn split_texts(&mut self, text: &[u8], ends: &[u32]) {
        let Self { shapes, rows, spans, .. } = self;
        shapes.clear();
        rows.clear();
        Span::consecutive(ends, spans);
        rows.extend(spans.iter().map(|&span| {
            let leaves = shapes.leaves().len() as u32;
            let shape = if span.len() > TEXT_BYTES_MAX { None } else { shapes.add(text, span) };
            Row { text: span, shape, leaves }
        }));
        let rare = |shape| shapes.rows(shape) < ROWS_MIN;
        for row in rows {
            if row.shape.is_some_and(rare) {
                row.shape = None;
            }
        }
    }

    /// Writes the number of shapes, without rare ones, and the shape of each row.
    fn number_shapes(&mut self, out: &mut Vec<u8>) {
        let mut numbers = [0; SHAPES_MAX];
        let mut count = 0;
        for (shape, number) in numbers.iter_mut().enumerate() {
            if self.shapes.rows(shape) >= ROWS_MIN {
                count += 1;
                *number = count;
            }
        }
        put_varint(count, out);
        self.numbers.clear();
        let number =
            |row: &Row| row.shape.map_or(0, |shape| *numbers.get(shape).expect("there are at most SHAPES_MAX shapes"));
        self.numbers.extend(self.rows.iter().map(number));
        pack(&self.numbers, out);
    }

    fn encode_shape(&mut self, text: &[u8], index: usize) {
        let Self { shapes, column, rows, leaves, spans, pieces, heap, body, .. } = self;
        if shapes.rows(index) < ROWS_MIN {
            return;
        }
        shapes.pieces(index, pieces);
        put_varint(pieces.len().saturating_sub(1) as u64, body);
        for piece in &*pieces {
            put_varint(piece.len() as u64, body);
            heap.extend_from_slice(piece.of(text));
        }
        leaves.clear();
        leaves.extend(rows.iter().filter(|row| row.shape == Some(index)).map(|row| row.leaves));
        for leaf in 0..pieces.len().saturating_sub(1) {
            spans.clear();
            let nth = |&first: &u32| {
                *shapes.leaves().get(first as usize + leaf).expect("a text has as many leaves as its shape")
            };
            spans.extend(leaves.iter().map(nth));
            column.encode(text, spans, heap, body);
        }
    }
}
