//! What the answers to a submission say.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use serde::Serialize;

use crate::event::EventId;
use crate::ingest::EventFault;
use crate::json;

/// The body of the answer to a single event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged<'a> {
    /// The event's id.
    pub id: EventId<'a>,
    /// Its sequence number.
    pub seq: u64,
    /// It was stored before, and not again.
    pub duplicate: bool,
    /// It survives the end of the process and the loss of power.
    pub durable: bool,
    /// 1 if it had expired already when it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<NonZeroU32>,
}

/// The body of the answer to an array or to lines.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary<'a> {
    /// Events stored anew.
    pub(super) accepted: u64,
    /// Events stored before.
    pub(super) duplicates: usize,
    /// The sequence numbers of the events stored anew, from…
    pub(super) first_seq: Option<u64>,
    /// …to. Both are `null` if there are none.
    pub(super) last_seq: Option<u64>,
    /// Absent if there was nothing to store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) durable: Option<bool>,
    /// How many of the events stored anew had expired already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expired: Option<NonZeroU32>,
    /// What lenient handling left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejected: Option<&'a [EventFault]>,
    /// How many faults there are, if more than are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejected_count: Option<usize>,
}

impl Acknowledged<'_> {
    /// Room for a generated id and any number, in bytes.
    pub const BYTES_USUAL: usize = 128;

    /// Appends what `serde_json` would write.
    ///
    /// By hand, because every single POST needs it: 0.04 µs. `serde_json` takes 0.08 µs with the caller's id and
    /// 0.16 µs with a generated one (bench `acknowledgement` in `core/benches/json.rs`).
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Self { id, seq, duplicate, durable, expired } = self;
        out.extend_from_slice(b"{\"id\":");
        id.write_json(out);
        out.extend_from_slice(b",\"seq\":");
        json::write_u64(*seq, out);
        out.extend_from_slice(if *duplicate { b",\"duplicate\":true" } else { b",\"duplicate\":false" });
        out.extend_from_slice(if *durable { b",\"durable\":true" } else { b",\"durable\":false" });
        if let Some(expired) = expired {
            out.extend_from_slice(b",\"expired\":");
            json::write_u64(u64::from(expired.get()), out);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::event::{ClientId, Uuid};

    #[test]
    fn the_same_is_written_by_hand_and_by_serde_json() {
        let given = EventId::Given(ClientId::parse(r#"a "b" \ ü/"#).unwrap());
        for id in [given, EventId::Generated(Uuid([0x5a; 16]))] {
            for (seq, duplicate, durable, expired) in
                [(0, false, false, None), (u64::MAX, true, true, NonZeroU32::new(1))]
            {
                let acknowledged = Acknowledged { id, seq, duplicate, durable, expired };
                let mut by_hand = Vec::new();
                acknowledged.write_json(&mut by_hand);
                assert_eq!(by_hand, serde_json::to_vec(&acknowledged).unwrap());
            }
        }
    }
}
