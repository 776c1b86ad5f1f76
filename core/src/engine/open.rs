//! Opens a repository: loads the manifest and the segments, and replays the log.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::check::affected_at;
use super::clock_doubt;
use super::erase::PendingErasures;
use super::erasure::Erasure;
use super::log_end::{self, LogEnd, SavedEnd};
use super::manifest::{self, Manifest, SegmentEntry, is_segment_name, segment_number};
use super::open_error::log_damaged;
use super::quiet::Quiet;
use super::reading::{Content, Record, Tail, UNKNOWN_RECORD, Window, out_of_range, record_at, scan_ahead};
use super::task::Busy;
use super::types::TypeRegistry;
use super::{Engine, LogCut, OpenError, Retention, Seed, Tuning};
use crate::clock::Clock;
use crate::damage::Affected;
use crate::identity::IdentityKey;
use crate::log::{HEADER_BYTES, LogPosition, RecordHeader};
use crate::repository::Stats;
use crate::segment::{Sealed, TypeList, count_types};
use crate::storage::{Storage, StorageError};

/// What opening a repository found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Events in sealed segments.
    pub sealed_events: u64,
    /// Events that were read from the log.
    pub replayed_events: u64,
    /// Whether the log ends where it was last closed: the previous process stopped cleanly, or stored nothing.
    pub was_closed: bool,
    /// Whether the saved end of the log is damaged. A loss of the log's last records then goes unnoticed.
    pub end_is_unknown: bool,
    /// Bytes that were cut from the log after its last intact record…
    pub cut_bytes: u64,
    /// …and whether they are known to belong to a record whose write was interrupted. Otherwise they may also be old
    /// content of the medium.
    pub cut_record: bool,
    /// Segments that were deleted because no manifest lists them: an interrupted task had left them.
    pub orphans: u32,
    /// Whether a copy of the manifest was rewritten from the other…
    pub manifest_repaired: bool,
    /// …and whether one still has to be rewritten, because the storage was full or unavailable. Until maintenance does
    /// so, the repository depends on the other copy.
    pub manifest_outdated: bool,
}

impl<S: Storage> Engine<S> {
    /// Opens the repository in this storage, or creates one if the storage is empty. `seed` is used only then.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what could not be read, or what is damaged.
    pub fn open(storage: S, seed: Seed) -> Result<Self, OpenError> {
        Self::open_with(storage, seed, Tuning::default())
    }

