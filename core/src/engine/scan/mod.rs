//! Runs scans over the parts of a snapshot.
//!
//! A walk gives the rows that may match, in order, in bounded steps: by time ([`merge`]), by sequence number
//! ([`sequence`]), or by id ([`ids`]). The [`run`] looks at their payloads, makes pages and hands events over.

mod bounds;
mod ids;
mod merge;
mod run;
mod sequence;
mod source;
mod step;
mod walk;
mod wanted;

pub(super) use run::Run;
