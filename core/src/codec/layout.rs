//! How the texts of a block are put together from columns.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem::take;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor, put_varint};
use super::heap::{Compressor, decode_heap};
use super::shape::{LEAVES_MAX, SHAPES_MAX};
use crate::json::{Scanner, Value};

/// The shapes of a block's texts, and the columns that hold their leaves.
///
/// A [heap](super::heap) with:
///
/// | bytes | what |
/// |---|---|
/// | varint | number of columns c, at most 1024 |
/// | varint, … | c paths: the number of names, and for each its length and its bytes without escapes |
/// | varint | number of shapes s, at most 255 |
/// | … | s shapes |
///
/// A shape:
///
/// | bytes | what |
/// |---|---|
/// | varint | number of leaves l, at most 255 |
/// | l varints | the column of each leaf |
/// | varint, … | l + 1 pieces, before, between and after the leaves: length and bytes |
///
/// A path leads through arrays, as those of [`Paths`](crate::json::Paths) do. If a text has several leaves at one path,
/// each has a column of its own. Equal shapes give equal bytes, so readers may decode the layout of many blocks once.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    columns: Vec<Path>,
    shapes: Vec<Shape>,
    memory_bytes: usize,
}

/// The names of members from the root of a text to a leaf, without escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(pub(super) Vec<Bytes>);

/// All texts that differ in their leaves only.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) first: Bytes,
    /// The column of each leaf, and the piece after it.
    pub(super) leaves: Vec<(usize, Bytes)>,
}

/// The most columns of a block. Texts with leaves beyond are stored whole.
const COLUMNS_MAX: usize = 1024;

/// The most bytes of all paths of a block. Each leaf has its whole path, so deep texts would take many times their
/// size.
const PATHS_BYTES_MAX: usize = 64 * 1024;

/// The most names of a path.
const NAMES_MAX: usize = 1024;

/// Assigns leaves to columns.
#[derive(Debug, Default)]
pub(super) struct LayoutBuilder {
    /// The column of the first, second… leaf at a path.
    columns: BTreeMap<(Path, usize), usize>,
    /// The path of each column.
    paths: Vec<Path>,
    /// The bytes of all paths.
    path_bytes: usize,
    /// Number of shapes, and the shapes, encoded.
    shapes: usize,
    encoded: Vec<u8>,
    plain: Vec<u8>,
}

impl LayoutBuilder {
    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.paths.clear();
        self.path_bytes = 0;
        self.shapes = 0;
        self.encoded.clear();
    }

    /// Number of columns so far.
    pub(super) fn columns(&self) -> usize {
        self.paths.len()
    }

    /// Adds a shape, and returns the columns of its leaves. Returns `None` and changes nothing if the pieces are not
    /// those of a JSON text, or if there would be too many columns, paths or shapes.
    pub(super) fn add(&mut self, pieces: &[&[u8]]) -> Option<Vec<usize>> {
        let paths = leaf_paths(pieces)?;
        let mut seen = BTreeMap::<&Path, usize>::new();
        let occurrences: Vec<usize> = paths
            .iter()
            .map(|path| {
                let next = seen.entry(path).or_default();
                let occurrence = *next;
                *next += 1;
                occurrence
            })
            .collect();
        let keys = || paths.iter().cloned().zip(occurrences.iter().copied());
        let new = || keys().filter(|key| !self.columns.contains_key(key));
        let path_bytes = self.path_bytes + new().map(|(path, _)| path.bytes()).sum::<usize>();
        let is_full = self.paths.len() + new().count() > COLUMNS_MAX || path_bytes > PATHS_BYTES_MAX;
        if self.shapes == SHAPES_MAX || is_full {
            return None;
        }
        self.path_bytes = path_bytes;
        let columns: Vec<usize> = keys()
            .map(|key| {
                *self.columns.entry(key).or_insert_with_key(|(path, _)| {
                    self.paths.push(path.clone());
                    self.paths.len() - 1
                })
            })
            .collect();
        self.shapes += 1;
        put_varint(columns.len() as u64, &mut self.encoded);
        columns.iter().for_each(|&column| put_varint(column as u64, &mut self.encoded));
        pieces.iter().for_each(|piece| put_bytes(piece, &mut self.encoded));
        Some(columns)
    }

    /// Appends the layout to `out`.
    pub(super) fn encode(&mut self, compressor: &mut Compressor, out: &mut Vec<u8>) {
        let plain = &mut self.plain;
        plain.clear();
        put_varint(self.paths.len() as u64, plain);
        self.paths.iter().for_each(|path| path.encode(plain));
        put_varint(self.shapes as u64, plain);
        plain.extend_from_slice(&self.encoded);
        compressor.encode(plain, out);
    }
}

