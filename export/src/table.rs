//! Writes events as the rows of a file.

use std::fs::File;
use std::io;

use argus_core::event::Event;

use crate::columns::Columns;
use crate::format::Format;
use crate::lines::{CsvWriter, NdjsonWriter};

/// Writes events, row by row, in any format. Its memory does not grow with the number of rows, except for some hundred
/// bytes for each part of a columnar file.
pub(crate) trait TableWriter {
    /// Appends a row.
    fn write(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Writes all that is still to be written. The file is not synced.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// What a file says about itself.
#[derive(Debug)]
#[cfg_attr(not(feature = "columnar"), expect(dead_code, reason = "files of lines have no metadata"))]
pub(crate) struct About {
    /// The last sequence number of the repository when it was read.
    pub(crate) last_seq: u64,
}

/// Begins a file of this format.
pub(crate) fn begin(format: Format, file: File, columns: Columns, about: &About) -> io::Result<Box<dyn TableWriter>> {
    match format {
        Format::Csv => Ok(Box::new(CsvWriter::new(file, columns.into_cells()))),
        Format::Ndjson => Ok(Box::new(NdjsonWriter::new(file))),
        #[cfg(feature = "columnar")]
        Format::Parquet => crate::columnar::parquet(file, columns, about),
        #[cfg(feature = "columnar")]
        Format::Arrow => crate::columnar::arrow(file, columns, about),
        #[cfg(not(feature = "columnar"))]
        Format::Parquet | Format::Arrow => {
            let _about = about;
            Err(io::Error::new(io::ErrorKind::Unsupported, crate::format::FormatError::NotBuilt(format)))
        }
    }
}
