//! An export, from the snapshot to the complete file.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use argus_core::event::Event;
use argus_core::query::Filter;
use argus_core::repository::Snapshot;

use crate::columns::{Columns, Omitted};
use crate::discovery::Discovery;
use crate::error::ExportError;
use crate::format::Format;
use crate::lines::{CsvWriter, NdjsonWriter};
use crate::output::Output;
use crate::scan::scan;
use crate::table::{About, TableWriter};

/// The most columns for paths of payloads, unless the caller sets another limit. Programs that read such files become
/// slow with more.
pub const COLUMNS_DEFAULT: usize = 1_000;

/// The most paths that are told apart, to find those with the most values. Each takes some hundred bytes of memory, and
/// its last name twice: up to 2 KiB more, as a path has at most 1,024 bytes.
const PATHS_MAX: usize = 100_000;

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Export {
    /// The format of the file.
    pub format: Format,
    /// Which events.
    pub filter: Filter,
    /// The most columns for paths of payloads.
    pub columns_max: usize,
    /// The file. It must not exist.
    pub output: PathBuf,
}

/// An export whose file exists under a temporary name, which goes when this is dropped.
#[derive(Debug)]
pub struct Begun<'e> {
    export: &'e Export,
    output: Output,
}

/// How far an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It looks for paths in payloads, and has seen this many events.
    Discovering(u64),
    /// It has written this many events.
    Writing(u64),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of events.
    pub events: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The number of columns for paths of payloads.
    pub columns: usize,
    /// The paths that have no column, and are in the payload alone.
    pub omitted: Omitted,
    /// The last sequence number of the snapshot, also if the filter does not select that event. Later events have
    /// higher ones.
    pub last_seq: u64,
}

impl Export {
    /// Creates the file, under a temporary name. To be called before the repository is opened, so that a file that is
    /// in the way is noticed at once.
    ///
    /// # Errors
    ///
    /// [`ExportError::Write`]; there is no file.
    pub fn begin(&self) -> Result<Begun<'_>, ExportError> {
        let output = Output::create(&self.output).map_err(|source| self.failed(source))?;
        Ok(Begun { export: self, output })
    }

    fn failed(&self, source: io::Error) -> ExportError {
        ExportError::Write { path: self.output.clone(), source }
    }

    /// Finds the columns, in a pass over the events.
    fn columns(
        &self,
        snapshot: &Arc<dyn Snapshot>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Columns, ExportError> {
        let mut discovery = Discovery::new(PATHS_MAX);
        if self.format.has_columns() {
            let mut add = |event: &Event<'_>| {
                discovery.add(event.payload.as_str());
                Ok(())
            };
            scan(snapshot, &self.filter, &mut add, &mut |events| progress(Progress::Discovering(events)))?;
        }
        Ok(Columns::choose(&discovery, self.columns_max))
    }

    /// Begins to write the table to the file.
    fn table(&self, file: File, columns: Columns, about: &About) -> io::Result<Box<dyn TableWriter>> {
        match self.format {
            Format::Csv => Ok(Box::new(CsvWriter::new(file, columns.into_cells()))),
            Format::Ndjson => Ok(Box::new(NdjsonWriter::new(file))),
            #[cfg(feature = "columnar")]
            Format::Parquet => crate::columnar::parquet(file, columns, about),
            #[cfg(feature = "columnar")]
            Format::Arrow => crate::columnar::arrow(file, columns, about),
            #[cfg(not(feature = "columnar"))]
            Format::Parquet | Format::Arrow => {
                let _unused = about;
                Err(io::Error::new(io::ErrorKind::Unsupported, crate::format::FormatError::NotBuilt(self.format)))
            }
        }
    }
}

impl Begun<'_> {
    /// Writes the events of a snapshot, by time and then by sequence number. The file is durable on return. `progress`
    /// is called often.
    ///
    /// # Errors
    ///
    /// [`ExportError`]; there is no file.
    pub fn run(self, snapshot: &Arc<dyn Snapshot>, progress: &mut dyn FnMut(Progress)) -> Result<Written, ExportError> {
        let Self { export, output } = self;
        let failed = |source| export.failed(source);
        let columns = export.columns(snapshot, progress)?;
        let (count, omitted) = (columns.list().len(), columns.omitted());
        let last_seq = snapshot.last_seq();
        let file = output.file().map_err(failed)?;
        let mut table = export.table(file, columns, &About { last_seq }).map_err(failed)?;
        let mut write = |event: &Event<'_>| table.write(event).map_err(failed);
        let events = scan(snapshot, &export.filter, &mut write, &mut |events| progress(Progress::Writing(events)))?;
        table.finish().map_err(failed)?;
        let bytes = output.complete().map_err(failed)?;
        Ok(Written { events, bytes, columns: count, omitted, last_seq })
    }
}
