//! The table of fuzz targets.

mod blob;
mod coding;
mod cursor;
mod document;
mod head;
mod lines;
mod log;
mod mapping;
mod query;
mod steps;
mod streams;
mod time;

use super::Target;

/// All targets. Each file of this folder is one.
pub const TARGETS: &[Target] = &[
    blob::TARGET,
    coding::TARGET,
    cursor::TARGET,
    document::TARGET,
    head::TARGET,
    lines::TARGET,
    log::TARGET,
    mapping::TARGET,
    query::TARGET,
    steps::TARGET,
    streams::TARGET,
    time::TARGET,
];
