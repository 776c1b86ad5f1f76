//! The table of fuzz targets.

mod blob;
mod coding;
mod cursor;
mod document;
mod forwarded;
mod handshake;
mod head;
mod keys;
mod lines;
mod log;
mod mapping;
mod query;
mod question;
mod quota;
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
    forwarded::TARGET,
    handshake::TARGET,
    head::TARGET,
    keys::TARGET,
    lines::TARGET,
    log::TARGET,
    mapping::TARGET,
    query::TARGET,
    question::TARGET,
    quota::TARGET,
    steps::TARGET,
    streams::TARGET,
    time::TARGET,
];
