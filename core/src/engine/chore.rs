use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

use super::{Engine, Fresh};
use crate::repository::CommitError;
use crate::segment::{Merge, Segment, blob_name, decode_blob, encode_blob};
use crate::storage::{Draft, Published, Storage, StorageError};

/// A piece of an engine's housekeeping, on its own: it holds what it needs and may be worked on by another thread, while commits and
/// queries go on.
///
/// Taken from [`Repository::chore`](crate::repository::Repository::chore), and given back when it is done. A dropped chore is taken
/// up again when the repository is opened anew.
pub struct Chore {
    /// Neighbours among the fresh segments; commits go on behind them.
    range: Range<usize>,
    /// Where the log goes on behind the last of them.
    log_end: u64,
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
    /// Rows are taken over; then they are written to the draft, if there is one.
    Merging(Box<Merge>, Option<Box<dyn Draft>>),
    Done(Result<Product, StorageError>),
}

/// What came of it.
enum Product {
    Merged(Arc<Segment>),
    Sealed(Arc<Segment>, Published),
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
            Stage::Merging(merge, Some(draft)) => Stage::Done(seal(&merge.finish(), draft)),
            done @ Stage::Done(_) => done,
        };
        ChoreStep::Done
    }
}

/// Writes the segment, and reads it back: what is served from then on is what is stored, and its memory is the storage's.
fn seal(segment: &Segment, mut draft: Box<dyn Draft>) -> Result<Product, StorageError> {
    for part in encode_blob(segment) {
        draft.write(&part)?;
    }
    let published = draft.finish()?;
    let bytes = published.blob.read(0..published.blob.len())?;
    let sealed = decode_blob(&bytes).map_err(|error| StorageError::Failed(format!("{}: {error}", published.name)))?;
    Ok(Product::Sealed(Arc::new(sealed), published))
}

impl<S: Storage> Engine<S> {
    /// The most urgent chore, if there is one and none is under way.
    pub(super) fn next_chore(&mut self) -> Option<Chore> {
        if self.latched.is_some() || self.chore_is_out {
            return None;
        }
        let (range, to_be_sealed) = self.choose()?;
        let draft = if to_be_sealed {
            let name = blob_name(self.fresh.first()?.segment.base());
            match self.storage.create(&name) {
                Ok(draft) => Some(draft),
                Err(error) => return Some(self.failed_chore(error)),
            }
        } else {
            None
        };
        let chosen = self.fresh.get(range.clone())?;
        let log_end = chosen.last()?.log_end;
        let merge = Merge::new(chosen.iter().map(|fresh| Arc::clone(&fresh.segment)).collect());
        self.chore_is_out = true;
        Some(Chore { range, log_end, stage: Stage::Merging(Box::new(merge), draft) })
    }

    /// A chore that could not even begin: the error comes out where those of all others do.
    fn failed_chore(&mut self, error: StorageError) -> Chore {
        self.chore_is_out = true;
        Chore { range: 0..0, log_end: 0, stage: Stage::Done(Err(error)) }
    }

    /// Puts what came of a chore in place.
    pub(super) fn settle_chore(&mut self, chore: Chore) -> Result<(), CommitError> {
        self.chore_is_out = false;
        let Chore { range, log_end, stage } = chore;
        let product = match stage {
            Stage::Done(Ok(product)) => product,
            Stage::Done(Err(StorageError::Full(reason))) => return Err(CommitError::Full(reason)),
            Stage::Done(Err(StorageError::Failed(reason))) => return Err(self.latch(format!("housekeeping: {reason}"))),
            // It was given back too early: what it has done is lost, and nothing else.
            Stage::Merging(..) => return Ok(()),
        };
        let bytes = |segment: &Arc<Segment>| segment.rows().bytes() as u64;
        let inputs = self.fresh.get(range.clone()).into_iter().flatten();
        let before: u64 = inputs.map(|fresh| bytes(&fresh.segment)).sum();
        let (Product::Merged(segment) | Product::Sealed(segment, _)) = &product;
        self.stats.bytes = self.stats.bytes + bytes(segment) - before;
        match product {
            Product::Merged(segment) => drop(self.fresh.splice(range, [Fresh { segment, log_end }])),
            Product::Sealed(segment, published) => {
                self.storage.adopt(published);
                self.fresh.drain(range);
                Arc::make_mut(&mut self.sealed).push(segment);
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
