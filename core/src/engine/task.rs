//! Maintenance tasks of an engine. Each owns its inputs, so that any thread can run it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::task::Poll;

use super::erasure::Examination;
use super::manifest::{Manifest, SegmentEntry};
use crate::repository::{ExpiryCause, MaintenanceTask};
use crate::segment::{Merge, Rewrite, Rewritten, Sealed, Segment};
use crate::storage::{Deletion, Draft, Published, StorageError};

/// A maintenance task of an engine.
pub(super) struct Task(pub(super) Stage);

/// The neighbouring segments that a task replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SegmentRange {
    /// A range of fresh segments. Commits append segments meanwhile.
    Fresh(Range<usize>),
    /// A range of sealed segments. Newly sealed ones may be appended meanwhile.
    Sealed(Range<usize>),
}

/// The replacement of a range of segments. It is installed once a manifest lists it.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) range: SegmentRange,
    /// `None` if all events of the range have expired or are erased.
    pub(super) segment: Option<NewSegment>,
    /// Why the events that the replacement leaves out, and that are not erased, have expired.
    pub(super) cause: ExpiryCause,
    /// How many events it leaves out because they are erased.
    pub(super) erased: u64,
}

pub(super) struct NewSegment {
    pub(super) entry: SegmentEntry,
    pub(super) sealed: Arc<Sealed>,
    pub(super) published: Published,
}

pub(super) enum Stage {
    /// Merges fresh segments into one in memory.
    Merging(SegmentRange, Box<Merge>),
    /// Searches a sealed segment for events of erasures up to this number.
    Examining(Box<Examination>, u64),
    /// Writes segments to a blob as one sealed segment.
    Rewriting(Box<Rewriting>),
    /// Writes a manifest.
    Publishing(Manifest, Vec<Box<dyn Draft>>),
    /// Deletes a segment that nothing refers to.
    Deleting(String, Deletion),
    Done(Outcome),
}

pub(super) struct Rewriting {
    pub(super) range: SegmentRange,
    pub(super) entry: SegmentEntry,
    pub(super) rewrite: Rewrite,
}

/// The result of a task.
pub(super) enum Outcome {
    Merged(SegmentRange, Arc<Segment>),
    /// It is known whether a sealed segment has events of erasures up to this number.
    Examined(Box<Examination>, u64),
    Rewritten(Replacement),
    Published(Manifest, Vec<Published>),
    /// A segment was deleted, or could not be.
    Deleted(String, Result<(), StorageError>),
    /// The start of the log can be trimmed. The engine does so when it installs the task.
    OutdatedLog,
    /// The task failed, and changed nothing.
    Failed(Subject, StorageError),
}

/// What a task has exclusive use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Fresh,
    Sealed,
    Manifest,
}

/// The subjects of tasks under way, or whose result waits for a manifest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Busy {
    pub(super) fresh: bool,
    pub(super) sealed: bool,
    pub(super) manifest: bool,
}

impl Busy {
    pub(super) fn set(&mut self, subject: Subject, is_busy: bool) {
        match subject {
            Subject::Fresh => self.fresh = is_busy,
            Subject::Sealed => self.sealed = is_busy,
            Subject::Manifest => self.manifest = is_busy,
        }
    }
}

impl MaintenanceTask for Task {
    fn step(&mut self, budget: u32) -> Poll<()> {
        let budget = budget.max(1);
        let beyond = || StorageError::Failed("a maintenance task was stepped after it had ended".into());
        let taken = core::mem::replace(&mut self.0, Stage::Done(Outcome::Failed(Subject::Manifest, beyond())));
        self.0 = match taken {
            Stage::Merging(range, mut merge) => {
                if merge.step(budget) {
                    Stage::Done(match merge.finish() {
                        Ok(merged) => Outcome::Merged(range, Arc::new(merged)),
                        Err(imbalance) => Outcome::Failed(range.subject(), imbalance.into()),
                    })
                } else {
                    Stage::Merging(range, merge)
                }
            }
            Stage::Examining(mut examination, erased_to) => match examination.step(budget) {
                Ok(()) if examination.found().is_none() => Stage::Examining(examination, erased_to),
                Ok(()) => Stage::Done(Outcome::Examined(examination, erased_to)),
                Err(error) => Stage::Done(Outcome::Failed(Subject::Sealed, error.into())),
            },
            Stage::Rewriting(mut rewriting) => match rewriting.rewrite.step(budget) {
                Ok(false) => Stage::Rewriting(rewriting),
                Ok(true) => Stage::Done(rewriting.finish()),
                Err(error) => Stage::Done(Outcome::Failed(rewriting.range.subject(), error)),
            },
            Stage::Publishing(manifest, copies) => Stage::Done(match manifest.publish(copies) {
                Ok(published) => Outcome::Published(manifest, published),
                Err(error) => Outcome::Failed(Subject::Manifest, error),
            }),
            Stage::Deleting(name, deletion) => Stage::Done(Outcome::Deleted(name, deletion())),
            done @ Stage::Done(_) => done,
        };
        match self.0 {
            Stage::Done(_) => Poll::Ready(()),
            Stage::Merging(..)
            | Stage::Examining(..)
            | Stage::Rewriting(_)
            | Stage::Publishing(..)
            | Stage::Deleting(..) => Poll::Pending,
        }
    }

