//! Reads the types of a sealed segment one by one.

use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use bytes::Bytes;

use super::read_footer;
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor};
use crate::event::EVENT_TYPE_BYTES_MAX;
use crate::storage::{Blob, StorageError};

/// Bytes read at a time.
const PIECE_BYTES: u64 = 16 * 1024;

/// The most bytes of a type in an index: three integers and the name.
const ENTRY_BYTES_MAX: usize = 3 * 10 + EVENT_TYPE_BYTES_MAX;

/// Iterates over the names of a sealed segment's types in ascending order. Needs little memory for any number of types.
pub(crate) struct TypeList {
    blob: Arc<dyn Blob>,
    index: Range<u64>,
    crc: u32,
    /// Bytes that were read but not decoded yet…
    cursor: Cursor,
    /// …and the offset after them.
    at: u64,
    /// Number of entries left, with or without events.
    len: usize,
}

impl TypeList {
    /// Opens the types of a segment; `None` if its footer is damaged, which [`Sealed::open`](super::Sealed::open)
    /// reports.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub(crate) fn open(blob: Arc<dyn Blob>) -> Result<Option<Self>, StorageError> {
        let Some((index, crc)) = read_footer(&*blob)? else { return Ok(None) };
        let mut list = Self { blob, at: index.start, index, crc, cursor: Cursor::new(Bytes::new()), len: 0 };
        list.read_on()?;
        let len = list.cursor.length(u32::MAX as usize);
        Ok(len.ok().map(|len| Self { len, ..list }))
    }

    /// Reads the whole index, and returns whether its checksum is correct.
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

    /// An upper bound on the number of names left. It includes types without events, which [`next`](Self::next) skips.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The next name; `None` at the end, or where the index is damaged.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if it cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        while let Some(left) = self.len.checked_sub(1) {
            self.len = left;
            if self.cursor.len() < ENTRY_BYTES_MAX {
                self.read_on()?;
            }
            let Ok((name, events)) = self.entry() else { return Ok(None) };
            // Earlier versions also listed types without events.
            if events > 0 {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// A name and the number of its events.
    fn entry(&mut self) -> Result<(Bytes, u64), Corrupt> {
        let len = self.cursor.length(EVENT_TYPE_BYTES_MAX)?;
        let name = self.cursor.take(len)?;
        let (events, _bytes) = (self.cursor.varint()?, self.cursor.varint()?);
        Ok((name, events))
    }

    fn read_on(&mut self) -> Result<(), StorageError> {
        let start = self.at - self.cursor.len() as u64;
        self.at = self.index.end.min(start + PIECE_BYTES);
        self.cursor = Cursor::new(self.blob.read(start..self.at)?);
        Ok(())
    }
}

/// The number of different types in all lists together.
///
/// # Errors
///
/// [`StorageError`] if one cannot be read.
pub(crate) fn count_types(mut lists: Vec<TypeList>) -> Result<usize, StorageError> {
    let mut next_names = BinaryHeap::with_capacity(lists.len());
    for (index, list) in lists.iter_mut().enumerate() {
        next_names.extend(list.next()?.map(|name| Reverse((name, index))));
    }
    let (mut count, mut last) = (0, None);
    while let Some(Reverse((name, index))) = next_names.pop() {
        let next = lists.get_mut(index).map_or(Ok(None), TypeList::next)?;
        next_names.extend(next.map(|name| Reverse((name, index))));
        count += usize::from(last.as_ref() != Some(&name));
        last = Some(name);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::{Version, footer};
    use super::*;
    use crate::storage::{MemoryStorage, StorageReader as _};

    /// A list of types with these numbers of events.
    fn list(types: &[(&str, u8)]) -> TypeList {
        let mut index = alloc::vec![types.len() as u8];
        for (name, events) in types {
            index.push(name.len() as u8);
            index.extend_from_slice(name.as_bytes());
            index.extend([*events, 9]);
        }
        let at = Version::CURRENT.header().len() as u64;
        let mut storage = MemoryStorage::default();
        storage.insert("blob", [Version::CURRENT.header(), index.clone(), footer(at, &index)].concat().into());
        let list = TypeList::open(storage.open("blob").unwrap().unwrap()).unwrap().unwrap();
        assert!(list.is_whole().unwrap());
        list
    }

    #[test]
    fn types_without_events_are_not_counted() {
        let lists = || {
            alloc::vec![
                list(&[("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 0)]),
                list(&[("a", 0), ("d", 1)]),
                list(&[("b", 0), ("e", 0)]),
                list(&[]),
            ]
        };
        assert_eq!(count_types(lists()).unwrap(), 2);
        let mut names = Vec::new();
        for mut list in lists() {
            while let Some(name) = list.next().unwrap() {
                names.push(name);
            }
        }
        assert_eq!(names, [&b"b"[..], b"d", b"d"]);
    }
}
