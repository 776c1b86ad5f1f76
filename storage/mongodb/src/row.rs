//! Stored events as documents.

use argus_core::batch::NewEvent;
use argus_core::damage::{Affected, Damage};
use argus_core::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use argus_core::query::Position;
use argus_core::repository::ReadError;
use argus_database::Row;
use mongodb::bson::error::Error;
use mongodb::bson::{Document, RawArrayBuf, RawBson, RawDocument, RawDocumentBuf, cstr, doc};

use crate::document::value_of;
use crate::fingerprint::fingerprints;
use crate::values::{count_of, join, number, split};

/// The longest payload, in bytes. A document of MongoDB has 16 MiB at most, with the other fields.
pub const PAYLOAD_BYTES_MAX: usize = 15 << 20;

/// What an entry of an index takes in a transaction, about, in bytes.
const ENTRY_BYTES: i64 = 100;

/// The document of an event that is to be stored.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) document: RawDocumentBuf,
    /// What it takes in a transaction, about: its bytes, and the entries of the index of values. A payload of 1 KiB may
    /// have 256 of them.
    pub(crate) weight: i64,
}

/// A stored event.
#[derive(Debug)]
pub(crate) struct StoredRow {
    pub(crate) position: Position,
    document: RawDocumentBuf,
}

/// The bytes of an event that the head counts.
pub(crate) fn counted_bytes(event: &NewEvent<'_>, id: &str) -> i64 {
    count_of(event.payload.as_str().len() + event.event_type.as_str().len() + id.len())
}

/// The document of an event.
pub(crate) fn new_row(seq: u64, event: &NewEvent<'_>, id: &str, stored_at: Timestamp) -> NewRow {
    let fingerprints = fingerprints(event.payload);
    let (time, nanos) = split(event.timestamp);
    let (stored_at, stored_nanos) = split(stored_at);
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), number(seq));
    document.append(cstr!("event_type"), event.event_type.as_str());
    document.append(cstr!("time"), time);
    document.append(cstr!("nanos"), nanos);
    document.append(cstr!("id"), id);
    document.append(cstr!("id_generated"), event.id.is_none());
    document.append(cstr!("stored_at"), stored_at);
    document.append(cstr!("stored_nanos"), stored_nanos);
    document.append(cstr!("bytes"), counted_bytes(event, id));
    document.append(cstr!("payload"), event.payload.as_str());
    document.append(cstr!("document"), value_of(event.payload).unwrap_or(RawBson::Null));
    document.append(cstr!("values"), fingerprints.iter().copied().collect::<RawArrayBuf>());
    let weight = count_of(document.as_bytes().len()) + count_of(fingerprints.len()) * ENTRY_BYTES;
    NewRow { document, weight }
}

/// The fields of a [`StoredRow`]: all but those that help to find it.
pub(crate) fn row_fields() -> Document {
    doc! { "document": 0, "values": 0 }
}

/// The fields of which [`position`] makes a position.
pub(crate) fn position_fields() -> Document {
    doc! { "_id": 1, "time": 1, "nanos": 1 }
}

impl StoredRow {
    /// The event in a document.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if its position is impossible.
    pub(crate) fn of(document: RawDocumentBuf) -> Result<Self, ReadError> {
        Ok(Self { position: position(&document)?, document })
    }

    /// The type.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is no text.
    pub(crate) fn event_type(&self) -> Result<&str, ReadError> {
        self.text("event_type")
    }

    fn text(&self, field: &str) -> Result<&str, ReadError> {
        self.document.get_str(field).map_err(|error| self.damaged(error.to_string()))
    }

    fn stored_at(&self) -> Result<Timestamp, ReadError> {
        let broken = |error: Error| self.damaged(error.to_string());
        let (date, nanos) = (self.document.get_datetime("stored_at"), self.document.get_i32("stored_nanos"));
        let stored_at = join(date.map_err(broken)?, nanos.map_err(broken)?);
        stored_at.ok_or_else(|| self.damaged("it was stored at a time out of range".to_owned()))
    }

    fn damaged(&self, reason: String) -> ReadError {
        damaged(self.position.seq, reason)
    }
}

impl Row for StoredRow {
    fn position(&self) -> Position {
        self.position
    }

    fn bytes(&self) -> usize {
        self.document.as_bytes().len() + size_of::<Self>()
    }

    fn payload(&self) -> Result<Payload<'_>, ReadError> {
        let text = self.text("payload")?;
        Payload::parse(text).map_err(|error| self.damaged(format!("its payload is no compact JSON: {error}")))
    }

    fn event(&self) -> Result<Event<'_>, ReadError> {
        let is_generated = self.document.get_bool("id_generated");
        let is_generated = is_generated.map_err(|error| self.damaged(error.to_string()))?;
        let id = self.text("id")?;
        let id = if is_generated {
            let parsed = Uuid::parse(id);
            EventId::Generated(parsed.map_err(|error| self.damaged(format!("its generated id is {error}")))?)
        } else {
            EventId::Given(ClientId::parse(id).map_err(|error| self.damaged(error.to_string()))?)
        };
        Ok(Event {
            id,
            seq: self.position.seq,
            event_type: EventType::parse(self.event_type()?).map_err(|error| self.damaged(error.to_string()))?,
            timestamp: self.position.timestamp,
            payload: self.payload()?,
            stored_at: self.stored_at()?,
        })
    }
}

/// The sequence number of a document.
///
/// # Errors
///
/// [`ReadError`] if it is none.
pub(crate) fn seq(document: &RawDocument) -> Result<u64, ReadError> {
    let reason = "its _id is no sequence number";
    let broken = || ReadError::Damaged(Damage::of("a document of the collection `events`", reason));
    let seq = document.get_i64("_id").map_err(|_| broken())?;
    u64::try_from(seq).map_err(|_| broken())
}

/// The position of a document that has [`position_fields`].
///
/// # Errors
///
/// [`ReadError`] if there is no such time.
pub(crate) fn position(document: &RawDocument) -> Result<Position, ReadError> {
    let seq = seq(document)?;
    let broken = |error: Error| damaged(seq, error.to_string());
    let time = document.get_datetime("time").map_err(broken)?;
    let timestamp = join(time, document.get_i32("nanos").map_err(broken)?);
    let timestamp = timestamp.ok_or_else(|| damaged(seq, "its time is out of range".to_owned()))?;
    Ok(Position { timestamp, seq })
}

fn damaged(seq: u64, reason: String) -> ReadError {
    let damage = Damage::of(format!("the document with _id {seq} of the collection `events`"), reason);
    ReadError::Damaged(Damage { affected: Affected::between(seq, seq), ..damage })
}
