//! A sealed segment as a blob: head, epochs, index, text.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSSEG` |
//! | 4 | version, 1 |
//! | 4 | number of epochs e |
//! | 8 | sequence number of rank 0 |
//! | 8, 8 | length of the index, length of the text |
//! | 4 | CRC-32C of epochs, index and text |
//! | 4 | CRC-32C of the 44 bytes before |
//! | 12 e | epochs: rank, milliseconds |
//! | … | index and text of the [`Rows`] |
//!
//! All integers are little-endian.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;

use super::{Epoch, Rows, Segment};
use crate::checksum::Crc32c;
use crate::column::{i64_at, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"ARGUSSEG";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 48;
const EPOCH_BYTES: usize = 12;
const NAME_PREFIX: &str = "segment-";

/// Why bytes are no sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct BlobError(String);

/// The name of a sealed segment, by its sequence numbers.
pub(crate) fn blob_name(first: u64, last: u64) -> String {
    format!("{NAME_PREFIX}{first:020}-{last:020}")
}

/// The sequence numbers in a segment's name, if the name is one.
pub(crate) fn parse_blob_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_prefix(NAME_PREFIX)?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// The pieces of the blob, in their order.
pub(crate) fn encode_blob(segment: &Segment) -> [Bytes; 3] {
    let rows = segment.rows();
    let mut epochs = Vec::with_capacity(segment.epochs().len() * EPOCH_BYTES);
    for epoch in segment.epochs() {
        epochs.extend_from_slice(&epoch.rank.to_le_bytes());
        epochs.extend_from_slice(&epoch.millis.to_le_bytes());
    }
    let mut crc = Crc32c::new();
    crc.update(&epochs);
    crc.update(rows.index());
    crc.update(rows.text());
    let mut head = Vec::with_capacity(HEAD_BYTES + epochs.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&(segment.epochs().len() as u32).to_le_bytes());
    head.extend_from_slice(&segment.base().to_le_bytes());
    head.extend_from_slice(&(rows.index().len() as u64).to_le_bytes());
    head.extend_from_slice(&(rows.text().len() as u64).to_le_bytes());
    head.extend_from_slice(&crc.finish().to_le_bytes());
    head.extend_from_slice(&Crc32c::of(&head).to_le_bytes());
    head.extend_from_slice(&epochs);
    [Bytes::from(head), rows.index().clone(), rows.text().clone()]
}

/// Checks that not a bit of the content has changed.
///
/// # Errors
///
/// [`BlobError`] if one has.
pub(crate) fn check_blob(blob: &Bytes) -> Result<(), BlobError> {
    match blob.split_at_checked(HEAD_BYTES) {
        Some((head, content)) if Crc32c::of(content) == u32_at(head, 40, 0) => Ok(()),
        Some(_) | None => Err(BlobError("checksum of the content".into())),
    }
}

/// The segment in a blob. Its head is checked; the rest is for [`check_blob`].
///
/// # Errors
///
/// [`BlobError`] says which part cannot be one.
pub(crate) fn decode_blob(blob: &Bytes) -> Result<Segment, BlobError> {
    let damaged = |what: &str| BlobError(what.into());
    let head = blob.get(..HEAD_BYTES).ok_or_else(|| damaged("shorter than its head"))?;
    let (covered, crc) = head.split_at(HEAD_BYTES - 4);
    if !head.starts_with(MAGIC) {
        return Err(damaged("not a segment"));
    }
    if Crc32c::of(covered) != u32_at(crc, 0, 0) {
        return Err(damaged("checksum of the head"));
    }
    let version = u32_at(head, 8, 0);
    if version != VERSION {
        return Err(BlobError(format!("version {version} is unknown")));
    }
    let (epochs, base) = (u32_at(head, 12, 0) as usize, u64_at(head, 16, 0));
    let length = |at| usize::try_from(u64_at(head, at, 0)).map_err(|_| damaged("a length"));
    let (index_len, text_len) = (length(24)?, length(32)?);
    let index_at = HEAD_BYTES + epochs * EPOCH_BYTES;
    let text_at = index_at.checked_add(index_len).ok_or_else(|| damaged("a length"))?;
    if text_at.checked_add(text_len) != Some(blob.len()) {
        return Err(damaged("length"));
    }
    let rows = Rows::open(blob.slice(index_at..text_at), blob.slice(text_at..)).map_err(|error| BlobError(error.0))?;
    let epochs: Vec<Epoch> = (0..epochs)
        .map(|index| {
            let at = HEAD_BYTES + index * EPOCH_BYTES;
            Epoch { rank: u32_at(blob, at, 0), millis: i64_at(blob, at + 4, 0) }
        })
        .collect();
    if rows.is_empty() || epochs.first().is_none_or(|epoch| epoch.rank != 0) {
        return Err(damaged("epochs"));
    }
    Ok(Segment::new(base, rows, epochs.into()))
}
