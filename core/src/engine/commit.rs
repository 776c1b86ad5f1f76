//! Commits a group of batches as durable log records and fresh segments.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::log_end::LogEnd;
use super::{Engine, Fresh, LogCut};
use crate::batch::{Batch, BatchBuilder};
use crate::cause::Cause;
use crate::event::Timestamp;
use crate::log::{HEADER_BYTES, RecordHeader};
use crate::proposal::{IdLookups, Proposal, ProposedBatch, Terms};
use crate::repository::{CommitError, Failure, Receipt};
use crate::segment::{Epoch, Rows, RowsBuilder, Segment};
use crate::storage::{Storage, StorageError};

/// Neighbouring batches of a group with at most this many events become one segment, because many callers send single
/// events.
const SMALL_BATCH_EVENTS: usize = 64;

/// The operation that errors of an append name.
const APPEND: &str = "append to the log";

/// The events of a batch that are stored, and the sequence number of the first.
struct Proposed<'a> {
    batch: Cow<'a, Batch>,
    first_seq: u64,
}

impl<'a> Proposed<'a> {
    fn of(proposed: &ProposedBatch<'a>) -> Self {
        let kept = || {
            let mut builder = BatchBuilder::new();
            for (_, _, event) in proposed.events() {
                builder.push(event).expect("a part of a batch fits into a batch");
            }
            builder.finish()
        };
        let batch = proposed.whole().map_or_else(|| Cow::Owned(kept()), Cow::Borrowed);
        Self { batch, first_seq: proposed.first_seq() }
    }

    fn is_small(&self) -> bool {
        self.batch.len() <= SMALL_BATCH_EVENTS
    }
}

impl<S: Storage> Engine<S> {
    pub(super) fn commit_group(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        let millis = now.as_nanos().div_euclid(1_000_000).max(self.last_millis);
        let (proposed, receipts) = self.propose(group, millis, self.cutoffs_at(now).keep_from)?;
        if !proposed.is_empty() {
            let ends = self.append(&proposed, millis)?;
            self.last_millis = millis;
            self.apply_group(&proposed, &ends, millis);
        }
        Ok(receipts)
    }

    /// Syncs the log if anything was appended since the last sync.
    pub(super) fn sync_log(&mut self) -> Result<(), CommitError> {
        let end = self.storage.log_end();
        if end > self.durable {
            self.storage.sync().map_err(|error| self.fail(error.into_cause().during("sync of the log")))?;
            self.durable = end;
        }
        Ok(())
    }

    /// Appends a durability mark, so that recovery can tell corruption from a torn tail.
    pub(super) fn append_durability_mark(&mut self) -> Result<(), CommitError> {
        if self.marked == self.durable {
            return Ok(());
        }
        let offset = self.storage.log_end();
        let (header, crc) =
            RecordHeader::mark(offset, self.durable, self.last_seq + 1, self.last_millis, self.chain).encode();
        match self.storage.append(&[&header]) {
            Ok(()) => (self.chain, self.marked) = (crc, self.durable),
            // The mark is optional. The next call tries again.
            Err(StorageError::Full(_) | StorageError::Unavailable(_)) => {}
            Err(StorageError::Failed(cause)) => return Err(self.fail(cause.during(APPEND))),
        }
        Ok(())
    }

    /// Makes the log durable and saves where it ends, so that the next open can tell whether it is complete.
    pub(super) fn save_log_end(&mut self) -> Result<(), CommitError> {
        self.sync_log()?;
        self.append_durability_mark()?;
        let all_marked = self.marked == self.durable;
        self.sync_log()?;
        if all_marked {
            // Only the mark was appended since, and a mark needs no mark of its own.
            self.marked = self.durable;
        }
        let (next_seq, next_erasure) = (self.last_seq + 1, self.erasures.next());
        let end = LogEnd { offset: self.durable, chain: self.chain, next_seq, next_erasure };
        if self.log_end == Some(end) {
            return Ok(());
        }
        match end.store(&mut self.storage) {
            Ok(()) => self.log_end = Some(end),
            // The saved end is optional: an earlier one stays true, and without one recovery works as after a crash.
            Err(StorageError::Full(_) | StorageError::Unavailable(_)) => {}
            Err(StorageError::Failed(cause)) => return Err(self.fail(cause.during("saving the end of the log"))),
        }
        Ok(())
    }

