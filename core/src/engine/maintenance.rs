//! Chooses the next maintenance task of an engine, and installs its result.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::erasure::ErasureTest;
use super::manifest::{Manifest, SegmentEntry};
use super::retention::Cutoffs;
use super::size::Size;
use super::task::{Outcome, Replacement, Rewriting, SegmentRange, Stage, Subject, Task};
use super::tiers::neighbours;
use super::types::Miscount;
use super::{Engine, Fresh};
use crate::clock::Moment;
use crate::event::Timestamp;
use crate::repository::{CommitError, Expired, ExpiryCause};
use crate::segment::{LeftOut, Merge, Part, Rewrite, Sealed, Segment};
use crate::storage::{Storage, StorageError};

/// Why a fresh segment that is merged or sealed can be found.
const SEALED: &str = "the range of a task has segments, and does not change until the task is installed";

/// Retention by size drops whole segments. So a compacted segment takes at most about the limit divided by this.
const SEGMENTS_WITHIN_LIMIT: u64 = 8;

impl<S: Storage> Engine<S> {
    /// The next task that is due, unless a task under way uses the same [subject](Subject).
    pub(super) fn next_due(&mut self, now: Moment) -> Option<Task> {
        if self.failure.is_some() {
            return None;
        }
        let cutoffs = self.cutoffs(now);
        self.drop_expired(cutoffs);
        self.erasures.observe(now);
        self.quiet.observe(self.storage.log_end(), now);
        self.note_untouched_segments(now);
        // Keep the log that an outdated copy of the manifest refers to: the next open may fall back on that copy.
        if !self.recovery.manifest_outdated {
            let scrubs = self.erasures.need_scrubbing(self.manifest.log_start) && self.erasures.are_due(now);
            self.erasures.is_scrubbing |= scrubs;
            if core::mem::take(&mut self.log_is_outdated) || scrubs {
                return Some(Task(Stage::Done(Outcome::OutdatedLog)));
            }
        }
        // One at a time, so that more urgent tasks never wait for several of them.
        if self.erasures.deletions == 0
            && let Some(name) = self.obsolete.pop()
        {
            self.erasures.deletions += 1;
            let deletion = self.storage.delete(&name);
            return Some(Task(Stage::Deleting(name, deletion)));
        }
        let (subject, stage) = if let Some(stage) = self.publication(now) {
            (Subject::Manifest, stage)
        } else if let Some(stage) = self.fresh_task(now, cutoffs) {
            (Subject::Fresh, stage)
        } else {
            (Subject::Sealed, self.sealed_task(now, cutoffs)?)
        };
        self.busy.set(subject, true);
        let stage = stage.unwrap_or_else(|error| Stage::Done(Outcome::Failed(subject, error)));
        Some(Task(stage))
    }

    /// Installs the result of a task.
    pub(super) fn install_task(&mut self, task: Task) -> Result<Vec<Expired>, CommitError> {
        let outcome = match task.0 {
            Stage::Done(outcome) => outcome,
            unfinished @ (Stage::Merging(..)
            | Stage::Examining(..)
            | Stage::Rewriting(_)
            | Stage::Publishing(..)
            | Stage::Deleting(..)) => {
                self.abandon(unfinished);
                return Ok(Vec::new());
            }
        };
        match outcome {
            Outcome::Merged(range, segment) => {
                self.busy.set(range.subject(), false);
                self.install_merged(&range, segment).map_err(|miscount| self.fail(miscount.to_string()))?;
            }
            Outcome::Examined(examination, erased_to) => {
                self.busy.set(Subject::Sealed, false);
                self.install_examined(&examination, erased_to);
            }
            Outcome::Rewritten(replacement) => self.unpublished.push(replacement),
            Outcome::Published(manifest, published) => {
                self.busy.set(Subject::Manifest, false);
                published.into_iter().for_each(|published| self.storage.adopt(published));
                return self.install_published(manifest);
            }
            Outcome::Deleted(_, Ok(())) => self.erasures.deletions -= 1,
            Outcome::Deleted(name, Err(error)) => {
                self.erasures.deletions -= 1;
                let error = self.task_error(error, "deletion of a segment");
                self.obsolete.push(name);
                return Err(error);
            }
            Outcome::OutdatedLog => {
                let trimmed = self.trim_log();
                self.log_is_outdated = *trimmed.as_ref().unwrap_or(&true);
                trimmed.map_err(|error| self.task_error(error, "trimming the log"))?;
            }
            Outcome::Failed(subject, error) => {
                self.busy.set(subject, false);
                // One copy may have been written already, and the next manifest must not have its generation.
                self.manifest.generation += 1;
                return Err(self.task_error(error, "maintenance"));
            }
        }
        Ok(Vec::new())
    }

