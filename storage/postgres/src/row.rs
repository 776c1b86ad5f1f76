//! Stored events as the server returns them.

use argus_core::damage::{Affected, Damage};
use argus_core::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use argus_core::query::Position;
use argus_core::repository::ReadError;
use argus_database::Row;
use tokio_postgres::Error;

use crate::fault::fault_of;
use crate::values::{Micros, join};

/// The columns of a [`StoredRow`].
pub(crate) const COLUMNS: &str = "seq, time, nanos, id_generated, id, event_type, payload, stored_at";

/// A stored event.
#[derive(Debug)]
pub(crate) struct StoredRow {
    pub(crate) position: Position,
    row: tokio_postgres::Row,
}

impl StoredRow {
    /// The event in a row that begins with [`COLUMNS`].
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the columns have other types, or impossible values.
    pub(crate) fn of(row: tokio_postgres::Row) -> Result<Self, ReadError> {
        Ok(Self { position: position(&row)?, row })
    }

    fn text(&self, column: usize) -> Result<&str, ReadError> {
        self.row.try_get(column).map_err(broken)
    }

    fn stored_at(&self) -> Result<Timestamp, ReadError> {
        let micros: Micros = self.row.try_get(7).map_err(broken)?;
        join(micros, 0).ok_or_else(|| self.damaged("it was stored at a time out of range".to_owned()))
    }

    fn damaged(&self, reason: String) -> ReadError {
        let seq = self.position.seq;
        let damage = Damage::of(format!("the row with seq {seq} of the table `events`"), reason);
        ReadError::Damaged(Damage { affected: Affected::between(seq, seq), ..damage })
    }
}

impl Row for StoredRow {
    fn position(&self) -> Position {
        self.position
    }

    fn bytes(&self) -> usize {
        self.row.raw_size_bytes() + size_of::<Self>() + 16 * size_of::<usize>()
    }

    fn payload(&self) -> Result<Payload<'_>, ReadError> {
        let text = self.text(6)?;
        Payload::parse(text).map_err(|error| self.damaged(format!("its payload is no compact JSON: {error}")))
    }

    fn event(&self) -> Result<Event<'_>, ReadError> {
        let (is_generated, id) = (self.row.try_get::<_, bool>(3).map_err(broken)?, self.text(4)?);
        let id = if is_generated {
            let parsed = Uuid::parse(id);
            EventId::Generated(parsed.map_err(|error| self.damaged(format!("its generated id is {error}")))?)
        } else {
            EventId::Given(ClientId::parse(id).map_err(|error| self.damaged(error.to_string()))?)
        };
        Ok(Event {
            id,
            seq: self.position.seq,
            event_type: EventType::parse(self.text(5)?).map_err(|error| self.damaged(error.to_string()))?,
            timestamp: self.position.timestamp,
            payload: self.payload()?,
            stored_at: self.stored_at()?,
        })
    }
}

/// The position of a row that begins with the columns `seq, time, nanos`.
///
/// # Errors
///
/// [`ReadError`] if there is no such time.
pub(crate) fn position(row: &tokio_postgres::Row) -> Result<Position, ReadError> {
    let (seq, micros, nanos) = (row.try_get::<_, i64>(0), row.try_get::<_, Micros>(1), row.try_get::<_, i16>(2));
    let (seq, micros, nanos) = (seq.map_err(broken)?, micros.map_err(broken)?, nanos.map_err(broken)?);
    let timestamp: Option<Timestamp> = join(micros, nanos);
    let timestamp = timestamp.ok_or_else(|| {
        let place = format!("the row with seq {seq} of the table `events`");
        ReadError::Damaged(Damage::of(place, "its time is out of range"))
    })?;
    Ok(Position { timestamp, seq: seq.cast_unsigned() })
}

/// The error of a column that is not what it should be.
#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
pub(crate) fn broken(error: Error) -> ReadError {
    fault_of(&error).into()
}
