//! Tools for tests of whatever implements [`Repository`](argus_core::repository::Repository).
//!
//! - [`Model`] is a repository so naive that it is obviously right. Every other repository must answer as it does.
//! - [`generate`] generates events and queries from a [`Random`]: a seed, a fuzzer's bytes, or proptest's.
//! - [`nasty`] generates payloads that are difficult for databases.
//! - [`check_same`] compares the answers of two snapshots and reports the first difference.
//! - [`SimStorage`] is a simulated medium with the faults of a real disk. [`simulate`] runs the engine on it; the seed
//!   determines everything.
//! - [`with_log`], [`with_blob`] and [`flipped`] change what is on a medium in memory.
//! - [`fuzz`] has fuzz targets: functions that take any bytes, and check what the core promises about them.
//! - A [`Step`] is one operation on a repository. A [`Pair`] applies it to a subject and to a model and compares them.
//!
//! Only tests depend on this crate. The core depends on no other crate of ours, not even in its tests, so the engine's
//! tests that need this crate are in its own `tests`.

mod compare;
mod contents;
mod counting;
mod decimal;
mod filter;
pub mod fuzz;
pub mod generate;
mod maintain;
mod medium;
mod model;
mod moment;
mod naive;
pub mod nasty;
mod pair;
mod random;
mod run;
mod script;
mod simulation;
mod stored;
mod transfers;
mod tree;
mod tuning;

pub use compare::{Difference, check_answer, check_id, check_query, check_same};
pub use contents::{Contents, blob, flipped, segments, with_blob, with_log};
pub use counting::{bytes_read_to_count, check_counted, check_counting, count_by_type, store_turning};
pub use generate::Draft;
pub use maintain::maintain;
pub use medium::{Ending, FaultClass, Faults, InjectedFault, Phase, SimStorage};
pub use model::Model;
pub use moment::{NOW, steady};
pub use naive::{analyze, check_merged, check_question};
pub use pair::Pair;
pub use random::Random;
pub use run::{Answer, Pace, Run, all_events, all_gaps, collect, count_erased};
pub use script::{Foreign, Planned, Step};
pub use simulation::{Canary, Failure, Options, Summary, simulate, trace};
pub use stored::{StoredEvent, StoredId, get};
pub use transfers::{numbered, transfer};
pub use tuning::{SMALL, UNCOMPACTED};

use core::time::Duration;

use argus_core::analysis::AnalysisLimits;
use argus_core::api::Limits;

/// Limits that no request of a test reaches.
pub const LIMITS: Limits = Limits {
    body_bytes_max: 1 << 20,
    payload_bytes_max: 1 << 20,
    depth_max: 1 << 20,
    types_max: 1_000,
    read_time: Duration::from_secs(1 << 20),
    uri_bytes_max: 1 << 15,
    head_fields_max: 100,
    query_time: None,
    scan_bytes_max: None,
    analysis: AnalysisLimits::DEFAULT,
};
