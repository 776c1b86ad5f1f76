//! The offsets of a zone's clocks from UTC, from one transition to the next.

use alloc::vec::Vec;

use jiff::{SignedDuration, Timestamp};

use super::Zone;

/// How long the clocks of a zone keep one offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first second; `i64::MIN` if there is no transition before.
    pub(super) start: i64,
    /// The second of the next transition; `i64::MAX` if there is none.
    pub(super) end: i64,
    /// Wall clock minus UTC, in seconds.
    pub(super) offset: i64,
}

/// A zone, and those of its spans that were asked for. There are at most about 1,200 of them from 1677 to 2262: two a
/// year.
#[derive(Clone, Debug)]
pub(super) struct Offsets {
    zone: Zone,
    /// In order of time. Not all spans: there may be gaps between them.
    known: Vec<Span>,
    /// The index of the span that was found last.
    last: usize,
}

impl Offsets {
    pub(super) const fn new(zone: Zone) -> Self {
        Self { zone, known: Vec::new(), last: 0 }
    }

    pub(super) const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The span in which this second is.
    pub(super) fn at(&mut self, second: i64) -> Span {
        if let Some(span) = self.known.get(self.last)
            && (span.start..span.end).contains(&second)
        {
            return *span;
        }
        let after = self.known.partition_point(|span| span.start <= second);
        if let Some(before) = after.checked_sub(1)
            && let Some(span) = self.known.get(before)
            && second < span.end
        {
            self.last = before;
            return *span;
        }
        let span = self.look_up(second);
        self.known.insert(after, span);
        self.last = after;
        span
    }

    /// Asks the database.
    fn look_up(&self, second: i64) -> Span {
        let second = second.clamp(Timestamp::MIN.as_second() + 1, Timestamp::MAX.as_second() - 1);
        let at = Timestamp::from_second(second).expect("the second is within the range");
        let next = at.checked_add(SignedDuration::from_secs(1)).expect("the next second is within the range too");
        let rules = self.zone.rules();
        // Transitions strictly before an instant, and strictly after one.
        let start = rules.preceding(next).next().map_or(i64::MIN, |transition| transition.timestamp().as_second());
        let end = rules.following(at).next().map_or(i64::MAX, |transition| transition.timestamp().as_second());
        Span { start, end, offset: i64::from(rules.to_offset(at).seconds()) }
    }
}
