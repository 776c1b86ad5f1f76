//! What a database has to do for a scan.

use argus_core::event::{Event, Payload};
use argus_core::query::{Position, Scan};
use argus_core::repository::ReadError;

use crate::bounds::Bounds;

/// Rows that may match, and the position up to which all were examined; `None` if there was none.
pub type Page<R> = (Vec<R>, Option<Position>);

/// Where the rows of a scan come from, in its order.
pub trait Source: Sized + Send {
    /// The database.
    type Store: Send + Sync;
    /// A stored event.
    type Row: Row;

    /// The source for a scan within these bounds. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn of(store: &Self::Store, scan: &Scan, bounds: Bounds) -> Result<Self, ReadError>;

    /// Examines up to `rows` more rows. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    fn page(&mut self, store: &Self::Store, rows: u32) -> Result<Page<Self::Row>, ReadError>;

    /// Whether there are no more rows.
    fn is_complete(&self) -> bool;

    /// Memory in bytes.
    fn bytes(&self) -> usize;
}

/// A stored event, as the database has returned it.
pub trait Row: Send {
    /// Its position.
    fn position(&self) -> Position;

    /// Memory in bytes, about.
    fn bytes(&self) -> usize;

    /// The payload.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it is no payload.
    fn payload(&self) -> Result<Payload<'_>, ReadError>;

    /// The event.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if it has an impossible value, since somebody else has written it.
    fn event(&self) -> Result<Event<'_>, ReadError>;
}
