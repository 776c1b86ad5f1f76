//! How much space the events take in the database.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error;

use crate::fault::is_refused;

/// How long a size is good enough. A server may have to look at many files for it.
const FRESH: Duration = Duration::from_secs(5);

/// The size of the collection of events, as it was a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Size(Mutex<Option<(Instant, Option<i64>)>>);

impl Size {
    /// The size in bytes, if it is known. The inner `None` is for a user who may not know it.
    pub(crate) fn known(&self) -> Option<Option<i64>> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, bytes)| bytes)
    }

    /// Notes a size.
    pub(crate) fn note(&self, bytes: Option<i64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), bytes));
    }
}

/// The bytes of the collection of events with its indexes; `None` if the user may not know it.
///
/// # Errors
///
/// The error of the server.
pub(crate) async fn ask(database: &Database) -> Result<Option<i64>, Error> {
    let about = match database.run_command(doc! { "collStats": "events" }).await {
        Err(error) if is_refused(&error) => return Ok(None),
        about => about?,
    };
    let parts = number(&about, "storageSize").zip(number(&about, "totalIndexSize"));
    Ok(parts.map(|(events, indexes)| events.saturating_add(indexes)))
}

/// A number of any kind: the server chooses it by the size.
fn number(document: &Document, name: &str) -> Option<i64> {
    let number: &Bson = document.get(name)?;
    let integer = number.as_i64().or_else(|| number.as_i32().map(i64::from));
    integer.or_else(|| number.as_f64().map(|number| number as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_kind_are_understood() {
        let document = doc! { "a": 1_i32, "b": 2_i64, "c": 3e3, "d": "4" };
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|name| number(&document, name)),
            [Some(1), Some(2), Some(3_000), None, None]
        );
    }

    #[test]
    fn a_size_is_kept_for_a_moment() {
        let size = Size::default();
        assert_eq!(size.known(), None);
        size.note(Some(7));
        assert_eq!(size.known(), Some(Some(7)));
    }
}
