//! The range of positions that a query covers.

use super::{Order, Query};
use crate::event::Timestamp;
use crate::segment::Place;

/// The stretch of the order of events that a query looks at; both ends belong to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    first: Place,
    last: Place,
    /// An end that does not belong to it.
    from: Option<Place>,
    order: Order,
}

impl Bounds {
    pub(super) fn of(query: &Query) -> Self {
        Self {
            first: Place { time: query.start.map_or(i64::MIN, Timestamp::as_nanos), seq: 0 },
            last: Place { time: query.end.map_or(i64::MAX, Timestamp::as_nanos), seq: u64::MAX },
            from: query.from.map(|from| Place { time: from.timestamp.as_nanos(), seq: from.seq }),
            order: query.order,
        }
    }

    pub(super) fn is_before(&self, place: Place) -> bool {
        place < self.first || (self.order == Order::Ascending && self.from.is_some_and(|from| place <= from))
    }

    pub(super) fn is_behind(&self, place: Place) -> bool {
        place > self.last || (self.order == Order::Descending && self.from.is_some_and(|from| place >= from))
    }
}
