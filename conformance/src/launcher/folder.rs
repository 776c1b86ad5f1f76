//! The temporary data folders of servers.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::owner;

/// How their names begin. The name of the process that has made them follows.
const PREFIX: &str = "argus-conformance-";

/// A new folder, which is removed when dropped.
///
/// # Errors
///
/// The system refuses it.
pub(super) fn temporary() -> io::Result<TempDir> {
    TempDir::with_prefix(format!("{PREFIX}{}-", owner::this_process()))
}

/// Removes folders left behind by runs that were killed.
pub fn remove_left_over_folders() {
    remove_unused(&std::env::temp_dir(), owner::has_ended);
}

fn remove_unused(parent: &Path, has_ended: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let process = rest.and_then(|rest| rest.rsplit_once('-')).map(|(process, _)| process);
        if process.is_some_and(&has_ended) {
            // One of another user stays, and so does one that another process removes at this moment.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_dead_processes_are_removed() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| parent.path().join(name);
        let kept = ["argus-conformance-a-1-abc", "argus-conformance-abc", "argus-conformance-x-1", "other-a-2-abc"];
        for name in kept.iter().chain(&["argus-conformance-a-2-abc"]) {
            fs::create_dir(path(name)).expect("a folder");
        }
        fs::write(path("argus-conformance-a-2-abc").join("file"), "data").expect("a file");
        remove_unused(parent.path(), |process| process == "a-2");
        assert!(kept.iter().all(|name| path(name).exists()));
        assert!(!path("argus-conformance-a-2-abc").exists());
    }

    #[test]
    fn a_folder_names_its_process() {
        let folder = temporary().expect("a temporary folder");
        let name = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("{PREFIX}{}-", owner::this_process())), "{name}");
    }
}