    /// As [`open`](Self::open), with this tuning.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_with(mut storage: S, seed: Seed, tuning: Tuning) -> Result<Self, OpenError> {
        let mut recovery = Recovery::default();
        let mut is_old = false;
        let mut manifest = match Manifest::load(&storage)? {
            Some(found) => {
                is_old = found.is_old;
                recovery.manifest_repaired = found.needs_repair;
                found.manifest
            }
            None => create_manifest(&mut storage, seed)?,
        };
        let doubt = clock_doubt::load(&storage)?.filter(|(generation, _)| *generation >= manifest.generation);
        if let Some((generation, observed)) = doubt {
            // The manifest of that generation may never have been written. The next one needs a higher generation.
            (manifest.generation, manifest.doubt) = (generation, Some(observed));
        }
        let mut types = TypeRegistry::new(tuning.types_max);
        refuse_too_many_types(&storage, &manifest, tuning.types_max)?;
        let sealed = sealed_segments(&storage, &manifest, tuning.filter_bytes_max, &mut types)?;
        let stats = Stats {
            events: sealed.iter().map(|sealed| sealed.events()).sum(),
            bytes: sealed.iter().map(|sealed| sealed.bytes()).sum(),
            ..Stats::default()
        };
        recovery.sealed_events = stats.events;
        let saved_end = LogEnd::load(&storage)?;
        recovery.end_is_unknown = matches!(saved_end, SavedEnd::Damaged(_));
        // The previous process may have stopped before it discarded all bytes before the start.
        let is_log_outdated = storage.log_range()?.start < manifest.log_start;
        let key = IdentityKey::new(manifest.seed);
        let log_start = LogCut { offset: manifest.log_start, chain: manifest.chain, next_seq: manifest.next_seq };
        let mut erasures = PendingErasures::none(manifest.next_erasure, log_start);
        for stored in &manifest.erasures {
            erasures.push(Erasure::new(stored.clone(), &key), manifest.log_start);
        }
        erasures.skip_to(manifest.next_erasure);
        let mut engine = Self {
            last_seq: manifest.next_seq.saturating_sub(1),
            last_millis: manifest.last_millis,
            sealed: Arc::new(sealed),
            storage,
            tuning,
            retention: Retention::default(),
            clock: Clock::inherited(manifest.trusted(), manifest.doubt),
            key,
            fresh: Vec::new(),
            types,
            chain: manifest.chain,
            durable: manifest.log_start,
            marked: manifest.log_start,
            log_end: saved_end.known(),
            syncs_deferred: false,
            next_number: manifest.next_number,
            unpublished: Vec::new(),
            publishing: 0,
            obsolete: Vec::new(),
            log_is_outdated: is_log_outdated,
            busy: Busy::default(),
            quiet: Quiet::default(),
            erasures,
            stats,
            recovery,
            failure: None,
            manifest,
        };
        engine.replay()?;
        engine.clean_up(is_old)?;
        Ok(engine)
    }

    /// Applies the records of the log, and cuts the log after the last intact record.
    fn replay(&mut self) -> Result<(), OpenError> {
        let range = self.storage.log_range()?;
        let start = self.manifest.log_start;
        if start < range.start || start > range.end {
            let reason = out_of_range(&range);
            let affected = Affected::between(self.last_seq + 1, u64::MAX);
            return Err(log_damaged(self.storage.log_location(start), start, &reason, affected));
        }
        let mut offset = start;
        // The end of the last record that is no durability mark, and the highest offset before which a record says that
        // the log was durable. No later record needs to say so of a durability mark.
        let (mut content_end, mut marked) = (start, start);
        let mut window = Window::default();
        while let Some(Record { header, crc, content }) = record_at(&self.storage, &mut window, offset)? {
            if header.chain != self.chain || header.first_seq != self.last_seq + 1 {
                break;
            }
            let end = offset + HEADER_BYTES as u64 + header.body_len();
            self.chain = crc;
            marked = marked.max(header.durable);
            match content {
                Content::Mark => {}
                Content::Events(rows) => {
                    content_end = end;
                    self.recovery.replayed_events += rows.len() as u64;
                    self.apply(rows, header.first_seq, header.millis, end);
                    refuse_beyond_limit(&self.types)?;
                }
                Content::Erasure(stored) if stored.number == self.erasures.next() => {
                    content_end = end;
                    self.apply_erasure(Erasure::new(stored, &self.key), self.cut_at(end));
                }
                Content::Skip(next_seq) => {
                    content_end = end;
                    self.apply_skip(next_seq, header.millis, end);
                }
                Content::Erasure(_) | Content::Unknown => {
                    let (place, affected) = (self.storage.log_location(offset), Affected::Nothing);
                    return Err(log_damaged(place, offset, UNKNOWN_RECORD, affected));
                }
            }
            offset = end;
        }
        let (next_seq, next_erasure) = (self.last_seq + 1, self.erasures.next());
        let position = LogPosition { offset, next_seq, next_erasure };
        let ahead = scan_ahead(&self.storage, position, range.end, self.log_end)?;
        if let Some(evidence) = ahead.evidence {
            let affected = affected_at(&self.storage, position, self.chain, range.end, self.log_end, evidence)?;
            return Err(log_damaged(self.storage.log_location(offset), offset, &evidence.to_string(), affected));
        }
        self.recovery.was_closed = self.log_end.is_some_and(|end| end.offset == offset && end.chain == self.chain);
        let tail = Tail::at(&self.storage, offset, ahead.is_stale, self.recovery.was_closed)?;
        (self.recovery.cut_bytes, self.recovery.cut_record) = (tail.bytes, tail.record.is_some());
        self.storage.truncate(offset)?;
        self.durable = offset;
        self.marked = if marked < content_end { marked } else { offset };
        Ok(())
    }

    /// Repairs the manifest, rewrites one of an earlier version, and deletes segments that it does not list.
    fn clean_up(&mut self, is_old: bool) -> Result<(), StorageError> {
        if self.recovery.manifest_repaired || is_old {
            match self.manifest.store(&mut self.storage) {
                Ok(()) => {}
                Err(StorageError::Full(_) | StorageError::Unavailable(_)) => {
                    (self.recovery.manifest_repaired, self.recovery.manifest_outdated) = (false, true);
                    // Keep segments that only the other copy lists until it is rewritten, and do not reuse their names:
                    // that copy may be intact and newer, and only unreadable now.
                    let orphans = self.orphans()?;
                    let highest = orphans.iter().filter_map(|name| segment_number(name)).max();
                    self.next_number = self.next_number.max(highest.map_or(0, |highest| highest.saturating_add(1)));
                    self.erasures.leftovers = orphans;
                    return Ok(());
                }
                Err(error @ StorageError::Failed(_)) => return Err(error),
            }
        }
        let orphans = self.orphans()?;
        for name in &orphans {
            self.storage.delete(name)()?;
        }
        self.recovery.orphans = orphans.len() as u32;
        Ok(())
    }

    /// The names of the segments on the medium that the manifest does not list.
    fn orphans(&self) -> Result<Vec<String>, StorageError> {
        let listed: BTreeSet<String> = self.manifest.segments.iter().map(SegmentEntry::name).collect();
        let is_orphan = |name: &String| is_segment_name(name) && !listed.contains(name);
        Ok(self.storage.list()?.into_iter().filter(is_orphan).collect())
    }
}

