use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::manifest::{Entry, Manifest};
use super::{Engine, Flaw, Fresh};
use crate::event::Timestamp;
use crate::repository::CommitError;
use crate::segment::{Merge, Part, Rewrite, Sealed, Segment};
use crate::storage::{Draft, Published, Storage, StorageError};

/// A segment that is given up is at most about such a part of what may be kept.
const GIVEN_UP_PARTS: u64 = 8;

/// A piece of an engine's housekeeping, on its own: it holds what it needs and may be worked on by another thread, while commits and
/// queries go on.
///
/// Taken from [`Repository::chore`](crate::repository::Repository::chore), and given back when it is done. A dropped chore is taken
/// up again when the repository is opened anew.
pub struct Chore(Stage);

/// Where a [`Chore`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoreStep {
    /// There is more to do.
    Pending,
    /// Everything is done, or has failed: to be given back.
    Done,
}

/// Which parts of an engine a chore is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Neighbours among the fresh segments, and where the log goes on behind the last of them, with the checksum of the head before. Commits
    /// go on behind them.
    Fresh(Range<usize>, (u64, u32)),
    /// Neighbours among the sealed segments. Others may be sealed behind them meanwhile.
    Sealed(Range<usize>),
}

/// What is to stand at a place as soon as a manifest says so.
#[derive(Debug)]
pub(super) struct Replacement {
    place: Place,
    /// The sequence numbers that are concerned.
    seqs: (u64, u64),
    /// `None` if nothing is retained of what was there.
    segment: Option<NewSegment>,
}

struct NewSegment {
    entry: Entry,
    sealed: Arc<Sealed>,
    published: Published,
}

enum Stage {
    /// Rows are taken over into a segment in memory.
    Merging(Place, Box<Merge>),
    /// Rows and blocks are taken over into a blob.
    Rewriting(Box<Rewriting>),
    /// A manifest is to be written.
    Publishing(Manifest, Vec<Box<dyn Draft>>),
    Done(Product),
}

struct Rewriting {
    place: Place,
    entry: Entry,
    rewrite: Rewrite,
    is_trusted: bool,
}

/// What came of a chore.
enum Product {
    Merged(Place, Arc<Segment>),
    Rewritten(Replacement),
    Published(Manifest, Vec<Published>),
    /// It failed; what it was about is as it was.
    Nothing(Subject, StorageError),
}

/// What a chore keeps others from touching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Fresh,
    Sealed,
    Manifest,
}

/// What chores are about that were handed out, or whose product waits for a manifest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Busy {
    pub(super) fresh: bool,
    pub(super) sealed: bool,
    pub(super) manifest: bool,
}

impl Busy {
    fn set(&mut self, subject: Subject, is_busy: bool) {
        match subject {
            Subject::Fresh => self.fresh = is_busy,
            Subject::Sealed => self.sealed = is_busy,
            Subject::Manifest => self.manifest = is_busy,
        }
    }
}

impl Chore {
    /// Does about `budget` events' worth of work, or some finishing touches that are worth more. May wait for the storage.
    pub fn step(&mut self, budget: u32) -> ChoreStep {
        let budget = budget.max(1);
        let beyond = || StorageError::Failed("a chore was worked on beyond its end".into());
        let taken = core::mem::replace(&mut self.0, Stage::Done(Product::Nothing(Subject::Manifest, beyond())));
        self.0 = match taken {
            Stage::Merging(place, mut merge) => {
                if merge.step(budget) {
                    Stage::Done(Product::Merged(place, Arc::new(merge.finish())))
                } else {
                    Stage::Merging(place, merge)
                }
            }
            Stage::Rewriting(mut rewriting) => match rewriting.rewrite.step(budget) {
                Ok(false) => Stage::Rewriting(rewriting),
                Ok(true) => Stage::Done(rewriting.finish()),
                Err(error) => Stage::Done(Product::Nothing(rewriting.place.subject(), error)),
            },
            Stage::Publishing(manifest, copies) => Stage::Done(match manifest.publish(copies) {
                Ok(published) => Product::Published(manifest, published),
                Err(error) => Product::Nothing(Subject::Manifest, error),
            }),
            done @ Stage::Done(_) => done,
        };
        match self.0 {
            Stage::Done(_) => ChoreStep::Done,
            Stage::Merging(..) | Stage::Rewriting(_) | Stage::Publishing(..) => ChoreStep::Pending,
        }
    }

