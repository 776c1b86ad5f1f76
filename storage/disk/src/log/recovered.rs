//! Reads a log that may be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use argus_core::engine::HEADER_SEEN_BYTES;
use argus_core::storage::StorageError;
use bytes::Bytes;

use super::found::{check, misplaced, other_name};
use super::name::Kind;
use super::origin::Origins;
use super::{by_file, readable};
use crate::error::{OpenError, SystemError};
use crate::folder::Folder;
use crate::system::drop_cached;

/// Where a read fails, it is repeated in pieces of the size of a sector.
const SECTOR_BYTES: usize = 512;

/// Bytes read at a time when a file is searched.
const READ_AT_ONCE: usize = 1 << 20;

/// The readable bytes of a log whose files may be missing, too short, too long, renamed or unreadable. Missing bytes
/// read as zeros.
#[derive(Debug)]
pub(crate) struct RecoveredLog {
    /// By start offset.
    files: BTreeMap<u64, Part>,
    file_bytes: u64,
    unknown_files: Vec<PathBuf>,
}

/// A file of the log.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    origins: Origins,
}

impl RecoveredLog {
    /// Finds the files of a folder, and their errors. If the length of files is unknown, or fits none of them, assumes
    /// the most frequent one.
    pub(crate) fn open(path: &Path, file_bytes: Option<u64>) -> (Self, Vec<OpenError>) {
        let mut unknown_files = Vec::new();
        let (mut named, mut wrong) = files(path, &mut unknown_files);
        let expected = file_bytes
            .filter(|&bytes| fits(bytes, &named))
            .or_else(|| most_frequent_len(&named))
            .or(file_bytes)
            .unwrap_or(1);
        for part in named.values_mut() {
            wrong.extend(part.read_all(expected).err());
        }
        let (files_by_start, renamed) = undo_renames(named, expected);
        wrong.extend(renamed);
        let mut files = BTreeMap::new();
        let mut next = None;
        for (start, part) in files_by_start {
            wrong.extend(check(&part.path, start, part.len, file_bytes.unwrap_or(expected), next).err());
            let Some(end) = start.checked_add(expected).filter(|_| start.is_multiple_of(expected)) else { continue };
            // After a gap, a file without a record header cannot be interpreted.
            if next.is_some_and(|next| next < start) && part.origins.is_empty() {
                continue;
            }
            next = Some(end);
            files.insert(start, part);
        }
        (Self { files, file_bytes: expected, unknown_files }, wrong)
    }

    /// Entries of the folder that do not belong to the log.
    pub(crate) fn unknown_files(&self) -> &[PathBuf] {
        &self.unknown_files
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn range(&self) -> Range<u64> {
        let end = self.files.last_key_value().map_or(0, |(start, _)| start + self.file_bytes);
        self.files.first_key_value().map_or(end, |(start, _)| *start)..end
    }

    /// Whether some of these bytes are missing, because a file is missing or too short.
    pub(crate) fn lacks(&self, range: Range<u64>) -> bool {
        let Range { start: mut at, end } = range;
        while at < end {
            let within = at % self.file_bytes;
            let exists = self.files.get(&(at - within)).is_some_and(|part| within < part.len);
            if !exists {
                return true;
            }
            let part_end = self.files.get(&(at - within)).map_or(0, |part| part.len.min(self.file_bytes));
            at = at - within + part_end;
            if part_end < self.file_bytes && at < end {
                return true;
            }
        }
        false
    }

    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; readable(&self.range(), offset, len)?];
        by_file(&mut bytes, offset, self.file_bytes, |start, within, piece| {
            if let Some(part) = self.files.get(&start) {
                part.read(within, piece);
            }
            Ok(())
        })?;
        Ok(bytes.into())
    }
}

impl Part {
    /// Reads all readable bytes; the others are zeros.
    fn read(&self, within: u64, bytes: &mut [u8]) {
        if self.file.read_exact_at(bytes, within).is_ok() {
            return;
        }
        let mut at = within;
        for piece in bytes.chunks_mut(SECTOR_BYTES) {
            // Up to the end of the file, or to the first unreadable byte of the sector.
            let mut rest = &mut *piece;
            while !rest.is_empty() {
                match self.file.read_at(rest, at) {
                    Ok(0) | Err(_) => {
                        rest.fill(0);
                        at += rest.len() as u64;
                        rest = &mut [];
                    }
                    Ok(read) => {
                        at += read as u64;
                        rest = rest.split_at_mut(read).1;
                    }
                }
            }
        }
    }

