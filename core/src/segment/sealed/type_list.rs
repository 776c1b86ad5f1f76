use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use bytes::Bytes;

use super::read_tail;
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor};
use crate::event::EVENT_TYPE_BYTES_MAX;
use crate::storage::{Blob, StorageError};

/// Read at a time.
const PIECE_BYTES: u64 = 16 * 1024;

/// Most bytes of a type in an index: three integers and the name.
const ENTRY_BYTES_MAX: usize = 3 * 10 + EVENT_TYPE_BYTES_MAX;

/// The names of a sealed segment's types, ascending, read one after the other: however many there are, little is in
/// memory.
pub(crate) struct TypeList {
    blob: Arc<dyn Blob>,
    index: Range<u64>,
    crc: u32,
    /// What was read and not yet taken, and where the index goes on behind it.
    cursor: Cursor,
    at: u64,
    /// Names that are left.
    len: usize,
}

impl TypeList {
    /// The types of the segment in a blob; `None` if its end is not as it was written, of which
    /// [`Sealed::open`](super::Sealed::open) says more.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub(crate) fn open(blob: Arc<dyn Blob>) -> Result<Option<Self>, StorageError> {
        let Some((index, crc)) = read_tail(&*blob, false)? else { return Ok(None) };
        let mut list = Self { blob, at: index.start, index, crc, cursor: Cursor::new(Bytes::new()), len: 0 };
        list.read_on()?;
        let len = list.cursor.length(u32::MAX as usize);
        Ok(len.ok().map(|len| Self { len, ..list }))
    }

    /// Reads all of the index: whether it is as it was written.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub(crate) fn is_whole(&self) -> Result<bool, StorageError> {
        let mut found = Crc32c::new();
        let mut at = self.index.start;
        while at < self.index.end {
            let next = self.index.end.min(at + PIECE_BYTES);
            found.update(&self.blob.read(at..next)?);
            at = next;
        }
        Ok(found.finish() == self.crc)
    }

    /// How many names are left.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The next name; `None` behind the last one, or behind the last one that can be made out.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Some(left) = self.len.checked_sub(1) else { return Ok(None) };
        self.len = left;
        if self.cursor.len() < ENTRY_BYTES_MAX {
            self.read_on()?;
        }
        let mut entry = || {
            let len = self.cursor.length(EVENT_TYPE_BYTES_MAX)?;
            let name = self.cursor.take(len)?;
            self.cursor.varint()?;
            self.cursor.varint()?;
            Ok::<_, Corrupt>(name)
        };
        Ok(entry().ok())
    }

    fn read_on(&mut self) -> Result<(), StorageError> {
        let start = self.at - self.cursor.len() as u64;
        self.at = self.index.end.min(start + PIECE_BYTES);
        self.cursor = Cursor::new(self.blob.read(start..self.at)?);
        Ok(())
    }
}

/// How many different types there are in all lists together.
///
/// # Errors
///
/// [`StorageError`] if one cannot be read.
pub(crate) fn count_types(mut lists: Vec<TypeList>) -> Result<usize, StorageError> {
    let mut heads = BinaryHeap::with_capacity(lists.len());
    for (index, list) in lists.iter_mut().enumerate() {
        heads.extend(list.next()?.map(|name| Reverse((name, index))));
    }
    let (mut count, mut last) = (0, None);
    while let Some(Reverse((name, index))) = heads.pop() {
        let next = lists.get_mut(index).map_or(Ok(None), TypeList::next)?;
        heads.extend(next.map(|name| Reverse((name, index))));
        count += usize::from(last.as_ref() != Some(&name));
        last = Some(name);
    }
    Ok(count)
}
