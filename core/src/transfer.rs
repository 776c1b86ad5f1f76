//! Events on their way from one repository to another, with everything that the first one knows of them.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};

/// A range of sequence numbers, and the events that have them. A number without an event is that of one that has
/// expired or was erased.
#[derive(Clone, Debug)]
pub struct Transfer {
    after: u64,
    up_to: u64,
    /// The types, ids and payloads of all events.
    text: String,
    events: Vec<Entry>,
}

/// An event whose texts are in [`Transfer::text`].
#[derive(Clone, Debug)]
struct Entry {
    seq: u64,
    timestamp: Timestamp,
    stored_at: Timestamp,
    event_type: Range<usize>,
    id: Id,
    payload: Range<usize>,
}

#[derive(Clone, Debug)]
enum Id {
    Given(Range<usize>),
    Generated(Uuid),
}

/// An event came whose number is not above those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("event {seq} came after number {after}")]
pub struct OutOfOrder {
    /// The number of the event.
    pub seq: u64,
    /// The highest number so far.
    pub after: u64,
}

impl Transfer {
    /// No events yet. The first number is the one after `after`.
    #[must_use]
    pub fn after(after: u64) -> Self {
        Self { after, up_to: after, text: String::new(), events: Vec::new() }
    }

    /// Appends an event. Numbers that were left out before it have no event.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`]; nothing has changed.
    pub fn push(&mut self, event: &Event<'_>) -> Result<(), OutOfOrder> {
        if event.seq <= self.up_to {
            return Err(OutOfOrder { seq: event.seq, after: self.up_to });
        }
        let mut put = |text: &str| {
            let start = self.text.len();
            self.text.push_str(text);
            start..self.text.len()
        };
        let entry = Entry {
            seq: event.seq,
            timestamp: event.timestamp,
            stored_at: event.stored_at,
            event_type: put(event.event_type.as_str()),
            id: match event.id {
                EventId::Given(id) => Id::Given(put(id.as_str())),
                EventId::Generated(uuid) => Id::Generated(uuid),
            },
            payload: put(event.payload.as_str()),
        };
        self.events.push(entry);
        self.up_to = event.seq;
        Ok(())
    }

    /// The numbers up to this one that were not seen have no event. Does nothing if it is not above all of them.
    pub fn extend_to(&mut self, up_to: u64) {
        self.up_to = self.up_to.max(up_to);
    }

    /// The number before the first one.
    #[must_use]
    pub fn first_after(&self) -> u64 {
        self.after
    }

    /// The last number.
    #[must_use]
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    /// Whether some numbers have no event.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.up_to - self.after > self.events.len() as u64
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are no events. There may be numbers without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The numbers of two events that have the same id, if there are such.
    #[must_use]
    pub fn twins(&self) -> Option<(u64, u64)> {
        let mut ids: Vec<(Cow<'_, str>, u64)> = self.events().map(|event| (event.id.text(), event.seq)).collect();
        ids.sort_unstable();
        ids.windows(2).find_map(|pair| match pair {
            [(one, first), (other, second)] if one == other => Some((*first, *second)),
            _ => None,
        })
    }

    /// The bytes of memory that the events take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.events.len() * size_of::<Entry>()
    }

    /// The events, by number.
    pub fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.events.iter().map(|entry| {
            let text = |range: &Range<usize>| self.text.get(range.clone()).expect("`push` has put it there");
            Event {
                id: match &entry.id {
                    Id::Given(range) => EventId::Given(ClientId::from_validated(text(range))),
                    Id::Generated(uuid) => EventId::Generated(*uuid),
                },
                seq: entry.seq,
                event_type: EventType::from_validated(text(&entry.event_type)),
                timestamp: entry.timestamp,
                payload: Payload::from_validated(text(&entry.payload)),
                stored_at: entry.stored_at,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::ToString as _;

    use super::*;

    fn event(seq: u64, id: EventId<'_>) -> Event<'_> {
        Event {
            id,
            seq,
            event_type: EventType::parse("a").unwrap(),
            timestamp: Timestamp::from_nanos(-7),
            payload: Payload::parse(r#"{"n":1.0,"n":"\u0000"}"#).unwrap(),
            stored_at: Timestamp::from_nanos(1_500_000),
        }
    }

    #[test]
    fn events_come_back_as_they_were() {
        let mut transfer = Transfer::after(3);
        let events =
            [event(4, EventId::Given(ClientId::parse("first").unwrap())), event(9, EventId::Generated(Uuid([7; 16])))];
        assert!(transfer.is_empty() && !transfer.has_gaps());
        for event in &events {
            transfer.push(event).unwrap();
        }
        assert_eq!(transfer.events().collect::<Vec<_>>(), events);
        assert_eq!((transfer.first_after(), transfer.up_to(), transfer.len()), (3, 9, 2));
        assert!(transfer.has_gaps());
        transfer.extend_to(12);
        transfer.extend_to(11);
        assert_eq!((transfer.up_to(), transfer.twins()), (12, None));
    }

    #[test]
    fn two_events_with_one_id_are_found_whoever_gave_it() {
        let mut transfer = Transfer::after(0);
        let text = Uuid([7; 16]).to_string();
        transfer.push(&event(4, EventId::Generated(Uuid([7; 16])))).unwrap();
        transfer.push(&event(5, EventId::Generated(Uuid([8; 16])))).unwrap();
        assert_eq!(transfer.twins(), None);
        transfer.push(&event(9, EventId::Given(ClientId::parse(&text).unwrap()))).unwrap();
        assert_eq!(transfer.twins(), Some((4, 9)));
    }

    #[test]
    fn an_event_out_of_order_is_refused() {
        let mut transfer = Transfer::after(3);
        let id = EventId::Generated(Uuid([7; 16]));
        assert_eq!(transfer.push(&event(3, id)), Err(OutOfOrder { seq: 3, after: 3 }));
        transfer.push(&event(5, id)).unwrap();
        assert_eq!(transfer.push(&event(5, id)), Err(OutOfOrder { seq: 5, after: 5 }));
        assert_eq!(transfer.events().collect::<Vec<_>>(), [event(5, id)]);
    }
}