impl Layout {
    pub(crate) fn decode(cursor: &mut Cursor) -> Result<Self, Corrupt> {
        let mut heap = decode_heap(cursor)?;
        let memory_bytes = heap.len();
        let columns = (0..heap.length(COLUMNS_MAX)?).map(|_| Path::decode(&mut heap)).collect::<Result<Vec<_>, _>>()?;
        let count = columns.len();
        let shapes = (0..heap.length(SHAPES_MAX)?).map(|_| Shape::decode(&mut heap, count));
        let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
        if !heap.is_empty() {
            return Err(Corrupt("a layout has unused bytes"));
        }
        let names: usize = columns.iter().map(|Path(names)| names.len()).sum();
        let leaves: usize = shapes.iter().map(|shape| shape.leaves.len() + 1).sum();
        let memory_bytes = memory_bytes + names * size_of::<Bytes>() + leaves * size_of::<(usize, Bytes)>();
        Ok(Self { columns, shapes, memory_bytes })
    }

    /// The path of each column.
    pub(crate) fn columns(&self) -> &[Path] {
        &self.columns
    }

    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Its memory in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }
}

impl Path {
    /// The names from the root to the leaf.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The bytes of its names, with one more for each.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|name| name.len() + 1).sum()
    }

    /// The same path in memory of its own.
    pub(crate) fn detached(&self) -> Self {
        Self(self.0.iter().map(|name| Bytes::copy_from_slice(name)).collect())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.0.len() as u64, out);
        self.0.iter().for_each(|name| put_bytes(name, out));
    }

    pub(crate) fn decode(cursor: &mut Cursor) -> Result<Self, Corrupt> {
        let names = cursor.length(NAMES_MAX)?;
        (0..names).map(|_| take_bytes(cursor)).collect::<Result<_, _>>().map(Self)
    }
}

impl Shape {
    /// Decodes a shape of a block with this many columns.
    fn decode(cursor: &mut Cursor, columns: usize) -> Result<Self, Corrupt> {
        let leaves = cursor.length(LEAVES_MAX)?;
        let column = |cursor: &mut Cursor| {
            let column = cursor.length(COLUMNS_MAX)?;
            if column < columns { Ok(column) } else { Err(Corrupt("the number of a column is invalid")) }
        };
        let leaves = (0..leaves).map(|_| column(cursor)).collect::<Result<Vec<_>, _>>()?;
        let first = take_bytes(cursor)?;
        let leaves = leaves.into_iter().map(|column| Ok((column, take_bytes(cursor)?)));
        Ok(Self { first, leaves: leaves.collect::<Result<_, _>>()? })
    }
}

/// The path of each leaf between the pieces of a JSON text; `None` if it is not JSON.
fn leaf_paths(pieces: &[&[u8]]) -> Option<Vec<Path>> {
    let (mut paths, mut path, mut is_object) = (Vec::new(), Path::default(), Vec::new());
    let end_value = |is_object: &[bool], path: &mut Path| {
        if is_object.last() == Some(&true) { path.0.pop().map(drop) } else { Some(()) }
    };
    for (index, piece) in pieces.iter().enumerate() {
        let mut rest = *piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'{' | b'[' => is_object.push(byte == b'{'),
                b'}' | b']' => {
                    if is_object.pop() != Some(byte == b'}') {
                        return None;
                    }
                    end_value(&is_object, &mut path)?;
                }
                b',' => {}
                b'"' => {
                    let (name, after) = split_name(rest)?;
                    if is_object.last() != Some(&true) || path.0.len() == NAMES_MAX {
                        return None;
                    }
                    path.0.push(name);
                    rest = after;
                }
                _ => return None,
            }
        }
        if index + 1 < pieces.len() {
            if is_object.iter().filter(|object| **object).count() != path.0.len() {
                return None;
            }
            paths.push(path.clone());
            end_value(&is_object, &mut path)?;
        }
    }
    (is_object.is_empty() && path.0.is_empty()).then_some(paths)
}

