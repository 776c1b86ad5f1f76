use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::manifest::Manifest;
use super::{Engine, Flaw, Fresh};
use crate::repository::CommitError;
use crate::segment::{Merge, Segment, blob_name, check_blob, decode_blob, encode_blob};
use crate::storage::{Draft, Published, Storage, StorageError};

/// A piece of an engine's housekeeping, on its own: it holds what it needs and may be worked on by another thread, while commits and
/// queries go on.
///
/// Taken from [`Repository::chore`](crate::repository::Repository::chore), and given back when it is done. A dropped chore is taken
/// up again when the repository is opened anew.
pub struct Chore {
    /// Neighbours among the fresh segments; commits go on behind them.
    range: Range<usize>,
    /// Where the log goes on behind the last of them, and the checksum of the head before.
    end: (u64, u32),
    stage: Stage,
}

/// Where a [`Chore`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoreStep {
    /// There is more to do.
    Pending,
    /// Everything is done, or has failed: to be given back.
    Done,
}

enum Stage {
    /// Rows are taken over; then they are sealed, if they are to be.
    Merging(Box<Merge>, Option<Sealing>),
    Done(Result<Product, StorageError>),
}

/// What a segment needs to become a blob of the repository.
struct Sealing {
    blob: Box<dyn Draft>,
    manifest: Manifest,
    manifest_copies: Vec<Box<dyn Draft>>,
}

/// What came of it.
enum Product {
    Merged(Arc<Segment>),
    Sealed(Arc<Segment>, Manifest, Vec<Published>),
}

impl Chore {
    /// Does about `budget` events' worth of work, or some finishing touches that are worth more. May wait for the storage.
    pub fn step(&mut self, budget: u32) -> ChoreStep {
        if let Stage::Merging(merge, _) = &mut self.stage
            && !merge.step(budget.max(1))
        {
            return ChoreStep::Pending;
        }
        let nothing = Stage::Done(Err(StorageError::Failed("a chore was worked on beyond its end".into())));
        self.stage = match core::mem::replace(&mut self.stage, nothing) {
            Stage::Merging(merge, None) => Stage::Done(Ok(Product::Merged(Arc::new(merge.finish())))),
            Stage::Merging(merge, Some(sealing)) => Stage::Done(sealing.finish(&merge.finish())),
            done @ Stage::Done(_) => done,
        };
        ChoreStep::Done
    }
}

impl Sealing {
    /// Writes the segment, and then the manifest that lists it. The segment is read back: what is served from then on is what is stored, and
    /// its memory is the storage's.
    fn finish(self, segment: &Segment) -> Result<Product, StorageError> {
        let Self { mut blob, manifest, manifest_copies } = self;
        for part in encode_blob(segment) {
            blob.write(&part)?;
        }
        let blob = blob.finish()?;
        let bytes = blob.blob.read(0..blob.blob.len())?;
        let sealed = check_blob(&bytes).and_then(|()| decode_blob(&bytes));
        let sealed = sealed.map_err(|error| StorageError::Failed(format!("{}: {error}", blob.name)))?;
        let mut published = manifest.publish(manifest_copies)?;
        published.push(blob);
        Ok(Product::Sealed(Arc::new(sealed), manifest, published))
    }
}

impl<S: Storage> Engine<S> {
    /// The most urgent chore, if there is one and none is under way.
    pub(super) fn next_chore(&mut self) -> Option<Chore> {
        if self.latched.is_some() || self.chore_is_out {
            return None;
        }
        let (range, to_be_sealed) = self.choose()?;
        let chosen = self.fresh.get(range.clone())?;
        let (first, last) = (chosen.first()?, chosen.last()?);
        let end = (last.log_end, last.chain);
        let merge = Merge::new(chosen.iter().map(|fresh| Arc::clone(&fresh.segment)).collect());
        let sealing = if to_be_sealed {
            match self.begin_sealing(first.segment.base(), last.segment.last_seq(), end) {
                Ok(sealing) => Some(sealing),
                Err(error) => return Some(self.failed_chore(error)),
            }
        } else {
            None
        };
        self.chore_is_out = true;
        Some(Chore { range, end, stage: Stage::Merging(Box::new(merge), sealing) })
    }