    /// The error for a failed task. Fails the engine if the storage has failed; otherwise the work is due again.
    fn task_error(&mut self, error: StorageError, what: &'static str) -> CommitError {
        match error {
            StorageError::Full(cause) => CommitError::Full(cause),
            StorageError::Unavailable(cause) => CommitError::unavailable(cause),
            StorageError::Failed(cause) => self.fail(cause.during(what)),
        }
    }

    /// Abandons an unfinished task. Its work is due again.
    fn abandon(&mut self, unfinished: Stage) {
        match unfinished {
            Stage::Merging(range, _) => self.busy.set(range.subject(), false),
            Stage::Rewriting(rewriting) => self.busy.set(rewriting.range.subject(), false),
            Stage::Examining(..) => self.busy.set(Subject::Sealed, false),
            Stage::Publishing(..) => self.busy.set(Subject::Manifest, false),
            Stage::Deleting(name, _) => {
                self.erasures.deletions -= 1;
                self.obsolete.push(name);
            }
            Stage::Done(_) => {}
        }
    }

    /// Whether fresh segments were sealed, but no manifest lists the new segment yet.
    pub(super) fn has_sealed(&self) -> bool {
        self.unpublished.iter().any(|replacement| replacement.range.subject() == Subject::Fresh)
    }

    /// The task to write a manifest, if replacements or erasures wait for it, a copy has to be repaired, or the state
    /// of the clock has to be saved.
    fn publication(&mut self, now: Moment) -> Option<Result<Stage, StorageError>> {
        if self.busy.manifest {
            return None;
        }
        let is_due = !self.unpublished.is_empty() || self.recovery.manifest_outdated || self.clock.needs_saving();
        (is_due || self.has_erasures_to_publish(now)).then(|| self.begin_publication())
    }

    fn begin_publication(&mut self) -> Result<Stage, StorageError> {
        let mut manifest = self.manifest.clone();
        manifest.generation += 1;
        manifest.next_number = self.next_number;
        self.clock.trusted().into_iter().for_each(|trusted| manifest.set_trusted(trusted));
        manifest.doubt = self.clock.doubt_state();
        for (entry, sealed) in manifest.segments.iter_mut().zip(self.sealed.iter()) {
            entry.erased_to = sealed.erased_to();
        }
        // Beyond the last manifest only if erasures or skips follow the last sealed event.
        let mut log_start = self.erasures.sealed_to;
        for replacement in &self.unpublished {
            let entry = replacement.segment.as_ref().map(|segment| segment.entry);
            match &replacement.range {
                SegmentRange::Fresh(range) => {
                    let sealed = self.fresh.get(range.clone()).and_then(<[Fresh]>::last).expect(SEALED);
                    let last = sealed.segment.epochs().last().expect("a fresh segment has a commit time");
                    // Imported events may have been committed in another order.
                    manifest.last_millis = manifest.last_millis.max(last.millis);
                    manifest.segments.extend(entry);
                    log_start = sealed.end;
                }
                SegmentRange::Sealed(range) => drop(manifest.segments.splice(range.clone(), entry)),
            }
        }
        (manifest.log_start, manifest.chain, manifest.next_seq) =
            (log_start.offset, log_start.chain, log_start.next_seq);
        manifest.next_erasure = self.erasures.first_after(manifest.log_start);
        manifest.erasures = self.erasures_before(manifest.log_start);
        // The manifest must only refer to durable log.
        if manifest.log_start > self.durable {
            self.sync_log().map_err(|error| StorageError::Failed(error.into_cause()))?;
        }
        let copies = manifest.drafts(&mut self.storage)?;
        self.publishing = self.unpublished.len();
        Ok(Stage::Publishing(manifest, copies))
    }

