//! What the repositories in databases have in common.
//!
//! A database stores and finds; everything else is the same for all. A scan reads pages from a [`Source`] and lets the
//! core decide about each [`Row`]. The ids of a commit are known before it is sent, so that its outcome can be found
//! out. What a server does not do is a [`Fault`], and [`Retries`] tell whether to ask again. Each process remembers
//! which event types there are.

#![forbid(unsafe_code)]

mod bounds;
mod candidates;
mod counting;
mod fault;
mod generated;
mod open_error;
mod removed;
mod retention;
mod retries;
mod scan;
mod scan_types;
mod source;
mod types;

pub use bounds::Bounds;
pub use candidates::Candidates;
pub use counting::Counting;
pub use fault::Fault;
pub use generated::GeneratedIds;
pub use open_error::OpenError;
pub use removed::Removed;
pub use retention::{ExpirySchedule, Retention};
pub use retries::Retries;
pub use scan::Run;
pub use scan_types::{FEW_TYPES, ScanTypes};
pub use source::{Page, Row, Source};
pub use types::{TypeCache, TypesAt};
