//! The document that every commit continues.

use mongodb::bson::{Bson, Document, Uuid, doc};
use mongodb::error::Error;
use mongodb::options::{ReadConcern, ReturnDocument};
use mongodb::{ClientSession, Database};

use crate::collections::{durable, head};
use crate::values::uuid;

/// The id of the document.
const ID: &str = "head";

/// The document of the collection `head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The sequence number of the last event; 0 if there is none.
    pub(crate) last_seq: i64,
    /// How many events are stored.
    pub(crate) events: i64,
    /// How many bytes their types, ids and payloads have.
    pub(crate) bytes: i64,
    /// How many different types they have.
    pub(crate) event_types: i64,
    /// How often events were erased.
    pub(crate) erasures: i64,
    /// How often events were removed, for whatever reason.
    pub(crate) removals: i64,
    /// What follows the last event, if anything does.
    pub(crate) staged: Option<Staged>,
}

/// The events right after the last one. They are stored, but nobody sees them before the head includes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    /// The session that has staged them.
    pub(crate) by: Uuid,
    /// How many, at least one.
    pub(crate) events: i64,
}

impl Head {
    /// Reads the document as the majority of the servers has it, so that no failover takes it back.
    ///
    /// # Errors
    ///
    /// The error of the server.
    pub(crate) async fn read(database: &Database) -> Result<Self, Error> {
        let found = head(database).find_one(doc! { "_id": ID }).read_concern(ReadConcern::majority()).await?;
        Self::of(found.as_ref())
    }

    /// The version of the collections; `None` if there are none.
    ///
    /// # Errors
    ///
    /// The error of the server.
    pub(crate) async fn read_version(database: &Database) -> Result<Option<i64>, Error> {
        let found = head(database).find_one(doc! { "_id": ID }).await?;
        found.map(|found| number(&found, "schema_version")).transpose()
    }

    /// Makes the document, unless it is there.
    ///
    /// # Errors
    ///
    /// The error of the server.
    pub(crate) async fn make(database: &Database, version: i64) -> Result<(), Error> {
        let mut first = Self::default().fields();
        first.insert("schema_version", version);
        first.insert("commits", 0_i64);
        let collection = head(database);
        let made = collection.update_one(doc! { "_id": ID }, doc! { "$setOnInsert": first });
        made.upsert(true).write_concern(durable()).await.map(drop)
    }

    /// Locks the document until the end of the transaction, and returns it. This must come first in a transaction: the
    /// snapshot of the transaction then has all earlier commits, since otherwise this is a conflict.
    ///
    /// # Errors
    ///
    /// The error of the server, at once if another transaction has locked it.
    pub(crate) async fn lock(database: &Database, session: &mut ClientSession) -> Result<Self, Error> {
        let collection = head(database);
        let locked = collection.find_one_and_update(doc! { "_id": ID }, doc! { "$inc": { "commits": 1_i64 } });
        let locked = locked.return_document(ReturnDocument::After).session(session).await?;
        Self::of(locked.as_ref())
    }

    /// Writes the document.
    ///
    /// # Errors
    ///
    /// The error of the server.
    pub(crate) async fn write(&self, database: &Database, session: &mut ClientSession) -> Result<(), Error> {
        let update = doc! { "$set": self.fields() };
        head(database).update_one(doc! { "_id": ID }, update).session(session).await.map(drop)
    }

    fn fields(&self) -> Document {
        let Self { last_seq, events, bytes, event_types, erasures, removals, staged } = *self;
        let staged = staged.map_or(Bson::Null, |Staged { by, events }| doc! { "by": by, "events": events }.into());
        doc! {
            "last_seq": last_seq,
            "events": events,
            "bytes": bytes,
            "event_types": event_types,
            "erasures": erasures,
            "removals": removals,
            "staged": staged,
        }
    }

    fn of(document: Option<&Document>) -> Result<Self, Error> {
        let missing = "the document of the collection `head` is missing: somebody else has removed it".to_owned();
        let document = document.ok_or_else(|| Error::custom(missing))?;
        Ok(Self {
            last_seq: number(document, "last_seq")?,
            events: number(document, "events")?,
            bytes: number(document, "bytes")?,
            event_types: number(document, "event_types")?,
            erasures: number(document, "erasures")?,
            removals: number(document, "removals")?,
            staged: staged(document)?,
        })
    }
}

/// What the document says about staged events; one of an earlier version says nothing.
fn staged(document: &Document) -> Result<Option<Staged>, Error> {
    let Some(staged) = document.get("staged").filter(|staged| **staged != Bson::Null) else { return Ok(None) };
    let changed = || Error::custom("the document of the collection `head` has a wrong `staged`".to_owned());
    let staged = staged.as_document().ok_or_else(changed)?;
    let by = staged.get("by").and_then(uuid).ok_or_else(changed)?;
    Ok(Some(Staged { by, events: number(staged, "events")? }))
}

/// A number of things.
fn number(document: &Document, name: &str) -> Result<i64, Error> {
    let found = document.get(name).and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)));
    let found = found.filter(|number| *number >= 0);
    found.ok_or_else(|| {
        Error::custom(format!("the document of the collection `head` has no integer `{name}` of at least 0"))
    })
}
