//! Events as the rows of a file, in any format.

use std::io;

use argus_core::event::Event;

/// Writes events, row by row. Its memory does not grow with the number of rows, except for what the end of a columnar
/// file says about its parts: some hundred bytes for each column of each part (row group) in Parquet, and 24 bytes for
/// each batch in Arrow.
pub(crate) trait TableWriter {
    /// Appends a row.
    fn write(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Writes all that is still to be written. The file is not synced.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// What a file says about itself.
#[derive(Debug)]
pub(crate) struct About {
    /// The last sequence number of the repository when it was read.
    pub(crate) last_seq: u64,
}