    /// Installs the replacements that the new manifest lists. Returns the events that have expired.
    fn install_published(&mut self, manifest: Manifest) -> Result<Vec<Expired>, CommitError> {
        self.log_is_outdated |= manifest.log_start > self.manifest.log_start;
        self.clock.set_saved(manifest.doubt);
        self.manifest = manifest;
        self.recovery.manifest_outdated = false;
        self.obsolete.append(&mut self.erasures.leftovers);
        self.forget_complete_erasures();
        let later = self.unpublished.split_off(self.publishing.min(self.unpublished.len()));
        let mut expired = Vec::new();
        let mut counted = Ok(());
        for Replacement { range, segment, cause, erased } in core::mem::replace(&mut self.unpublished, later) {
            self.busy.set(range.subject(), false);
            if let Some(segment) = &segment {
                counted = counted.and(self.types.hold_sealed(&segment.sealed));
            }
            let (sealed, published) = segment.map(|segment| (segment.sealed, segment.published)).unzip();
            published.into_iter().for_each(|published| self.storage.adopt(published));
            let (events, bytes) = sealed.as_ref().map_or((0, 0), |sealed| (sealed.events(), sealed.bytes()));
            let before = match range {
                SegmentRange::Fresh(range) => {
                    let replaced: Vec<Fresh> = self.fresh.drain(range).collect();
                    for fresh in &replaced {
                        counted = counted.and(self.types.release(&fresh.types));
                        self.erasures.sealed_to = fresh.end;
                    }
                    Arc::make_mut(&mut self.sealed).extend(sealed);
                    replaced.iter().map(|fresh| Size::of_fresh(&fresh.segment)).reduce(Size::plus)
                }
                SegmentRange::Sealed(range) => {
                    let replaced: Vec<Arc<Sealed>> = Arc::make_mut(&mut self.sealed).splice(range, sealed).collect();
                    self.obsolete.extend(replaced.iter().map(|sealed| sealed.name().to_string()));
                    for sealed in &replaced {
                        counted = counted.and(self.types.release_sealed(sealed));
                    }
                    replaced.iter().map(|sealed| Size::of_sealed(sealed)).reduce(Size::plus)
                }
            };
            let Some(before) = before else { continue };
            self.stats.events = (self.stats.events + events).saturating_sub(before.events);
            self.stats.bytes = (self.stats.bytes + bytes).saturating_sub(before.bytes);
            let expired_events = before.events.saturating_sub(events + erased);
            let [first, last] = [before.times.0, before.times.1].map(Timestamp::from_nanos);
            for (events, cause) in [(expired_events, cause), (erased, ExpiryCause::Erasure)] {
                expired.extend((events > 0).then_some(Expired { events, first, last, cause }));
            }
        }
        self.bound_filters();
        // Report errors last, so that readers see what the manifest lists.
        counted.map(|()| expired).map_err(|miscount: Miscount| self.fail(miscount.to_string()))
    }

    /// Drops the filters of the oldest segments while all filters together exceed the limit.
    fn bound_filters(&mut self) {
        let mut left = self.tuning.filter_bytes_max;
        let first_without = self.sealed.iter().rev().position(|sealed| match left.checked_sub(sealed.filter_bytes()) {
            Some(remaining) => {
                left = remaining;
                false
            }
            None => true,
        });
        let Some(kept) = first_without else { return };
        let older = self.sealed.len() - kept;
        for sealed in Arc::make_mut(&mut self.sealed).iter_mut().take(older) {
            if sealed.filter_bytes() > 0 {
                *sealed = Arc::new(sealed.without_filter());
            }
        }
    }