/// Splits a member's name off the front, after its opening quotation mark. Also skips the colon.
fn split_name(bytes: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut escaped = false;
    let end = bytes.iter().position(|&byte| {
        let is_end = byte == b'"' && !take(&mut escaped);
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let after = bytes.get(end + 1..)?.strip_prefix(b":")?;
    let text: Box<str> = alloc::format!("\"{}\"", core::str::from_utf8(bytes.get(..end)?).ok()?).into();
    Scanner::new(&text).value().ok()?;
    match Value::of(&text) {
        Value::String(name) => Some((Bytes::copy_from_slice(&name.bytes()), after)),
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn take_bytes(cursor: &mut Cursor) -> Result<Bytes, Corrupt> {
    let length = cursor.length(usize::MAX)?;
    cursor.take(length)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::String;
    use std::vec;

    use super::*;

    fn texts(path: &Path) -> Vec<String> {
        path.0.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn leaves_have_the_paths_that_filters_use() {
        let pieces: [&[u8]; 7] =
            [br#"{"a":"#, br#","b":{"c\"":["#, b",", br#",{"d":"#, br#"}],"e":{},"f":"#, br#"},"g":[[],["#, b"]]}"];
        let paths: Vec<_> = leaf_paths(&pieces).unwrap().iter().map(texts).collect();
        let expected: [&[&str]; 6] = [&["a"], &["b", "c\""], &["b", "c\""], &["b", "c\"", "d"], &["b", "f"], &["g"]];
        assert_eq!(paths, expected);
        assert_eq!(leaf_paths(&[b"", b""]).unwrap().iter().map(texts).collect::<Vec<_>>(), vec![Vec::<String>::new()]);
        assert_eq!(leaf_paths(&[b"{}"]), Some(Vec::new()));
    }

    #[test]
    fn pieces_that_are_not_json_have_no_paths() {
        let odd: [&[&[u8]]; 9] = [
            &[b"{"],
            &[b"}"],
            &[b"{]"],
            &[b"{", b"}"],
            &[br#"["a":"#, b"]"],
            &[br#"{"a":"b":"#, b"}"],
            &[br#"{"a""#, b"}"],
            &[br#"{"\x":"#, b"}"],
            &[b"{\"\xff\":", b"}"],
        ];
        for pieces in odd {
            assert_eq!(leaf_paths(pieces), None, "{pieces:?}");
        }
    }

    #[test]
    fn equal_paths_share_a_column_and_repeated_ones_do_not() {
        let mut builder = LayoutBuilder::default();
        assert_eq!(builder.add(&[br#"{"a":"#, br#","b":["#, b",", b"]}"]), Some(vec![0, 1, 2]));
        assert_eq!(builder.add(&[br#"{"b":"#, br#","a":"#, br#","a":"#, b"}"]), Some(vec![1, 0, 3]));
        assert_eq!(builder.add(&[b"{"]), None);
        let mut out = Vec::new();
        builder.encode(&mut Compressor::default(), &mut out);
        let mut cursor = Cursor::new(out.into());
        let layout = Layout::decode(&mut cursor).unwrap();
        assert!(cursor.is_empty());
        let paths: Vec<_> = layout.columns().iter().map(texts).collect();
        assert_eq!(paths, [["a"], ["b"], ["b"], ["a"]]);
        let columns: Vec<Vec<usize>> =
            layout.shapes().iter().map(|shape| shape.leaves.iter().map(|(column, _)| *column).collect()).collect();
        assert_eq!(columns, [vec![0, 1, 2], vec![1, 0, 3]]);
    }
}
