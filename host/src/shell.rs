//! Words of a command that people copy into a shell.

use std::path::Path;

/// The path as one word: in single quotes if it has characters that mean something to a shell.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+,:@%".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_if_a_shell_would_split_or_expand_them() {
        for (path, expected) in [
            ("/var/lib/argus-data_1.2", "/var/lib/argus-data_1.2"),
            ("/backup-12:30", "/backup-12:30"),
            ("/daten/größe", "/daten/größe"),
            ("/my data", "'/my data'"),
            ("/a/$HOME;`x`", "'/a/$HOME;`x`'"),
            ("/ada's", r"'/ada'\''s'"),
            ("/a/*~\n", "'/a/*~\n'"),
            ("", "''"),
        ] {
            assert_eq!(word(Path::new(path)), expected);
        }
    }
}