    fn install_merged(&mut self, range: &SegmentRange, segment: Arc<Segment>) -> Result<(), Miscount> {
        let SegmentRange::Fresh(range) = range else { return Ok(()) };
        let bytes = |segment: &Arc<Segment>| segment.rows().bytes() as u64;
        let inputs =
            self.fresh.get(range.clone()).expect("a range under merge does not change until the merge is installed");
        let before: u64 = inputs.iter().map(|fresh| bytes(&fresh.segment)).sum();
        self.stats.bytes = self.stats.bytes + bytes(&segment) - before;
        let types = self.types.hold_rows(segment.rows());
        // The last one may have got erasures and skips that follow it.
        let end = inputs.last().expect(SEALED).end;
        let merged = Fresh { segment, types, end };
        let replaced: Vec<Fresh> = self.fresh.splice(range.clone(), [merged]).collect();
        replaced.iter().try_for_each(|fresh| self.types.release(&fresh.types))
    }

    /// The task to seal fresh segments that are large or old enough, else to merge some of them.
    fn fresh_task(&mut self, now: Moment, cutoffs: Cutoffs) -> Option<Result<Stage, StorageError>> {
        if self.busy.fresh {
            return None;
        }
        let for_erasure = self.to_be_sealed_for_erasure(now);
        // Behind numbers that were left out, another segment begins.
        let within = self.fresh_within_span();
        let before_skip = (within < self.fresh.len()).then_some(within);
        if let Some(count) =
            self.to_be_sealed(now, cutoffs).max(for_erasure).map(|count| count.min(within)).or(before_skip)
        {
            let chosen = self.fresh.get(..count)?;
            let (first, last) = (chosen.first()?, chosen.last()?);
            let range = SegmentRange::Fresh(0..count);
            let seqs = (first.segment.base(), last.segment.last_seq());
            let parts: Vec<Part> = chosen.iter().map(|fresh| Part::Fresh(Arc::clone(&fresh.segment))).collect();
            return Some(self.begin_rewriting(range, seqs, &parts, cutoffs));
        }
        let sizes: Vec<u64> = self.fresh.iter().map(|fresh| fresh.segment.rows().len() as u64).collect();
        let range = neighbours(&sizes, self.tuning.fan_in, |range| self.is_within_span(range))?;
        let chosen = self.fresh.get(range.clone())?;
        let range = SegmentRange::Fresh(range);
        let merge = Merge::new(chosen.iter().map(|fresh| Arc::clone(&fresh.segment)).collect());
        Some(Ok(Stage::Merging(range, Box::new(merge))))
    }

    /// Whether these fresh segments do not cover more sequence numbers than one segment may: imported events may leave
    /// many out.
    fn is_within_span(&self, range: Range<usize>) -> bool {
        let chosen = self.fresh.get(range).expect("neighbours are among the fresh segments");
        let (first, last) = chosen.first().zip(chosen.last()).expect("a run of neighbours is not empty");
        last.segment.last_seq() - first.segment.base() < self.tuning.segment_events_max as u64
    }

    /// How many of the oldest fresh segments may become one; at least one, if there is any.
    fn fresh_within_span(&self) -> usize {
        let Some(first) = self.fresh.first() else { return 0 };
        let (base, most) = (first.segment.base(), self.tuning.segment_events_max as u64);
        self.fresh.partition_point(|fresh| fresh.segment.last_seq() - base < most).max(1)
    }

