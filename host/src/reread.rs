//! Files that are read again while the server runs.

use std::path::Path;

/// Whether the contents of a file can be read only once, at the start: it is a pipe, as of `<(…)` in a shell, or a
/// device. Whoever reads it again gets nothing, or waits without end.
pub(crate) fn is_read_once(path: &Path) -> bool {
    // Links are followed. What cannot be looked at may become a file again.
    path.metadata().is_ok_and(|found| !found.is_file())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        assert!(!is_read_once(&file), "it may come");
        std::fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        assert!(!is_read_once(&file) && !is_read_once(&link));
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(is_read_once(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))));
        assert!(is_read_once(Path::new("/dev/null")) && is_read_once(folder.path()));
    }
}