    /// Decides which events are stored and numbers them. Writes nothing.
    fn propose<'a>(
        &mut self,
        group: &'a [Batch],
        millis: i64,
        keep_from: i64,
    ) -> Result<(Vec<Proposed<'a>>, Vec<Receipt>), CommitError> {
        let mut lookups = IdLookups::of(group);
        if !lookups.is_empty() {
            // If stored ids cannot be read, no event can be proven new, and nothing may be committed.
            let seqs = self.view().seqs_of_ids(&lookups.hashed()).map_err(|error| {
                let cause = Cause::from(error).during("look-up of ids");
                self.failure = Some(Failure::Failed(cause.clone()));
                CommitError::failed(cause)
            })?;
            lookups.set_stored(seqs);
        }
        let terms = Terms {
            next_seq: self.last_seq + 1,
            keep_from: Timestamp::from_nanos(keep_from),
            durable: !self.syncs_deferred && !self.storage.is_volatile(),
        };
        let generate = |_, _, seq| self.key.generate(millis, seq);
        let proposal = Proposal::of(group, &lookups, &self.types, &terms, generate);
        let proposed = proposal.batches().iter().filter(|proposed| !proposed.is_empty()).map(Proposed::of).collect();
        Ok((proposed, proposal.into_receipts()))
    }

    /// Appends the records and makes them durable. Returns, for each, the offset after it and the checksum of its
    /// header.
    fn append(&mut self, proposed: &[Proposed<'_>], millis: i64) -> Result<Vec<(u64, u32)>, CommitError> {
        let mut offset = self.storage.log_end();
        let mut chain = self.chain;
        let mut headers = Vec::with_capacity(proposed.len());
        let mut ends = Vec::with_capacity(proposed.len());
        for proposed in proposed {
            let header =
                RecordHeader::mark(offset, self.durable, proposed.first_seq, millis, chain).with(&proposed.batch);
            let (bytes, crc) = header.encode();
            offset += HEADER_BYTES as u64 + header.body_len();
            chain = crc;
            headers.push(bytes);
            ends.push((offset, crc));
        }
        let bodies = proposed.iter().map(|proposed| proposed.batch.rows());
        let parts: Vec<&[u8]> = headers
            .iter()
            .zip(bodies)
            .flat_map(|(header, rows)| [header.as_slice(), rows.index(), rows.text()])
            .collect();
        self.append_parts(&parts)?;
        (self.chain, self.marked) = (chain, self.durable);
        if !self.syncs_deferred {
            self.sync_log()?;
        }
        Ok(ends)
    }

    /// Appends these bytes to the log.
    pub(super) fn append_parts(&mut self, parts: &[&[u8]]) -> Result<(), CommitError> {
        match self.storage.append(parts) {
            Ok(()) => Ok(()),
            Err(StorageError::Full(cause)) => Err(CommitError::Full(cause.during(APPEND))),
            Err(StorageError::Unavailable(cause)) => Err(CommitError::unavailable(cause.during(APPEND))),
            Err(StorageError::Failed(cause)) => Err(self.fail(cause.during(APPEND))),
        }
    }

    /// Adds durable records to memory. Runs of small batches become one segment.
    fn apply_group(&mut self, proposed: &[Proposed<'_>], ends: &[(u64, u32)], millis: i64) {
        let mut ends = ends.iter();
        for run in proposed.chunk_by(|batch, next| batch.is_small() && next.is_small()) {
            let first = run.first().expect("no run is empty");
            let end = *ends.nth(run.len() - 1).expect("each batch has an end in the log");
            let rows = match run {
                [single] => single.batch.rows().clone(),
                run => joined(run.iter().map(|proposed| (&*proposed.batch, proposed.first_seq)), first.first_seq),
            };
            self.add_segment(rows, first.first_seq, [Epoch { ordinal: 0, millis }].into(), end);
        }
    }

    /// Adds rows as a fresh segment. `end` is the offset in the log after its last record, and the checksum of that
    /// record's header.
    pub(super) fn add_segment(&mut self, rows: Rows, base: u64, epochs: Box<[Epoch]>, (offset, chain): (u64, u32)) {
        let segment = Arc::new(Segment::new(base, rows, epochs));
        self.last_seq = segment.last_seq();
        let latest = segment.epochs().iter().map(|epoch| epoch.millis).max();
        self.last_millis = self.last_millis.max(latest.expect("a segment has a commit time"));
        self.stats.events += segment.rows().len() as u64;
        self.stats.bytes += segment.rows().bytes() as u64;
        let types = self.types.hold_rows(segment.rows());
        let end = LogCut { offset, chain, next_seq: self.last_seq + 1 };
        self.fresh.push(Fresh { segment, types, end });
    }

    /// Adds one record that recovery has read.
    pub(super) fn apply(&mut self, rows: Rows, first_seq: u64, millis: i64, log_end: u64) {
        self.add_segment(rows, first_seq, [Epoch { ordinal: 0, millis }].into(), (log_end, self.chain));
    }

    /// The place in the log after the last record, which ends at this offset.
    pub(super) fn cut_at(&self, offset: u64) -> LogCut {
        LogCut { offset, chain: self.chain, next_seq: self.last_seq + 1 }
    }

    /// Fails the engine for this reason. Whether the group in progress is stored is unknown.
    pub(super) fn fail(&mut self, cause: impl Into<Cause>) -> CommitError {
        let cause = cause.into();
        self.failure = Some(Failure::Failed(cause.clone()));
        CommitError::in_doubt(cause)
    }
}

/// Joins the rows of batches, each with the sequence number of its first event. `base` is the sequence number of
/// ordinal 0; no number is higher by 2³² or more.
pub(super) fn joined<'b>(batches: impl Iterator<Item = (&'b Batch, u64)> + Clone, base: u64) -> Rows {
    let rows = || batches.clone().map(|(batch, _)| batch.rows());
    let text = rows().map(|rows| rows.text().len()).sum();
    let mut builder = RowsBuilder::with_capacity(rows().map(Rows::len).sum(), text);
    for (batch, first_seq) in batches {
        let (rows, first_ordinal) = (batch.rows(), (first_seq - base) as u32);
        for index in 0..rows.len() {
            let row = rows.row_by_ordinal(index);
            let code = builder.intern(rows.type_name(rows.row_type(row)));
            builder.push_row(rows, row, first_ordinal + rows.ordinal(row), code);
        }
    }
    builder.finish_sorted()
}
