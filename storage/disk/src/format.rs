use std::fs::{self, File};
use std::io::{self, Write};

use crate::error::{Fault, OpenError};
use crate::folder::{Folder, rename};

const NAME: &str = "format";
const VERSION: u32 = 1;

/// How a folder is laid out: a text of two lines, written when the folder is new and never changed.
///
/// ```text
/// argus-disk 1
/// log-file-bytes 67108864
/// ```
///
/// A log file says nothing about how long it should be; this does, whatever later versions of the program would have chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Length of every log file; not 0.
    pub(crate) log_file_bytes: u64,
}

impl Format {
    /// That of a folder, if it has one: it is the last thing that a new folder gets.
    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map(Some).map_err(|reason| OpenError::damaged(&path, reason)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(OpenError::damaged(&path, "it is no text")),
            Err(error) => Err(Fault::of("read", &path)(error).into()),
        }
    }

    /// Makes it durable, and all other entries of the folder with it.
    pub(crate) fn store(self, folder: &Folder) -> Result<(), Fault> {
        let temporary = folder.join("format.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()
        };
        write().map_err(Fault::of("write", &temporary))?;
        rename(&temporary, &folder.join(NAME))?;
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
        format.ok_or_else(|| "it does not say how long log files are".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_format_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert_eq!(Format::load(&folder).unwrap(), None);
        let format = Format { log_file_bytes: 1 << 26 };
        format.store(&folder).unwrap();
        assert_eq!(Format::load(&folder).unwrap(), Some(format));
        assert_eq!(fs::read_to_string(folder.join(NAME)).unwrap(), "argus-disk 1\nlog-file-bytes 67108864\n");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        let error = |text: &str| Format::parse(text).unwrap_err();
        assert_eq!(error(""), "it does not begin with the version of the layout");
        assert_eq!(error("argus-disk 2\n"), "version 2 of the layout is unknown to this program");
        for text in ["argus-disk 1\n", "argus-disk 1\nlog-file-bytes 0\n", "argus-disk 1\nlog-file-bytes x\n"] {
            assert_eq!(error(text), "it does not say how long log files are");
        }
    }
}