    /// Whether commits may have to wait for it. Others can be left while there is such a one.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.subject() != Subject::Sealed
    }

    fn subject(&self) -> Subject {
        match &self.0 {
            Stage::Merging(place, _) | Stage::Done(Product::Merged(place, _)) => place.subject(),
            Stage::Rewriting(rewriting) => rewriting.place.subject(),
            Stage::Done(Product::Rewritten(replacement)) => replacement.place.subject(),
            Stage::Publishing(..) | Stage::Done(Product::Published(..)) => Subject::Manifest,
            Stage::Done(Product::Nothing(subject, _)) => *subject,
        }
    }
}

impl Place {
    fn subject(&self) -> Subject {
        match self {
            Self::Fresh(..) => Subject::Fresh,
            Self::Sealed(_) => Subject::Sealed,
        }
    }
}

impl Replacement {
    /// Nothing is retained of this sealed segment, which answers for these sequence numbers.
    pub(super) fn nothing(index: usize, seqs: (u64, u64)) -> Self {
        Self { place: Place::Sealed(index..index + 1), seqs, segment: None }
    }
}

impl Rewriting {
    /// Makes the segment durable, and opens it: what is served from then on is what is stored.
    fn finish(self) -> Product {
        let Self { place, entry, rewrite, is_trusted } = self;
        let seqs = (entry.first, entry.last);
        let finished = rewrite.finish().and_then(|published| {
            let Some(published) = published else { return Ok(None) };
            let sealed = Sealed::open(&published.name, seqs, Arc::clone(&published.blob), is_trusted)?;
            Ok(Some(NewSegment { entry, sealed: Arc::new(sealed), published }))
        });
        match finished {
            Ok(segment) => Product::Rewritten(Replacement { place, seqs, segment }),
            Err(error) => Product::Nothing(place.subject(), error),
        }
    }
}

impl<S: Storage> Engine<S> {
    /// The most urgent chore, if there is one whose subject nobody is working on.
    pub(super) fn next_chore(&mut self, now: Timestamp) -> Option<Chore> {
        if self.latched.is_some() {
            return None;
        }
        self.give_up(now);
        let (subject, stage) = if let Some(stage) = self.publication() {
            (Subject::Manifest, stage)
        } else if let Some(stage) = self.fresh_chore(now) {
            (Subject::Fresh, stage)
        } else {
            (Subject::Sealed, self.sealed_chore(now)?)
        };
        self.busy.set(subject, true);
        let stage = stage.unwrap_or_else(|error| Stage::Done(Product::Nothing(subject, error)));
        Some(Chore(stage))
    }

    /// Puts what came of a chore in place.
    pub(super) fn settle_chore(&mut self, chore: Chore) -> Result<(), CommitError> {
        let subject = chore.subject();
        let product = match chore.0 {
            Stage::Done(product) => product,
            // It was given back too early: what it has done is lost, and nothing else.
            Stage::Merging(..) | Stage::Rewriting(_) | Stage::Publishing(..) => {
                self.busy.set(subject, false);
                return Ok(());
            }
        };
        match product {
            Product::Merged(place, segment) => {
                self.busy.set(subject, false);
                self.put_merged(&place, segment);
                Ok(())
            }
            Product::Rewritten(replacement) => {
                self.unpublished.push(replacement);
                Ok(())
            }
            Product::Published(manifest, published) => {
                self.busy.set(subject, false);
                published.into_iter().for_each(|published| self.storage.adopt(published));
                self.put_published(manifest)
            }
            Product::Nothing(_, StorageError::Full(reason)) => {
                self.busy.set(subject, false);
                // One copy of the manifest may have been written. The next must not be taken for the same.
                self.manifest.generation += 1;
                Err(CommitError::Full(reason))
            }
            Product::Nothing(_, StorageError::Failed(reason)) => Err(self.latch(format!("housekeeping: {reason}"))),
        }
    }

    /// Writing a manifest with all replacements that wait for one.
    fn publication(&mut self) -> Option<Result<Stage, StorageError>> {
        if self.busy.manifest || self.unpublished.is_empty() {
            return None;
        }
        Some(self.begin_publication())
    }

