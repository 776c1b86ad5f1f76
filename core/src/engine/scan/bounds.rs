//! The places that a scan covers.

use crate::event::Timestamp;
use crate::query::{Order, Position, Scan};
use crate::segment::SortKey;

/// The places that a scan covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Both belong to it.
    first: SortKey,
    last: SortKey,
    /// Does not belong to it.
    from: Option<SortKey>,
    after_seq: u64,
    order: Order,
}

impl Bounds {
    pub(super) fn of(scan: &Scan) -> Self {
        let filter = &scan.filter;
        Self {
            first: SortKey { time: filter.start.map_or(i64::MIN, Timestamp::as_nanos), seq: 0 },
            last: SortKey { time: filter.end.map_or(i64::MAX, Timestamp::as_nanos), seq: u64::MAX },
            from: scan.from.map(|from| SortKey { time: from.timestamp.as_nanos(), seq: from.seq }),
            after_seq: filter.after_seq.unwrap_or(0),
            order: scan.order,
        }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// Whether a place lies before all that is covered, in the order of time.
    pub(super) fn is_before(&self, place: SortKey) -> bool {
        place < self.first || (self.order == Order::TimeAscending && self.from.is_some_and(|from| place <= from))
    }

    /// Whether a place lies behind all that is covered, in the order of time.
    pub(super) fn is_behind(&self, place: SortKey) -> bool {
        place > self.last || (self.order == Order::TimeDescending && self.from.is_some_and(|from| place >= from))
    }

    /// Only higher sequence numbers are covered.
    pub(super) fn after_seq(&self) -> u64 {
        match (self.order, self.from) {
            (Order::Sequence, Some(from)) => self.after_seq.max(from.seq),
            (Order::Sequence | Order::TimeAscending | Order::TimeDescending, _) => self.after_seq,
        }
    }

    pub(super) fn contains(&self, place: SortKey) -> bool {
        !self.is_before(place) && !self.is_behind(place) && place.seq > self.after_seq()
    }
}

/// A place as callers name it.
pub(super) fn position(place: SortKey) -> Position {
    Position { timestamp: Timestamp::from_nanos(place.time), seq: place.seq }
}
