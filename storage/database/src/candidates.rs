//! Few events whose positions are known before they are read.

use argus_core::query::{Order, Position};
use argus_core::repository::ReadError;

use crate::source::{Page, Row};

/// The positions of all events that a scan may return, in its order.
#[derive(Debug)]
pub struct Candidates {
    order: Order,
    /// The next one comes last.
    positions: Vec<Position>,
}

impl Candidates {
    /// No events.
    #[must_use]
    pub fn none() -> Self {
        Self { order: Order::Sequence, positions: Vec::new() }
    }

    /// The events at these positions.
    #[must_use]
    pub fn new(mut positions: Vec<Position>, order: Order) -> Self {
        match order {
            Order::TimeAscending => positions.sort_unstable_by(|one, other| other.cmp(one)),
            Order::TimeDescending => positions.sort_unstable(),
            Order::Sequence => positions.sort_unstable_by_key(|position| u64::MAX - position.seq),
        }
        positions.dedup();
        Self { order, positions }
    }

    /// Whether there are no more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.positions.is_empty()
    }

    /// Memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.positions.capacity() * size_of::<Position>()
    }

    /// Reads up to `rows` more events, of which some may have been removed. Returns the position up to which all were
    /// read. `read` gets their positions, and returns them in this order; also whether it has left out the last ones,
    /// since they are too large for one page.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    pub fn page<R: Row>(
        &mut self,
        rows: u32,
        read: impl FnOnce(&[Position], Order) -> Result<(Vec<R>, bool), ReadError>,
    ) -> Result<Page<R>, ReadError> {
        let first = self.positions.len().saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX));
        let next = self.positions.get(first..).unwrap_or_default();
        let (page, is_cut) = read(next, self.order)?;
        let reached = if is_cut { page.last().map(Row::position) } else { next.first().copied() };
        let left = match reached {
            Some(reached) => next.iter().position(|next| *next == reached).ok_or_else(unexpected)?,
            None => 0,
        };
        self.positions.truncate(first + left);
        Ok((page, reached))
    }
}

/// The error for an event that has another time than before, which only a change by hand can cause.
fn unexpected() -> ReadError {
    ReadError::Failed("the database has returned an event that was not asked for".into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use argus_core::event::{Event, Payload, Timestamp};

    use super::*;

    /// A row of which only the position is read.
    struct Found(Position);

    impl Row for Found {
        fn position(&self) -> Position {
            self.0
        }

        fn bytes(&self) -> usize {
            0
        }

        fn payload(&self) -> Result<Payload<'_>, ReadError> {
            unreachable!("nobody asks for it")
        }

        fn event(&self) -> Result<Event<'_>, ReadError> {
            unreachable!("nobody asks for it")
        }
    }

    fn at(nanos: i64, seq: u64) -> Position {
        Position { timestamp: Timestamp::from_nanos(nanos), seq }
    }

    /// Reads all pages of two rows. A page has no more than so many of those that are there.
    fn seqs(order: Order, removed: &[u64], page_max: usize) -> Vec<u64> {
        let mut candidates = Candidates::new(vec![at(2, 1), at(1, 2), at(2, 3), at(2, 1), at(5, 4)], order);
        let mut seqs = Vec::new();
        while !candidates.is_complete() {
            let page = candidates.page(2, |next, _| {
                // They come to the database from the last one to the first one.
                let there = next.iter().rev().filter(|position| !removed.contains(&position.seq));
                let mut found: Vec<Found> = there.map(|position| Found(*position)).collect();
                let is_cut = found.len() > page_max;
                found.truncate(page_max);
                Ok((found, is_cut))
            });
            seqs.extend(page.unwrap().0.iter().map(|row| row.0.seq));
        }
        seqs
    }

    #[test]
    fn candidates_are_read_in_order_and_once() {
        for page_max in [1, 2] {
            assert_eq!(seqs(Order::TimeAscending, &[], page_max), [2, 1, 3, 4]);
            assert_eq!(seqs(Order::TimeDescending, &[], page_max), [4, 3, 1, 2]);
            assert_eq!(seqs(Order::Sequence, &[], page_max), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn removed_events_are_passed_over() {
        assert_eq!(seqs(Order::Sequence, &[1, 2, 4], 1), [3]);
        assert!(seqs(Order::Sequence, &[1, 2, 3, 4], 1).is_empty());
    }

    #[test]
    fn an_event_at_another_position_is_an_error() {
        let mut candidates = Candidates::new(vec![at(1, 1)], Order::Sequence);
        assert!(candidates.page(2, |_, _| Ok((vec![Found(at(7, 1))], true))).is_err());
        assert!(!candidates.is_complete());
    }
}
