//! Files of lines: comma-separated values, and an event a line as JSON.

use std::fs::File;
use std::io::{self, Write as _};

use argus_core::csv;
use argus_core::event::Event;
use argus_core::json::write_u64;

use crate::columns::{Cells, Column, ColumnType, EVENT_COLUMNS};
use crate::table::TableWriter;

/// Lines are written to the file once there are this many bytes of them.
const BUFFER_BYTES: usize = 256 * 1024;

/// Lines that are still to be written.
#[derive(Debug)]
struct Lines {
    file: File,
    buffer: Vec<u8>,
}

/// A file of comma-separated values.
#[derive(Debug)]
pub(crate) struct CsvWriter {
    lines: Lines,
    cells: Cells,
}

/// A file with an event a line, as `GET /events` gives it.
#[derive(Debug)]
pub(crate) struct NdjsonWriter(Lines);

impl Lines {
    fn new(file: File) -> Self {
        Self { file, buffer: Vec::new() }
    }

    fn flush_if_long(&mut self) -> io::Result<()> {
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl CsvWriter {
    /// Begins the file with the line of names.
    pub(crate) fn new(file: File, cells: Cells) -> Self {
        let mut lines = Lines::new(file);
        let names = cells.list().iter().map(|column| column.name.as_str());
        csv::write_row(EVENT_COLUMNS.into_iter().chain(names), &mut lines.buffer);
        Self { lines, cells }
    }
}

impl TableWriter for CsvWriter {
    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let out = &mut self.lines.buffer;
        let payload = event.payload.as_str();
        csv::write_text(&event.id.to_string(), out);
        out.push(b',');
        write_u64(event.seq, out);
        out.push(b',');
        csv::write_text(event.event_type.as_str(), out);
        out.push(b',');
        event.timestamp.write(out);
        out.push(b',');
        csv::write_text(payload, out);
        let cells = self.cells.take(payload);
        for (column, cell) in self.cells.list().iter().zip(cells) {
            out.push(b',');
            if let Some(json) = cell {
                write_cell(column, json, out);
            }
        }
        out.extend_from_slice(csv::LINE_END);
        self.lines.flush_if_long()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.lines.flush()
    }
}

/// Appends a value of a column.
fn write_cell(column: &Column, json: &str, out: &mut Vec<u8>) {
    match column.column_type {
        ColumnType::Integer | ColumnType::Float | ColumnType::Boolean | ColumnType::Text => csv::write_json(json, out),
        ColumnType::Json => csv::write_text(json, out),
    }
}

impl NdjsonWriter {
    pub(crate) fn new(file: File) -> Self {
        Self(Lines::new(file))
    }
}

impl TableWriter for NdjsonWriter {
    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        event.write_json(&mut self.0.buffer);
        self.0.buffer.push(b'\n');
        self.0.flush_if_long()
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}
