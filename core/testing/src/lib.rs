//! Tools for tests of whatever implements [`Repository`](argus_core::repository::Repository).
//!
//! - [`Model`] is a repository so naive that it is obviously right. Whatever another repository answers, the model
//!   answers too.
//! - [`generate`] draws events and queries from a [`Source`] of decisions: a seed, a fuzzer's bytes, or proptest's.
//! - [`check_same`] compares what two snapshots answer and says where they differ.
//! - [`SimStorage`] is a medium that behaves as badly as a disk may, and [`simulate`] a run over it that one number
//!   draws.
//! - A [`Step`] is something that happens to a repository; a [`Pair`] lets it happen to a subject and to a model, side
//!   by side.
//!
//! Nothing here is meant for production; the feature `testing` switches it on.

mod compare;
mod decimal;
mod filter;
pub mod generate;
mod medium;
mod model;
mod pair;
mod run;
mod script;
mod simulation;
mod source;
mod stored;
mod tree;

pub use compare::{Difference, check_answer, check_id, check_query, check_same};
pub use generate::Draft;
pub use medium::{Contents, Ending, Fault, Faults, Phase, SimStorage, Strike};
pub use model::Model;
pub use pair::Pair;
pub use run::{Answer, Pace, Run, collect};
pub use script::{Planned, Step};
pub use simulation::{Canary, Failure, Options, Summary, simulate, trace};
pub use source::Source;
pub use stored::{StoredEvent, StoredId, get};

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::engine::{TYPES_MAX_DEFAULT, Tuning};
use argus_core::event::Timestamp;

/// A moment where nobody ever sets the wall clock.
#[must_use]
pub fn steady(now: Timestamp) -> Moment {
    // From 1970 on.
    Moment { wall: now, uptime: Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or_default()) }
}

/// Sizes at which a handful of events is merged, sealed and compacted, so that a short test goes through all of it.
pub const SMALL: Tuning = Tuning {
    seal_events: 12,
    seal_bytes: 4096,
    fan_in: 2,
    block_bytes: 256,
    segment_events_max: 200,
    fresh_segments_max: 1024,
    filter_bytes_max: 100,
    types_max: TYPES_MAX_DEFAULT,
};
