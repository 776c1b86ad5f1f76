//! Bodies that are one JSON text, against `serde_json` and naive rules.

use argus_core::ingest::Framing;

use super::super::ingest_model::{self, Item};
use super::super::{Target, ingest_check};

pub(super) const TARGET: Target = Target {
    name: "document",
    about: "a JSON document is accepted exactly if it has valid events, and they are stored as they were sent",
    run: document,
    seeds: || ingest_check::seeds(",", "[", "]"),
    words: ingest_check::WORDS,
    smoke_runs: 1_500,
};

/// # Panics
///
/// If the body is read otherwise than the model reads it.
fn document(data: &[u8]) {
    match ingest_model::document(data) {
        None => ingest_check::check(data, Framing::Document, &[Item::Broken], true),
        Some((items, is_single)) => ingest_check::check(data, Framing::Document, &items, is_single),
    }
}
