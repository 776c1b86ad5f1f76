//! Encodes JSON texts as columns.

use alloc::vec::Vec;

use super::heap::Compressor;
use super::layout::LayoutBuilder;
use super::packed::pack;
use super::pages::Pages;
use super::shape::{SHAPES_MAX, Shapes};
use super::span::Span;
use super::texts::ColumnEncoder;

/// Shapes with fewer rows cost more than they save.
const ROWS_MIN: usize = 4;

/// Longer texts are stored whole.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Encodes columns of texts as [`Documents`](super::Documents). Reuses its buffers.
#[derive(Debug, Default)]
pub(crate) struct DocumentsEncoder {
    shapes: Shapes,
    layout: LayoutBuilder,
    column: ColumnEncoder,
    compressor: Compressor,
    rows: Vec<Row>,
    pieces: Vec<Span>,
    spans: Vec<Span>,
    numbers: Vec<u64>,
    /// For each column, its leaves.
    leaves: Vec<Vec<Span>>,
    heap: Vec<u8>,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    text: Span,
    shape: Option<usize>,
    /// The index of its first leaf among those of all shapes.
    leaves: usize,
}

impl DocumentsEncoder {
    /// Appends the layout to `layout`, and the other pages to `pages`. `text` has the concatenated texts, at most
    /// 1 GiB, and `ends` their ends. Returns whether some rows are stored whole.
    pub(crate) fn encode(&mut self, text: &[u8], ends: &[u32], layout: &mut Vec<u8>, pages: &mut Pages) -> bool {
        self.split_texts(text, ends);
        self.lay_out(text);
        self.layout.encode(&mut self.compressor, layout);
        pages.add(|page| pack(&self.numbers, page));
        self.spans.clear();
        let whole = self.rows.iter().zip(&self.numbers).filter(|(_, number)| **number == 0);
        self.spans.extend(whole.map(|(row, _)| row.text));
        let Self { column, compressor, spans, leaves, heap, body, .. } = self;
        let mut encode = |spans: &mut [Span]| {
            heap.clear();
            body.clear();
            column.encode(text, spans, heap, body);
            pages.add(|page| {
                compressor.encode(heap, page);
                page.extend_from_slice(body);
            });
        };
        let has_whole = !spans.is_empty();
        if has_whole {
            encode(spans);
        }
        for spans in leaves.iter_mut().take(self.layout.columns()) {
            encode(spans);
        }
        has_whole
    }

    fn split_texts(&mut self, text: &[u8], ends: &[u32]) {
        let Self { shapes, rows, spans, .. } = self;
        shapes.clear();
        rows.clear();
        Span::consecutive(ends, spans);
        rows.extend(spans.iter().map(|&span| {
            let leaves = shapes.leaves().len();
            let shape = if span.len() > TEXT_BYTES_MAX { None } else { shapes.add(text, span) };
            Row { text: span, shape, leaves }
        }));
    }

    /// Numbers the shapes that are not rare, and collects the leaves of each column.
    fn lay_out(&mut self, text: &[u8]) {
        let Self { shapes, layout, rows, pieces, numbers, leaves, .. } = self;
        layout.clear();
        leaves.iter_mut().for_each(Vec::clear);
        let mut shape_numbers = [0u64; SHAPES_MAX];
        let mut count = 0;
        for (shape, number) in (0..shapes.len()).zip(&mut shape_numbers) {
            if shapes.rows(shape) < ROWS_MIN {
                continue;
            }
            shapes.pieces(shape, pieces);
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.of(text)).collect();
            let Some(columns) = layout.add(&bytes) else { continue };
            count += 1;
            *number = count;
            if leaves.len() < layout.columns() {
                leaves.resize_with(layout.columns(), Vec::new);
            }
            for row in rows.iter().filter(|row| row.shape == Some(shape)) {
                for (column, leaf) in columns.iter().zip(row.leaves..) {
                    let span = *shapes.leaves().get(leaf).expect("a text has as many leaves as its shape");
                    leaves.get_mut(*column).expect("it was resized to have every column").push(span);
                }
            }
        }
        numbers.clear();
        let number = |row: &Row| {
            row.shape.map_or(0, |shape| *shape_numbers.get(shape).expect("there are at most SHAPES_MAX shapes"))
        };
        numbers.extend(rows.iter().map(number));
    }
}
