//! Imports events with the numbers and the times of commit that they have in another repository.
//!
//! Neighbouring events of one commit become a record of the log, as if that commit had been made here. A *skip* goes
//! before a record whose first number is not the next one. So an import that is cut short leaves a prefix of it.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use super::Engine;
use super::commit::joined;
use crate::batch::{Batch, BatchBuilder, NewEvent};
use crate::cause::Cause;
use crate::event::{ClientId, Event, EventId};
use crate::log::{HEADER_BYTES, RecordHeader, SKIP_SEQ_MAX};
use crate::proposal::KnownTypes as _;
use crate::repository::{CommitError, Failure, ImportError};
use crate::segment::{Epoch, INDEX_HEADER_BYTES, id_hash};
use crate::storage::Storage;
use crate::transfer::Transfer;

/// A record of the log, to be written.
enum Entry {
    /// The next event has this number.
    Skip(u64),
    /// Events with consecutive numbers from the first on, of commits in one millisecond.
    Events { batch: Batch, first_seq: u64, millis: i64 },
}

/// A record as it is written.
struct Encoded {
    header: [u8; HEADER_BYTES],
    /// The index of a skip.
    index: Option<[u8; INDEX_HEADER_BYTES]>,
    /// Its end in the log, and the checksum of its header.
    end: (u64, u32),
}

impl<S: Storage> Engine<S> {
    pub(super) fn import_events(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        if transfer.first_after() != self.last_seq {
            return Err(ImportError::other_head(transfer, self.last_seq));
        }
        self.refuse_more_types(transfer)?;
        self.refuse_taken_ids(transfer)?;
        let entries = self.entries(transfer)?;
        if entries.is_empty() {
            return Ok(());
        }
        if self.recovery.manifest_outdated {
            // An earlier version could open the outdated copy, and would not know a skip.
            return Err(CommitError::unavailable("a copy of the manifest has to be rewritten first").into());
        }
        let ends = self.append_entries(&entries)?;
        self.apply_entries(&entries, &ends);
        Ok(())
    }

    /// A skip to this number, whose record ends at this offset, was written.
    pub(super) fn apply_skip(&mut self, next_seq: u64, millis: i64, end: u64) {
        self.last_seq = next_seq - 1;
        self.last_millis = self.last_millis.max(millis);
        self.extend_last(self.cut_at(end));
    }

    /// Refuses events whose types would exceed the limit.
    fn refuse_more_types(&self, transfer: &Transfer) -> Result<(), ImportError> {
        let names = transfer.events().map(|event| event.event_type.as_str());
        let new: BTreeSet<&str> = names.filter(|name| !self.types.contains(name.as_bytes())).collect();
        if new.len() > self.types.remaining() { Err(ImportError::too_many_types(self.types.limit())) } else { Ok(()) }
    }

