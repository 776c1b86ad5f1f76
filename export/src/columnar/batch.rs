//! Rows, as columns in memory.

use std::sync::Arc;

use argus_core::event::Event;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampNanosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};

use super::schema::ZONE;
use crate::columns::{Cells, Column, ColumnType};
use crate::walk::text_of;

/// A batch has at most this many rows…
const ROWS_MAX: usize = 8192;
/// …this many cells…
const CELLS_MAX: usize = 1 << 20;
/// …and about this many bytes of payloads. Columns may have them once more.
const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Rows that are collected until there are enough of them.
#[derive(Debug)]
pub(super) struct Batch {
    schema: SchemaRef,
    cells: Cells,
    rows_max: usize,
    rows: usize,
    payload_bytes: usize,
    id: StringBuilder,
    seq: Int64Builder,
    event_type: StringBuilder,
    timestamp: TimestampNanosecondBuilder,
    payload: StringBuilder,
    values: Vec<Values>,
}

/// The values of a column.
#[derive(Debug)]
enum Values {
    Integer(Int64Builder),
    Float(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
}

impl Batch {
    pub(super) fn new(schema: SchemaRef, cells: Cells) -> Self {
        let values: Vec<Values> = cells.list().iter().map(Values::of).collect();
        Self {
            schema,
            rows_max: (CELLS_MAX / (values.len() + 1)).clamp(1, ROWS_MAX),
            cells,
            rows: 0,
            payload_bytes: 0,
            id: StringBuilder::new(),
            seq: Int64Builder::new(),
            event_type: StringBuilder::new(),
            timestamp: TimestampNanosecondBuilder::new().with_timezone(ZONE),
            payload: StringBuilder::new(),
            values,
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends a row.
    pub(super) fn add(&mut self, event: &Event<'_>) {
        let payload = event.payload.as_str();
        self.id.append_value(event.id.to_string());
        // No repository gets that far.
        self.seq.append_value(i64::try_from(event.seq).unwrap_or(i64::MAX));
        self.event_type.append_value(event.event_type.as_str());
        self.timestamp.append_value(event.timestamp.as_nanos());
        self.payload.append_value(payload);
        let cells = self.cells.take(payload);
        for (values, cell) in self.values.iter_mut().zip(cells) {
            values.push(cell);
        }
        self.rows += 1;
        self.payload_bytes += payload.len();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows >= self.rows_max || self.payload_bytes >= PAYLOAD_BYTES_MAX
    }

    /// Takes all rows.
    pub(super) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.rows, self.payload_bytes) = (0, 0);
        let event: [ArrayRef; 5] = [
            Arc::new(self.id.finish()),
            Arc::new(self.seq.finish()),
            Arc::new(self.event_type.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.payload.finish()),
        ];
        let columns = event.into_iter().chain(self.values.iter_mut().map(Values::finish)).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

impl Values {
    fn of(column: &Column) -> Self {
        match column.column_type {
            ColumnType::Integer => Self::Integer(Int64Builder::new()),
            ColumnType::Float => Self::Float(Float64Builder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Json => Self::Json(StringBuilder::new()),
        }
    }

    /// Appends a value. The type of the column was chosen so that all its values have it.
    fn push(&mut self, json: Option<&str>) {
        match self {
            Self::Integer(values) => values.append_option(json.and_then(|json| json.parse().ok())),
            Self::Float(values) => values.append_option(json.and_then(|json| json.parse().ok())),
            Self::Boolean(values) => values.append_option(json.map(|json| json == "true")),
            Self::Text(values) => values.append_option(json.map(text_of)),
            Self::Json(values) => values.append_option(json),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(values) => Arc::new(values.finish()),
            Self::Float(values) => Arc::new(values.finish()),
            Self::Boolean(values) => Arc::new(values.finish()),
            Self::Text(values) | Self::Json(values) => Arc::new(values.finish()),
        }
    }
}
