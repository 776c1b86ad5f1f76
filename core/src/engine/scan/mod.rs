//! Runs scans over the parts of a snapshot.
//!
//! A walk yields the rows that may match, in order and in bounded steps: by time ([`merge`]), by sequence number
//! ([`sequence`]), or by id ([`ids`]). The [`run`] evaluates the payload conditions, forms pages and yields events.

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
