//! The head of a block, which says what its pages are.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::ROWS_MAX;
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Layout, Pages, put_varint};
use crate::segment::sealed::put_crc;

/// The head of a block. The pages follow it in the order of [`Page`].
///
/// | bytes | what |
/// |---|---|
/// | 4 | CRC-32C of the rest of the head |
/// | varint | length of what follows in the head |
/// | varint | number of rows n, 1 to 4096 |
/// | varint | number of types t |
/// | varint, … | t times: length of a type's name, and the name |
/// | 1 | flags: 1 if any row has a caller's id, 2 if any payload is stored whole |
/// | … | [layout](Layout) of the payloads |
/// | varint, 4, … | for each page: its length, and the CRC-32C of its bytes |
#[derive(Clone, Debug)]
pub(in crate::segment::sealed) struct Head {
    pub(super) rows: usize,
    pub(super) names: Vec<Bytes>,
    flags: u8,
    pub(super) layout: Layout,
    /// The length of the head.
    len: usize,
    /// The end of each page, counted from the end of the head, and its checksum.
    pages: Vec<(usize, u32)>,
}

/// A page of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::segment::sealed) enum Page {
    /// The rows' times, a series of nanoseconds since the Unix epoch with the sign bit flipped.
    Times,
    /// The rows' sequence numbers, a series.
    Seqs,
    /// The [times of the commits](super::Commits).
    Commits,
    /// The rows' types, as packed indexes into the names; absent if there is only one type.
    Types,
    /// The callers' ids as texts, empty where there is none; absent if no row has one.
    Ids,
    /// The shapes of the payloads.
    Shapes,
    /// The payloads without a shape; absent if there are none.
    Whole,
    /// A column of the payloads.
    Column(usize),
}

pub(super) const HAS_IDS: u8 = 1;
pub(super) const HAS_WHOLE: u8 = 2;

const CRC_BYTES: usize = 4;

/// Appends a head to `out`; returns its length.
pub(super) fn encode_head<'a>(
    rows: usize,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
    flags: u8,
    layout: &[u8],
    pages: &Pages,
    out: &mut Vec<u8>,
) -> usize {
    let mut content = Vec::new();
    put_varint(rows as u64, &mut content);
    put_varint(names.len() as u64, &mut content);
    for name in names {
        put_varint(name.len() as u64, &mut content);
        content.extend_from_slice(name);
    }
    content.push(flags);
    content.extend_from_slice(layout);
    for page in pages.iter() {
        put_varint(page.len() as u64, &mut content);
        content.extend_from_slice(&Crc32c::of(page).to_le_bytes());
    }
    let start = out.len();
    out.extend_from_slice(&[0; CRC_BYTES]);
    put_varint(content.len() as u64, out);
    out.extend_from_slice(&content);
    put_crc(out, start);
    out.len() - start
}