    fn is_urgent(&self) -> bool {
        match &self.0 {
            Stage::Merging(..) | Stage::Publishing(..) | Stage::Done(_) => true,
            Stage::Rewriting(rewriting) => rewriting.range.subject() == Subject::Fresh,
            Stage::Examining(..) | Stage::Deleting(..) => false,
        }
    }
}

impl SegmentRange {
    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Fresh(_) => Subject::Fresh,
            Self::Sealed(_) => Subject::Sealed,
        }
    }
}

impl Replacement {
    /// Removes the sealed segment at this index.
    pub(super) fn removal(index: usize, cause: ExpiryCause) -> Self {
        Self { range: SegmentRange::Sealed(index..index + 1), segment: None, cause, erased: 0 }
    }
}

impl Rewriting {
    /// Makes the new segment durable and opens it.
    fn finish(self) -> Outcome {
        let Self { range, entry, rewrite } = self;
        match rewrite.finish() {
            Ok(Rewritten { segment, erased }) => {
                let segment = segment.map(|(sealed, published)| {
                    let sealed = Arc::new(sealed.with_erased_to(entry.erased_to));
                    NewSegment { entry, sealed, published }
                });
                Outcome::Rewritten(Replacement { range, segment, cause: ExpiryCause::Age, erased })
            }
            Err(error) => Outcome::Failed(range.subject(), error),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.0 {
            Stage::Merging(range, _) => format!("merging {range:?}"),
            Stage::Examining(examination, _) => format!("examining {}", examination.sealed().name()),
            Stage::Rewriting(rewriting) => format!("rewriting {:?}", rewriting.range),
            Stage::Publishing(manifest, _) => format!("publishing {}", manifest.generation),
            Stage::Deleting(name, _) => format!("deleting {name}"),
            Stage::Done(Outcome::Merged(range, _)) => format!("merged {range:?}"),
            Stage::Done(Outcome::Examined(examination, _)) => format!("examined {}", examination.sealed().name()),
            Stage::Done(Outcome::Rewritten(replacement)) => format!("rewritten {:?}", replacement.range),
            Stage::Done(Outcome::Published(manifest, _)) => format!("published {}", manifest.generation),
            Stage::Done(Outcome::Deleted(name, _)) => format!("deleted {name}"),
            Stage::Done(Outcome::OutdatedLog) => "trimming the log".into(),
            Stage::Done(Outcome::Failed(subject, error)) => format!("failed on {subject:?}: {error}"),
        };
        f.debug_tuple("Task").field(&stage).finish()
    }
}

impl fmt::Debug for NewSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use core::time::Duration;

    use super::*;
    use crate::batch::{BatchBuilder, NewEvent};
    use crate::clock::Moment;
    use crate::engine::erasure::{ErasureTest, Erasures};
    use crate::engine::{Engine, Seed, Tuning};
    use crate::event::{EventType, Payload, Timestamp};
    use crate::identity::IdentityKey;
    use crate::repository::{CommitError, Repository as _};
    use crate::segment::{Epoch, LeftOut, Part, RowsBuilder, TypeName};
    use crate::storage::{MemoryStorage, StorageReader as _, StorageWriter as _};

    /// A draft that ignores what is written and publishes another blob.
    struct SwappedDraft(Published);

    impl Draft for SwappedDraft {
        fn write(&mut self, _: &[u8]) -> Result<(), StorageError> {
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<Published, StorageError> {
            Ok(self.0)
        }
    }

    fn nothing_left_out() -> LeftOut {
        let erased = Box::new(ErasureTest::new(&Erasures::new([].into()), &IdentityKey::new(Seed(1))));
        LeftOut { before: i64::MIN, erased }
    }

