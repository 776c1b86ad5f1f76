//! The bounds of what a scan may return.

use argus_core::event::Timestamp;
use argus_core::query::{Order, Position, Scan};

/// The bounds of what a scan may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Later than this position, by time and sequence number.
    pub after: Option<Position>,
    /// Up to this position.
    pub up_to: Option<Position>,
    /// With a higher sequence number.
    pub after_seq: u64,
    /// Up to this sequence number.
    pub up_to_seq: u64,
}

impl Bounds {
    /// The bounds of a scan in a snapshot with this last sequence number.
    #[must_use]
    pub fn of(scan: &Scan, last_seq: u64) -> Self {
        let Scan { filter, order, from, to, up_to_seq, .. } = scan;
        // Sequence numbers begin at 1.
        let start = filter.start.map(|timestamp| Position { timestamp, seq: 0 });
        let end = filter.end.map(|timestamp| Position { timestamp, seq: u64::MAX });
        let mut bounds = Self {
            after: start,
            up_to: end,
            after_seq: filter.after_seq.unwrap_or(0),
            up_to_seq: up_to_seq.map_or(last_seq, |seq| seq.min(last_seq)),
        };
        match order {
            Order::TimeAscending => {
                bounds.after = bounds.after.max(*from);
                bounds.up_to = least(bounds.up_to, *to);
            }
            Order::TimeDescending => {
                bounds.up_to = least(bounds.up_to, from.map(before));
                bounds.after = bounds.after.max(to.map(before));
            }
            Order::Sequence => {
                bounds.after_seq = bounds.after_seq.max(from.map_or(0, |from| from.seq));
                bounds.up_to_seq = bounds.up_to_seq.min(to.map_or(u64::MAX, |to| to.seq));
            }
        }
        bounds
    }

    /// What remains after this position of a scan in this order.
    #[must_use]
    pub fn rest(mut self, order: Order, reached: Position) -> Self {
        match order {
            Order::TimeAscending => self.after = self.after.max(Some(reached)),
            Order::TimeDescending => self.up_to = least(self.up_to, Some(before(reached))),
            Order::Sequence => self.after_seq = self.after_seq.max(reached.seq),
        }
        self
    }

    /// Whether no event can be within.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let no_time = self.after.zip(self.up_to).is_some_and(|(after, up_to)| after >= up_to);
        no_time || self.after_seq >= self.up_to_seq
    }

    /// Whether an event is within.
    #[must_use]
    pub fn contain(&self, position: Position) -> bool {
        let is_after = self.after.is_none_or(|after| position > after);
        let is_before = self.up_to.is_none_or(|up_to| position <= up_to);
        is_after && is_before && position.seq > self.after_seq && position.seq <= self.up_to_seq
    }
}

/// The position right before.
fn before(position: Position) -> Position {
    match position.seq.checked_sub(1) {
        Some(seq) => Position { seq, ..position },
        None => Position {
            timestamp: Timestamp::from_nanos(position.timestamp.as_nanos().saturating_sub(1)),
            seq: u64::MAX,
        },
    }
}

fn least(one: Option<Position>, other: Option<Position>) -> Option<Position> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (position, None) | (None, position) => position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64, seq: u64) -> Position {
        Position { timestamp: Timestamp::from_nanos(nanos), seq }
    }

    #[test]
    fn bounds_are_the_tightest_of_all() {
        let mut scan = Scan { from: Some(at(5, 7)), to: Some(at(9, 3)), up_to_seq: Some(80), ..Scan::default() };
        scan.filter.start = Some(Timestamp::from_nanos(6));
        scan.filter.end = Some(Timestamp::from_nanos(8));
        scan.filter.after_seq = Some(4);
        let of = |order, scan: &Scan| Bounds::of(&Scan { order, ..scan.clone() }, 50);
        let ascending = of(Order::TimeAscending, &scan);
        let expected = Bounds { after: Some(at(6, 0)), up_to: Some(at(8, u64::MAX)), after_seq: 4, up_to_seq: 50 };
        assert_eq!(ascending, expected);
        assert_eq!(ascending.rest(Order::TimeAscending, at(7, 1)).after, Some(at(7, 1)));

        // In descending order, the scan goes from above to below.
        (scan.from, scan.to) = (Some(at(7, 0)), Some(at(6, 9)));
        let descending = of(Order::TimeDescending, &scan);
        let expected = Bounds { after: Some(at(6, 8)), up_to: Some(at(6, u64::MAX)), after_seq: 4, up_to_seq: 50 };
        assert_eq!(descending, expected);
        assert!(!descending.is_empty() && descending.rest(Order::TimeDescending, at(6, 9)).is_empty());

        let sequence = of(Order::Sequence, &Scan { to: Some(at(0, 20)), from: Some(at(0, 10)), ..scan });
        assert_eq!((sequence.after_seq, sequence.up_to_seq, sequence.after), (10, 20, Some(at(6, 0))));
        assert!(sequence.rest(Order::Sequence, at(0, 20)).is_empty());
    }
}
