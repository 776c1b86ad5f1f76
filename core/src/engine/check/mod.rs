//! Checks a repository that no engine works on: reads everything and changes nothing.
//!
//! Damage is whatever opening or reading would refuse, with its place. What an interrupted process leaves is no damage:
//! a torn tail of the log, an older copy of the manifest, segments that no manifest lists.

mod log;
mod report;
mod survey;

pub(super) use self::log::{Hole, affected_at};
pub use self::report::{Finding, Report, Severity};
pub(super) use self::survey::{Found, FoundSegment, Survey, survey};
use crate::segment::TypeName;
use crate::storage::StorageReader;

/// Checks all of a repository.
///
/// Unreadable data is a finding, and the check goes on after it. Memory is bounded by the last records of the log plus
/// the ids and types of one segment.
pub fn check<E: StorageReader>(medium: &E) -> Report {
    // No segment is kept, so names need not be shared.
    survey(medium, &mut TypeName::new, &mut |_| {}).report
}
