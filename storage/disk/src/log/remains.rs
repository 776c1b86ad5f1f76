//! The log of a folder that may be damaged.

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
use super::readable;
use crate::error::{Fault, OpenError};
use crate::folder::Folder;
use crate::system::drop_cached;

/// Where the medium refuses to give back a piece, it is tried in pieces as large as its sectors.
const SECTOR_BYTES: usize = 512;

/// How much is read at once of a file that is looked through.
const READ_AT_ONCE: usize = 1 << 20;

/// A log of which files may be missing, too short, too long, under each other's names or unreadable: zeros stand for
/// what is not there.
#[derive(Debug)]
pub(crate) struct LogRemains {
    /// By the offset at which they begin.
    files: BTreeMap<u64, Part>,
    file_bytes: u64,
    strangers: Vec<PathBuf>,
}

/// A file, with as much of it as may belong to the log.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
    len: u64,
    origins: Origins,
}

impl LogRemains {
    /// What there is in a folder, and all that is wrong with it. Where nothing says how long files are, or what says so
    /// fits none of them, it is what most of them are.
    pub(crate) fn open(path: &Path, file_bytes: Option<u64>) -> (Self, Vec<OpenError>) {
        let mut strangers = Vec::new();
        let (mut named, mut wrong) = files(path, &mut strangers);
        let expected =
            file_bytes.filter(|&said| fits(said, &named)).or_else(|| usual(&named)).or(file_bytes).unwrap_or(1);
        for part in named.values_mut() {
            wrong.extend(part.read_all(expected).err());
        }
        let (placed, elsewhere) = placed(named, expected);
        wrong.extend(elsewhere);
        let mut files = BTreeMap::new();
        let mut next = None;
        for (start, part) in placed {
            wrong.extend(check(&part.path, start, part.len, file_bytes.unwrap_or(expected), next).err());
            let Some(end) = start.checked_add(expected).filter(|_| start.is_multiple_of(expected)) else { continue };
            // Without a record to begin with, what lies behind a gap means nothing.
            if next.is_some_and(|next| next < start) && part.origins.is_empty() {
                continue;
            }
            next = Some(end);
            files.insert(start, part);
        }
        (Self { files, file_bytes: expected, strangers }, wrong)
    }

