//! Batches of events to be stored. The thread that parses the events encodes and indexes them.

use serde::{Deserialize, Serialize};

use crate::checksum::Crc32c;
use crate::event::{ClientId, EVENT_TYPE_BYTES_MAX, EventType, Payload, Timestamp};
use crate::segment::{Rows, RowsBuilder};

/// The most bytes of text in a batch: text offsets have 32 bits.
const TEXT_BYTES_MAX: usize = u32::MAX as usize;

/// The most bytes of a batch's index: its length has 32 bits in the log. Only a batch of more than a hundred million
/// nearly empty events reaches this limit before that of the text.
const INDEX_BYTES_MAX: usize = u32::MAX as usize;

/// The most bytes that an event adds to the index: a row, an id entry, and a type with its name.
const EVENT_INDEX_BYTES_MAX: usize = 28 + 12 + 8 + EVENT_TYPE_BYTES_MAX;

/// Collects events into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    rows: RowsBuilder,
}

/// Events, encoded and indexed, ready for [`Repository::commit`](crate::repository::Repository::commit). Immutable and
/// cheap to clone.
#[derive(Clone, Debug)]
pub struct Batch {
    rows: Rows,
    crc: u32,
    handling: Handling,
}

/// Whether an invalid event causes the whole batch to be refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// A single invalid event causes the whole batch to be refused.
    #[default]
    Strict,
    /// Valid events are stored; invalid ones are left out.
    Lenient,
}

/// An event before it is stored. It is serialized with the member names of the HTTP API. Deserializing is stricter than
/// [`ingest`](crate::ingest), which also accepts escapes, white space and numbers as times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent<'a> {
    /// The event type: what happened.
    #[serde(borrow)]
    pub event_type: EventType<'a>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The payload, any JSON value.
    #[serde(borrow)]
    pub payload: Payload<'a>,
    /// The caller's idempotency key, if any.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId<'a>>,
}

/// The batch is full: it holds at most 4 GiB of ids and payloads, and 4 GiB of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch holds at most 4 GiB")]
pub struct BatchFull;

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty builder with capacity for this many bytes of ids and payloads.
    pub(crate) fn with_text_capacity(bytes: usize) -> Self {
        Self { rows: RowsBuilder::with_capacity(0, bytes) }
    }

    /// The most memory that pushing this event and finishing the batch takes, in bytes.
    pub(crate) fn work_bytes(&self, event: &NewEvent<'_>) -> usize {
        let text = 1 + event.id.map_or(0, |id| id.as_str().len()) + event.payload.as_str().len();
        self.rows.work_bytes(text, EVENT_INDEX_BYTES_MAX)
    }

    /// Appends an event. Sequence numbers follow the order of calls.
    ///
    /// # Errors
    ///
    /// [`BatchFull`] if the batch would exceed its limit; it is unchanged.
    pub fn push(&mut self, event: NewEvent<'_>) -> Result<(), BatchFull> {
        let id = event.id.map_or("", |id| id.as_str());
        let payload = event.payload.as_str();
        let text = self.rows.text_bytes() + 1 + id.len() + payload.len();
        if text > TEXT_BYTES_MAX || self.rows.index_bytes() > INDEX_BYTES_MAX - EVENT_INDEX_BYTES_MAX {
            return Err(BatchFull);
        }
        let code = self.rows.intern(event.event_type.as_str().as_bytes());
        let ordinal = self.rows.len() as u32;
        self.rows.push(event.timestamp.as_nanos(), ordinal, code, id.as_bytes(), payload.as_bytes());
        Ok(())
    }

    /// Number of events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of different event types so far.
    #[must_use]
    pub fn type_count(&self) -> usize {
        self.rows.type_count()
    }

    /// Whether an event of this type was pushed.
    #[must_use]
    pub fn has_type(&self, event_type: EventType<'_>) -> bool {
        self.rows.has_type(event_type.as_str().as_bytes())
    }

    /// Encodes and indexes the events.
    #[must_use]
    pub fn finish(self) -> Batch {
        Batch::from_rows(self.rows.finish_sorted())
    }
}

/// Why the texts of a batch are UTF-8.
const TEXT: &str = "a batch is built from strings only";

impl Batch {
    pub(crate) fn from_rows(rows: Rows) -> Self {
        let mut crc = Crc32c::new();
        crc.update(rows.index());
        crc.update(rows.text());
        Self { crc: crc.finish(), rows, handling: Handling::Strict }
    }

    /// The same events with this handling. The default is [`Handling::Strict`].
    #[must_use]
    pub fn handled(self, handling: Handling) -> Self {
        Self { handling, ..self }
    }

