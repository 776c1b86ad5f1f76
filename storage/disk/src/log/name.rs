//! Names in the folder of the log.

use crate::folder::{Entry, PROBE};

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The log from this offset on.
    File(u64),
    Spare(u8),
    Temporary,
    /// Somebody else's: file systems, programs for copying and people leave such things about.
    Unknown,
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
            // Only as it is written here: other ways to write the same number would be a second file with the same
            // place.
            ("log", Ok(start)) if file_name(start) == name => Self::File(start),
            ("spare", Ok(spare)) => match u8::try_from(spare) {
                Ok(spare) if spare_name(spare) == name => Self::Spare(spare),
                Ok(_) | Err(_) => Self::Unknown,
            },
            _ => Self::of_other(name),
        }
    }

    /// Of a name that we do not give. Whoever moves a log file away leaves its number in the name, mostly, or at least
    /// its extension.
    fn of_other(name: &str) -> Self {
        let has_number = name.split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() == DIGITS);
        let is_like_ours = has_number || name.strip_suffix(".log").is_some_and(|stem| stem.parse::<u64>().is_ok());
        if is_like_ours && !name.starts_with('.') { Self::Misplaced } else { Self::Unknown }
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
            assert_eq!(Kind::of_name(name), Kind::Unknown, "{name}");
        }
    }
}
