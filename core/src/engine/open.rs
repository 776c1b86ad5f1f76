use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use super::{Engine, IdentityKey, Seed, Tuning};
use crate::checksum::Crc32c;
use crate::column::u32_at;
use crate::log::{HEAD_BYTES, RecordHead};
use crate::repository::Stats;
use crate::segment::{Segment, decode_blob, parse_blob_name};
use crate::storage::{Storage, StorageError};

/// The blob with the seed of the repository and its CRC-32C.
const IDENTITY: &str = "identity";

/// Why a storage could not be opened. Nothing was changed but a torn tail, which may have been cut.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The medium failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Something is not as it was written, and it is no torn tail.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// The blob, or the log and the offset in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl<S: Storage> Engine<S> {
    /// Opens what the storage holds, or begins anew where it is empty. `seed` is used only then.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what could not be read, or what is damaged.
    pub fn open(storage: S, seed: Seed) -> Result<Self, OpenError> {
        Self::open_with(storage, seed, Tuning::default())
    }

    /// As [`open`](Self::open), with other sizes.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_with(mut storage: S, seed: Seed, tuning: Tuning) -> Result<Self, OpenError> {
        let key = IdentityKey::new(identity(&mut storage, seed)?);
        let sealed = sealed_segments(&storage)?;
        let rows = || sealed.iter().map(|segment| segment.rows());
        let stats = Stats {
            events: rows().map(|rows| rows.len() as u64).sum(),
            bytes: rows().map(|rows| rows.bytes() as u64).sum(),
            ..Stats::default()
        };
        let last_millis = |segment: &Arc<Segment>| segment.epochs().last().map(|epoch| epoch.millis);
        let mut engine = Self {
            last_seq: sealed.last().map_or(0, |last| last.last_seq()),
            last_millis: sealed.last().and_then(last_millis).unwrap_or(0),
            sealed: Arc::new(sealed),
            storage,
            tuning,
            key,
            fresh: Vec::new(),
            chore_is_out: false,
            stats,
            latched: None,
        };
        engine.replay()?;
        Ok(engine)
    }

    /// Applies the log. A record that reaches beyond the log's end is a torn tail and is cut.
    fn replay(&mut self) -> Result<(), OpenError> {
        let range = self.storage.log_range();
        let mut offset = range.start;
        while offset < range.end {
            let damaged = |reason: &str| OpenError::Damaged {
                place: format!("the log at offset {offset}"),
                reason: reason.to_string(),
            };
            let head_bytes = self.storage.read_log(offset, HEAD_BYTES)?;
            if head_bytes.len() < HEAD_BYTES {
                return Ok(self.storage.truncate(offset)?);
            }
            let head = RecordHead::decode(&head_bytes).ok_or_else(|| damaged("no record begins here"))?;
            let body_at = offset + HEAD_BYTES as u64;
            let body = self.storage.read_log(body_at, head.body_len())?;
            if body.len() < head.body_len() {
                return Ok(self.storage.truncate(offset)?);
            }
            let rows = head.decode_body(&body).ok_or_else(|| damaged("checksum of the record"))?;
            let end = body_at + body.len() as u64;
            // Records before this were sealed and the log not yet given up.
            if head.first_seq > self.last_seq {
                if head.first_seq != self.last_seq + 1 {
                    return Err(damaged(&format!(
                        "it begins with event {}, not {}",
                        head.first_seq,
                        self.last_seq + 1
                    )));
                }
                self.apply(rows, head.first_seq, head.millis, end);
            }
            offset = end;
        }
        Ok(())
    }
}

fn identity<S: Storage>(storage: &mut S, seed: Seed) -> Result<Seed, OpenError> {
    if let Some(blob) = storage.open(IDENTITY)? {
        let bytes = blob.read(0..blob.len())?;
        let damaged = || OpenError::Damaged { place: IDENTITY.into(), reason: "checksum".into() };
        let (seed, crc) = bytes.split_at_checked(16).filter(|(_, crc)| crc.len() == 4).ok_or_else(damaged)?;
        if Crc32c::of(seed) != u32_at(crc, 0, 0) {
            return Err(damaged());
        }
        return <[u8; 16]>::try_from(seed).map(|seed| Seed(u128::from_le_bytes(seed))).map_err(|_| damaged());
    }
    let bytes = seed.0.to_le_bytes();
    let mut draft = storage.create(IDENTITY)?;
    draft.write(&bytes)?;
    draft.write(&Crc32c::of(&bytes).to_le_bytes())?;
    storage.adopt(draft.finish()?);
    Ok(seed)
}

/// All sealed segments, ascending; together they have every sequence number from 1 on.
fn sealed_segments<S: Storage>(storage: &S) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut names: Vec<(u64, String)> =
        storage.list()?.into_iter().filter_map(|name| Some((parse_blob_name(&name)?, name))).collect();
    names.sort_unstable();
    let mut segments = Vec::with_capacity(names.len());
    let mut next = 1;
    for (base, name) in names {
        let Some(blob) = storage.open(&name)? else { continue };
        let bytes = blob.read(0..blob.len())?;
        let segment = decode_blob(&bytes).map_err(|error| error.to_string()).and_then(|segment| {
            let right = segment.base() == base && base == next;
            right.then_some(segment).ok_or_else(|| format!("it should begin with event {next}"))
        });
        let segment = segment.map_err(|reason| OpenError::Damaged { place: name, reason })?;
        next = segment.last_seq() + 1;
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}