/// Creates the manifest of a new repository, if the storage is empty.
fn create_manifest<S: Storage>(storage: &mut S, seed: Seed) -> Result<Manifest, OpenError> {
    let orphaned = storage.list()?.into_iter().find(|name| is_segment_name(name));
    if let Some(name) = orphaned {
        let reason = format!("it is missing, although there is a segment, {name}");
        return Err(OpenError::Damaged { place: manifest::NAMES.join(", "), log_offset: None, reason });
    }
    let range = storage.log_range()?;
    let was_closed = storage.open(log_end::NAME)?.is_some();
    if was_closed || range.start != 0 || RecordHeader::decode(&storage.read_log(0, HEADER_BYTES)?).is_some() {
        let reason = "it is missing, although there is a log".to_string();
        return Err(OpenError::Damaged { place: manifest::NAMES.join(", "), log_offset: None, reason });
    }
    let manifest = Manifest::new(seed);
    manifest.store(storage)?;
    Ok(manifest)
}

/// Counts the types of all segments if they may exceed the limit, without loading their names.
fn refuse_too_many_types<S: Storage>(storage: &S, manifest: &Manifest, types_max: usize) -> Result<(), OpenError> {
    let mut lists = Vec::with_capacity(manifest.segments.len());
    for entry in &manifest.segments {
        // A missing or damaged segment is reported when it is opened, and the others are counted then.
        let Some(blob) = storage.open(&entry.name())? else { return Ok(()) };
        let Some(list) = TypeList::open(blob)? else { return Ok(()) };
        lists.push(list);
    }
    if lists.iter().map(TypeList::len).sum::<usize>() <= types_max {
        return Ok(());
    }
    for list in &lists {
        if !list.is_whole()? {
            return Ok(());
        }
    }
    let found = count_types(lists)?;
    if found > types_max { Err(OpenError::TooManyTypes { found, types_max }) } else { Ok(()) }
}

fn refuse_beyond_limit(types: &TypeRegistry) -> Result<(), OpenError> {
    let (found, types_max) = (types.len(), types.max());
    if found > types_max { Err(OpenError::TooManyTypes { found, types_max }) } else { Ok(()) }
}

/// Opens the segments that the manifest lists, ascending.
fn sealed_segments<S: Storage>(
    storage: &S,
    manifest: &Manifest,
    filter_bytes_max: u64,
    types: &mut TypeRegistry,
) -> Result<Vec<Arc<Sealed>>, OpenError> {
    let mut segments = Vec::with_capacity(manifest.segments.len());
    let mut filter_bytes_left = filter_bytes_max;
    // Newest first: callers most likely repeat recent ids, so the newest segments get the filters.
    for entry in manifest.segments.iter().rev() {
        let name = entry.name();
        let Some(blob) = storage.open(&name)? else { return Err(entry.missing()) };
        let seqs = (entry.first, entry.last);
        let mut intern = |name: &[u8]| Ok(types.intern(name));
        let sealed = Sealed::open(&name, seqs, blob, filter_bytes_left, &mut intern)?.with_erased_to(entry.erased_to);
        types.hold_sealed(&sealed).map_err(|miscount| StorageError::Failed(miscount.to_string().into()))?;
        refuse_beyond_limit(types)?;
        filter_bytes_left = filter_bytes_left.saturating_sub(sealed.filter_bytes());
        segments.push(Arc::new(sealed));
    }
    segments.reverse();
    Ok(segments)
}
