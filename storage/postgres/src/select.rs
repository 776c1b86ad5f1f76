//! SELECT statements, and the bounds of what they return.

use std::pin::pin;

use argus_core::event::Timestamp;
use argus_core::query::{Order, Position, Scan};
use futures_util::TryStreamExt as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use crate::values::split;

/// A statement under construction.
#[derive(Default)]
pub(crate) struct Select {
    sql: String,
    parameters: Vec<(Box<dyn ToSql + Send + Sync>, Type)>,
}

/// Which events, by time and sequence number: those after `after` and up to `up_to`, in the order of time and sequence
/// number, and the same by sequence number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) after: Option<Position>,
    pub(crate) up_to: Option<Position>,
    pub(crate) after_seq: u64,
    pub(crate) up_to_seq: u64,
}

impl Select {
    /// Appends SQL.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a parameter.
    pub(crate) fn bind(&mut self, value: impl ToSql + Send + Sync + 'static, of: Type) -> &mut Self {
        self.parameters.push((Box::new(value), of));
        self.sql.push_str(&format!("${}", self.parameters.len()));
        self
    }

    /// Appends the condition that a row is within bounds.
    pub(crate) fn within(&mut self, bounds: &Bounds) -> &mut Self {
        self.push("seq > ").bind(number(bounds.after_seq), Type::INT8);
        self.push(" AND seq <= ").bind(number(bounds.up_to_seq), Type::INT8);
        if let Some(after) = bounds.after {
            self.push(" AND (time, nanos, seq) > ").position(after);
        }
        if let Some(up_to) = bounds.up_to {
            self.push(" AND (time, nanos, seq) <= ").position(up_to);
        }
        self
    }

    fn position(&mut self, position: Position) {
        let (time, nanos) = split(position.timestamp);
        self.push("(").bind(time, Type::TIMESTAMPTZ).push(", ").bind(nanos, Type::INT2);
        self.push(", ").bind(number(position.seq), Type::INT8).push(")");
    }

    /// Appends `ORDER BY`.
    pub(crate) fn ordered(&mut self, order: Order) -> &mut Self {
        self.push(" ORDER BY ").push(keys(order))
    }

    /// The rows.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn rows(&self, client: &Client) -> Result<Vec<Row>, Error> {
        client.query_typed_raw(&self.sql, self.parameters()).await?.try_collect().await
    }

    /// The first rows, until they have `bytes_max` bytes, and whether there may be more.
    ///
    /// # Errors
    ///
    /// The error of the statement.
    pub(crate) async fn first_rows(&self, client: &Client, bytes_max: usize) -> Result<(Vec<Row>, bool), Error> {
        let stream = client.query_typed_raw(&self.sql, self.parameters()).await?;
        let (mut stream, mut rows, mut bytes) = (pin!(stream), Vec::new(), 0);
        while let Some(row) = stream.try_next().await? {
            bytes += row.raw_size_bytes();
            rows.push(row);
            if bytes >= bytes_max {
                return Ok((rows, true));
            }
        }
        Ok((rows, false))
    }

    fn parameters(&self) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
    }
}

/// The columns by which an order sorts.
pub(crate) fn keys(order: Order) -> &'static str {
    match order {
        Order::TimeAscending => "time, nanos, seq",
        Order::TimeDescending => "time DESC, nanos DESC, seq DESC",
        Order::Sequence => "seq",
    }
}

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

/// A sequence number for PostgreSQL. Higher ones than it knows do not occur.
pub(crate) fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
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
