//! Standard errors that accept nothing, or not much.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, Write};
use std::process::Stdio;

/// A standard error that accepts nothing, or not much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenLog {
    /// A file on a full disk.
    Full,
    /// A full pipe that nobody reads.
    Unread,
    /// A pipe without a reader.
    Unheard,
    /// No standard error.
    Closed,
}

impl BrokenLog {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Full, Self::Unread, Self::Unheard, Self::Closed];
}

impl BrokenLog {
    /// Opens it for a process. A returned reader must stay open as long as the process lives.
    ///
    /// [`Closed`](Self::Closed) is not opened here: the program is started by a shell that closes its standard error.
    pub(super) fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        match self {
            Self::Full => Ok((OpenOptions::new().write(true).open("/dev/full")?.into(), None)),
            Self::Unread => {
                let (reader, mut writer) = io::pipe()?;
                let room = rustix::pipe::fcntl_getpipe_size(&writer)?;
                writer.write_all(&vec![b'\n'; room])?;
                Ok((writer.into(), Some(reader)))
            }
            Self::Unheard => {
                let (_reader, writer) = io::pipe()?;
                Ok((writer.into(), None))
            }
            Self::Closed => Ok((Stdio::null(), None)),
        }
    }
}