    fn begin_publication(&mut self) -> Result<Stage, StorageError> {
        let mut manifest = self.manifest.clone();
        manifest.generation += 1;
        manifest.next_number = self.next_number;
        for replacement in &self.unpublished {
            let entry = replacement.segment.as_ref().map(|segment| segment.entry);
            match &replacement.place {
                Place::Fresh(range, end) => {
                    let last = range.end.checked_sub(1).and_then(|last| self.fresh.get(last));
                    let epoch = last.and_then(|fresh| fresh.segment.epochs().last());
                    manifest.last_millis = epoch.map_or(manifest.last_millis, |epoch| epoch.millis);
                    manifest.segments.extend(entry);
                    manifest.next_seq = replacement.seqs.1 + 1;
                    (manifest.log_start, manifest.chain) = *end;
                }
                Place::Sealed(range) => drop(manifest.segments.splice(range.clone(), entry)),
            }
        }
        // The manifest must not point behind what of the log survives.
        if manifest.log_start > self.durable {
            self.sync_log().map_err(|error| StorageError::Failed(error.to_string()))?;
        }
        let copies = Manifest::drafts(&mut self.storage)?;
        self.publishing = self.unpublished.len();
        Ok(Stage::Publishing(manifest, copies))
    }

    /// Puts the replacements in place that a manifest lists now, and gives up what nothing refers to any more.
    fn put_published(&mut self, manifest: Manifest) -> Result<(), CommitError> {
        let log_start = manifest.log_start;
        self.manifest = manifest;
        let mut obsolete: Vec<String> = Vec::new();
        let rest = self.unpublished.split_off(self.publishing.min(self.unpublished.len()));
        for Replacement { place, seqs: _, segment } in core::mem::replace(&mut self.unpublished, rest) {
            self.busy.set(place.subject(), false);
            let (sealed, published) = segment.map(|segment| (segment.sealed, segment.published)).unzip();
            published.into_iter().for_each(|published| self.storage.adopt(published));
            let (events, bytes) = sealed.as_ref().map_or((0, 0), |sealed| (sealed.events(), sealed.bytes()));
            let before = match place {
                Place::Fresh(range, _) => {
                    let gone = self.fresh.drain(range);
                    let sizes = gone.map(|fresh| (fresh.segment.rows().len() as u64, fresh.segment.rows().bytes() as u64));
                    let before = sizes.fold((0, 0), add);
                    Arc::make_mut(&mut self.sealed).extend(sealed);
                    before
                }
                Place::Sealed(range) => {
                    let gone: Vec<Arc<Sealed>> = Arc::make_mut(&mut self.sealed).splice(range, sealed).collect();
                    obsolete.extend(gone.iter().map(|sealed| sealed.name().to_string()));
                    gone.iter().map(|sealed| (sealed.events(), sealed.bytes())).fold((0, 0), add)
                }
            };
            self.stats.events = (self.stats.events + events).saturating_sub(before.0);
            self.stats.bytes = (self.stats.bytes + bytes).saturating_sub(before.1);
        }
        for name in obsolete {
            self.storage.delete(&name).map_err(|error| self.latch(format!("giving up {name}: {error}")))?;
        }
        self.storage
            .discard(log_start)
            .map_err(|error| self.latch(format!("giving up the log before {log_start}: {error}")))
    }

    fn put_merged(&mut self, place: &Place, segment: Arc<Segment>) {
        let Place::Fresh(range, end) = place else { return };
        let bytes = |segment: &Arc<Segment>| segment.rows().bytes() as u64;
        let inputs = self.fresh.get(range.clone()).into_iter().flatten();
        let before: u64 = inputs.map(|fresh| bytes(&fresh.segment)).sum();
        self.stats.bytes = self.stats.bytes + bytes(&segment) - before;
        self.fresh.splice(range.clone(), [Fresh::new(segment, *end)]);
    }

    /// Sealing what is large enough, or old enough, of the fresh segments; else merging some of them.
    fn fresh_chore(&mut self, now: Timestamp) -> Option<Result<Stage, StorageError>> {
        if self.busy.fresh {
            return None;
        }
        if let Some(count) = self.to_be_sealed(now) {
            let chosen = self.fresh.get(..count)?;
            let (first, last) = (chosen.first()?, chosen.last()?);
            let place = Place::Fresh(0..count, (last.log_end, last.chain));
            let seqs = (first.segment.base(), last.segment.last_seq());
            let parts: Vec<Part> = chosen.iter().map(|fresh| Part::Fresh(Arc::clone(&fresh.segment))).collect();
            return Some(self.begin_rewriting(place, seqs, &parts, now));
        }
        let sizes: Vec<u64> = self.fresh.iter().map(|fresh| fresh.segment.rows().len() as u64).collect();
        let range = neighbours(&sizes, self.tuning.fan_in, u64::MAX)?;
        let chosen = self.fresh.get(range.clone())?;
        let last = chosen.last()?;
        let place = Place::Fresh(range, (last.log_end, last.chain));
        let merge = Merge::new(chosen.iter().map(|fresh| Arc::clone(&fresh.segment)).collect());
        Some(Ok(Stage::Merging(place, Box::new(merge))))
    }