    /// What lies among the files and is none of them.
    pub(crate) fn strangers(&self) -> &[PathBuf] {
        &self.strangers
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn range(&self) -> Range<u64> {
        let end = self.files.last_key_value().map_or(0, |(start, _)| start + self.file_bytes);
        self.files.first_key_value().map_or(end, |(start, _)| *start)..end
    }

    /// Whether some of these bytes are not there: where no file is, or behind the end of one that is too short.
    pub(crate) fn lacks(&self, range: Range<u64>) -> bool {
        let Range { start: mut at, end } = range;
        while at < end {
            let within = at % self.file_bytes;
            let is_there = self.files.get(&(at - within)).is_some_and(|part| within < part.len);
            if !is_there {
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

    /// Up to so many bytes of the log from `offset`; fewer only at its end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; readable(&self.range(), offset, len)?];
        let mut rest = bytes.as_mut_slice();
        let mut at = offset;
        while !rest.is_empty() {
            let within = at % self.file_bytes;
            let room = usize::try_from(self.file_bytes - within).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at_mut(room.min(rest.len()));
            if let Some(part) = self.files.get(&(at - within)) {
                part.read(within, piece);
            }
            at += piece.len() as u64;
            rest = behind;
        }
        Ok(bytes.into())
    }
}

impl Part {
    /// Reads what can be read; the rest stays as it is.
    fn read(&self, within: u64, bytes: &mut [u8]) {
        if self.file.read_exact_at(bytes, within).is_ok() {
            return;
        }
        let mut at = within;
        for piece in bytes.chunks_mut(SECTOR_BYTES) {
            // Up to the end of the file or of what can be read.
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

    /// Reads all of it, to see whether that can be done and what of the log it has.
    fn read_all(&mut self, file_bytes: u64) -> Result<(), OpenError> {
        let mut buffer = vec![0; READ_AT_ONCE + HEADER_SEEN_BYTES];
        let (mut at, mut outcome) = (0, Ok(()));
        while at < self.len {
            let now = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(buffer.len());
            let piece = buffer.get_mut(..now).unwrap_or_default();
            if let Err(error) = self.file.read_exact_at(piece, at) {
                outcome = outcome.and(Err(Fault::of("read", &self.path)(error).into()));
                self.read(at, piece);
            }
            self.origins.take(at, piece, file_bytes);
            at += READ_AT_ONCE as u64;
        }
        outcome
    }
}

/// The files that are there by their names, and what cannot be one.
fn files(path: &Path, strangers: &mut Vec<PathBuf>) -> (BTreeMap<u64, Part>, Vec<OpenError>) {
    let mut files = BTreeMap::new();
    let entries = match Folder::open(path).and_then(|folder| folder.entries()) {
        Ok(entries) => entries,
        Err(fault) => return (files, vec![fault.into()]),
    };
    let mut wrong = Vec::new();
    for entry in entries {
        match Kind::of(&entry) {
            Kind::File(start) => match open(entry.path) {
                Ok(found) => drop(files.insert(start, found)),
                Err(fault) => wrong.push(fault.into()),
            },
            Kind::Spare(_) | Kind::Temporary => {}
            Kind::Stranger => strangers.push(entry.path),
            Kind::Misplaced => wrong.push(misplaced(&entry)),
        }
    }
    (files, wrong)
}

fn open(path: PathBuf) -> Result<Part, Fault> {
    let file = File::open(&path).map_err(Fault::of("open", &path))?;
    let len = file.metadata().map_err(Fault::of("examine", &path))?.len();
    drop_cached(&file);
    Ok(Part { path, file, len, origins: Origins::default() })
}

/// Whether files can be so long: one is, or one begins so far behind another, or all are about as long.
fn fits(file_bytes: u64, files: &BTreeMap<u64, Part>) -> bool {
    let mut starts = files.keys().zip(files.keys().skip(1));
    files.values().any(|part| part.len == file_bytes)
        || starts.any(|(start, next)| next - start == file_bytes)
        || files.values().all(|part| part.len / 2 < file_bytes)
}

/// What most of them are.
fn usual(files: &BTreeMap<u64, Part>) -> Option<u64> {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    files.values().filter(|part| part.len > 0).for_each(|part| *counts.entry(part.len).or_default() += 1);
    counts.into_iter().max_by_key(|&(len, count)| (count, len)).map(|(len, _)| len)
}

/// The files by what is in them, where that says that they have other names than they should; and which these are.
///
/// What a file held in an earlier life lay before all files that there are now. So a file without a record of its own
/// place, but with one of another that is not before all of them, has lost its name; and so has the file whose name it
/// should have.
fn placed(mut named: BTreeMap<u64, Part>, file_bytes: u64) -> (BTreeMap<u64, Part>, Vec<OpenError>) {
    let first = named.first_key_value().map_or(0, |(first, _)| *first);
    let end = named.last_key_value().map_or(0, |(last, _)| last.saturating_add(file_bytes));
    let place_of = |name: u64, part: &Part| {
        let is_lost = !part.origins.has(name);
        part.origins.descending().find(|place| is_lost && (first..=end).contains(place))
    };
    let lost: Vec<(u64, Part)> = named.extract_if(.., |name, part| place_of(*name, part).is_some()).collect();
    let mut vacant: BTreeSet<u64> = lost.iter().map(|&(name, _)| name).collect();
    let mut wrong = Vec::new();
    let mut placed: BTreeMap<u64, Part> = BTreeMap::new();
    let mut nameless = Vec::new();
    for (name, part) in lost {
        let place = place_of(name, &part).filter(|place| !placed.contains_key(place));
        match place.filter(|place| named.get(place).is_none_or(|other| !other.origins.has(*place))) {
            Some(place) => {
                vacant.remove(&place);
                nameless.extend(named.remove(&place));
                wrong.push(OpenError::damaged(&part.path, other_name(place)));
                placed.insert(place, part);
            }
            None => wrong
                .push(OpenError::damaged(&part.path, "what it has belongs elsewhere, where another file is already")),
        }
    }
    // What has no record can be told by nothing else than the names that are left.
    for part in nameless {
        let place = vacant.pop_first();
        wrong
            .push(OpenError::damaged(&part.path, place.map_or_else(|| "its name is another's".to_owned(), other_name)));
        placed.extend(place.map(|place| (place, part)));
    }
    placed.append(&mut named);
    (placed, wrong)
}
