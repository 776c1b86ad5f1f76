//! What a database counts by its indexes, without reading events.

use argus_core::query::{Order, Position, Scan, TypeTest};
use argus_core::repository::{Grouping, ReadError};

use crate::bounds::Bounds;
use crate::scan_types::ScanTypes;

/// What a database counts by its indexes: events by type and time.
#[derive(Debug)]
pub struct Counting {
    /// The types of the events.
    pub types: ScanTypes,
    /// The groups.
    pub grouping: Grouping,
    /// The bounds of the scan.
    bounds: Bounds,
}

impl Counting {
    /// What counts the events of a scan; `None` if the indexes do not have what the scan asks for. `with_prefix` is
    /// that of [`ScanTypes::of`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] of `with_prefix`.
    pub fn of(
        scan: &Scan,
        grouping: Grouping,
        last_seq: u64,
        with_prefix: impl FnMut(&str) -> Result<Vec<String>, ReadError>,
    ) -> Result<Option<Self>, ReadError> {
        let filter = &scan.filter;
        let is_in_order = scan.order == Order::TimeAscending && scan.limit.is_none();
        let is_by_index = filter.payload.is_empty() && filter.ids.is_none();
        if !is_in_order || !is_by_index {
            return Ok(None);
        }
        // The index of times does not have the types. If they are few, the other index has each of them in that order.
        let any = [TypeTest::Prefix("".into())];
        let tests = filter.types.as_deref().or(grouping.by_type.then_some(&any));
        let types = ScanTypes::of(tests, scan.order, with_prefix)?;
        Ok(Some(Self { types, grouping, bounds: Bounds::of(scan, last_seq) }))
    }

    /// The bounds of what is still to be counted; `None` if nothing is.
    #[must_use]
    pub fn rest(&self, after: Option<Position>) -> Option<Bounds> {
        let bounds = after.map_or(self.bounds, |after| self.bounds.rest(Order::TimeAscending, after));
        (!bounds.is_empty() && !self.types.are_none()).then_some(bounds)
    }

    /// Whether the database tells types apart: for the groups, or because they are tested afterwards.
    #[must_use]
    pub fn has_types(&self) -> bool {
        match &self.types {
            ScanTypes::All | ScanTypes::Few(_) => self.grouping.by_type,
            ScanTypes::Tested(_) => true,
        }
    }

    /// Whether the scan wants the events of a group; `None` is a group of all its types.
    #[must_use]
    pub fn wants(&self, event_type: Option<&str>) -> bool {
        event_type.is_none_or(|name| self.types.contain(name))
    }
}
