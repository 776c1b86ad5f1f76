//! Reads a whole repository, for a check or a salvage.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::super::log_end::{self, LogEnd, SavedEnd};
use super::super::manifest::{self, Manifest, SegmentEntry, is_segment_name};
use super::super::reading::{Content, Record, Tail, UNKNOWN_RECORD, out_of_range};
use super::log::{DamagedRange, LogItem, LogSummary, LogWalk};
use super::report::{Finding, Report, Severity};
use crate::damage::{Affected, Damage};
use crate::log::LogPosition;
use crate::segment::{DamagedPart, Sealed, SealedError, TypeName};
use crate::storage::{Blob, StorageError, StorageReader};

/// Something that a survey has found in a repository.
pub(in crate::engine) enum SurveyItem {
    /// A segment.
    Segment(FoundSegment),
    /// An intact log record.
    Record(Record),
    /// A damaged range of the log.
    DamagedLog(DamagedRange),
}

/// A segment that belongs, or may belong, to a repository.
pub(in crate::engine) struct FoundSegment {
    pub(in crate::engine) name: String,
    /// Its range of sequence numbers; unbounded if no manifest lists it.
    pub(in crate::engine) seqs: (u64, u64),
    /// Whether the manifest lists it. If not, there is no intact manifest, and the segment may be obsolete.
    pub(in crate::engine) is_listed: bool,
    /// `None` if it is missing.
    pub(in crate::engine) blob: Option<Arc<dyn Blob>>,
    /// `None` if it cannot be opened.
    pub(in crate::engine) sealed: Option<Arc<Sealed>>,
    /// Its damaged parts.
    pub(in crate::engine) damage: Vec<DamagedPart>,
}

/// The result of a survey.
pub(in crate::engine) struct Survey {
    pub(in crate::engine) report: Report,
    /// `None` if no copy is intact.
    pub(in crate::engine) manifest: Option<Manifest>,
    /// Greater than every sequence number in the repository.
    pub(in crate::engine) next_seq: u64,
    /// The latest commit time in the manifest or the log, in milliseconds since the Unix epoch.
    pub(in crate::engine) last_millis: i64,
    /// Whether erasures are unknown that were in damaged parts of the log, or may have been.
    pub(in crate::engine) may_miss_erasures: bool,
}

const LOG: &str = "the log";

/// The range of sequence numbers of a segment that no manifest lists.
const ANY_SEQS: (u64, u64) = (1, u64::MAX);

/// Reads a repository and passes each item to `sink`. `intern` returns the shared names of types, for callers that keep
/// segments.
pub(in crate::engine) fn survey<E: StorageReader>(
    medium: &E,
    intern: &mut dyn FnMut(&[u8]) -> TypeName,
    sink: &mut dyn FnMut(SurveyItem),
) -> Survey {
    let mut surveyor = Surveyor { medium, report: Report::default(), intern, sink };
    let manifest = surveyor.read_manifests();
    let (next_seq, last_millis) =
        manifest.as_ref().map_or((1, 0), |manifest| (manifest.next_seq, manifest.last_millis));
    let highest = surveyor.read_segments(manifest.as_ref());
    let next_seq = next_seq.max(highest.saturating_add(1));
    let closed_at = surveyor.read_log_end();
    let log = surveyor.read_log(manifest.as_ref(), closed_at).unwrap_or_else(|error| {
        let affected = Affected::between(next_seq, u64::MAX);
        surveyor.damaged(LOG, None, &cannot_be_read(&error), affected);
        surveyor.report.log_end = 0..u64::MAX;
        LogSummary { next_known_seq: 0, next_possible_seq: 0, millis: 0, may_miss_erasures: true }
    });
    let Surveyor { mut report, .. } = surveyor;
    report.last_seq = next_seq.max(log.next_known_seq) - 1;
    let (next_seq, last_millis) = (next_seq.max(log.next_possible_seq), last_millis.max(log.millis));
    Survey { report, manifest, next_seq, last_millis, may_miss_erasures: log.may_miss_erasures }
}

struct Surveyor<'a, E> {
    medium: &'a E,
    report: Report,
    intern: &'a mut dyn FnMut(&[u8]) -> TypeName,
    sink: &'a mut dyn FnMut(SurveyItem),
}

