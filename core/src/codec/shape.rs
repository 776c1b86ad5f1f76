//! Splits JSON texts into shapes and leaves.

use alloc::vec::Vec;

use super::span::Span;
use crate::json::ordinary_len;

/// The shapes of a block's texts, and the leaves of these texts.
///
/// A shape is a text without its leaves: the pieces before, between and after them. Each shape is a path in a tree of
/// pieces, so that one pass over a text compares it with all shapes. Any bytes can be split and joined again, but only
/// JSON profits.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    pieces: Vec<Piece>,
    ends: Vec<ShapeEnd>,
    leaves: Vec<Span>,
}

/// A shape, by its last piece. The parents of that piece are the other pieces.
#[derive(Clone, Copy, Debug)]
struct ShapeEnd {
    piece: usize,
    rows: usize,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its first occurrence in the text.
    span: Span,
    /// The piece before this one and a leaf; `None` at the beginning of a text.
    parent: Option<usize>,
    /// The first of the pieces that come after this one and a leaf.
    first_child: Option<usize>,
    /// The next piece with the same parent.
    next_sibling: Option<usize>,
    /// The shape that ends with this piece, if one does.
    shape: Option<usize>,
}

/// The most leaves of a shape.
pub(super) const LEAVES_MAX: usize = 255;

/// The most shapes in a block.
pub(super) const SHAPES_MAX: usize = 255;

/// The most bytes of a piece.
const PIECE_BYTES_MAX: usize = 1024;

/// The most pieces in the tree, including those of texts that turned out to have no shape.
const PIECES_MAX: usize = 4096;

/// The most pieces that a text is compared with, so that callers cannot choose texts that take long to split.
const COMPARED_MAX: usize = 512;

impl Shapes {
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.ends.clear();
        self.leaves.clear();
    }

    /// Number of shapes.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of texts with this shape.
    pub(super) fn rows(&self, shape: usize) -> usize {
        self.ends.get(shape).map_or(0, |end| end.rows)
    }

    /// Replaces `pieces` by those of the shape.
    pub(super) fn pieces(&self, shape: usize, pieces: &mut Vec<Span>) {
        pieces.clear();
        let mut next = Some(self.ends.get(shape).expect("shapes come from `add`").piece);
        while let Some(at) = next {
            let piece = self.pieces.get(at).expect("pieces are linked to pieces only");
            pieces.push(piece.span);
            next = piece.parent;
        }
        pieces.reverse();
    }

    /// The leaves of all texts with a shape so far, text by text.
    pub(super) fn leaves(&self) -> &[Span] {
        &self.leaves
    }

    /// Splits the text at `span`. If it has a shape, appends its leaves and returns the shape.
    pub(super) fn add(&mut self, text: &[u8], span: Span) -> Option<usize> {
        let leaves = self.leaves.len();
        let shape = self.find(text, span);
        if shape.is_none() {
            self.leaves.truncate(leaves);
        }
        shape
    }

    fn find(&mut self, text: &[u8], span: Span) -> Option<usize> {
        let mut rest = span.of(text);
        let mut parent = None;
        let mut compared = 0;
        for _ in 0..=LEAVES_MAX {
            let piece = self.piece(text, span, rest, parent, &mut compared)?;
            parent = Some(piece);
            rest = rest.get(self.pieces.get(piece)?.span.len()..)?;
            if rest.is_empty() {
                return self.end(piece);
            }
            let (_, after) = rest.split_at_checked(leaf_len(rest)?)?;
            self.leaves.push(Span { start: span.end - rest.len() as u32, end: span.end - after.len() as u32 });
            rest = after;
        }
        None
    }

    /// The piece at the beginning of `rest`, which is a suffix of the text at `span`.
    fn piece(
        &mut self,
        text: &[u8],
        span: Span,
        rest: &[u8],
        parent: Option<usize>,
        compared: &mut usize,
    ) -> Option<usize> {
        let first = match parent {
            Some(parent) => self.pieces.get(parent)?.first_child,
            None => Some(0).filter(|_| !self.pieces.is_empty()),
        };
        let mut last = None;
        let mut next = first;
        while let Some(at) = next {
            let piece = self.pieces.get(at)?;
            if let Some(after) = rest.strip_prefix(piece.span.of(text))
                && !matches!(after, [b'{' | b'}' | b'[' | b']' | b',', ..])
            {
                return Some(at);
            }
            *compared += 1;
            if *compared > COMPARED_MAX {
                return None;
            }
            (last, next) = (next, piece.next_sibling);
        }
        let length = piece_len(rest)?;
        if length > PIECE_BYTES_MAX || self.pieces.len() == PIECES_MAX {
            return None;
        }
        let start = span.end - rest.len() as u32;
        let piece = Piece {
            span: Span { start, end: start + length as u32 },
            parent,
            first_child: None,
            next_sibling: None,
            shape: None,
        };
        let at = Some(self.pieces.len());
        match (last, parent) {
            (Some(last), _) => self.pieces.get_mut(last)?.next_sibling = at,
            (None, Some(parent)) => self.pieces.get_mut(parent)?.first_child = at,
            (None, None) => {}
        }
        self.pieces.push(piece);
        at
    }

    /// The shape whose last piece this is.
    fn end(&mut self, piece: usize) -> Option<usize> {
        let shape = &mut self.pieces.get_mut(piece)?.shape;
        if shape.is_none() && self.ends.len() < SHAPES_MAX {
            *shape = Some(self.ends.len());
            self.ends.push(ShapeEnd { piece, rows: 0 });
        }
        self.ends.get_mut((*shape)?)?.rows += 1;
        *shape
    }
}

