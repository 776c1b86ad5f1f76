//! Columnar files: Parquet and Arrow.

mod batch;
mod schema;
mod writers;

pub(crate) use writers::{arrow, parquet};
