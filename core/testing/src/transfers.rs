//! Events for tests of imports.

use argus_core::event::Timestamp;
use argus_core::transfer::Transfer;

use crate::moment::NOW;
use crate::stored::{StoredEvent, StoredId};

/// An event with this number. Each number has its own id and time of commit, and there are three types. The payload is
/// not what it was if somebody reads it and writes it anew.
#[must_use]
pub fn numbered(seq: u64) -> StoredEvent {
    StoredEvent {
        id: StoredId::Given(format!("order {seq}")),
        seq,
        event_type: format!("type {}", seq % 3),
        timestamp: NOW,
        payload: r#"{"n":1.0,"n":1e400,"s":"\u0000"}"#.into(),
        stored_at: Timestamp::from_nanos(NOW.as_nanos() + seq.cast_signed() * 1_000_000),
    }
}

/// The numbers after one and up to another, with those of the events that have them.
///
/// # Panics
///
/// The events are not in the order of their numbers.
#[must_use]
pub fn transfer(events: &[StoredEvent], after: u64, up_to: u64) -> Transfer {
    let mut transfer = Transfer::after(after);
    for event in events.iter().filter(|event| (after + 1..=up_to).contains(&event.seq)) {
        transfer.push(&event.as_event()).expect("they are in order");
    }
    transfer.extend_to(up_to);
    transfer
}