/// Number of bytes before the next leaf or the end; `None` if a string does not end.
fn piece_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'{' | b'}' | b'[' | b']' | b',', after @ ..] => after,
            [b'"', ..] => match rest.split_at_checked(leaf_len(rest)?)? {
                (_, [b':', value @ ..]) => value,
                _ => return Some(bytes.len() - rest.len()),
            },
            _ => return Some(bytes.len() - rest.len()),
        };
    }
}

/// Length of the scalar at the beginning; `None` if there is none, or a string does not end.
fn leaf_len(bytes: &[u8]) -> Option<usize> {
    if let [b'"', string @ ..] = bytes {
        return string_len(string).map(|length| length + 1);
    }
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']');
    Some(bytes.iter().position(ends).unwrap_or(bytes.len())).filter(|&length| length > 0)
}

/// Number of bytes up to and including the closing quotation mark.
fn string_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    loop {
        rest = match rest.split_at_checked(ordinary_len(rest))? {
            (_, [b'"', after @ ..]) => return Some(bytes.len() - after.len()),
            (_, [b'\\', _, after @ ..]) => after,
            // JSON does not allow control characters in strings.
            (_, [byte, after @ ..]) if *byte != b'\\' => after,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::format;
    use std::string::String;

    use super::*;

    /// Splits the texts; returns the shape and the leaves of each.
    fn split(shapes: &mut Shapes, texts: &[&str]) -> Vec<Option<(usize, Vec<String>)>> {
        let text = texts.concat();
        let mut start = 0;
        let add = |part: &&str| {
            let span = Span { start, end: start + part.len() as u32 };
            start = span.end;
            let leaves = shapes.leaves().len();
            let shape = shapes.add(text.as_bytes(), span)?;
            let leaf = |leaf: &Span| String::from_utf8(leaf.of(text.as_bytes()).to_vec()).unwrap();
            Some((shape, shapes.leaves().get(leaves..).unwrap().iter().map(leaf).collect()))
        };
        texts.iter().map(add).collect()
    }

    #[test]
    fn leaves_are_strings_numbers_and_words() {
        let text = r#"{"a":"b","c\"":[1.5e3,true,{"d":null}],"e":{},"f":"\"\\","g":[]}"#;
        let mut shapes = Shapes::default();
        let found = split(&mut shapes, &[text, r#"{"a":0,"c\"":["","x:y",{"d":false}],"e":{},"f":-1,"g":[]}"#]);
        let leaves = ["\"b\"", "1.5e3", "true", "null", r#""\"\\""#].map(String::from).to_vec();
        assert_eq!(found.first().unwrap(), &Some((0, leaves)));
        let leaves = ["0", "\"\"", "\"x:y\"", "false", "-1"].map(String::from).to_vec();
        assert_eq!(found.get(1).unwrap(), &Some((0, leaves)));
        assert_eq!((shapes.len(), shapes.rows(0)), (1, 2));
        let mut pieces = Vec::new();
        shapes.pieces(0, &mut pieces);
        let pieces: Vec<_> =
            pieces.iter().map(|piece| core::str::from_utf8(piece.of(text.as_bytes())).unwrap()).collect();
        assert_eq!(pieces, [r#"{"a":"#, r#","c\"":["#, ",", r#",{"d":"#, r#"}],"e":{},"f":"#, r#","g":[]}"#]);
    }

    #[test]
    fn texts_that_differ_in_a_piece_have_different_shapes() {
        let texts = [
            "1",
            "\"\"",
            "{}",
            "[]",
            "[1]",
            "[[1]]",
            "[{\"a\":1}]",
            "{\"a\":1}",
            "{\"a\":[1]}",
            "{\"a\":1,\"b\":2}",
            "[1,2]",
        ];
        let mut shapes = Shapes::default();
        let numbers = |found: Vec<Option<(usize, Vec<String>)>>| -> Vec<usize> {
            found.into_iter().map(|found| found.unwrap().0).collect()
        };
        let expected = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(numbers(split(&mut shapes, &texts)), expected);
        shapes.clear();
        assert_eq!(numbers(split(&mut shapes, &[texts, texts].concat())), [expected, expected].concat());
    }

    #[test]
    fn unterminated_texts_and_texts_beyond_the_limits_have_no_shape() {
        let list = |length| format!("[{}]", std::vec!["1"; length].join(","));
        let (most, more) = (list(LEAVES_MAX), list(LEAVES_MAX + 1));
        let (deep, name) = ("[".repeat(PIECE_BYTES_MAX + 1), format!("{{\"{}\":1}}", "x".repeat(PIECE_BYTES_MAX)));
        let mut shapes = Shapes::default();
        let found = split(&mut shapes, &["\"a", "{\"a\":1,\"b", "[\"\\\"]", &more, &deep, &name, &most]);
        assert!(found.iter().take(6).all(Option::is_none), "{found:?}");
        assert_eq!(found.last().unwrap().as_ref().unwrap().1.len(), LEAVES_MAX);
        assert_eq!(shapes.leaves().len(), LEAVES_MAX);
    }

    #[test]
    fn no_text_is_compared_with_too_many_pieces() {
        let texts: Vec<String> = (0..10_000).map(|row| format!("{{\"{row}\":1,\"{}\":2}}", row * 7)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut shapes = Shapes::default();
        let found = split(&mut shapes, &texts);
        assert_eq!(found.iter().flatten().count(), SHAPES_MAX);
        assert!(shapes.pieces.len() <= PIECES_MAX);
        assert!(shapes.pieces.iter().filter(|piece| piece.parent.is_none()).count() <= COMPARED_MAX + 1);
        assert_eq!(shapes.leaves().len(), 2 * SHAPES_MAX);
    }
}
