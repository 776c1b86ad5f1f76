use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::found::{Kind, check, misplaced};
use crate::error::{Fault, OpenError};
use crate::folder::Folder;
use crate::system::drop_cached;

/// Where the medium refuses to give back a piece, it is tried in pieces as large as its sectors.
const SECTOR_BYTES: usize = 512;

/// How much is read at once to see whether it can be.
const TRIED_AT_ONCE: usize = 1 << 20;

/// A log of which files may be missing, too short, too long or unreadable: zeros stand for what is not there.
#[derive(Debug)]
pub(crate) struct LogRemains {
    /// By the offset at which they begin.
    files: BTreeMap<u64, Part>,
    file_bytes: u64,
    strangers: Vec<PathBuf>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
}

impl LogRemains {
    /// What there is in a folder, and all that is wrong with it. Where nothing says how long files are, or no file is as long as that, it is
    /// what most of them are.
    pub(crate) fn open(path: &Path, file_bytes: Option<u64>) -> (Self, Vec<OpenError>) {
        let mut strangers = Vec::new();
        let (found, mut wrong) = files(path, &mut strangers);
        let lengths = || found.values().map(|&(_, len)| len);
        let said = file_bytes.filter(|&bytes| found.is_empty() || lengths().any(|len| len == bytes));
        let expected = said.or_else(|| usual(lengths())).or(file_bytes).unwrap_or(1);
        let mut files = BTreeMap::new();
        let mut next = None;
        for (start, (part, len)) in found {
            wrong.extend(check(&part.path, start, len, file_bytes.unwrap_or(expected), next).err());
            let Some(end) = start.checked_add(expected).filter(|_| start.is_multiple_of(expected)) else { continue };
            next = Some(end);
            wrong.extend(part.try_all(len).err());
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

    /// Bytes of the log from `offset`; fewer only at its end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let end = self.range().end.min(offset.saturating_add(len as u64));
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(offset)).unwrap_or_default()];
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
        bytes
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

    /// Whether all of it can be read.
    fn try_all(&self, len: u64) -> Result<(), OpenError> {
        let mut buffer = vec![0; TRIED_AT_ONCE];
        let mut at = 0;
        while at < len {
            let now = usize::try_from(len - at).unwrap_or(usize::MAX).min(TRIED_AT_ONCE);
            let piece = buffer.get_mut(..now).unwrap_or_default();
            self.file.read_exact_at(piece, at).map_err(Fault::of("read", &self.path))?;
            at += now as u64;
        }
        Ok(())
    }
}

/// The files that are there by their names, each with its length, and what cannot be one.
fn files(path: &Path, strangers: &mut Vec<PathBuf>) -> (BTreeMap<u64, (Part, u64)>, Vec<OpenError>) {
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

fn open(path: PathBuf) -> Result<(Part, u64), Fault> {
    let file = File::open(&path).map_err(Fault::of("open", &path))?;
    let len = file.metadata().map_err(Fault::of("examine", &path))?.len();
    drop_cached(&file);
    Ok((Part { path, file }, len))
}

/// What most of them are.
fn usual(lengths: impl Iterator<Item = u64>) -> Option<u64> {
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    lengths.filter(|&len| len > 0).for_each(|len| *counts.entry(len).or_default() += 1);
    counts.into_iter().max_by_key(|&(len, count)| (count, len)).map(|(len, _)| len)
}
