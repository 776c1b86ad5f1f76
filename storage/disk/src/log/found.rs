//! Finds and checks the files of the log in a folder.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::SPARES_MAX;
use super::file::LogFile;
use super::name::{Kind, file_name};
use crate::error::OpenError;
use crate::folder::{Entry, Folder};

/// The contents of the log's folder, checked.
pub(super) struct Found {
    /// Ascending, without a gap, all of the right length.
    pub(super) files: VecDeque<LogFile>,
    /// Numbers of the spare files.
    pub(super) spares: Vec<u8>,
    /// Temporary files and unusable spares.
    pub(super) useless: Vec<PathBuf>,
    /// Entries that do not belong to the log. They are ignored.
    pub(super) unknown_files: Vec<PathBuf>,
}

impl Found {
    /// The start offsets of the log files, in any order. Another process may change the files at any time.
    pub(super) fn starts(folder: &Folder) -> Result<Vec<u64>, OpenError> {
        let mut starts = Vec::new();
        for entry in folder.entries()? {
            match Kind::of(&entry) {
                Kind::File(start) => starts.push(start),
                Kind::Spare(_) | Kind::Temporary | Kind::Unknown => {}
                Kind::Misplaced => return Err(misplaced(&entry)),
            }
        }
        Ok(starts)
    }

    /// Checks all entries and changes nothing.
    ///
    /// A name similar to that of a log file counts as damage: the file may be the last of the log, renamed by hand, and
    /// ignoring it would lose events silently. Any other name is ignored.
    pub(super) fn in_folder(folder: &Folder, file_bytes: u64) -> Result<Self, OpenError> {
        let mut found =
            Self { files: VecDeque::new(), spares: Vec::new(), useless: Vec::new(), unknown_files: Vec::new() };
        let mut files = Vec::new();
        for entry in folder.entries()? {
            match Kind::of(&entry) {
                Kind::File(start) => files.push(LogFile::open(entry.path, start)?),
                Kind::Spare(number) => {
                    let has_length = LogFile::open(entry.path.clone(), 0)?.len()? == file_bytes;
                    if has_length && number < SPARES_MAX {
                        found.spares.push(number);
                    } else {
                        found.useless.push(entry.path);
                    }
                }
                Kind::Temporary => found.useless.push(entry.path),
                Kind::Unknown => found.unknown_files.push(entry.path),
                Kind::Misplaced => return Err(misplaced(&entry)),
            }
        }
        files.sort_unstable_by_key(|file| file.start);
        let first = files.first().map_or(0, |first| first.start);
        let mut next = None;
        for file in files {
            check(&file.path, file.start, file.len()?, file_bytes, next)?;
            check_origin(&file, file_bytes, first)?;
            next = Some(file.start + file_bytes);
            found.files.push_back(file);
        }
        Ok(found)
    }
}

pub(super) fn misplaced(entry: &Entry) -> OpenError {
    OpenError::damaged(
        &entry.path,
        "this is not a file of the log, but has a similar name; give it its old name, or move it out of this folder",
    )
}

/// Checks the length and start offset of a file; `next` is the end of the one before it, if there is one.
pub(super) fn check(path: &Path, start: u64, len: u64, file_bytes: u64, next: Option<u64>) -> Result<(), OpenError> {
    let damaged = |reason: String| Err(OpenError::damaged(path, reason));
    if len == 0 {
        return damaged("it is empty".to_owned());
    }
    if len != file_bytes {
        return damaged(format!("it is {len} bytes long, and every file of this log has {file_bytes}"));
    }
    if !start.is_multiple_of(file_bytes) || start.checked_add(file_bytes).is_none() {
        return damaged(format!("no file of this log can begin at this offset: all have {file_bytes} bytes"));
    }
    match next {
        Some(next) if next != start => damaged(format!("the log has a gap before it: {} is missing", file_name(next))),
        Some(_) | None => Ok(()),
    }
}

/// Checks that the records of a file belong to the offset in its name. Old records of a recycled file belong before the
/// first file.
fn check_origin(file: &LogFile, file_bytes: u64, first: u64) -> Result<(), OpenError> {
    match file.origin(file_bytes)? {
        Some(origin) if origin != file.start && first <= origin => {
            Err(OpenError::damaged(&file.path, other_name(origin)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The reason for a file whose records belong to another start offset.
pub(super) fn other_name(start: u64) -> String {
    format!("its records belong to {}: files were renamed", file_name(start))
}
