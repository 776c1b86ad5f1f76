//! The scan that takes a JSON text apart into its shape and its leaves.

use alloc::vec::Vec;

use super::span::Span;

/// What remains of a text once the leaves are taken out: the pieces before, between and behind them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Of the shape's pieces among those of all shapes.
    pub(super) pieces: Span,
    hash: u64,
    /// How many texts have it.
    pub(super) rows: u32,
}

/// Shapes with more leaves are none.
pub(super) const LEAVES_MAX: usize = 255;

/// So many shapes are told apart in a block. Each text that is not of the last shape is compared with all of them.
pub(super) const SHAPES_MAX: usize = 63;

/// More bytes in the pieces of one text make no shape.
const PIECES_BYTES_MAX: usize = 4096;

/// The shapes of the texts of a block, and their leaves.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    pub(super) shapes: Vec<Shape>,
    /// Pieces of all shapes, as places in the text in which each was met first.
    pub(super) pieces: Vec<Span>,
    /// Leaves of all texts that have a shape.
    pub(super) leaves: Vec<Span>,
    last: usize,
}

impl Shapes {
    pub(super) fn clear(&mut self) {
        self.shapes.clear();
        self.pieces.clear();
        self.leaves.clear();
        self.last = 0;
    }

    /// Takes the text apart that lies at `span`. Its shape is given back, none if it has none, and its leaves are appended.
    pub(super) fn add(&mut self, text: &[u8], span: Span) -> Option<usize> {
        let leaves = self.leaves.len();
        if self.add_like_last(text, span).is_some() {
            return Some(self.last);
        }
        self.leaves.truncate(leaves);
        let pieces = self.pieces.len();
        let found = self.scan(text, span).and_then(|hash| self.find(text, pieces, hash));
        match found {
            Some(shape) => self.last = shape,
            None => {
                self.leaves.truncate(leaves);
                self.pieces.truncate(pieces);
            }
        }
        found
    }

    /// The pieces of a shape.
    pub(super) fn pieces_of(&self, shape: &Shape) -> &[Span] {
        self.pieces.get(shape.pieces.start as usize..shape.pieces.end as usize).unwrap_or_default()
    }

    /// Takes the text apart if it is of the same shape as the one before, which most are.
    fn add_like_last(&mut self, text: &[u8], span: Span) -> Option<()> {
        let shape = self.shapes.get_mut(self.last)?;
        let pieces = self.pieces.get(shape.pieces.start as usize..shape.pieces.end as usize)?;
        let (first, others) = pieces.split_first()?;
        let whole = span.of(text);
        let mut rest = whole.strip_prefix(first.of(text))?;
        for piece in others {
            let length = leaf_len(rest)?;
            let start = span.end - rest.len() as u32;
            let (_, behind) = rest.split_at_checked(length)?;
            rest = behind.strip_prefix(piece.of(text))?;
            self.leaves.push(Span { start, end: start + length as u32 });
        }
        if !rest.is_empty() {
            return None;
        }
        shape.rows += 1;
        Some(())
    }

    /// Takes any text apart and returns a hash of its pieces.
    fn scan(&mut self, text: &[u8], span: Span) -> Option<u64> {
        let whole = span.of(text);
        let (mut rest, mut piece, mut bytes) = (whole, span.start, 0);
        let leaves_max = self.leaves.len() + LEAVES_MAX;
        let mut hash = 0u64;
        loop {
            // The leaf that comes next, and what has been passed on the way there.
            let length = match rest {
                [] => 0,
                [b'{' | b'}' | b'[' | b']' | b',', behind @ ..] => {
                    rest = behind;
                    continue;
                }
                _ => leaf_len(rest)?,
            };
            let (leaf, behind) = rest.split_at_checked(length)?;
            let start = span.end - rest.len() as u32;
            if let (b"\"", [b':', value @ ..]) = (leaf.get(..1).unwrap_or_default(), behind) {
                rest = value;
                continue;
            }
            let passed = Span { start: piece, end: start };
            bytes += passed.len();
            if bytes > PIECES_BYTES_MAX {
                return None;
            }
            hash = mix(hash, passed.of(text));
            self.pieces.push(passed);
            if leaf.is_empty() {
                return Some(hash);
            }
            if self.leaves.len() == leaves_max {
                return None;
            }
            piece = start + length as u32;
            self.leaves.push(Span { start, end: piece });
            rest = behind;
        }
    }

    /// The shape whose pieces are those from `start` on. If it is a new one they stay, else they go.
    fn find(&mut self, text: &[u8], start: usize, hash: u64) -> Option<usize> {
        let (known, new) = self.pieces.split_at_checked(start)?;
        let same = |shape: &Shape| {
            let pieces = known.get(shape.pieces.start as usize..shape.pieces.end as usize).unwrap_or_default();
            shape.hash == hash
                && pieces.len() == new.len()
                && pieces.iter().zip(new).all(|(a, b)| a.of(text) == b.of(text))
        };
        if let Some(index) = self.shapes.iter().position(same) {
            self.pieces.truncate(start);
            self.shapes.get_mut(index)?.rows += 1;
            return Some(index);
        }
        if self.shapes.len() == SHAPES_MAX {
            return None;
        }
        let pieces = Span { start: start as u32, end: self.pieces.len() as u32 };
        self.shapes.push(Shape { pieces, hash, rows: 1 });
        Some(self.shapes.len() - 1)
    }
}

/// How many bytes the string or other scalar at the beginning has; none if there is no end to the string, or nothing.
fn leaf_len(bytes: &[u8]) -> Option<usize> {
    if let [b'"', string @ ..] = bytes {
        return string_len(string).map(|length| length + 1);
    }
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']');
    Some(bytes.iter().position(ends).unwrap_or(bytes.len())).filter(|&length| length > 0)
}

/// How many bytes there are up to and with the quotation mark that ends a string.
///
/// Eight at a time, by the trick that `(word - LOW) & !word & HIGH` marks zero bytes; a mark may be wrong only above a right one, so
/// the lowest is always right (Henry S. Warren, "Hacker's Delight", section 6-1).
fn string_len(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    loop {
        let passed = if let Some((chunk, _)) = rest.split_first_chunk() {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (LOW * 0x22);
            let backslash = word ^ (LOW * 0x5c);
            let marks = (quote.wrapping_sub(LOW) & !quote) | (backslash.wrapping_sub(LOW) & !backslash);
            (marks & HIGH).trailing_zeros() as usize / 8
        } else {
            rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?
        };
        rest = rest.get(passed..)?;
        if passed == 8 {
            continue;
        }
        match rest {
            [b'"', behind @ ..] => return Some(bytes.len() - behind.len()),
            [_, _, behind @ ..] => rest = behind,
            _ => return None,
        }
    }
}

fn mix(hash: u64, piece: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = hash ^ piece.len() as u64;
    for chunk in piece.chunks(8) {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(place, &byte)| *place = byte);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(ODD).rotate_right(29);
    }
    hash
}
