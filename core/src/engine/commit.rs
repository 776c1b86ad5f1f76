//! Commits: from a group of batches to durable records and fresh segments.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dedup::{Original, look_up};
use super::log_end::LogEnd;
use super::proposal::{Verdict, judge};
use super::{Engine, Fresh};
use crate::batch::{Batch, BatchBuilder};
use crate::cause::Cause;
use crate::event::Timestamp;
use crate::log::{HEAD_BYTES, RecordHead};
use crate::repository::{CommitError, Duplicate, Failure, Receipt, Surplus};
use crate::segment::{Epoch, Rows, RowsBuilder, Segment};
use crate::storage::{Storage, StorageError};

/// The batches of one group that have at most so many events become one segment at once: many callers send one event
/// each.
const SMALL_BATCH_EVENTS: usize = 64;

/// What is said to have been done when an append fails.
const APPEND: &str = "append to the log";

/// What of a batch is stored, at its place.
struct Placed<'a> {
    batch: Cow<'a, Batch>,
    first_seq: u64,
}

impl Placed<'_> {
    fn is_small(&self) -> bool {
        self.batch.len() <= SMALL_BATCH_EVENTS
    }
}

impl<S: Storage> Engine<S> {
    pub(super) fn commit_group(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        let millis = now.as_nanos().div_euclid(1_000_000).max(self.last_millis);
        let (placed, receipts) = self.propose(group, millis, self.due_at(now).keep_from)?;
        if !placed.is_empty() {
            let ends = self.append(&placed, millis)?;
            self.last_millis = millis;
            self.apply_group(&placed, &ends, millis);
        }
        Ok(receipts)
    }

    /// Makes the log durable.
    pub(super) fn sync_log(&mut self) -> Result<(), CommitError> {
        let end = self.storage.log_end();
        if end > self.durable {
            self.storage.sync().map_err(|error| self.fail(error.into_cause().during("sync of the log")))?;
            self.durable = end;
        }
        Ok(())
    }

    /// Writes down what is durable, so that a record at the end of the log that turns out to be wrong one day is known
    /// to be damaged and not torn.
    pub(super) fn note_durable(&mut self) -> Result<(), CommitError> {
        if self.noted == self.durable {
            return Ok(());
        }
        let offset = self.storage.log_end();
        let (head, crc) =
            RecordHead::mark(offset, self.durable, self.last_seq + 1, self.last_millis, self.chain).encode();
        match self.storage.append(&[&head]) {
            Ok(()) => (self.chain, self.noted) = (crc, self.durable),
            // Nothing depends on it. It is tried again.
            Err(StorageError::Full(_) | StorageError::Unavailable(_)) => {}
            Err(StorageError::Failed(cause)) => return Err(self.fail(cause.during(APPEND))),
        }
        Ok(())
    }

    /// Makes the log durable, and notes down where it ends: whoever opens the repository next can tell then whether all
    /// of it is there.
    pub(super) fn note_end(&mut self) -> Result<(), CommitError> {
        self.sync_log()?;
        self.note_durable()?;
        let all_noted = self.noted == self.durable;
        self.sync_log()?;
        if all_noted {
            // What was synced last is a mark, for which nobody has to speak.
            self.noted = self.durable;
        }
        let end = LogEnd { offset: self.durable, chain: self.chain, next_seq: self.last_seq + 1 };
        if self.log_end == Some(end) {
            return Ok(());
        }
        match end.store(&mut self.storage) {
            Ok(()) => self.log_end = Some(end),
            // An earlier note is true as well, and without one it is as after a crash.
            Err(StorageError::Full(_) | StorageError::Unavailable(_)) => {}
            Err(StorageError::Failed(cause)) => return Err(self.fail(cause.during("note of the log's end"))),
        }
        Ok(())
    }

