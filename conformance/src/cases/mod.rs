//! The wire contract as code: a file for each group of cases, a function for each promise.

#![expect(
    clippy::indexing_slicing,
    reason = "a case may fail by panicking: that is caught and reported like any failure"
)]

mod answers;
mod browser;
mod capacity;
mod compression;
mod cors;
mod csv;
mod cursor;
mod durability;
mod encoding;
mod envelope;
mod erase;
mod event;
mod event_types;
mod fetch;
mod filter;
mod folder;
mod foreign;
mod health;
mod http;
mod import;
mod key_file;
mod key_types;
mod keys;
mod lifecycle;
mod limits;
mod log;
mod metrics;
mod nginx;
mod openapi;
mod product_questions;
mod query;
mod query_budget;
mod questions;
mod rate_limit;
mod readme;
mod real_data;
mod real_questions;
mod request_log;
mod sequence;
mod settings;
mod shell_limits;
mod stream;
mod stream_clients;
mod stream_keys;
mod stream_readers;
mod submit;
mod submit_faults;
mod threads;
mod timestamp;
mod trace;
mod websocket;
mod websocket_clients;
mod websocket_frames;
mod wire;
mod wire_close;
mod wire_framing;
mod wire_gone;
mod wire_time;

pub use real_data::folder as real_data_folder;

use crate::case::Case;

/// Every case, in the order of reports.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().copied().flatten()
}

const GROUPS: &[&[Case]] = &[
    submit::CASES,
    submit_faults::CASES,
    event::CASES,
    durability::CASES,
    folder::CASES,
    foreign::CASES,
    envelope::CASES,
    import::CASES,
    encoding::CASES,
    timestamp::CASES,
    query::CASES,
    query_budget::CASES,
    questions::CASES,
    product_questions::CASES,
    csv::CASES,
    filter::CASES,
    cursor::CASES,
    sequence::CASES,
    erase::CASES,
    stream::CASES,
    stream_keys::CASES,
    stream_readers::CASES,
    stream_clients::CASES,
    fetch::CASES,
    health::CASES,
    metrics::CASES,
    openapi::CASES,
    keys::CASES,
    key_types::CASES,
    key_file::CASES,
    rate_limit::CASES,
    compression::CASES,
    cors::CASES,
    browser::CASES,
    http::CASES,
    wire::CASES,
    wire_framing::CASES,
    wire_time::CASES,
    wire_close::CASES,
    wire_gone::CASES,
    websocket::CASES,
    websocket_frames::CASES,
    websocket_clients::CASES,
    nginx::CASES,
    capacity::CASES,
    answers::CASES,
    threads::CASES,
    limits::CASES,
    shell_limits::CASES,
    event_types::CASES,
    lifecycle::CASES,
    settings::CASES,
    log::CASES,
    request_log::CASES,
    trace::CASES,
    real_data::CASES,
    real_questions::CASES,
    readme::CASES,
];
