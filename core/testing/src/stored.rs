//! Stored events as tests compare them.

use argus_core::damage::Damage;
use argus_core::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use argus_core::query::Position;
use argus_core::repository::{ReadError, Snapshot};

/// A stored event that owns its parts, so that it can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The caller's id, or the one that it was given.
    pub id: StoredId,
    /// Position in the log.
    pub seq: u64,
    /// What happened.
    pub event_type: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The free-form part, as JSON.
    pub payload: String,
}

/// The id of a [`StoredEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredId {
    /// The caller's.
    Given(String),
    /// Ours.
    Generated(Uuid),
}

impl StoredId {
    /// The id as callers see it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Given(text) => text.clone(),
            Self::Generated(uuid) => uuid.to_string(),
        }
    }

    /// Whether callers see this text. Texts are not made where they cannot be equal, since the model asks this of every
    /// event for every id.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        match self {
            Self::Given(text) => text == id,
            Self::Generated(_) => id.len() == 36 && self.text() == id,
        }
    }
}

impl From<Event<'_>> for StoredEvent {
    fn from(event: Event<'_>) -> Self {
        Self {
            id: match event.id {
                EventId::Given(id) => StoredId::Given(id.as_str().to_string()),
                EventId::Generated(uuid) => StoredId::Generated(uuid),
            },
            seq: event.seq,
            event_type: event.event_type.as_str().to_string(),
            timestamp: event.timestamp,
            payload: event.payload.as_str().to_string(),
        }
    }
}

impl StoredEvent {
    /// The event as repositories hand it out.
    #[must_use]
    pub fn as_event(&self) -> Event<'_> {
        Event {
            id: match &self.id {
                StoredId::Given(text) => EventId::Given(ClientId::parse(text).expect("it was a valid id when it came")),
                StoredId::Generated(uuid) => EventId::Generated(*uuid),
            },
            seq: self.seq,
            event_type: EventType::parse(&self.event_type).expect("it was a valid type when it came"),
            timestamp: self.timestamp,
            payload: Payload::parse(&self.payload).expect("it was a valid payload when it came"),
        }
    }

    /// Its place in the order of all events.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { timestamp: self.timestamp, seq: self.seq }
    }
}

/// The event with this id.
///
/// # Errors
///
/// What the snapshot reported; and [`ReadError::Damaged`] where what it said is not what it handed out.
pub fn get(snapshot: &dyn Snapshot, id: &str) -> Result<Option<StoredEvent>, ReadError> {
    let mut found = Vec::new();
    let said = snapshot.get(id, &mut |event| found.push(StoredEvent::from(event)))?;
    if found.len() != usize::from(said) {
        let reason = format!("said {said}, but handed out {} events for id {id:?}", found.len());
        return Err(ReadError::Damaged(Damage::of("a look-up", reason)));
    }
    Ok(found.pop())
}