    /// Whether an invalid event causes the whole batch to be refused.
    #[must_use]
    pub fn handling(&self) -> Handling {
        self.handling
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of the batch in memory, and in the log without the record header.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The events, in the order in which they were pushed.
    pub fn events(&self) -> impl Iterator<Item = NewEvent<'_>> {
        (0..self.len()).map(|index| self.event(index))
    }

    /// The different event types, in ascending order of their bytes.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        (0..self.rows.type_count()).map(|code| core::str::from_utf8(self.rows.type_name(code)).expect(TEXT))
    }

    /// The caller's id of the first event, if it has one.
    #[must_use]
    pub fn first_id(&self) -> Option<ClientId<'_>> {
        if self.is_empty() {
            return None;
        }
        let (id, _) = self.rows.id_and_payload(self.rows.row_by_ordinal(0));
        (!id.is_empty()).then(|| ClientId::from_validated(core::str::from_utf8(id).expect(TEXT)))
    }

    pub(crate) fn event(&self, index: usize) -> NewEvent<'_> {
        let row = self.rows.row_by_ordinal(index);
        let (id, payload) = self.rows.id_and_payload(row);
        let name = self.rows.type_name(self.rows.row_type(row));
        NewEvent {
            event_type: EventType::from_validated(core::str::from_utf8(name).expect(TEXT)),
            timestamp: Timestamp::from_nanos(self.rows.timestamp(row)),
            payload: Payload::from_validated(core::str::from_utf8(payload).expect(TEXT)),
            id: (!id.is_empty()).then(|| ClientId::from_validated(core::str::from_utf8(id).expect(TEXT))),
        }
    }

    /// The columns. The ordinal of an event is its index in the batch.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// CRC-32C of index and text.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::String;
    use std::format;

    use super::*;

    /// The limits of a batch depend on the estimated sizes.
    #[test]
    fn the_builder_knows_the_sizes_of_index_and_text_in_advance() {
        let longest = "x".repeat(EVENT_TYPE_BYTES_MAX);
        let types = ["a", "b", "a", &longest, "b"];
        let mut builder = BatchBuilder::new();
        for (count, event_type) in types.into_iter().enumerate() {
            let id: Option<String> = (count % 2 == 1).then(|| format!("id-{count}"));
            let before = builder.rows.index_bytes();
            let event = NewEvent {
                event_type: EventType::parse(event_type).unwrap(),
                timestamp: Timestamp::from_nanos(-(count as i64)),
                payload: Payload::parse("{}").unwrap(),
                id: id.as_deref().map(|id| ClientId::parse(id).unwrap()),
            };
            builder.push(event).unwrap();
            let added = builder.rows.index_bytes() - before;
            assert!(added <= EVENT_INDEX_BYTES_MAX);
            assert_eq!(added == EVENT_INDEX_BYTES_MAX, event_type == longest, "{count}");
        }
        let (index, text) = (builder.rows.index_bytes(), builder.rows.text_bytes());
        let batch = builder.finish();
        assert_eq!((batch.rows.index().len(), batch.rows.text().len()), (index, text));
    }

    #[test]
    fn deserializing_validates_events() {
        let text = |id: &str, event_type: &str, timestamp: &str, payload: &str| {
            format!(r#"{{"event_type":"{event_type}","timestamp":"{timestamp}","payload":{payload}{id}}}"#)
        };
        let second = "1970-01-01T00:00:01Z";
        for (id, payload) in [("", "null"), (r#","id":"a ü""#, r#"{"n":1.0,"n":1e400,"s":"\ud800"}"#)] {
            let json = text(id, "ü", second, payload);
            let event: NewEvent<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!((event.event_type.as_str(), event.timestamp.as_nanos()), ("ü", 1_000_000_000));
            assert_eq!((event.payload.as_str(), event.id.is_some()), (payload, !id.is_empty()));
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
        for (json, reason) in [
            (text(r#","id":"""#, "a", second, "0"), "id is empty"),
            (text(r#","seq":1"#, "a", second, "0"), "unknown field `seq`"),
            (text("", "", second, "0"), "event_type is empty"),
            (text("", "\u{7f}", second, "0"), "event_type has U+007F at byte 0"),
            (text("", r"\u0041", second, "0"), "expected a borrowed string"),
            (text("", "a", "yesterday", "0"), "not RFC 3339"),
            (text("", "a", second, "[1, 2]"), "insignificant white space"),
        ] {
            let error = serde_json::from_str::<NewEvent<'_>>(&json).unwrap_err();
            assert!(format!("{error}").contains(reason), "{error}, not {reason}");
        }
    }
}