    /// A rewriting of one event of this type.
    fn rewriting(draft: Box<dyn Draft>, event_type: &str) -> Rewriting {
        let mut rows = RowsBuilder::default();
        let code = rows.intern(event_type.as_bytes());
        rows.push(0, 0, code, b"", b"{}");
        let segment = Segment::new(1, rows.finish_sorted(), [Epoch { ordinal: 0, millis: 0 }].into());
        let parts = [Part::Fresh(Arc::new(segment))];
        let mut rewrite = Rewrite::new(draft, &parts, (1, 1), 1000, nothing_left_out(), &mut TypeName::new).unwrap();
        assert!(rewrite.step(10).unwrap());
        let entry = SegmentEntry { number: 1, first: 1, last: 1, erased_to: 0 };
        Rewriting { range: SegmentRange::Fresh(0..1), entry, rewrite }
    }

    #[test]
    fn a_segment_with_unexpected_types_is_not_installed() {
        let draft = || MemoryStorage::default().create("segment").unwrap();
        for (swapped_type, is_expected) in [("b", true), ("a", false), ("c", false)] {
            let Outcome::Rewritten(other) = rewriting(draft(), swapped_type).finish() else {
                panic!("an unchanged segment was refused")
            };
            let other = SwappedDraft(other.segment.unwrap().published);
            let outcome = rewriting(Box::new(other), "b").finish();
            if is_expected {
                assert!(matches!(outcome, Outcome::Rewritten(_)));
                continue;
            }
            let Outcome::Failed(_, StorageError::Failed(reason)) = outcome else {
                panic!("{swapped_type} was accepted")
            };
            assert!(reason.public_text().contains("a type that was not written"), "{reason}");
        }
    }

    /// Compacts two segments; the new blob is intact but has the events of the first one only.
    #[test]
    fn a_segment_that_lacks_events_fails_the_store_and_its_sources_stay() {
        let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let moment = Moment { wall: now, uptime: Duration::ZERO };
        let tuning = Tuning { seal_events: 2, fan_in: 2, ..Tuning::default() };
        let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).unwrap();
        let mut compaction = None;
        while compaction.is_none() {
            let mut builder = BatchBuilder::new();
            for _ in 0..2 {
                let (event_type, payload) = (EventType::parse("a").unwrap(), Payload::parse("{}").unwrap());
                builder.push(NewEvent { event_type, timestamp: now, payload, id: None }).unwrap();
            }
            engine.commit(now, &[builder.finish()]).unwrap();
            while let Some(mut task) = engine.next_due(moment) {
                if !task.is_urgent() && matches!(&task.0, Stage::Rewriting(_)) {
                    compaction = Some(task);
                    break;
                }
                while task.step(100) == Poll::Pending {}
                engine.install_task(task).unwrap();
            }
        }
        let names = engine.storage().list().unwrap();
        let stats = engine.snapshot().stats().unwrap();
        let Some(Task(Stage::Rewriting(mut rewriting))) = compaction else { panic!("there is one") };
        let parts: Vec<Part> = engine.sealed.iter().map(|sealed| Part::Sealed(Arc::clone(sealed))).collect();
        let name = engine.sealed.first().unwrap().name();
        let blob = engine.storage().open(name).unwrap().unwrap();
        let draft = Box::new(SwappedDraft(Published { name: rewriting.entry.name(), blob }));
        let seqs = (rewriting.entry.first, rewriting.entry.last);
        rewriting.rewrite = Rewrite::new(draft, &parts, seqs, 1000, nothing_left_out(), &mut TypeName::new).unwrap();

        let mut task = Task(Stage::Rewriting(rewriting));
        while task.step(100) == Poll::Pending {}
        let Err(CommitError::Failed { cause, .. }) = engine.install_task(task) else {
            panic!("the missing events were not noticed")
        };
        let text = format!("{cause}");
        assert!(text.contains("a new segment has 2 events (4 bytes), 0 were left out (0 bytes)"), "{text}");
        assert!(text.contains("its sources have 4 (8 bytes)"), "{text}");
        assert!(engine.next_due(moment).is_none() && engine.commit(now, &[]).is_err(), "the engine has not failed");
        assert_eq!((engine.storage().list().unwrap(), engine.snapshot().stats().unwrap()), (names, stats));
        let opened = Engine::open_with(engine.storage().clone(), Seed(2), tuning).unwrap();
        assert_eq!(opened.snapshot().stats().unwrap().events, stats.events);
    }
}
