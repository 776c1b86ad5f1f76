//! The file `format`, which has the version of a folder's layout.

use std::fs::{self, File};
use std::io::{self, Write};

use crate::error::{OpenError, SystemError};
use crate::folder::{Folder, create_file, remove, rename};

const NAME: &str = "format";
/// The name of the file in an unfinished copy. It is made durable before anything else of the copy, and renamed to
/// `format` at the end, so that exactly one of the two exists at any time.
pub(crate) const UNFINISHED: &str = "format.unfinished";
const VERSION: u32 = 1;

/// The layout of a folder: a text of two lines, written when the folder is created and never changed.
///
/// ```text
/// argus-disk 1
/// log-file-bytes 16777216
/// ```
///
/// Log files do not record their nominal length; this file does, independently of the defaults of later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Length of every log file; not 0.
    pub(crate) log_file_bytes: u64,
}

impl Format {
    /// Reads the format of a folder; `None` if there is none, since it is written last. Refuses an unfinished copy.
    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map(Some).map_err(|reason| OpenError::damaged(&path, reason)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let unfinished = folder.join(UNFINISHED);
                let is_there = unfinished.try_exists().map_err(SystemError::of("find", &unfinished))?;
                if is_there { Err(OpenError::Unfinished { path: folder.path().to_owned() }) } else { Ok(None) }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(OpenError::damaged(&path, "it is not UTF-8"))
            }
            Err(error) => Err(SystemError::of("read", &path)(error).into()),
        }
    }

    /// Writes the file durably, and syncs the folder.
    pub(crate) fn store(self, folder: &Folder) -> Result<(), SystemError> {
        let temporary = folder.join("format.tmp");
        let write = || {
            let mut file = create_file(&temporary, File::options().write(true).create(true).truncate(true))?;
            let written = file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all());
            written.map_err(SystemError::of("write", &temporary))
        };
        write()?;
        rename(&temporary, &folder.join(NAME))?;
        folder.sync()
    }

    /// Marks an empty folder durably as an unfinished copy, so that it is refused until it is
    /// [complete](Self::complete).
    ///
    /// After an error the folder may be marked too, possibly by an empty file.
    pub(crate) fn begin(self, folder: &Folder) -> Result<(), SystemError> {
        let path = folder.join(UNFINISHED);
        // `create_new`, since two processes may have found the folder empty.
        let mut file = create_file(&path, File::options().write(true).create_new(true))?;
        let written = file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(SystemError::of("write", &path))?;
        folder.sync()
    }

    /// Removes the mark from a folder in which no copy was begun.
    pub(crate) fn withdraw(folder: &Folder) -> Result<(), SystemError> {
        remove(&folder.join(UNFINISHED))?;
        folder.sync()
    }

    /// Turns a complete copy into a repository, by a rename, which succeeds on a full disk too.
    pub(crate) fn complete(folder: &Folder) -> Result<(), SystemError> {
        rename(&folder.join(UNFINISHED), &folder.join(NAME))?;
        folder.sync()
    }

    fn text(self) -> String {
        format!("argus-disk {VERSION}\nlog-file-bytes {}\n", self.log_file_bytes)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let number = |line: Option<&str>, name: &str| -> Option<u64> {
            line?.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
        };
        let mut lines = text.lines();
        match number(lines.next(), "argus-disk") {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(format!("version {version} of the layout is unknown to this program")),
            None => return Err("it does not begin with the version of the layout".to_owned()),
        }
        let log_file_bytes = number(lines.next(), "log-file-bytes").filter(|&bytes| bytes > 0);
        let format = log_file_bytes.map(|log_file_bytes| Self { log_file_bytes });
        format.ok_or_else(|| "it has no valid length of log files".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_stored_format_is_loaded() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert_eq!(Format::load(&folder).unwrap(), None);
        let format = Format { log_file_bytes: 1 << 26 };
        format.store(&folder).unwrap();
        assert_eq!(Format::load(&folder).unwrap(), Some(format));
        assert_eq!(fs::read_to_string(folder.join(NAME)).unwrap(), "argus-disk 1\nlog-file-bytes 67108864\n");
    }

    #[test]
    fn a_copy_gets_its_format_when_it_is_complete() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let format = Format { log_file_bytes: 1 << 26 };
        format.begin(&folder).unwrap();
        assert!(matches!(Format::load(&folder), Err(OpenError::Unfinished { path }) if path == root.path()));
        let second = format.begin(&folder).unwrap_err().to_string();
        assert!(second.starts_with("cannot create ") && second.contains("/format.unfinished: "), "{second}");
        Format::complete(&folder).unwrap();
        assert_eq!(Format::load(&folder).unwrap(), Some(format));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn invalid_formats_are_refused() {
        let error = |text: &str| Format::parse(text).unwrap_err();
        assert_eq!(error(""), "it does not begin with the version of the layout");
        assert_eq!(error("argus-disk 2\n"), "version 2 of the layout is unknown to this program");
        for text in ["argus-disk 1\n", "argus-disk 1\nlog-file-bytes 0\n", "argus-disk 1\nlog-file-bytes x\n"] {
            assert_eq!(error(text), "it has no valid length of log files");
        }
    }
}
