//! A folder given on the command line.

use std::path::PathBuf;

use crate::backend::{Location, UnknownLocation};

/// Reads the path of a folder, with or without `disk:` before it. The result is absolute.
pub(crate) fn parse_folder(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(Location::Disk(path)) => Ok(path),
        Ok(Location::Memory) => {
            Err("a repository in memory belongs to its process; `./memory` is a folder of that name".to_owned())
        }
        Ok(Location::Postgres(_) | Location::Mongodb(_)) => Err("expected a folder, and this is a database".to_owned()),
        Err(UnknownLocation::Kind(_) | UnknownLocation::NoFolder) => {
            Err("expected a folder: PATH or `disk:PATH`".to_owned())
        }
        Err(UnknownLocation::Colon(_)) => {
            Err(format!("expected a folder: PATH or `disk:PATH`; write `./{text}` for a folder of that name"))
        }
        Err(error @ UnknownLocation::WorkingDirectory(_)) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn folders_are_read_with_or_without_disk() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(parse_folder("disk:/a"), Ok("/a".into()));
        assert_eq!(parse_folder("b c"), Ok(here.join("b c")));
        assert_eq!(parse_folder("./memory:"), Ok(here.join("memory:")));
        for (text, expected) in [
            ("", "expected a folder"),
            ("disk:", "expected a folder"),
            ("s3://bucket", "expected a folder"),
            ("backup-12:30", "write `./backup-12:30` for a folder of that name"),
            ("data:2024", "write `./data:2024` for a folder of that name"),
            ("memory:", "belongs to its process"),
            ("memory", "`./memory` is a folder"),
        ] {
            assert!(parse_folder(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