impl<E: StorageReader> Surveyor<'_, E> {
    /// The newest copy that is intact.
    fn read_manifests(&mut self) -> Option<Manifest> {
        let mut copies = Vec::new();
        let mut missing = Vec::new();
        for name in manifest::NAMES {
            let read = || match self.medium.open(name)? {
                Some(blob) => blob.read(0..blob.len()).map(Some),
                None => Ok(None),
            };
            match read() {
                Ok(Some(bytes)) => match Manifest::decode(&bytes) {
                    Ok(manifest) => copies.push((name, manifest)),
                    Err(reason) => self.damaged(name, None, &reason, Affected::Nothing),
                },
                Ok(None) => missing.push(name),
                Err(error) => self.damaged(name, None, &cannot_be_read(&error), Affected::Nothing),
            }
        }
        let newest = copies.iter().map(|(_, manifest)| manifest).max_by_key(|manifest| manifest.generation).cloned();
        if let Some(newest) = &newest {
            for (name, copy) in &copies {
                if copy != newest {
                    self.leftover(name, None, "it is older than the other copy");
                }
            }
            for name in missing {
                self.leftover(name, None, "it is missing; the other copy is intact");
            }
        } else if missing.len() < manifest::NAMES.len() || !self.is_empty() {
            let everything = Affected::between(1, u64::MAX);
            let reason = "without an intact copy, it is unknown which segments belong to the repository, \
                          where its log begins, and which ids were generated";
            self.damaged(&manifest::NAMES.join(", "), None, reason, everything);
        } else {
            self.leftover(&manifest::NAMES.join(", "), None, "there is no manifest yet, and there are no events");
        }
        newest
    }

    /// Whether the repository never stored anything.
    fn is_empty(&self) -> bool {
        let has_no_segments = self.medium.list().is_ok_and(|names| !names.iter().any(|name| is_segment_name(name)));
        has_no_segments && self.medium.log_range().is_ok_and(|range| self.has_no_records(range))
    }

    fn has_no_records(&self, range: Range<u64>) -> bool {
        let closed_at = LogEnd::load(self.medium).ok().and_then(SavedEnd::known);
        let mut walk = LogWalk::from_anywhere(self.medium, range, None, closed_at);
        matches!(walk.next(), Ok(LogItem::End { .. }))
    }

    /// Reads the segments that the manifest lists, or all segments if there is no manifest. Returns the highest
    /// sequence number in them.
    fn read_segments(&mut self, manifest: Option<&Manifest>) -> u64 {
        let names = match self.medium.list() {
            Ok(names) => names,
            Err(error) => {
                let affected = match manifest {
                    Some(_) => Affected::Nothing,
                    None => Affected::between(1, u64::MAX),
                };
                self.damaged("the blobs", None, &format!("they cannot be listed: {error}"), affected);
                Vec::new()
            }
        };
        let mut names: Vec<String> = names.into_iter().filter(|name| is_segment_name(name)).collect();
        names.sort_unstable();
        let Some(manifest) = manifest else {
            return names.into_iter().map(|name| self.read_segment(name, ANY_SEQS, None)).max().unwrap_or_default();
        };
        let listed: BTreeSet<String> = manifest.segments.iter().map(SegmentEntry::name).collect();
        let renamed = self.renamed(manifest, &names);
        for entry in &manifest.segments {
            let name = renamed.get(&entry.number).cloned().unwrap_or_else(|| entry.name());
            if name != entry.name() {
                let reason =
                    format!("it is missing, or has the events of another segment; its own events are in {name}");
                self.damaged(&entry.name(), None, &reason, Affected::Nothing);
            }
            self.read_segment(name, (entry.first, entry.last), Some(entry.erased_to));
        }
        for name in names.iter().filter(|name| !listed.contains(*name) && !renamed.values().any(|used| used == *name)) {
            self.leftover(name, None, "no manifest lists it; it is deleted when the repository is opened");
        }
        manifest.segments.last().map_or(0, |entry| entry.last)
    }

    /// Finds misnamed segments: for each listed segment whose blob is missing or has other events, the name of the blob
    /// that has its events, by segment number.
    fn renamed(&self, manifest: &Manifest, names: &[String]) -> BTreeMap<u64, String> {
        let seqs_in = |name: &str| {
            let blob = self.medium.open(name).ok()??;
            let sealed = Sealed::open(name, ANY_SEQS, blob, 0, &mut |name| Ok(TypeName::new(name)));
            sealed.ok()?.index().all_seqs()
        };
        let fits = |entry: &SegmentEntry, seqs: (u64, u64)| entry.first <= seqs.0 && seqs.1 <= entry.last;
        let is_misplaced = |entry: &&SegmentEntry| match seqs_in(&entry.name()) {
            Some(seqs) => !fits(entry, seqs),
            None => !names.contains(&entry.name()),
        };
        let misplaced: Vec<&SegmentEntry> = manifest.segments.iter().filter(is_misplaced).collect();
        if misplaced.is_empty() {
            return BTreeMap::new();
        }
        // The blobs that are not where they belong: misplaced ones, and those that the manifest does not list.
        let is_candidate = |name: &&String| {
            let entry = manifest.segments.iter().find(|entry| entry.name() == **name);
            entry.is_none_or(|entry| misplaced.iter().any(|misplaced| misplaced.number == entry.number))
        };
        let mut candidates: Vec<(&String, (u64, u64))> =
            names.iter().filter(is_candidate).filter_map(|name| Some((name, seqs_in(name)?))).collect();
        // Prefer names that the manifest lists, then the newest.
        let is_unlisted = |name: &String| !manifest.segments.iter().any(|entry| entry.name() == *name);
        candidates.sort_by_key(|&(name, _)| (is_unlisted(name), Reverse(name)));
        let found = misplaced.into_iter().filter_map(|entry| {
            let (name, _) = candidates.iter().find(|&&(_, seqs)| fits(entry, seqs))?;
            Some((entry.number, (*name).clone()))
        });
        found.collect()
    }

    /// Reads a segment. If the manifest lists it, `erased_to` is the number there. Returns the highest sequence number
    /// that its index shows.
    fn read_segment(&mut self, name: String, seqs: (u64, u64), erased_to: Option<u64>) -> u64 {
        self.report.segments += 1;
        let is_listed = erased_to.is_some();
        let affected = Affected::between(seqs.0, seqs.1);
        let mut found = FoundSegment { name, seqs, is_listed, blob: None, sealed: None, damage: Vec::new() };
        let opened = match self.medium.open(&found.name) {
            Ok(Some(blob)) => {
                found.blob = Some(Arc::clone(&blob));
                Sealed::open(&found.name, seqs, blob, u64::MAX, &mut |name| Ok((self.intern)(name)))
            }
            Ok(None) => {
                self.damaged(&found.name, None, "it is missing", affected);
                (self.sink)(SurveyItem::Segment(found));
                return 0;
            }
            Err(error) => Err(error.into()),
        };
        let mut highest = 0;
        match opened {
            Ok(sealed) => {
                let index = sealed.index();
                self.report.blocks += index.blocks() as u64;
                highest = index.all_seqs().map_or(0, |(_, highest)| highest);
                let verified = sealed.verify();
                self.report.events += verified.events;
                for damage in &verified.damage {
                    let affected = damage.block.map_or(Affected::Nothing, |block| index.affected(block));
                    self.damaged(&found.name, Some(damage.offset), &damage.reason, affected);
                }
                found.damage = verified.damage;
                found.sealed = Some(Arc::new(sealed.with_erased_to(erased_to.unwrap_or(0))));
            }
            Err(SealedError::Storage(error)) => self.damaged(&found.name, None, &cannot_be_read(&error), affected),
            Err(SealedError::Damaged(Damage { place, offset, reason, affected })) => {
                self.damaged(&place, offset, &reason, affected);
            }
        }
        (self.sink)(SurveyItem::Segment(found));
        highest
    }

    /// Reads where the log ended when it was closed, if known.
    fn read_log_end(&mut self) -> Option<LogEnd> {
        let saved_end = LogEnd::load(self.medium).unwrap_or_else(|error| SavedEnd::Damaged(cannot_be_read(&error)));
        if let SavedEnd::Damaged(reason) = &saved_end {
            let reason =
                format!("{reason}; it is unknown whether the log has lost its last records since it was closed");
            self.damaged(log_end::NAME, None, &reason, Affected::Nothing);
        }
        saved_end.known()
    }

    fn read_log(&mut self, manifest: Option<&Manifest>, closed_at: Option<LogEnd>) -> Result<LogSummary, StorageError> {
        let range = self.medium.log_range()?;
        let Some(manifest) = manifest else {
            // Bytes before the first record belong to a trimmed part of the log.
            let mut walk = LogWalk::from_anywhere(self.medium, range, None, closed_at);
            match walk.next()? {
                LogItem::Record(_) | LogItem::Damage(_) => self.read_records(&mut walk)?,
                LogItem::End { offset, tail, seqs: _ } => self.report.log_end = tail.reach(offset),
            }
            return Ok(walk.summary());
        };
        let start = manifest.log_start;
        let Manifest { next_seq, next_erasure, .. } = *manifest;
        let origin = LogPosition { offset: start, next_seq, next_erasure };
        let mut walk = if range.start <= start && start <= range.end {
            LogWalk::new(self.medium, range.end, manifest.chain, origin, closed_at)
        } else {
            LogWalk::from_anywhere(self.medium, range.clone(), Some(origin), closed_at)
        };
        if start < range.start || range.end < start {
            let damaged = match walk.next()? {
                LogItem::Damage(damaged) => DamagedRange { offset: start, ..damaged },
                LogItem::Record(_) | LogItem::End { .. } => {
                    walk.doubt_erasures();
                    let seqs = Some((manifest.next_seq, u64::MAX));
                    DamagedRange { offset: start, end: u64::MAX, seqs, is_exact: false }
                }
            };
            self.damaged_log(damaged, &format!("it should begin there, but {}", out_of_range(&range)));
        }
        self.read_records(&mut walk)?;
        Ok(walk.summary())
    }

    fn read_records(&mut self, walk: &mut LogWalk<'_, E>) -> Result<(), StorageError> {
        loop {
            match walk.next()? {
                LogItem::Record(record) => {
                    match &record.content {
                        Content::Mark | Content::Skip(_) => {}
                        Content::Events(rows) => {
                            self.report.records += 1;
                            self.report.events += rows.len() as u64;
                        }
                        Content::Erasure(_) => self.report.erasures += 1,
                        Content::Unknown => {
                            self.damaged(LOG, Some(record.header.offset), UNKNOWN_RECORD, Affected::Nothing);
                        }
                    }
                    (self.sink)(SurveyItem::Record(record));
                }
                LogItem::Damage(damaged) => {
                    let reason = format!("up to offset {} it was durable, but there is no intact record", damaged.end);
                    self.damaged_log(damaged, &reason);
                }
                LogItem::End { offset, tail, seqs } => {
                    self.report.log_end = tail.reach(offset);
                    let Tail { bytes, record } = tail;
                    if bytes > 0 {
                        let origin = if record.is_some() {
                            "are from a record whose write was interrupted"
                        } else {
                            "are from a record whose write was interrupted, or old content of the medium"
                        };
                        let reason = format!(
                            "it ends here; {bytes} bytes or more after it {origin}; \
                             opening the repository removes them"
                        );
                        let affected = seqs.map_or(Affected::Nothing, |(first, last)| Affected::between(first, last));
                        self.find(LOG, Some(offset), Severity::Leftover, &reason, affected);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn damaged_log(&mut self, damaged: DamagedRange, reason: &str) {
        self.damaged(LOG, Some(damaged.offset), reason, damaged.affected());
        (self.sink)(SurveyItem::DamagedLog(damaged));
    }

    fn damaged(&mut self, place: &str, offset: Option<u64>, reason: &str, affected: Affected) {
        self.find(place, offset, Severity::Damage, reason, affected);
    }

    fn leftover(&mut self, place: &str, offset: Option<u64>, reason: &str) {
        self.find(place, offset, Severity::Leftover, reason, Affected::Nothing);
    }

    fn find(&mut self, place: &str, offset: Option<u64>, severity: Severity, reason: &str, affected: Affected) {
        let (place, reason) = (place.to_string(), reason.to_string());
        self.report.findings.push(Finding { place, offset, severity, reason, affected });
    }
}

fn cannot_be_read(error: &StorageError) -> String {
    format!("it cannot be read: {error}")
}
