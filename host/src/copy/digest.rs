//! What a copy compares: the number of events, and a checksum of everything that they have.

use std::fmt;

use argus_core::event::Event;
use sha2::{Digest as _, Sha256};

/// The number of some events, and their checksum: the sum of 128 bits of the SHA-256 of each. So it does not depend on
/// the order, and events can be taken out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    events: u64,
    sum: u128,
}

/// 128 bits of the SHA-256 of everything that an event has: its sequence number, the time when it was stored in whole
/// milliseconds, which all repositories keep, its own time, id, type and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventHash(u128);

impl EventHash {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(event.seq.to_be_bytes());
        hash.update(event.stored_at.as_nanos().div_euclid(1_000_000).to_be_bytes());
        hash.update(event.timestamp.as_nanos().to_be_bytes());
        for text in [&*event.id.text(), event.event_type.as_str(), event.payload.as_str()] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let (first, _) = hash.split_first_chunk().expect("it has 32 bytes");
        Self(u128::from_be_bytes(*first))
    }
}

impl Digest {
    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn add(&mut self, event: &Event<'_>) {
        self.add_hash(EventHash::of(event));
    }

    pub(super) fn add_hash(&mut self, hash: EventHash) {
        self.events += 1;
        self.sum = self.sum.wrapping_add(hash.0);
    }

    /// Without these events, which are among them.
    pub(super) fn without(self, others: &Self) -> Self {
        Self { events: self.events.saturating_sub(others.events), sum: self.sum.wrapping_sub(others.sum) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events, checksum {:032x}", self.events, self.sum)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::event::{ClientId, EventId, EventType, Payload, Timestamp, Uuid};

    use super::*;

    fn event() -> Event<'static> {
        Event {
            id: EventId::Given(ClientId::parse("a").unwrap()),
            seq: 7,
            event_type: EventType::parse("bc").unwrap(),
            timestamp: Timestamp::from_nanos(1),
            payload: Payload::parse("1.0").unwrap(),
            stored_at: Timestamp::from_nanos(5_000_000),
        }
    }

    #[test]
    fn everything_that_an_event_has_counts() {
        let original = event();
        let others = [
            Event { id: EventId::Given(ClientId::parse("ab").unwrap()), ..original },
            Event { seq: 8, ..original },
            Event { event_type: EventType::parse("c").unwrap(), ..original },
            Event { timestamp: Timestamp::from_nanos(2), ..original },
            Event { payload: Payload::parse("1").unwrap(), ..original },
            Event { stored_at: Timestamp::from_nanos(6_000_000), ..original },
            // The same text, cut elsewhere.
            Event {
                id: EventId::Given(ClientId::parse("ab").unwrap()),
                event_type: EventType::parse("c").unwrap(),
                ..original
            },
        ];
        for other in others {
            assert_ne!(EventHash::of(&original), EventHash::of(&other), "{other:?}");
        }
    }

    #[test]
    fn neither_the_kind_of_an_id_nor_what_is_beyond_milliseconds_counts() {
        let uuid = Uuid([0x5a; 16]);
        let text = uuid.to_string();
        let generated = Event { id: EventId::Generated(uuid), ..event() };
        let given = Event { id: EventId::Given(ClientId::parse(&text).unwrap()), ..event() };
        assert_eq!(EventHash::of(&generated), EventHash::of(&given));
        let later = Event { stored_at: Timestamp::from_nanos(5_999_999), ..event() };
        assert_eq!(EventHash::of(&event()), EventHash::of(&later));
    }

    #[test]
    fn the_order_does_not_count_and_events_can_be_taken_out() {
        let [one, two] = [event(), Event { seq: 8, ..event() }];
        let digest = |events: &[Event<'_>]| {
            let mut digest = Digest::default();
            events.iter().for_each(|event| digest.add(event));
            digest
        };
        assert_eq!(digest(&[one, two]), digest(&[two, one]));
        assert_ne!(digest(&[one, two]), digest(&[one, one]));
        assert_eq!(digest(&[one, two]).without(&digest(&[two])), digest(&[one]));
        assert!(digest(&[one]).to_string().starts_with("1 events, checksum "));
    }
}
