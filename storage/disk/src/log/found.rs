//! The files of the log that a folder has.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::SPARES_MAX;
use super::file::LogFile;
use crate::error::OpenError;
use crate::folder::{Entry, Folder, PROBE};

/// What lies in the folder of the log, with nothing wrong about it.
pub(super) struct Found {
    /// Ascending, without a gap, all of the right length.
    pub(super) files: VecDeque<LogFile>,
    /// Numbers of files to be written anew.
    pub(super) spares: Vec<u8>,
    /// Files of ours that serve no purpose.
    pub(super) useless: Vec<PathBuf>,
    /// What is not ours and stays where it is.
    pub(super) strangers: Vec<PathBuf>,
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The log from this offset on.
    File(u64),
    Spare(u8),
    Temporary,
    /// Somebody else's: file systems, programs for copying and people leave such things about.
    Stranger,
    /// None of these, but its name is like that of a file of the log: it may be one that somebody has moved or copied.
    Misplaced,
}

/// Digits of an offset in a name: so many has the highest.
const DIGITS: usize = 20;

/// The name of the file that has the log from `start` on. The order of names is that of offsets.
pub(super) fn file_name(start: u64) -> String {
    format!("{start:0DIGITS$}.log")
}

pub(super) fn spare_name(number: u8) -> String {
    format!("{number}.spare")
}

impl Found {
    /// Where the files of the log begin, in any order. Their number and their bytes may be about to change.
    pub(super) fn starts(folder: &Folder) -> Result<Vec<u64>, OpenError> {
        let mut starts = Vec::new();
        for entry in folder.entries()? {
            match Kind::of(&entry) {
                Kind::File(start) => starts.push(start),
                Kind::Spare(_) | Kind::Temporary | Kind::Stranger => {}
                Kind::Misplaced => return Err(misplaced(&entry)),
            }
        }
        Ok(starts)
    }

    /// Looks at everything and changes nothing.
    ///
    /// A name like that of a log file counts as damage: the file may be the last of the log, moved away by hand, and
    /// going on without it would lose events in silence. What has any other name is left alone.
    pub(super) fn in_folder(folder: &Folder, file_bytes: u64) -> Result<Self, OpenError> {
        let mut found = Self { files: VecDeque::new(), spares: Vec::new(), useless: Vec::new(), strangers: Vec::new() };
        let mut files = Vec::new();
        for entry in folder.entries()? {
            match Kind::of(&entry) {
                Kind::File(start) => files.push(LogFile::open(entry.path, start)?),
                Kind::Spare(number) => {
                    let is_right = LogFile::open(entry.path.clone(), 0)?.len()? == file_bytes;
                    if is_right && number < SPARES_MAX {
                        found.spares.push(number);
                    } else {
                        found.useless.push(entry.path);
                    }
                }
                Kind::Temporary => found.useless.push(entry.path),
                Kind::Stranger => found.strangers.push(entry.path),
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
        "this is not a file of the log, and has the name of one; put it back in its place, or move it elsewhere",
    )
}

/// Whether a file can be what it says; `next` is where the one before it ends, if there is one.
pub(super) fn check(path: &Path, start: u64, len: u64, file_bytes: u64, next: Option<u64>) -> Result<(), OpenError> {
    let damaged = |reason: String| Err(OpenError::damaged(path, reason));
    if len == 0 {
        return damaged("it has no bytes: nothing is left of it".to_owned());
    }
    if len != file_bytes {
        return damaged(format!("it is {len} bytes long, and every file of this log has {file_bytes}"));
    }
    if !start.is_multiple_of(file_bytes) || start.checked_add(file_bytes).is_none() {
        return damaged(format!("no file of this log begins there: all have {file_bytes} bytes"));
    }
    match next {
        Some(next) if next != start => damaged(format!("the log has a gap before it: {} is missing", file_name(next))),
        Some(_) | None => Ok(()),
    }
}

/// Whether a file has what its name says. What it held in an earlier life lay before all that there are.
fn check_origin(file: &LogFile, file_bytes: u64, first: u64) -> Result<(), OpenError> {
    match file.origin(file_bytes)? {
        Some(origin) if origin != file.start && first <= origin => {
            Err(OpenError::damaged(&file.path, other_name(origin)))
        }
        Some(_) | None => Ok(()),
    }
}

/// What is wrong with a file that has what belongs to another place.
pub(super) fn other_name(place: u64) -> String {
    format!("it has what belongs into {}: files have each other's names", file_name(place))
}

impl Kind {
    pub(super) fn of(entry: &Entry) -> Self {
        match entry.name() {
            Some(name) if entry.is_file => Self::of_name(name),
            Some(name) => Self::of_other(name),
            None => Self::Stranger,
        }
    }

    fn of_name(name: &str) -> Self {
        if name == PROBE || name.strip_suffix(".tmp").is_some_and(|name| matches!(Self::of_name(name), Self::File(_))) {
            return Self::Temporary;
        }
        let Some((number, extension)) = name.split_once('.') else { return Self::of_other(name) };
        match (extension, number.parse::<u64>()) {
            // Only as it is written here: other ways to write the same number would be a second file with the same
            // place.
            ("log", Ok(start)) if file_name(start) == name => Self::File(start),
            ("spare", Ok(spare)) => match u8::try_from(spare) {
                Ok(spare) if spare_name(spare) == name => Self::Spare(spare),
                Ok(_) | Err(_) => Self::Stranger,
            },
            _ => Self::of_other(name),
        }
    }

    /// Of a name that we do not give. Whoever moves a log file away leaves its number in the name, mostly, or at least
    /// its extension.
    fn of_other(name: &str) -> Self {
        let has_number = name.split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() == DIGITS);
        let is_like_ours = has_number || name.strip_suffix(".log").is_some_and(|stem| stem.parse::<u64>().is_ok());
        if is_like_ours && !name.starts_with('.') { Self::Misplaced } else { Self::Stranger }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_one_thing_and_are_written_one_way() {
        assert_eq!(Kind::of_name("00000000000000065536.log"), Kind::File(65536));
        assert_eq!(Kind::of_name("18446744073709551615.log"), Kind::File(u64::MAX));
        assert_eq!(Kind::of_name("00000000000000065536.log.tmp"), Kind::Temporary);
        assert_eq!(Kind::of_name("0.spare"), Kind::Spare(0));
        assert_eq!(Kind::of_name("probe.0.tmp"), Kind::Temporary);
        for name in [
            "65536.log",
            "+0000000000000065536.log",
            "18446744073709551616.log",
            "00000000000000065536.log.old",
            "00000000000000065536",
            "Copy of 00000000000000065536.log",
            "00000000000000065536 (1).log",
        ] {
            assert_eq!(Kind::of_name(name), Kind::Misplaced, "{name}");
        }
        for name in [
            "0.spare.tmp",
            "00.spare",
            "256.spare",
            "notes.tmp",
            "notes.txt",
            "argus.log",
            "2024-11-28.log",
            ".log",
            ".00000000000000065536.log.swp",
            ".nfs000000000001",
            "lost+found",
            "x",
        ] {
            assert_eq!(Kind::of_name(name), Kind::Stranger, "{name}");
        }
    }
}
