//! The file names in the log's folder.

use crate::folder::{Entry, PROBE};

/// The meaning of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A log file that begins at this offset.
    File(u64),
    Spare(u8),
    Temporary,
    /// Not a file of the log: file systems, copy programs and people leave such files.
    Unknown,
    /// None of these, but similar to the name of a log file: it may be a log file that was renamed or copied.
    Misplaced,
}

/// Digits of an offset in a name, enough for the highest.
const DIGITS: usize = 20;

/// The name of the file that begins at `start`. Names sort like offsets.
pub(super) fn file_name(start: u64) -> String {
    format!("{start:0DIGITS$}.log")
}

pub(super) fn spare_name(number: u8) -> String {
    format!("{number}.spare")
}

impl Kind {
    pub(super) fn of(entry: &Entry) -> Self {
        match entry.name() {
            Some(name) if entry.is_file => Self::of_name(name),
            Some(name) => Self::of_other(name),
            None => Self::Unknown,
        }
    }

    fn of_name(name: &str) -> Self {
        if name == PROBE || name.strip_suffix(".tmp").is_some_and(|name| matches!(Self::of_name(name), Self::File(_))) {
            return Self::Temporary;
        }
        let Some((number, extension)) = name.split_once('.') else { return Self::of_other(name) };
        match (extension, number.parse::<u64>()) {
            // Only in the form that `file_name` writes: otherwise two files could have the same offset.
            ("log", Ok(start)) if file_name(start) == name => Self::File(start),
            ("spare", Ok(spare)) => match u8::try_from(spare) {
                Ok(spare) if spare_name(spare) == name => Self::Spare(spare),
                Ok(_) | Err(_) => Self::Unknown,
            },
            _ => Self::of_other(name),
        }
    }

    /// For a name that Argus does not use. A renamed log file mostly keeps its number, or at least its extension.
    fn of_other(name: &str) -> Self {
        let has_number = name.split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() == DIGITS);
        let is_similar = has_number || name.strip_suffix(".log").is_some_and(|stem| stem.parse::<u64>().is_ok());
        if is_similar && !name.starts_with('.') { Self::Misplaced } else { Self::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_meaning_and_each_offset_one_name() {
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
            assert_eq!(Kind::of_name(name), Kind::Unknown, "{name}");
        }
    }
}
