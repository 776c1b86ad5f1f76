//! Events that are stored before the head includes them, since one transaction has no room for all of them.
//!
//! A server aborts a transaction that takes too much of its cache, or too much time. So a large group, and a large
//! import, is stored in several, and only the last one moves the head past the events: it makes all of them visible at
//! once. The others *stage* their events after the last number of the head, and note in the head who has done so, and
//! how many there are. While there are staged events, nobody else changes the events.
//!
//! If their writer is gone, whoever locks the head next removes them, so that their numbers and ids are free again. A
//! writer that is only thought to be gone does no harm: each of its transactions locks the head, too, and finds there
//! that its events are not staged any more.

use argus_database::Fault;
use mongodb::bson::{RawDocumentBuf, Uuid, doc};
use mongodb::error::Error;
use mongodb::options::WriteConcern;
use mongodb::{ClientSession, Database};

use crate::collections::{events, writers};
use crate::head::{Head, Staged};
use crate::session::Session;
use crate::values::count_of;

/// How many staged events one transaction removes.
const REMOVED_EVENTS: i64 = 5_000;

/// Begins a transaction that changes events, and locks the head. No events are staged then, except those that the
/// caller has staged and names. First removes what writers that are gone have left.
///
/// # Errors
///
/// A [`Fault`]; [`Fault::Conflict`] while another writer stages events. The transaction is to be rolled back.
pub(crate) fn lock(session: &mut Session, concern: &WriteConcern, own: Option<Staged>) -> Result<Head, Fault> {
    loop {
        let database = session.database()?;
        session.begin(concern.clone())?;
        let head = session.run(move |session| Box::pin(async move { Head::lock(&database, session).await }))?;
        match head.staged {
            None => return Ok(head),
            Some(staged) if Some(staged) == own => return Ok(head),
            Some(staged) => unstage(session, head, staged)?,
        }
    }
}

/// Stores events after those that the session has staged, and commits. Nobody sees them yet.
///
/// # Errors
///
/// A [`Fault`].
pub(crate) fn stage(session: &mut Session, head: Head, documents: Vec<RawDocumentBuf>) -> Result<(), Fault> {
    // Others take the writer for gone if there is no sign of it.
    session.show_life()?;
    let events = head.staged.map_or(0, |staged| staged.events) + count_of(documents.len());
    let staged = Some(Staged { by: session.id(), events });
    insert(session, documents, Head { staged, ..head })?;
    session.commit()
}

/// Inserts events, if there are any, and writes the head.
///
/// # Errors
///
/// A [`Fault`].
pub(crate) fn insert(session: &mut Session, documents: Vec<RawDocumentBuf>, head: Head) -> Result<(), Fault> {
    let database = session.database()?;
    session.run(move |session| {
        Box::pin(async move {
            if !documents.is_empty() {
                events(&database).insert_many(&documents).ordered(true).session(&mut *session).await?;
            }
            head.write(&database, session).await
        })
    })
}

/// Removes some of the staged events, the last ones first, and commits.
fn unstage(session: &mut Session, head: Head, staged: Staged) -> Result<(), Fault> {
    let (database, own) = (session.database()?, session.id());
    let is_used = session.run(move |session| {
        Box::pin(async move {
            if staged.by != own && is_used(&database, session, staged.by).await? {
                return Ok(true);
            }
            let left = (staged.events - REMOVED_EVENTS).max(0);
            events(&database)
                .delete_many(doc! { "_id": { "$gt": head.last_seq + left } })
                .session(&mut *session)
                .await?;
            // What is left is ours to remove.
            let staged = (left > 0).then_some(Staged { by: own, events: left });
            Head { staged, ..head }.write(&database, session).await?;
            Ok(false)
        })
    })?;
    if is_used {
        return Err(Fault::Conflict("another process is storing many events".into()));
    }
    session.commit()
}

/// Whether a session gives signs of life, as far as anybody knows.
async fn is_used(database: &Database, session: &mut ClientSession, id: Uuid) -> Result<bool, Error> {
    Ok(writers(database).find_one(doc! { "_id": id }).session(session).await?.is_some())
}
