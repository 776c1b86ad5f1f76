//! Opaque cursors: a position, bound to the filters that it was made for.

use alloc::string::String;

use thiserror::Error;

use super::{Position, Query};

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// Not a cursor of ours, or cut or changed on the way.
    #[error("not a cursor that this service gave out")]
    Malformed,
    /// Made by a query with other filters or another order.
    #[error("the cursor belongs to a query with other filters")]
    OtherQuery,
}

/// The cursor for what comes behind `position` in `query`. The query's `limit` and `from` do not matter: pages of one walk may
/// differ in size. ASCII, safe in a query string as it is.
#[must_use]
pub fn encode_cursor(position: Position, query: &Query) -> String {
    let _ = (position, query);
    todo!()
}

/// The position in a cursor.
///
/// # Errors
///
/// [`CursorError`] where `text` is no cursor, or one of another query.
pub fn decode_cursor(text: &str, query: &Query) -> Result<Position, CursorError> {
    let _ = (text, query);
    todo!()
}
