//! Which event types there are.

use mongodb::bson::doc;
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::events;

/// Those of these types of which there are events.
///
/// # Errors
///
/// The error of the server.
pub(crate) async fn stored_types(
    database: &Database,
    session: &mut ClientSession,
    names: &[String],
) -> Result<Vec<String>, Error> {
    let (events, mut stored) = (events(database), Vec::new());
    for name in names {
        let found = events.find_one(doc! { "event_type": name }).projection(doc! { "_id": 1 });
        if found.session(&mut *session).await?.is_some() {
            stored.push(name.clone());
        }
    }
    Ok(stored)
}
