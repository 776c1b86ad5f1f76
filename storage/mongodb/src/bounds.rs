//! The bounds of what a read returns, and the filters that find it.

use argus_core::event::Timestamp;
use argus_core::query::{Order, Position, Scan};
use mongodb::bson::{Bson, Document, doc};

use crate::values::{number, split};

/// Which events, by time and sequence number: those after `after` and up to `up_to`, in the order of time and sequence
/// number, and the same by sequence number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) after: Option<Position>,
    pub(crate) up_to: Option<Position>,
    pub(crate) after_seq: u64,
    pub(crate) up_to_seq: u64,
}

/// The fields of a position, in the order of the index.
type Fields = [(&'static str, Bson); 3];

impl Bounds {
    /// The bounds of a scan in a snapshot with this last sequence number.
    pub(crate) fn of(scan: &Scan, last_seq: u64) -> Self {
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
    pub(crate) fn rest(mut self, order: Order, reached: Position) -> Self {
        match order {
            Order::TimeAscending => self.after = self.after.max(Some(reached)),
            Order::TimeDescending => self.up_to = least(self.up_to, Some(before(reached))),
            Order::Sequence => self.after_seq = self.after_seq.max(reached.seq),
        }
        self
    }

    /// Whether no event can be within.
    pub(crate) fn is_empty(&self) -> bool {
        let no_time = self.after.zip(self.up_to).is_some_and(|(after, up_to)| after >= up_to);
        no_time || self.after_seq >= self.up_to_seq
    }

    /// Whether an event is within.
    pub(crate) fn contain(&self, position: Position) -> bool {
        let is_after = self.after.is_none_or(|after| position > after);
        let is_before = self.up_to.is_none_or(|up_to| position <= up_to);
        is_after && is_before && position.seq > self.after_seq && position.seq <= self.up_to_seq
    }

    /// Filters that find the events within, those of each before those of the next one in the order of time. An index
    /// finds each: MongoDB cannot compare several fields at once, and a filter of alternatives finds them in no order.
    pub(crate) fn pieces(&self) -> Vec<Document> {
        let mut pieces = Pieces { bounds: self, found: Vec::new() };
        let (after, up_to) = (self.after.map(fields), self.up_to.map(fields));
        pieces.between(&Document::new(), after.as_ref().map(|after| &after[..]), up_to.as_ref().map(|to| &to[..]));
        pieces.found
    }
}

/// The pieces of some bounds.
struct Pieces<'a> {
    bounds: &'a Bounds,
    found: Vec<Document>,
}

impl Pieces<'_> {
    /// Adds those after one position and up to the other, if the fields before have these values.
    fn between(
        &mut self,
        equal: &Document,
        after: Option<&[(&'static str, Bson)]>,
        up_to: Option<&[(&'static str, Bson)]>,
    ) {
        match (after, up_to) {
            (None, None) => self.add(equal, None, None),
            // The last field is the sequence number.
            (Some([(_, seq)]), None) => self.add(equal, Some(seq), None),
            (None, Some([(_, seq)])) => self.add(equal, None, Some(seq)),
            (Some([(_, after)]), Some([(_, up_to)])) => self.add(equal, Some(after), Some(up_to)),
            (Some([(name, after), after_rest @ ..]), Some([(_, up_to), up_to_rest @ ..])) if after == up_to => {
                self.between(&with(equal, name, after.clone()), Some(after_rest), Some(up_to_rest));
            }
            (after, up_to) => {
                let (mut range, mut named) = (Document::new(), "");
                if let Some([(name, value), rest @ ..]) = after {
                    self.between(&with(equal, name, value.clone()), Some(rest), None);
                    range.insert("$gt", value.clone());
                    named = name;
                }
                if let Some([(name, value), ..]) = up_to {
                    range.insert("$lt", value.clone());
                    named = name;
                }
                self.add(&with(equal, named, range), None, None);
                if let Some([(name, value), rest @ ..]) = up_to {
                    self.between(&with(equal, name, value.clone()), None, Some(rest));
                }
            }
        }
    }

    /// Adds the events whose first fields have certain values, within these sequence numbers.
    fn add(&mut self, filter: &Document, after: Option<&Bson>, up_to: Option<&Bson>) {
        let after = after.and_then(Bson::as_i64).unwrap_or(0).max(number(self.bounds.after_seq));
        let up_to = up_to.and_then(Bson::as_i64).unwrap_or(i64::MAX).min(number(self.bounds.up_to_seq));
        if after < up_to {
            self.found.push(with(filter, "_id", doc! { "$gt": after, "$lte": up_to }));
        }
    }
}

fn with(document: &Document, name: &str, value: impl Into<Bson>) -> Document {
    let mut document = document.clone();
    document.insert(name, value);
    document
}

fn fields(position: Position) -> Fields {
    let (time, nanos) = split(position.timestamp);
    [("time", time.into()), ("nanos", nanos.into()), ("_id", number(position.seq).into())]
}

/// By which fields an order sorts.
pub(crate) fn sort(order: Order) -> Document {
    match order {
        Order::TimeAscending => doc! { "time": 1, "nanos": 1, "_id": 1 },
        Order::TimeDescending => doc! { "time": -1, "nanos": -1, "_id": -1 },
        Order::Sequence => doc! { "_id": 1 },
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
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use mongodb::bson::DateTime;

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

    /// Whether a filter finds an event.
    fn finds(filter: &Document, position: Position) -> bool {
        let comparable = |value: &Bson| {
            let date = value.as_datetime().map(|date| date.timestamp_millis());
            date.or(value.as_i32().map(i64::from)).or(value.as_i64()).unwrap()
        };
        fields(position).iter().all(|(name, value)| match filter.get(name) {
            None => true,
            Some(Bson::Document(range)) => range.iter().all(|(operator, bound)| match operator.as_str() {
                "$gt" => comparable(value) > comparable(bound),
                "$lt" => comparable(value) < comparable(bound),
                "$lte" => comparable(value) <= comparable(bound),
                _ => false,
            }),
            Some(equal) => comparable(value) == comparable(equal),
        })
    }

    /// Each event within any bounds is in one piece, the pieces are in order, and no other event is in any.
    #[test]
    fn pieces_are_what_is_within() {
        const MILLI: i64 = 1_000_000;
        let times = [-MILLI, -1, 0, 1, MILLI - 1, MILLI, 2 * MILLI + 5];
        let all: Vec<Position> = times.iter().flat_map(|&time| [1, 2, 3].map(|seq| at(time, seq))).collect();
        let limits: Vec<Option<Position>> =
            times.iter().flat_map(|&time| [0, 2, u64::MAX].map(|seq| Some(at(time, seq)))).chain([None]).collect();
        for &after in &limits {
            for &up_to in &limits {
                for (after_seq, up_to_seq) in [(0, 3), (1, 2), (0, 1)] {
                    let bounds = Bounds { after, up_to, after_seq, up_to_seq };
                    if bounds.is_empty() {
                        continue;
                    }
                    let pieces = bounds.pieces();
                    let found: Vec<Position> = pieces
                        .iter()
                        .flat_map(|piece| all.iter().copied().filter(|position| finds(piece, *position)))
                        .collect();
                    let expected: Vec<Position> =
                        all.iter().copied().filter(|position| bounds.contain(*position)).collect();
                    assert_eq!(found, expected, "{bounds:?} {pieces:?}");
                    assert!(pieces.len() <= 5, "{pieces:?}");
                }
            }
        }
    }

    #[test]
    fn a_range_of_one_time_is_one_piece() {
        let bounds = Bounds { after: Some(at(7, 2)), up_to: Some(at(7, 5)), after_seq: 0, up_to_seq: 4 };
        let piece = doc! { "time": DateTime::from_millis(0), "nanos": 7, "_id": { "$gt": 2_i64, "$lte": 4_i64 } };
        assert_eq!(bounds.pieces(), [piece]);
    }
}
