//! Runs scans over the parts of a snapshot.
//!
//! A [`walk`] yields the rows that may match, in bounded steps and in the order of the scan. There are three walks: by
//! time ([`merge`]), by sequence number ([`sequence`]) and by id ([`ids`]). The [`run`] evaluates the payload
//! conditions, forms pages and yields events.

mod bounds;
mod fresh_rows;
mod ids;
mod input;
mod merge;
mod pruning;
mod requested_types;
mod run;
mod sequence;
mod step;
mod walk;

pub(super) use bounds::Bounds;
pub(super) use pruning::Pruning;
pub(super) use requested_types::RequestedTypes;
pub(super) use run::Run;
pub(super) use step::share;
