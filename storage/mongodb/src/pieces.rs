//! Filters that find the events within bounds.

use argus_core::query::{Order, Position};
use argus_database::Bounds;
use mongodb::bson::{Bson, Document, doc};

use crate::values::{number, split};

/// The fields of a position, in the order of the index.
type Fields = [(&'static str, Bson); 3];

/// Filters that find the events within, those of each before those of the next one in the order of time. An index
/// finds each: MongoDB cannot compare several fields at once, and a filter of alternatives finds them in no order.
pub(crate) fn pieces(bounds: &Bounds) -> Vec<Document> {
    let mut pieces = Pieces { bounds, found: Vec::new() };
    let (after, up_to) = (bounds.after.map(fields), bounds.up_to.map(fields));
    pieces.between(&Document::new(), after.as_ref().map(|after| &after[..]), up_to.as_ref().map(|to| &to[..]));
    pieces.found
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::event::Timestamp;
    use mongodb::bson::DateTime;

    use super::*;

    fn at(nanos: i64, seq: u64) -> Position {
        Position { timestamp: Timestamp::from_nanos(nanos), seq }
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
                    let found_by = pieces(&bounds);
                    let found: Vec<Position> = found_by
                        .iter()
                        .flat_map(|piece| all.iter().copied().filter(|position| finds(piece, *position)))
                        .collect();
                    let expected: Vec<Position> =
                        all.iter().copied().filter(|position| bounds.contain(*position)).collect();
                    assert_eq!(found, expected, "{bounds:?} {found_by:?}");
                    assert!(found_by.len() <= 5, "{found_by:?}");
                }
            }
        }
    }

    #[test]
    fn a_range_of_one_time_is_one_piece() {
        let bounds = Bounds { after: Some(at(7, 2)), up_to: Some(at(7, 5)), after_seq: 0, up_to_seq: 4 };
        let piece = doc! { "time": DateTime::from_millis(0), "nanos": 7, "_id": { "$gt": 2_i64, "$lte": 4_i64 } };
        assert_eq!(pieces(&bounds), [piece]);
    }
}
