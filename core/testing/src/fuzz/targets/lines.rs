//! Bodies of lines, against `serde_json` and naive rules.

use argus_core::ingest::Framing;

use super::super::{Target, ingest_check, ingest_model};

pub(super) const TARGET: Target = Target {
    name: "lines",
    about: "strict handling accepts lines exactly if all are valid events, and lenient handling those that are",
    run: lines,
    seeds: || ingest_check::seeds("\n", "", "\n"),
    words: ingest_check::WORDS,
    smoke_runs: 1_500,
};

/// # Panics
///
/// If the body is read otherwise than the model reads it.
fn lines(data: &[u8]) {
    ingest_check::check(data, Framing::Lines, &ingest_model::lines(data, ingest_model::native), false);
}
