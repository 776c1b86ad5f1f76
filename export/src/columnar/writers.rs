//! Writes batches of rows to files.

use std::fs::File;
use std::io;

use argus_core::event::Event;
use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::batch::Batch;
use super::schema::schema;
use crate::columns::Columns;
use crate::table::{About, TableWriter};

/// A row group of a Parquet file has at most this many rows…
const GROUP_ROWS_MAX: usize = 256 * 1024;
/// …and is written once it takes this much memory.
const GROUP_BYTES_MAX: usize = 128 << 20;

/// Columns in which nearly every value is different, so that a dictionary would only take time.
const DIFFERENT: [&str; 4] = ["id", "seq", "timestamp", "payload"];

/// A file that takes batches.
trait BatchWriter {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes the end of the file.
    fn finish(self) -> io::Result<()>;
}

/// A columnar file.
struct Columnar<W> {
    batch: Batch,
    writer: W,
}

/// Begins a Parquet file.
pub(crate) fn parquet(file: File, columns: Columns, about: &About) -> io::Result<Box<dyn TableWriter>> {
    let schema = schema(&columns, about);
    // The schema of Arrow, with its metadata, is one text for other programs. They find it under these keys, too.
    let about_file = schema.metadata().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        // What is said about each page stays in memory until the end of the file, so nothing is.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(about_file.collect()));
    for name in DIFFERENT {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    let batch = Batch::new(schema, columns.into_cells());
    let writer = ArrowWriter::try_new(file, batch.schema().clone(), Some(properties.build()));
    Ok(Box::new(Columnar { batch, writer: writer.map_err(io::Error::other)? }))
}

/// Begins an Arrow file.
pub(crate) fn arrow(file: File, columns: Columns, about: &About) -> io::Result<Box<dyn TableWriter>> {
    let batch = Batch::new(schema(&columns, about), columns.into_cells());
    let writer = FileWriter::try_new_buffered(file, batch.schema()).map_err(io::Error::other)?;
    Ok(Box::new(Columnar { batch, writer }))
}

impl<W: BatchWriter> Columnar<W> {
    fn write_batch(&mut self) -> io::Result<()> {
        let batch = self.batch.take().map_err(io::Error::other)?;
        self.writer.write(&batch)
    }
}

impl<W: BatchWriter> TableWriter for Columnar<W> {
    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.batch.add(event);
        if self.batch.is_full() { self.write_batch() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        self.writer.finish()
    }
}

impl BatchWriter for ArrowWriter<File> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Self::write(self, batch).map_err(io::Error::other)?;
        if self.memory_size() < GROUP_BYTES_MAX { Ok(()) } else { self.flush().map_err(io::Error::other) }
    }

    fn finish(self) -> io::Result<()> {
        self.close().map(drop).map_err(io::Error::other)
    }
}

impl BatchWriter for FileWriter<io::BufWriter<File>> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        Self::write(self, batch).map_err(io::Error::other)
    }

    fn finish(mut self) -> io::Result<()> {
        // The end of the file, and what is still in the buffer.
        Self::finish(&mut self).map_err(io::Error::other)
    }
}
