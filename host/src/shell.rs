//! Words of a command that people copy into a shell.

use std::path::Path;

/// The path as one word on one line: in quotes if it has characters that mean something to a shell.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |char: char| char.is_alphanumeric() || "/._-+,:@%".contains(char);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    if !text.contains(char::is_control) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = "$'".to_owned();
    for char in text.chars() {
        match char {
            '\'' | '\\' => word.extend(['\\', char]),
            _ if char.is_control() => {
                word.extend(char.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!(r"\{byte:03o}")));
            }
            _ => word.push(char),
        }
    }
    word + "'"
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
            (r"/a/*~\", r"'/a/*~\'"),
            ("/a\nb", r"$'/a\012b'"),
            ("/it's\\\u{1b}[0m\u{85}", r"$'/it\'s\\\033[0m\302\205'"),
            ("", "''"),
        ] {
            assert_eq!(word(Path::new(path)), expected);
        }
    }
}
