//! Looking through a repository that nobody works on: everything is read, and nothing changed.
//!
//! What is said to be damaged is what opening or reading would refuse, place by place. What a process leaves that was
//! interrupted is no damage: a torn end of the log, an older copy of the manifest, segments that belong to nothing.

mod log;
mod report;
mod survey;

pub(super) use self::log::{Hole, concerned_at};
pub use self::report::{Finding, Report, Severity};
pub(super) use self::survey::{Found, FoundSegment, Survey, survey};
use crate::segment::TypeName;
use crate::storage::StorageReader;

/// Looks through a repository, all of it.
///
/// What cannot be read is a finding, and looking goes on behind it. Memory stays within the log's last records, and the
/// callers' ids and the types of one segment.
pub fn check<E: StorageReader>(medium: &E) -> Report {
    // Nobody keeps a segment that has others of its types.
    survey(medium, &mut TypeName::new, &mut |_| {}).report
}