    fn begin_sealing(&mut self, first: u64, last: u64, end: (u64, u32)) -> Result<Sealing, StorageError> {
        // The manifest must not point behind what of the log survives.
        if end.0 > self.durable && self.flaw != Some(Flaw::HastySeal) {
            self.sync_log().map_err(|error| StorageError::Failed(error.to_string()))?;
        }
        let mut manifest = self.manifest.clone();
        manifest.generation += 1;
        (manifest.log_start, manifest.chain) = end;
        manifest.last_seqs.push(last);
        Ok(Sealing {
            blob: self.storage.create(&blob_name(first, last))?,
            manifest,
            manifest_copies: Manifest::drafts(&mut self.storage)?,
        })
    }

    /// A chore that could not even begin: the error comes out where those of all others do.
    fn failed_chore(&mut self, error: StorageError) -> Chore {
        self.chore_is_out = true;
        Chore { range: 0..0, end: (0, 0), stage: Stage::Done(Err(error)) }
    }

    /// Puts what came of a chore in place.
    pub(super) fn settle_chore(&mut self, chore: Chore) -> Result<(), CommitError> {
        self.chore_is_out = false;
        let Chore { range, end, stage } = chore;
        let product = match stage {
            Stage::Done(Ok(product)) => product,
            Stage::Done(Err(StorageError::Full(reason))) => {
                // One copy of the manifest may have been written. The next must not be taken for the same.
                self.manifest.generation += 1;
                return Err(CommitError::Full(reason));
            }
            Stage::Done(Err(StorageError::Failed(reason))) => return Err(self.latch(format!("housekeeping: {reason}"))),
            // It was given back too early: what it has done is lost, and nothing else.
            Stage::Merging(..) => return Ok(()),
        };
        let bytes = |segment: &Arc<Segment>| segment.rows().bytes() as u64;
        let inputs = self.fresh.get(range.clone()).into_iter().flatten();
        let before: u64 = inputs.map(|fresh| bytes(&fresh.segment)).sum();
        let (Product::Merged(segment) | Product::Sealed(segment, ..)) = &product;
        self.stats.bytes = self.stats.bytes + bytes(segment) - before;
        match product {
            Product::Merged(segment) => drop(self.fresh.splice(range, [Fresh::new(segment, end)])),
            Product::Sealed(segment, manifest, published) => {
                published.into_iter().for_each(|published| self.storage.adopt(published));
                self.manifest = manifest;
                self.fresh.drain(range);
                Arc::make_mut(&mut self.sealed).push(segment);
                let (log_end, _) = end;
                self.storage
                    .discard(log_end)
                    .map_err(|error| self.latch(format!("giving up the log before {log_end}: {error}")))?;
            }
        }
        Ok(())
    }

    /// What most wants to be merged: a prefix that is large enough to be sealed, else the segments of one size at the end.
    fn choose(&self) -> Option<(Range<usize>, bool)> {
        let (mut events, mut bytes) = (0, 0);
        for (index, fresh) in self.fresh.iter().enumerate() {
            events += fresh.segment.rows().len();
            bytes += fresh.segment.rows().bytes();
            if events >= self.tuning.seal_events || bytes >= self.tuning.seal_bytes {
                return Some((0..index + 1, true));
            }
        }
        let fan_in = self.tuning.fan_in.max(2);
        let tier = |fresh: &Fresh| fresh.segment.rows().len().max(1).ilog(fan_in);
        let mut end = self.fresh.len();
        while let Some(last) = end.checked_sub(1).and_then(|last| self.fresh.get(last)) {
            let same = |fresh: &&Fresh| tier(fresh) <= tier(last);
            let run = self.fresh.iter().take(end).rev().take_while(same).count();
            if run >= fan_in {
                return Some((end - run..end, false));
            }
            end -= run;
        }
        None
    }
}

impl fmt::Debug for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage: String = match &self.stage {
            Stage::Merging(_, None) => "merging".into(),
            Stage::Merging(_, Some(_)) => "merging, to be sealed".into(),
            Stage::Done(Ok(_)) => "done".into(),
            Stage::Done(Err(error)) => format!("failed: {error}"),
        };
        f.debug_struct("Chore").field("range", &self.range).field("stage", &stage).finish_non_exhaustive()
    }
}
