//! The collections and indexes, and how they are made.

use argus_database::Fault;
use mongodb::bson::{Document, doc};
use mongodb::error::Error;
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};
use thiserror::Error as ThisError;

use crate::collections::events;
use crate::fault::{fault_of, is_duplicate, is_refused};
use crate::head::Head;
use crate::session::forget_old;
use crate::store::Store;

/// The version of the collections that this program uses.
const VERSION: i64 = 1;

/// Why the database cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub(crate) enum SchemaError {
    /// The server does not do what it is asked.
    #[error("{}", .0.clone().into_cause())]
    Fault(Fault),
    /// The server has no transactions.
    #[error(
        "the server is no member of a replica set, so it has no transactions. Start it as one, of a single server at \
         least: `mongod --replSet rs0`, and then once `rs.initiate()` in mongosh"
    )]
    Standalone,
    /// There are no collections.
    #[error("there are no events of Argus: the database has no collection `head`")]
    Absent,
    /// The user does not get in, or may not do it.
    #[error(
        "{0}. The user needs the right password and the role `readWrite` on the database `{1}`. It is looked for in \
         that database, unless the URL has `authSource=admin`"
    )]
    NoRight(String, String),
    /// A later version of Argus has made the collections.
    #[error("the collections have version {0}, and this program knows version {VERSION}; use a newer one")]
    Newer(i64),
}

/// What the database is like.
enum State {
    Ready,
    Standalone,
    Newer(i64),
    NoRight(Error),
}

/// Makes the collections, unless they are there. Several processes may do so at the same time.
///
/// # Errors
///
/// [`SchemaError`].
pub(crate) fn prepare(store: &Store) -> Result<(), SchemaError> {
    let database = store.database()?;
    let state = store.wait(async move {
        match make(&database).await {
            Err(error) if is_refused(&error) => Ok(State::NoRight(error)),
            state => state,
        }
    })?;
    match state {
        State::Ready => Ok(()),
        State::Standalone => Err(SchemaError::Standalone),
        State::Newer(version) => Err(SchemaError::Newer(version)),
        State::NoRight(error) => {
            let text = fault_of(&error).into_cause().to_string();
            Err(SchemaError::NoRight(text, store.address.database().to_owned()))
        }
    }
}

/// Requires that the collections are there, and have a version that this program knows.
///
/// # Errors
///
/// [`SchemaError`].
pub(crate) fn require(store: &Store) -> Result<(), SchemaError> {
    let database = store.database()?;
    match store.wait(async move { Head::read_version(&database).await })? {
        None => Err(SchemaError::Absent),
        Some(version) if version > VERSION => Err(SchemaError::Newer(version)),
        Some(_) => Ok(()),
    }
}

async fn make(database: &Database) -> Result<State, Error> {
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    // A router of a sharded cluster says `isdbgrid`.
    if !hello.contains_key("setName") && hello.get_str("msg").ok() != Some("isdbgrid") {
        return Ok(State::Standalone);
    }
    match Head::read_version(database).await? {
        Some(VERSION) => {}
        Some(version) => return Ok(State::Newer(version)),
        None => {
            // Each does nothing if it is there. The head comes last: where it is, everything is.
            events(database).create_indexes(indexes()).await?;
            match Head::make(database, VERSION).await {
                // Another process has made it at the same time.
                Err(error) if is_duplicate(&error) => {}
                made => made?,
            }
        }
    }
    // Also shows whether the user may write.
    forget_old(database).await?;
    Ok(State::Ready)
}

/// The indexes of the events beside that of `_id`, which is the sequence number.
fn indexes() -> [IndexModel; 4] {
    let index = |name: &str, keys: Document, is_unique: bool| {
        let options = IndexOptions::builder().name(name.to_owned()).unique(is_unique).build();
        IndexModel::builder().keys(keys).options(options).build()
    };
    [
        // An id is stored once.
        index("id", doc! { "id": 1 }, true),
        index("time", doc! { "time": 1, "nanos": 1, "_id": 1 }, false),
        index("type_time", doc! { "event_type": 1, "time": 1, "nanos": 1, "_id": 1 }, false),
        // Has an entry for each value, and so has the events of each value in order of time.
        index("values_time", doc! { "values": 1, "time": 1, "nanos": 1, "_id": 1 }, false),
    ]
}

impl From<Fault> for SchemaError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
