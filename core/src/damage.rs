//! Damage to stored data: where, why, and which events are affected.

use alloc::string::String;
use core::error::Error;
use core::fmt;

/// Stored data that differs from what was written.
///
/// Its text is for operators. Callers are told only [`affected`](Self::affected), because places are internal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name of the damaged place: a blob or the log, for example.
    pub place: String,
    /// The offset of the damage in that place; `None` if all of it is damaged.
    pub offset: Option<u64>,
    /// What is wrong.
    pub reason: String,
    /// Which events are affected.
    pub affected: Affected,
}

/// The events that damage affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affected {
    /// No event is affected.
    Nothing,
    /// Some events are affected.
    Events(Events),
}

/// A range of affected events. It has at least one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    first: u64,
    last: u64,
    count: Option<u64>,
}

impl Damage {
    /// Damage to all of a place that is not known to affect events.
    ///
    /// ```
    /// use argus_core::damage::Damage;
    ///
    /// let damage = Damage::of("segments/12", "its checksum is wrong");
    /// assert!(damage.to_string().contains("its checksum is wrong"));
    /// ```
    pub fn of(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), offset: None, reason: reason.into(), affected: Affected::Nothing }
    }
}

impl Affected {
    /// An unknown number of the events from `first` to `last`. [`Nothing`](Self::Nothing) if `last` is before `first`;
    /// `u64::MAX` as the last means unknown.
    ///
    /// ```
    /// use argus_core::damage::Affected;
    ///
    /// let Affected::Events(events) = Affected::between(7, 20) else { panic!("some are affected") };
    /// assert_eq!((events.first(), events.last(), events.count()), (7, Some(20), None));
    /// assert_eq!(Affected::between(8, 7), Affected::Nothing);
    /// ```
    #[must_use]
    pub fn between(first: u64, last: u64) -> Self {
        Self::new(first, last, None)
    }

    /// `count` of the events from `first` to `last`. [`Nothing`](Self::Nothing) if `count` is 0.
    ///
    /// ```
    /// use argus_core::damage::Affected;
    ///
    /// let Affected::Events(events) = Affected::some(7, 20, 3) else { panic!("some are affected") };
    /// assert_eq!(events.count(), Some(3));
    /// assert_eq!(Affected::some(7, 20, 0), Affected::Nothing);
    /// ```
    #[must_use]
    pub fn some(first: u64, last: u64, count: u64) -> Self {
        if count == 0 { Self::Nothing } else { Self::new(first, last, Some(count)) }
    }

    /// All events from `first` to `last`. [`Nothing`](Self::Nothing) if `last` is before `first`.
    ///
    /// ```
    /// use argus_core::damage::Affected;
    ///
    /// let Affected::Events(events) = Affected::all(7, 20) else { panic!("some are affected") };
    /// assert_eq!(events.count(), Some(14));
    /// ```
    #[must_use]
    pub fn all(first: u64, last: u64) -> Self {
        Self::new(first, last, last.checked_sub(first).map(|count| count.saturating_add(1)))
    }

    fn new(first: u64, last: u64, count: Option<u64>) -> Self {
        // A sequence number belongs to one event.
        let count = if first == last { Some(1) } else { count };
        if last < first { Self::Nothing } else { Self::Events(Events { first, last, count }) }
    }
}

impl Events {
    /// The lowest sequence number.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The highest sequence number; `None` if unknown.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        Some(self.last).filter(|&last| last < u64::MAX)
    }

    /// Number of events; `None` if unknown.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.count
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, offset, reason, affected } = self;
        f.write_str(place)?;
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {reason}; {affected}")
    }
}

impl Error for Damage {}

impl fmt::Display for Affected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Events(events) = *self else { return f.write_str("no event is affected") };
        match events {
            Events { first, last: u64::MAX, count: _ } => write!(f, "events from {first} on are affected"),
            Events { first, last, count: None } => write!(f, "events between {first} and {last} are affected"),
            Events { first, last, count: Some(1) } if first == last => write!(f, "event {first} is affected"),
            Events { first, last, count: Some(count) } if count == (last - first).saturating_add(1) => {
                write!(f, "events {first} to {last} are affected")
            }
            Events { first, last, count: Some(count) } => {
                write!(f, "{count} events between {first} and {last} are affected")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn empty_ranges_affect_nothing() {
        for affected in [Affected::between(180_621, 180_620), Affected::all(2, 1), Affected::some(3, 9, 0)] {
            assert_eq!(affected, Affected::Nothing);
        }
        assert_eq!(Affected::all(0, u64::MAX), Affected::some(0, u64::MAX, u64::MAX));
    }

    #[test]
    fn the_text_tells_known_counts_from_unknown_ones() {
        for (affected, text) in [
            (Affected::Nothing, "no event is affected"),
            (Affected::all(3, 3), "event 3 is affected"),
            (Affected::between(3, 3), "event 3 is affected"),
            (Affected::all(3, 5), "events 3 to 5 are affected"),
            (Affected::some(3, 9, 4), "4 events between 3 and 9 are affected"),
            (Affected::between(3, 9), "events between 3 and 9 are affected"),
            (Affected::between(3, u64::MAX), "events from 3 on are affected"),
        ] {
            assert_eq!(affected.to_string(), text);
        }
        let damage = Damage {
            place: "segment-1".to_string(),
            offset: Some(7),
            reason: "it ends".to_string(),
            affected: Affected::all(3, 3),
        };
        assert_eq!(damage.to_string(), "segment-1 at offset 7: it ends; event 3 is affected");
    }
}