impl Head {
    /// Checks and decodes the head at the beginning of these bytes.
    pub(in crate::segment::sealed) fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let (crc, covered, _) = Self::split(bytes)?;
        if Crc32c::of(&covered) != crc {
            return Err(Corrupt("the checksum of its head is wrong"));
        }
        Self::parse(bytes)
    }

    /// Like [`decode`](Self::decode), for bytes that probably are no head: computing the checksum of as many bytes as
    /// they say would take too long.
    pub(super) fn find(bytes: &Bytes) -> Result<Self, Corrupt> {
        Self::parse(bytes)?;
        Self::decode(bytes)
    }

    /// The checksum, the bytes that it covers, and a cursor at those after the length field.
    fn split(bytes: &Bytes) -> Result<(u32, Bytes, Cursor), Corrupt> {
        let mut cursor = Cursor::new(bytes.clone());
        let crc = take_crc(&mut cursor)?;
        let length = cursor.length(bytes.len())?;
        let len = bytes.len() - cursor.len() + length;
        let content = Cursor::new(cursor.take(length)?);
        Ok((crc, bytes.slice(CRC_BYTES..len), content))
    }

    fn parse(bytes: &Bytes) -> Result<Self, Corrupt> {
        let (_, covered, mut cursor) = Self::split(bytes)?;
        let len = CRC_BYTES + covered.len();
        let rows = cursor.length(ROWS_MAX)?;
        let types = cursor.length(rows)?;
        if rows == 0 || types == 0 {
            return Err(Corrupt("it has no rows"));
        }
        let mut names = Vec::new();
        for _ in 0..types {
            let name = cursor.length(len)?;
            names.push(cursor.take(name)?);
        }
        let flags = cursor.byte()?;
        if flags > HAS_IDS | HAS_WHOLE {
            return Err(Corrupt("it has unknown flags"));
        }
        let layout = Layout::decode(&mut cursor)?;
        let (mut pages, mut end) = (Vec::new(), 0usize);
        while !cursor.is_empty() {
            end =
                end.checked_add(cursor.length(u32::MAX as usize)?).ok_or(Corrupt("the length of a page is invalid"))?;
            pages.push((end, take_crc(&mut cursor)?));
        }
        let head = Self { rows, names, flags, layout, len, pages };
        let pages = head.index(Page::Column(head.layout.columns().len()));
        if pages == Some(head.pages.len()) { Ok(head) } else { Err(Corrupt("the number of pages is invalid")) }
    }

    /// Its length.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The length of the block.
    pub(super) fn block_len(&self) -> usize {
        self.pages.last().map_or(self.len, |(end, _)| self.len.saturating_add(*end))
    }

    /// The range of a page in the block; `None` if there is no such page.
    pub(in crate::segment::sealed) fn range(&self, page: Page) -> Option<Range<usize>> {
        let index = self.index(page)?;
        let start = index.checked_sub(1).and_then(|before| self.pages.get(before)).map_or(0, |(end, _)| *end);
        let (end, _) = self.pages.get(index)?;
        Some(self.len.saturating_add(start)..self.len.saturating_add(*end))
    }

    /// A cursor over a page of these bytes, which are those of the whole block, if there is such a page.
    pub(super) fn page(&self, block: &Bytes, page: Page) -> Result<Option<Cursor>, Corrupt> {
        let Some(range) = self.range(page) else { return Ok(None) };
        let bytes =
            if range.end <= block.len() { block.slice(range) } else { return Err(Corrupt("it ends too early")) };
        self.check(page, &bytes)?;
        Ok(Some(Cursor::new(bytes)))
    }

    /// Number of rows.
    pub(in crate::segment::sealed) fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the rows' types.
    pub(in crate::segment::sealed) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The layout of the payloads.
    pub(in crate::segment::sealed) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Checks the bytes of a page.
    pub(in crate::segment::sealed) fn check(&self, page: Page, bytes: &[u8]) -> Result<(), Corrupt> {
        let crc = self.index(page).and_then(|index| self.pages.get(index)).map(|(_, crc)| *crc);
        if crc == Some(Crc32c::of(bytes)) { Ok(()) } else { Err(Corrupt("the checksum of a page is wrong")) }
    }

    /// The index of a page; `None` if there is no such page.
    fn index(&self, page: Page) -> Option<usize> {
        let (has_types, has_ids, has_whole) =
            (self.names.len() > 1, self.flags & HAS_IDS != 0, self.flags & HAS_WHOLE != 0);
        let types = 3;
        let ids = types + usize::from(has_types);
        let shapes = ids + usize::from(has_ids);
        let whole = shapes + 1;
        match page {
            Page::Times => Some(0),
            Page::Seqs => Some(1),
            Page::Commits => Some(2),
            Page::Types => has_types.then_some(types),
            Page::Ids => has_ids.then_some(ids),
            Page::Shapes => Some(shapes),
            Page::Whole => has_whole.then_some(whole),
            Page::Column(column) => Some(whole + usize::from(has_whole) + column),
        }
    }
}

fn take_crc(cursor: &mut Cursor) -> Result<u32, Corrupt> {
    let bytes = cursor.take(CRC_BYTES)?;
    bytes.first_chunk().map(|crc| u32::from_le_bytes(*crc)).ok_or(Corrupt("it ends too early"))
}
