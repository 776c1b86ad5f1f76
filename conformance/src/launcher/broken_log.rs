//! Standard errors that cannot be written to.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, Write};
use std::process::Stdio;

/// A standard error that cannot be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenLog {
    /// A file on a full disk.
    FullDisk,
    /// A full pipe that nobody reads.
    FullPipe,
    /// A pipe without a reader.
    NoReader,
    /// No standard error.
    Closed,
}

impl BrokenLog {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::FullDisk, Self::FullPipe, Self::NoReader, Self::Closed];

    /// Opens it for a process. A returned reader must stay open as long as the process lives.
    ///
    /// [`Closed`](Self::Closed) is not opened here: the program is started by a shell that closes its standard error.
    pub(super) fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        match self {
            Self::FullDisk => Ok((OpenOptions::new().write(true).open("/dev/full")?.into(), None)),
            Self::FullPipe => {
                let (reader, mut writer) = io::pipe()?;
                let room = rustix::pipe::fcntl_getpipe_size(&writer)?;
                writer.write_all(&vec![b'\n'; room])?;
                Ok((writer.into(), Some(reader)))
            }
            Self::NoReader => {
                let (_reader, writer) = io::pipe()?;
                Ok((writer.into(), None))
            }
            Self::Closed => Ok((Stdio::null(), None)),
        }
    }
}