    /// Refuses events whose ids other events have.
    fn refuse_taken_ids(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        if let Some((first, second)) = transfer.twins() {
            return Err(ImportError::taken_id(second, first));
        }
        let texts: Vec<(Cow<'_, str>, u64)> = transfer.events().map(|event| (event.id.text(), event.seq)).collect();
        let mut ids: Vec<(u64, &str, u64)> =
            texts.iter().map(|(id, seq)| (id_hash(id.as_bytes()), &**id, *seq)).collect();
        ids.sort_unstable();
        let hashed: Vec<(u64, &str)> = ids.iter().map(|&(hash, id, _)| (hash, id)).collect();
        let stored = self.view().seqs_of_ids(&hashed).map_err(|error| {
            let cause = Cause::from(error).during("look-up of ids");
            self.failure = Some(Failure::Failed(cause.clone()));
            CommitError::failed(cause)
        })?;
        match ids.iter().zip(stored).find_map(|(&(_, _, seq), stored)| Some((seq, stored?))) {
            Some((seq, stored)) => Err(ImportError::taken_id(seq, stored)),
            None => Ok(()),
        }
    }

    /// The records to be written.
    fn entries(&self, transfer: &Transfer) -> Result<Vec<Entry>, ImportError> {
        let (mut entries, mut next_seq) = (Vec::new(), self.last_seq + 1);
        let mut open: Option<(BatchBuilder, u64, i64)> = None;
        let close = |open: &mut Option<(BatchBuilder, u64, i64)>| {
            open.take().map(|(builder, first_seq, millis)| Entry::Events { batch: builder.finish(), first_seq, millis })
        };
        for event in transfer.events() {
            let millis = event.stored_at.as_nanos().div_euclid(1_000_000);
            if millis < 0 {
                return Err(ImportError::Refused(format!("event {} was stored before 1970", event.seq)));
            }
            if event.seq != next_seq || open.as_ref().is_some_and(|(_, _, before)| *before != millis) {
                entries.extend(close(&mut open));
            }
            if event.seq != next_seq {
                entries.push(skip_to(event.seq)?);
            }
            let (builder, _, _) = open.get_or_insert_with(|| (BatchBuilder::new(), event.seq, millis));
            // An id that can be computed needs no space.
            let is_computed = event.id == EventId::Generated(self.key.generate(millis, event.seq));
            let text = event.id.text();
            let id = (!is_computed).then(|| ClientId::from_validated(&text));
            let Event { event_type, timestamp, payload, .. } = event;
            let pushed = builder.push(NewEvent { event_type, timestamp, payload, id });
            pushed.map_err(|full| ImportError::Refused(format!("{full}")))?;
            next_seq = event.seq + 1;
        }
        entries.extend(close(&mut open));
        if transfer.up_to() >= next_seq {
            entries.push(skip_to(transfer.up_to() + 1)?);
        }
        Ok(entries)
    }

    /// Appends the records and makes them durable. Returns, for each, the offset after it and the checksum of its
    /// header.
    fn append_entries(&mut self, entries: &[Entry]) -> Result<Vec<(u64, u32)>, CommitError> {
        let (mut offset, mut chain) = (self.storage.log_end(), self.chain);
        let (mut next_seq, mut last_millis) = (self.last_seq + 1, self.last_millis);
        let mut encoded = Vec::with_capacity(entries.len());
        for entry in entries {
            let (header, index) = match entry {
                Entry::Skip(target) => {
                    let mark = RecordHeader::mark(offset, self.durable, next_seq, last_millis, chain);
                    next_seq = *target;
                    let (header, index) = mark.with_skip(*target);
                    (header, Some(index))
                }
                Entry::Events { batch, first_seq, millis } => {
                    let mark = RecordHeader::mark(offset, self.durable, *first_seq, *millis, chain);
                    next_seq = first_seq + batch.len() as u64;
                    last_millis = last_millis.max(*millis);
                    (mark.with(batch), None)
                }
            };
            let (bytes, crc) = header.encode();
            offset += HEADER_BYTES as u64 + header.body_len();
            chain = crc;
            encoded.push(Encoded { header: bytes, index, end: (offset, crc) });
        }
        let mut parts: Vec<&[u8]> = Vec::with_capacity(3 * entries.len());
        for (entry, Encoded { header, index, .. }) in entries.iter().zip(&encoded) {
            parts.push(header);
            parts.extend(index.iter().map(<[u8; INDEX_HEADER_BYTES]>::as_slice));
            if let Entry::Events { batch, .. } = entry {
                parts.extend([batch.rows().index().as_ref(), batch.rows().text().as_ref()]);
            }
        }
        self.append_parts(&parts)?;
        (self.chain, self.marked) = (chain, self.durable);
        if !self.syncs_deferred {
            self.sync_log()?;
        }
        Ok(encoded.iter().map(|encoded| encoded.end).collect())
    }

    /// Adds durable records to memory. Events that one segment may have become one.
    fn apply_entries(&mut self, entries: &[Entry], ends: &[(u64, u32)]) {
        let mut run = Run::default();
        for (entry, &end) in entries.iter().zip(ends) {
            // The numbers of the next events show what a skip says.
            let Entry::Events { batch, first_seq, millis } = entry else { continue };
            if run.span_with(batch, *first_seq) > self.tuning.segment_events_max as u64 {
                self.apply_run(&mut run);
            }
            run.batches.push((batch, *first_seq, *millis));
            run.end = end;
        }
        self.apply_run(&mut run);
        if let (Some(Entry::Skip(next_seq)), Some(&(end, _))) = (entries.last(), ends.last()) {
            self.apply_skip(*next_seq, self.last_millis, end);
        }
    }

    /// Adds the events of a run as a segment. The run is empty afterwards.
    fn apply_run(&mut self, run: &mut Run<'_>) {
        let Run { batches, end } = core::mem::take(run);
        let Some(&(_, base, _)) = batches.first() else { return };
        let epoch = |&(_, first_seq, millis): &(&Batch, u64, i64)| Epoch { ordinal: (first_seq - base) as u32, millis };
        let mut epochs: Vec<Epoch> = batches.iter().map(epoch).collect();
        epochs.dedup_by_key(|epoch| epoch.millis);
        let rows = joined(batches.iter().map(|&(batch, first_seq, _)| (batch, first_seq)), base);
        self.add_segment(rows, base, epochs.into(), end);
    }
}

/// Batches that become one segment.
#[derive(Default)]
struct Run<'b> {
    /// Each with the sequence number of its first event, and the milliseconds of its commit.
    batches: Vec<(&'b Batch, u64, i64)>,
    /// The end in the log of the last one, and the checksum of its header.
    end: (u64, u32),
}

impl Run<'_> {
    /// How many sequence numbers it covers with this batch; 0 if it is the first one.
    fn span_with(&self, batch: &Batch, first_seq: u64) -> u64 {
        self.batches.first().map_or(0, |&(_, base, _)| first_seq + batch.len() as u64 - base)
    }
}

/// A record after which the next event has this number.
fn skip_to(next_seq: u64) -> Result<Entry, ImportError> {
    if next_seq > SKIP_SEQ_MAX {
        let reason = format!("the numbers before {next_seq} cannot be left out: that is possible up to {SKIP_SEQ_MAX}");
        return Err(ImportError::Refused(reason));
    }
    Ok(Entry::Skip(next_seq))
}
