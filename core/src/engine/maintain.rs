use alloc::format;
use alloc::sync::Arc;
use core::ops::Range;

use super::{Engine, Fresh};
use crate::repository::{CommitError, Housekeeping};
use crate::segment::{Merge, Segment, blob_name, decode_blob, encode_blob};
use crate::storage::{Blobs, Storage, StorageError};

/// A merge under way of a range of fresh segments; commits go on behind it.
#[derive(Debug)]
pub(super) struct Merging {
    range: Range<usize>,
    merge: Merge,
    seal: bool,
}

impl<S: Storage> Engine<S> {
    pub(super) fn housekeep(&mut self, budget: u32) -> Result<Housekeeping, CommitError> {
        let Some(mut merging) = self.merging.take().or_else(|| self.choose()) else { return Ok(Housekeeping::Idle) };
        if !merging.merge.step(budget.max(1)) {
            self.merging = Some(merging);
            return Ok(Housekeeping::Pending);
        }
        let Merging { range, merge, seal } = merging;
        let merged = Arc::new(merge.finish());
        let Some(log_end) = range.end.checked_sub(1).and_then(|last| self.fresh.get(last)).map(|last| last.log_end)
        else {
            return Ok(Housekeeping::Idle);
        };
        let before: usize =
            self.fresh.get(range.clone()).into_iter().flatten().map(|fresh| fresh.segment.rows().bytes()).sum();
        let stored = if seal { self.seal(&merged, log_end)? } else { Arc::clone(&merged) };
        self.stats.bytes = self.stats.bytes + stored.rows().bytes() as u64 - before as u64;
        if seal {
            self.fresh.drain(range);
            Arc::make_mut(&mut self.sealed).push(stored);
        } else {
            self.fresh.splice(range, [Fresh { segment: stored, log_end }]);
        }
        Ok(Housekeeping::Pending)
    }

    /// What most wants to be merged: a prefix that is large enough to be sealed, else the segments of one size at the end.
    fn choose(&self) -> Option<Merging> {
        let (mut events, mut bytes) = (0, 0);
        for (index, fresh) in self.fresh.iter().enumerate() {
            events += fresh.segment.rows().len();
            bytes += fresh.segment.rows().bytes();
            if events >= self.tuning.seal_events || bytes >= self.tuning.seal_bytes {
                return Some(self.merging(0..index + 1, true));
            }
        }
        let fan_in = self.tuning.fan_in.max(2);
        let tier = |fresh: &Fresh| fresh.segment.rows().len().max(1).ilog(fan_in);
        let mut end = self.fresh.len();
        while let Some(last) = end.checked_sub(1).and_then(|last| self.fresh.get(last)) {
            let same = |fresh: &&Fresh| tier(fresh) <= tier(last);
            let run = self.fresh.iter().take(end).rev().take_while(same).count();
            if run >= fan_in {
                return Some(self.merging(end - run..end, false));
            }
            end -= run;
        }
        None
    }

    fn merging(&self, range: Range<usize>, seal: bool) -> Merging {
        let inputs = self.fresh.get(range.clone()).into_iter().flatten().map(|fresh| Arc::clone(&fresh.segment));
        Merging { range, merge: Merge::new(inputs.collect()), seal }
    }

    /// Writes the segment as a blob, and gives up the log before it.
    fn seal(&mut self, segment: &Segment, log_end: u64) -> Result<Arc<Segment>, CommitError> {
        let name = blob_name(segment);
        match self.storage.put(&name, &encode_blob(segment)) {
            Ok(()) => {}
            Err(StorageError::Full(reason)) => return Err(CommitError::Full(reason)),
            Err(StorageError::Failed(reason)) => return Err(self.latch(format!("writing {name}: {reason}"))),
        }
        // Read back, so that what is served from now on is what is stored, and its memory is the storage's.
        let sealed = self
            .read_blob(&name)
            .and_then(|blob| decode_blob(&blob).map_err(|error| format!("{name}: {error}")))
            .map_err(|reason| self.latch(reason))?;
        self.storage.discard(log_end).map_err(|error| self.latch(format!("giving up the log: {error}")))?;
        Ok(Arc::new(sealed))
    }

    fn read_blob(&self, name: &str) -> Result<bytes::Bytes, alloc::string::String> {
        let blobs = self.storage.blobs();
        let read = blobs.len(name).and_then(|len| blobs.read(name, 0..len.unwrap_or_default()));
        read.map_err(|error| format!("reading {name}: {error}"))
    }
}