    /// So many of the fresh segments, from the oldest on.
    fn to_be_sealed(&self, now: Timestamp) -> Option<usize> {
        let (mut events, mut bytes) = (0, 0);
        for (index, fresh) in self.fresh.iter().enumerate() {
            events += fresh.segment.rows().len();
            bytes += fresh.segment.rows().bytes();
            if events >= self.tuning.seal_events || bytes >= self.tuning.seal_bytes {
                return Some(index + 1);
            }
        }
        // What has expired is left out when it is sealed, however little it is.
        let overdue = self.retention.overdue(now);
        let is_overdue = self.fresh.iter().any(|fresh| fresh.segment.place(0).time < overdue);
        is_overdue.then_some(self.fresh.len())
    }

    /// Rewriting a sealed segment without what has expired; else making one of several.
    fn sealed_chore(&mut self, now: Timestamp) -> Option<Result<Stage, StorageError>> {
        if self.busy.sealed {
            return None;
        }
        let range = self.to_be_trimmed(now).map(|index| index..index + 1).or_else(|| {
            let sizes: Vec<u64> = self.sealed.iter().map(|sealed| sealed.events()).collect();
            neighbours(&sizes, self.tuning.fan_in, self.compacted_events_max())
        })?;
        let chosen = self.sealed.get(range.clone())?;
        let seqs = (chosen.first()?.seqs().0, chosen.last()?.seqs().1);
        let parts: Vec<Part> = chosen.iter().map(|sealed| Part::Sealed(Arc::clone(sealed))).collect();
        Some(self.begin_rewriting(Place::Sealed(range), seqs, &parts, now))
    }

    /// Most events of a segment that is made of several. Where segments are given up by what they take, one must be a small part of all.
    fn compacted_events_max(&self) -> u64 {
        let most = self.tuning.segment_events_max as u64;
        let bytes: u64 = self.sealed.iter().map(|sealed| sealed.bytes()).sum();
        let events: u64 = self.sealed.iter().map(|sealed| sealed.events()).sum();
        let an_event = (bytes / events.max(1)).max(1);
        self.retention.bytes.map_or(most, |bytes| most.min(bytes / GIVEN_UP_PARTS / an_event))
    }

    fn begin_rewriting(
        &mut self,
        place: Place,
        (first, last): (u64, u64),
        parts: &[Part],
        now: Timestamp,
    ) -> Result<Stage, StorageError> {
        let entry = Entry { number: self.next_number, first, last };
        self.next_number += 1;
        let draft = self.storage.create(&entry.name())?;
        let rewrite = Rewrite::new(draft, parts, self.tuning.block_bytes, self.retention.keep_from(now));
        let is_trusted = self.flaw == Some(Flaw::TrustedIndex);
        Ok(Stage::Rewriting(Box::new(Rewriting { place, entry, rewrite, is_trusted })))
    }
}

fn add(sum: (u64, u64), one: (u64, u64)) -> (u64, u64) {
    (sum.0 + one.0, sum.1 + one.1)
}

/// Neighbours of about one size, as many as are worth being made one: the last such run. Together they have `most` at most.
fn neighbours(sizes: &[u64], fan_in: usize, most: u64) -> Option<Range<usize>> {
    let fan_in = fan_in.max(2);
    let tier = |size: u64| size.max(1).ilog(fan_in as u64);
    let mut end = sizes.len();
    while let Some(&last) = end.checked_sub(1).and_then(|last| sizes.get(last)) {
        let mut total = 0u64;
        let same = |&&size: &&u64| {
            total = total.saturating_add(size);
            tier(size) <= tier(last) && total <= most
        };
        let run = sizes.iter().take(end).rev().take_while(same).count();
        if run >= fan_in {
            return Some(end - run..end);
        }
        end -= run.max(1);
    }
    None
}

impl fmt::Debug for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.0 {
            Stage::Merging(place, _) => format!("merging {place:?}"),
            Stage::Rewriting(rewriting) => format!("rewriting {:?}", rewriting.place),
            Stage::Publishing(manifest, _) => format!("publishing {}", manifest.generation),
            Stage::Done(Product::Merged(place, _)) => format!("merged {place:?}"),
            Stage::Done(Product::Rewritten(replacement)) => format!("rewritten {:?}", replacement.place),
            Stage::Done(Product::Published(manifest, _)) => format!("published {}", manifest.generation),
            Stage::Done(Product::Nothing(subject, error)) => format!("failed on {subject:?}: {error}"),
        };
        f.debug_tuple("Chore").field(&stage).finish()
    }
}

impl fmt::Debug for NewSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
