//! What the repositories in databases have in common.
//!
//! A database stores and finds; everything else is the same for all: a scan reads pages from a [`Source`] and lets the
//! core decide about each [`Row`], the ids of a commit are known before it is sent, and each process remembers which
//! event types there are.

#![forbid(unsafe_code)]

mod bounds;
mod generated;
mod scan;
mod source;
mod types;

pub use bounds::Bounds;
pub use generated::GeneratedIds;
pub use scan::Run;
pub use source::{Page, Row, Source};
pub use types::{TypeCache, TypesAt};
