//! The range of sort keys and sequence numbers that a scan covers.

use core::ops::Range;

use crate::column::partition_point;
use crate::event::Timestamp;
use crate::query::{Order, Position, Scan};
use crate::segment::SortKey;

/// The range of sort keys and sequence numbers that a scan covers.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Bounds {
    /// The time range, inclusive on both sides.
    first: SortKey,
    last: SortKey,
    /// The scan begins after this key, in its order.
    from: Option<SortKey>,
    /// The scan ends with this key, in its order.
    to: Option<SortKey>,
    after_seq: u64,
    up_to_seq: u64,
    order: Order,
}

impl Bounds {
    pub(in crate::engine) fn of(scan: &Scan) -> Self {
        let filter = &scan.filter;
        let key = |position: Position| SortKey { time: position.timestamp.as_nanos(), seq: position.seq };
        let (from, to) = (scan.from.map(key), scan.to.map(key));
        let (after_seq, up_to_seq) = (filter.after_seq.unwrap_or(0), scan.up_to_seq.unwrap_or(u64::MAX));
        let (after_seq, up_to_seq) = match scan.order {
            Order::Sequence => (
                from.map_or(after_seq, |from| after_seq.max(from.seq)),
                to.map_or(up_to_seq, |to| up_to_seq.min(to.seq)),
            ),
            Order::TimeAscending | Order::TimeDescending => (after_seq, up_to_seq),
        };
        Self {
            first: SortKey { time: filter.start.map_or(i64::MIN, Timestamp::as_nanos), seq: 0 },
            last: SortKey { time: filter.end.map_or(i64::MAX, Timestamp::as_nanos), seq: u64::MAX },
            from,
            to,
            after_seq,
            up_to_seq,
            order: scan.order,
        }
    }

    pub(in crate::engine) fn order(&self) -> Order {
        self.order
    }

    /// Whether a sort key is less than all in the range.
    pub(in crate::engine) fn is_before(&self, key: SortKey) -> bool {
        let is_before = match self.order {
            Order::TimeAscending => self.from.is_some_and(|from| key <= from),
            Order::TimeDescending => self.to.is_some_and(|to| key < to),
            Order::Sequence => false,
        };
        is_before || key < self.first
    }

    /// Whether a sort key is greater than all in the range.
    pub(in crate::engine) fn is_after(&self, key: SortKey) -> bool {
        let is_after = match self.order {
            Order::TimeAscending => self.to.is_some_and(|to| key > to),
            Order::TimeDescending => self.from.is_some_and(|from| key >= from),
            Order::Sequence => false,
        };
        is_after || key > self.last
    }

    /// The subrange of a range of rows, sorted by these keys, that is within the bounds of time.
    pub(super) fn clip(&self, range: Range<usize>, sort_key: impl Fn(usize) -> SortKey) -> Range<usize> {
        let start = partition_point(range.clone(), |at| self.is_before(sort_key(at)));
        start..partition_point(start..range.end, |at| !self.is_after(sort_key(at)))
    }

    /// The exclusive lower bound of sequence numbers.
    pub(in crate::engine) fn after_seq(&self) -> u64 {
        self.after_seq
    }

    /// The inclusive upper bound of sequence numbers.
    pub(in crate::engine) fn up_to_seq(&self) -> u64 {
        self.up_to_seq
    }

    /// Whether the range has any sequence number from the first to the last of these.
    pub(in crate::engine) fn has_any_seq(&self, (first, last): (u64, u64)) -> bool {
        last > self.after_seq && first <= self.up_to_seq
    }

    /// Whether the range has all sequence numbers from the first to the last of these.
    pub(in crate::engine) fn has_all_seqs(&self, (first, last): (u64, u64)) -> bool {
        first > self.after_seq && last <= self.up_to_seq
    }

    /// Whether the range has any time from the first to the last of these, in nanoseconds since the Unix epoch.
    pub(in crate::engine) fn has_any_time(&self, (first, last): (i64, i64)) -> bool {
        first <= self.last.time && last >= self.first.time
    }

    pub(in crate::engine) fn contains(&self, key: SortKey) -> bool {
        !self.is_before(key) && !self.is_after(key) && self.has_any_seq((key.seq, key.seq))
    }
}

/// A sort key as the position that callers see.
pub(in crate::engine) fn position(key: SortKey) -> Position {
    Position { timestamp: Timestamp::from_nanos(key.time), seq: key.seq }
}
