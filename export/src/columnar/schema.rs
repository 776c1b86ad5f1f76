//! The schema of a columnar file.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::columns::{Column, ColumnType, Columns, EVENT_COLUMNS, Omitted};
use crate::table::About;

/// The time zone of timestamps: the columns have instants and no local times.
pub(super) const ZONE: &str = "UTC";

/// The schema of these columns.
pub(super) fn schema(columns: &Columns, about: &About) -> SchemaRef {
    let event = EVENT_COLUMNS.map(|name| Field::new(name, event_type(name), false));
    let fields: Fields = event.into_iter().chain(columns.list().iter().map(field)).collect();
    let Omitted { known, has_others } = columns.omitted();
    let metadata = HashMap::from([
        ("argus.last_seq".to_owned(), about.last_seq.to_string()),
        ("argus.omitted_paths".to_owned(), format!("{known}{}", if has_others { "+" } else { "" })),
    ]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

fn event_type(name: &str) -> DataType {
    match name {
        "seq" => DataType::Int64,
        "timestamp" => DataType::Timestamp(TimeUnit::Nanosecond, Some(ZONE.into())),
        _ => DataType::Utf8,
    }
}

fn field(column: &Column) -> Field {
    let data_type = match column.column_type {
        ColumnType::Integer => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
    };
    let mut metadata = HashMap::new();
    if column.column_type == ColumnType::Json {
        metadata.insert("argus.json".to_owned(), "true".to_owned());
    }
    if column.is_mixed() {
        metadata.insert("argus.mixed".to_owned(), column.kinds.names());
    }
    if column.is_rounded {
        metadata.insert("argus.rounded".to_owned(), "true".to_owned());
    }
    Field::new(&column.name, data_type, true).with_metadata(metadata)
}