    /// Reads the whole file, to find unreadable parts and its record headers.
    fn read_all(&mut self, file_bytes: u64) -> Result<(), OpenError> {
        let mut buffer = vec![0; READ_AT_ONCE + HEADER_SEEN_BYTES];
        let (mut at, mut outcome) = (0, Ok(()));
        while at < self.len {
            let now = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..now).unwrap_or_default();
            if let Err(error) = self.file.read_exact_at(piece, at) {
                outcome = outcome.and(Err(SystemError::of("read", &self.path)(error).into()));
                self.read(at, piece);
            }
            self.origins.take(at, piece, file_bytes);
            at += READ_AT_ONCE as u64;
        }
        outcome
    }
}

/// The log files by the offsets in their names, and the errors of the folder.
fn files(path: &Path, unknown_files: &mut Vec<PathBuf>) -> (BTreeMap<u64, Part>, Vec<OpenError>) {
    let mut files = BTreeMap::new();
    let entries = match Folder::open(path).and_then(|folder| folder.entries()) {
        Ok(entries) => entries,
        Err(error) => return (files, vec![error.into()]),
    };
    let mut wrong = Vec::new();
    for entry in entries {
        match Kind::of(&entry) {
            Kind::File(start) => match open(entry.path) {
                Ok(found) => drop(files.insert(start, found)),
                Err(error) => wrong.push(error.into()),
            },
            Kind::Spare(_) | Kind::Temporary => {}
            Kind::Unknown => unknown_files.push(entry.path),
            Kind::Misplaced => wrong.push(misplaced(&entry)),
        }
    }
    (files, wrong)
}

fn open(path: PathBuf) -> Result<Part, SystemError> {
    let file = File::open(&path).map_err(SystemError::of("open", &path))?;
    let len = file.metadata().map_err(SystemError::of("examine", &path))?.len();
    drop_cached(&file);
    Ok(Part { path, file, len, origins: Origins::default() })
}

/// Whether files can have this length: one has it, or two begin at this distance, or all are shorter than twice this
/// length.
fn fits(file_bytes: u64, files: &BTreeMap<u64, Part>) -> bool {
    let mut starts = files.keys().zip(files.keys().skip(1));
    files.values().any(|part| part.len == file_bytes)
        || starts.any(|(start, next)| next - start == file_bytes)
        || files.values().all(|part| part.len / 2 < file_bytes)
}

/// The most frequent length.
fn most_frequent_len(files: &BTreeMap<u64, Part>) -> Option<u64> {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    files.values().filter(|part| part.len > 0).for_each(|part| *counts.entry(part.len).or_default() += 1);
    counts.into_iter().max_by_key(|&(len, count)| (count, len)).map(|(len, _)| len)
}

/// Puts renamed files where their records belong, and reports them.
///
/// Old records of a recycled file belong before the first file. So a file was renamed if no record belongs to the
/// offset in its name, but one belongs to another offset that is not before the first file. The file that now has the
/// name of that other offset was renamed too.
fn undo_renames(mut named: BTreeMap<u64, Part>, file_bytes: u64) -> (BTreeMap<u64, Part>, Vec<OpenError>) {
    let first = named.first_key_value().map_or(0, |(first, _)| *first);
    let end = named.last_key_value().map_or(0, |(last, _)| last.saturating_add(file_bytes));
    let start_of = |name: u64, part: &Part| {
        let is_renamed = !part.origins.has(name);
        part.origins.descending().find(|start| is_renamed && (first..=end).contains(start))
    };
    let renamed: Vec<(u64, Part)> = named.extract_if(.., |name, part| start_of(*name, part).is_some()).collect();
    let mut vacant: BTreeSet<u64> = renamed.iter().map(|&(name, _)| name).collect();
    let mut wrong = Vec::new();
    let mut restored: BTreeMap<u64, Part> = BTreeMap::new();
    let mut displaced = Vec::new();
    for (name, part) in renamed {
        let start = start_of(name, &part).filter(|start| !restored.contains_key(start));
        match start.filter(|start| named.get(start).is_none_or(|other| !other.origins.has(*start))) {
            Some(start) => {
                vacant.remove(&start);
                displaced.extend(named.remove(&start));
                wrong.push(OpenError::damaged(&part.path, other_name(start)));
                restored.insert(start, part);
            }
            None => wrong
                .push(OpenError::damaged(&part.path, "its records belong elsewhere, where another file is already")),
        }
    }
    // A file without records gets one of the remaining names.
    for part in displaced {
        let start = vacant.pop_first();
        wrong.push(OpenError::damaged(
            &part.path,
            start.map_or_else(|| "its name belongs to another file".to_owned(), other_name),
        ));
        restored.extend(start.map(|start| (start, part)));
    }
    restored.append(&mut named);
    (restored, wrong)
}
