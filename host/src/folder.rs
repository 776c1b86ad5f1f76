//! A folder given on the command line.

use std::path::PathBuf;

/// Reads the path of a folder, with or without `disk:` before it.
pub(crate) fn parse_folder(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("disk:").unwrap_or(text) {
        "" => Err("expected a folder".to_owned()),
        "memory:" => Err("a repository in memory belongs to its process".to_owned()),
        path => Ok(path.into()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn folders_are_read_with_or_without_disk() {
        assert_eq!(parse_folder("disk:/a"), Ok("/a".into()));
        assert_eq!(parse_folder("b c"), Ok("b c".into()));
        assert_eq!(parse_folder("./memory:"), Ok("./memory:".into()));
        for text in ["", "disk:", "memory:"] {
            parse_folder(text).unwrap_err();
        }
    }
}