    /// Decides what is stored and where it goes. Nothing is stored yet.
    fn propose<'a>(
        &mut self,
        group: &'a [Batch],
        millis: i64,
        keep_from: i64,
    ) -> Result<(Vec<Placed<'a>>, Vec<Receipt>), CommitError> {
        // Without knowing which ids are there, no promise that an event is stored once can be kept.
        let asked = look_up(|| self.view(), group).map_err(|error| {
            let cause = Cause::from(error).during("look-up of ids");
            self.failure = Some(Failure::Failed(cause.clone()));
            CommitError::failed(cause)
        })?;
        let verdicts = judge(group, &asked, &self.types);
        assert_eq!(verdicts.len(), group.len(), "each batch has a verdict");
        let mut next_seq = self.last_seq + 1;
        let first_seqs: Vec<u64> = group
            .iter()
            .zip(&verdicts)
            .map(|(batch, verdict)| {
                let first = next_seq;
                next_seq += verdict.stored(batch) as u64;
                first
            })
            .collect();
        let seq_in_group = |index: usize, place: u32| {
            let of_this_group = "an event is repeated within its own group";
            let before = verdicts.get(index).expect(of_this_group).left_out_before(place);
            first_seqs.get(index).expect(of_this_group) + u64::from(place) - before as u64
        };
        let mut placed = Vec::with_capacity(group.len());
        let mut receipts = Vec::with_capacity(group.len());
        for ((batch, verdict), &first_seq) in group.iter().zip(&verdicts).zip(&first_seqs) {
            let duplicates: Box<[Duplicate]> = verdict
                .repeats
                .iter()
                .map(|&(index, original)| {
                    let seq = match original {
                        Original::Stored(seq) => seq,
                        Original::InGroup(batch, place) => seq_in_group(batch, place),
                    };
                    Duplicate { index, seq }
                })
                .collect();
            let stored = verdict.stored(batch);
            let kept = if stored == batch.len() { Cow::Borrowed(batch) } else { Cow::Owned(kept(batch, verdict)) };
            let generated_id =
                (!kept.is_empty() && kept.first_id().is_none()).then(|| self.key.generate(millis, first_seq));
            let (stored, expired) = (kept.len() as u32, kept.rows().count_before(keep_from) as u32);
            receipts.push(Receipt {
                first_seq,
                stored,
                duplicates,
                surplus: self.surplus(verdict),
                generated_id,
                expired,
                durable: !self.syncs_deferred && !self.storage.is_volatile(),
            });
            if !kept.is_empty() {
                placed.push(Placed { batch: kept, first_seq });
            }
        }
        Ok((placed, receipts))
    }

    fn surplus(&self, verdict: &Verdict) -> Option<Box<Surplus>> {
        let indexes = verdict.surplus.as_slice();
        (!indexes.is_empty())
            .then(|| Box::new(Surplus { indexes: indexes.into(), types_max: self.types.most() as u64 }))
    }

    /// Makes the records durable; gives the end of each in the log, and the checksum of its head.
    fn append(&mut self, placed: &[Placed<'_>], millis: i64) -> Result<Vec<(u64, u32)>, CommitError> {
        let mut offset = self.storage.log_end();
        let mut chain = self.chain;
        let mut heads = Vec::with_capacity(placed.len());
        let mut ends = Vec::with_capacity(placed.len());
        for placed in placed {
            let head = RecordHead::mark(offset, self.durable, placed.first_seq, millis, chain).with(&placed.batch);
            let (bytes, crc) = head.encode();
            offset += HEAD_BYTES as u64 + head.body_len();
            chain = crc;
            heads.push(bytes);
            ends.push((offset, crc));
        }
        let bodies = placed.iter().map(|placed| placed.batch.rows());
        let parts: Vec<&[u8]> =
            heads.iter().zip(bodies).flat_map(|(head, rows)| [head.as_slice(), rows.index(), rows.text()]).collect();
        match self.storage.append(&parts) {
            Ok(()) => {}
            Err(StorageError::Full(cause)) => return Err(CommitError::Full(cause.during(APPEND))),
            Err(StorageError::Unavailable(cause)) => return Err(CommitError::unavailable(cause.during(APPEND))),
            Err(StorageError::Failed(cause)) => return Err(self.fail(cause.during(APPEND))),
        }
        (self.chain, self.noted) = (chain, self.durable);
        if !self.syncs_deferred {
            self.sync_log()?;
        }
        Ok(ends)
    }

    /// Puts durable records into memory. Runs of small batches become one segment.
    fn apply_group(&mut self, placed: &[Placed<'_>], ends: &[(u64, u32)], millis: i64) {
        let mut ends = ends.iter();
        for run in placed.chunk_by(|batch, next| batch.is_small() && next.is_small()) {
            let first = run.first().expect("no run is empty");
            let end = *ends.nth(run.len() - 1).expect("each batch has an end in the log");
            let rows = if run.len() == 1 { first.batch.rows().clone() } else { joined(run, first.first_seq) };
            self.place(rows, first.first_seq, millis, end);
        }
    }

    /// Counts rows in at their place.
    fn place(&mut self, rows: Rows, first_seq: u64, millis: i64, log_end: (u64, u32)) {
        let segment = Arc::new(Segment::new(first_seq, rows, [Epoch { ordinal: 0, millis }].into()));
        self.last_seq = segment.last_seq();
        self.last_millis = self.last_millis.max(millis);
        self.stats.events += segment.rows().len() as u64;
        self.stats.bytes += segment.rows().bytes() as u64;
        let types = self.types.hold_rows(segment.rows());
        self.fresh.push(Fresh::new(segment, types, log_end));
    }

    /// One record from the log, as recovery finds it.
    pub(super) fn apply(&mut self, rows: Rows, first_seq: u64, millis: i64, log_end: u64) {
        self.place(rows, first_seq, millis, (log_end, self.chain));
    }

    /// Accepts nothing more from now on, for this reason. Some of what was being stored may be.
    pub(super) fn fail(&mut self, cause: impl Into<Cause>) -> CommitError {
        let cause = cause.into();
        self.failure = Some(Failure::Failed(cause.clone()));
        CommitError::in_doubt(cause)
    }
}

/// The rows of batches that follow each other, numbered from `base` on.
fn joined(run: &[Placed<'_>], base: u64) -> Rows {
    let rows = || run.iter().map(|placed| placed.batch.rows());
    let text = rows().map(|rows| rows.text().len()).sum();
    let mut builder = RowsBuilder::with_capacity(rows().map(Rows::len).sum(), text);
    for placed in run {
        let (rows, first_ordinal) = (placed.batch.rows(), (placed.first_seq - base) as u32);
        for place in 0..rows.len() {
            let row = rows.row_by_ordinal(place);
            let code = builder.intern(rows.type_name(rows.row_type(row)));
            builder.push_row(rows, row, first_ordinal + rows.ordinal(row), code);
        }
    }
    builder.finish_sorted()
}

/// What of the batch is stored.
fn kept(batch: &Batch, verdict: &Verdict) -> Batch {
    let mut builder = BatchBuilder::new();
    if verdict.is_refused {
        return builder.finish();
    }
    for (_, event) in (0u32..).zip(batch.events()).filter(|(place, _)| verdict.keeps(*place)) {
        builder.push(event).expect("a part of a batch fits into a batch");
    }
    builder.finish()
}