    /// How many of the oldest fresh segments are to be sealed.
    fn to_be_sealed(&self, now: Moment, cutoffs: Cutoffs) -> Option<usize> {
        let (mut events, mut bytes) = (0, 0);
        for (index, fresh) in self.fresh.iter().enumerate() {
            events += fresh.segment.rows().len();
            bytes += fresh.segment.rows().bytes();
            if events >= self.tuning.seal_events || bytes >= self.tuning.seal_bytes {
                return Some(index + 1);
            }
        }
        // Sealing leaves out expired events. So seal them even if the segments are still small.
        let is_overdue = self.fresh.iter().any(|fresh| fresh.segment.sort_key(0).time < cutoffs.rewrite_before);
        (is_overdue || self.quiet.is_due(events, now)).then_some(self.fresh.len())
    }

    /// The task to search a sealed segment for erased events, to rewrite one without its expired or erased events, else
    /// to compact several.
    fn sealed_task(&mut self, now: Moment, cutoffs: Cutoffs) -> Option<Result<Stage, StorageError>> {
        if self.busy.sealed {
            return None;
        }
        let for_erasure = match self.next_for_erasure(now) {
            Some(Err(examining)) => return Some(Ok(examining)),
            Some(Ok(index)) => Some(index),
            None => None,
        };
        let alone = for_erasure.or_else(|| self.to_be_rewritten(cutoffs));
        let range = alone.map(|index| index..index + 1).or_else(|| {
            let sizes: Vec<u64> = self.sealed.iter().map(|sealed| sealed.events()).collect();
            let most = self.compacted_events_max();
            neighbours(&sizes, self.tuning.fan_in, |range| self.sealed_span(range) <= most)
        });
        // Last of all, segments of earlier versions of Argus, so that they, too, can be asked by their columns.
        let outdated = || self.sealed.iter().position(|sealed| !sealed.is_current()).map(|index| index..index + 1);
        let range = range.or_else(outdated)?;
        let chosen = self.sealed.get(range.clone())?;
        let seqs = (chosen.first()?.seqs().0, chosen.last()?.seqs().1);
        let parts: Vec<Part> = chosen.iter().map(|sealed| Part::Sealed(Arc::clone(sealed))).collect();
        Some(self.begin_rewriting(SegmentRange::Sealed(range), seqs, &parts, cutoffs))
    }

    /// The number of sequence numbers that these segments cover. Some events may have expired, but the sequence index
    /// of a segment has an entry for each number.
    fn sealed_span(&self, range: Range<usize>) -> u64 {
        let chosen = self.sealed.get(range).unwrap_or_default();
        chosen.first().zip(chosen.last()).map_or(0, |(first, last)| last.seqs().1 - first.seqs().0 + 1)
    }

    /// The most sequence numbers that a compacted segment may cover.
    fn compacted_events_max(&self) -> u64 {
        let most = self.tuning.segment_events_max as u64;
        let bytes: u64 = self.sealed.iter().map(|sealed| sealed.bytes()).sum();
        let events: u64 = self.sealed.iter().map(|sealed| sealed.events()).sum();
        let event_bytes = (bytes / events.max(1)).max(1);
        self.retention.bytes.map_or(most, |limit| most.min(limit / SEGMENTS_WITHIN_LIMIT / event_bytes))
    }

    fn begin_rewriting(
        &mut self,
        range: SegmentRange,
        (first, last): (u64, u64),
        parts: &[Part],
        cutoffs: Cutoffs,
    ) -> Result<Stage, StorageError> {
        let entry = SegmentEntry { number: self.next_number, first, last, erased_to: self.erasures.last() };
        self.next_number += 1;
        let draft = self.storage.create(&entry.name())?;
        let erased: Box<ErasureTest> = Box::new(self.erasure_test());
        let left_out = LeftOut { before: cutoffs.keep_from, erased };
        let mut intern = |name: &[u8]| self.types.intern(name);
        let rewrite = Rewrite::new(draft, parts, (first, last), self.tuning.block_bytes, left_out, &mut intern)?;
        Ok(Stage::Rewriting(Box::new(Rewriting { range, entry, rewrite })))
    }
}
