//! Checks a repository that no engine works on: reads everything and changes nothing.
//!
//! Data that an engine would refuse to open or to read is damage. The traces of an interrupted process are not: a torn
//! tail of the log, an older copy of the manifest, segments that no manifest lists.

mod log;
mod report;
mod survey;

pub(super) use self::log::{DamagedRange, affected_at};
pub use self::report::{Finding, Report, Severity};
pub(super) use self::survey::{FoundSegment, Survey, SurveyItem, survey};
use crate::segment::TypeName;
use crate::storage::StorageReader;

/// Checks all of a repository.
///
/// Unreadable data is a finding, and the check continues after it. The check needs memory for the ids and types of one
/// segment, and for the record headers after damage in the log.
pub fn check<E: StorageReader>(medium: &E) -> Report {
    // Segments are dropped one by one, so their type names need not be shared.
    survey(medium, &mut TypeName::new, &mut |_| {}).report
}
