//! A session for transactions, and the signs of life by which other processes know that it is used.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use argus_database::Fault;
use futures_util::future::BoxFuture;
use mongodb::bson::{DateTime, Document, Uuid, doc};
use mongodb::error::Error;
use mongodb::options::{Acknowledgment, ReadConcern, WriteConcern};
use mongodb::{ClientSession, Collection, Database};

use crate::collections::writers;
use crate::fault::fault_of;
use crate::store::Store;
use crate::values::uuid;

/// How often a session that is used gives a sign of life.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// Sessions without a sign of life for so long are forgotten: their processes ended in order, or were killed while they
/// kept nobody waiting.
const FORGOTTEN_AFTER_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A session has one transaction at a time.
///
/// A process that is killed in the middle of a transaction leaves it open on the server, where it keeps all other
/// writers waiting until it is too old, by default a minute. So each session is a document of the collection `writers`,
/// and others end those without signs of life: see [`standoff`](crate::standoff).
pub(crate) struct Session {
    store: Arc<Store>,
    /// `None` while the driver has it, which stays so if it does not answer.
    session: Option<ClientSession>,
    id: Uuid,
    usage: Arc<Usage>,
    is_lost: bool,
}

/// How a session is used.
#[derive(Debug, Default)]
struct Usage {
    /// Whether the server was asked something since the last sign of life.
    was_asked: AtomicBool,
    /// Whether it has not answered yet.
    is_asked: AtomicBool,
}

impl Session {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn open(store: &Arc<Store>) -> Result<Self, Fault> {
        let (client, database) = (store.client()?, store.database()?);
        let writers = writers(&database);
        let (session, id) = store.wait(async move {
            let session = client.start_session().await?;
            let id = session.id().get("id").and_then(uuid);
            let id = id.ok_or_else(|| Error::custom("the driver has made a session without an id".to_owned()))?;
            beat(&writers, id).await?;
            Ok((session, id))
        })?;
        let usage = Arc::new(Usage::default());
        store.spawn(beat_while_used(database, id, Arc::downgrade(&usage)));
        Ok(Self { store: Arc::clone(store), session: Some(session), id, usage, is_lost: false })
    }

    /// Begins a transaction. The commit waits for what `concern` says.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn begin(&mut self, concern: WriteConcern) -> Result<(), Fault> {
        let patience = self.store.patience();
        self.run(move |session| {
            Box::pin(async move {
                let begun = session.start_transaction().read_concern(ReadConcern::snapshot());
                begun.write_concern(concern).max_commit_time(patience).await
            })
        })
    }

    /// Asks the server, and waits for its answer.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. After [`Fault::Lost`], the session [is lost](Self::is_lost), and what the server has done is
    /// unknown.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        ask: impl for<'s> FnOnce(&'s mut ClientSession) -> BoxFuture<'s, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Fault> {
        let Some(mut session) = self.session.take() else {
            return Err(Fault::Lost("the session was given up".into()));
        };
        self.usage.is_asked.store(true, Ordering::SeqCst);
        self.usage.was_asked.store(true, Ordering::SeqCst);
        let answered = self.store.wait(async move {
            let answer = ask(&mut session).await;
            Ok((session, answer))
        });
        self.usage.is_asked.store(false, Ordering::SeqCst);
        let fault = match answered {
            Ok((session, answer)) => {
                self.session = Some(session);
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(error) => fault_of(&error),
                }
            }
            Err(fault) => fault,
        };
        self.is_lost |= fault.is_lost();
        Err(fault)
    }

    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. Unless it is [`Fault::Full`], the transaction may be committed.
    pub(crate) fn commit(&mut self) -> Result<(), Fault> {
        self.run(|session| Box::pin(async move { session.commit_transaction().await }))
    }

    /// Ends the transaction without effect, if there is one.
    pub(crate) fn roll_back(&mut self) {
        if !self.is_lost {
            // The server may have ended it already, or ends it when it is too old.
            let _ = self.run(|session| Box::pin(async move { session.abort_transaction().await }));
        }
    }

    /// Whether the session is of no use any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Ends what the session has left on the server, if the server can be reached.
    pub(crate) fn kill(self) {
        // Otherwise other processes do it.
        let _ = kill(&self.store, vec![self.id]);
    }

    /// Gives a sign of life.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn show_life(&self) -> Result<(), Fault> {
        let (writers, id) = (writers(&self.store.database()?), self.id);
        self.store.wait(async move { beat(&writers, id).await })
    }

    /// The id of the session.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// The database.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn database(&self) -> Result<Database, Fault> {
        self.store.database()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_lost", &self.is_lost).finish_non_exhaustive()
    }
}

/// Ends the transactions of these sessions, and forgets the sessions.
///
/// # Errors
///
/// A [`Fault`].
pub(crate) fn kill(store: &Store, ids: Vec<Uuid>) -> Result<(), Fault> {
    let (client, writers) = (store.client()?, writers(&store.database()?));
    store.wait(async move {
        let sessions: Vec<Document> = ids.iter().map(|id| doc! { "id": *id }).collect();
        client.database("admin").run_command(doc! { "killSessions": sessions }).await?;
        writers.delete_many(doc! { "_id": { "$in": ids } }).await.map(drop)
    })
}

/// Forgets sessions of long ago.
///
/// # Errors
///
/// The error of the server.
pub(crate) async fn forget_old(database: &Database) -> Result<(), Error> {
    let old = DateTime::from_millis(DateTime::now().timestamp_millis() - FORGOTTEN_AFTER_MILLIS);
    writers(database).delete_many(doc! { "seen": { "$lt": old } }).await.map(drop)
}

/// Gives signs of life while the session is used, until it is dropped.
async fn beat_while_used(database: Database, id: Uuid, usage: Weak<Usage>) {
    let writers = writers(&database);
    loop {
        tokio::time::sleep(BEAT).await;
        let Some(usage) = usage.upgrade() else { return };
        if usage.was_asked.swap(false, Ordering::SeqCst) || usage.is_asked.load(Ordering::SeqCst) {
            // The next one may get through.
            let _ = beat(&writers, id).await;
        }
    }
}

async fn beat(writers: &Collection<Document>, id: Uuid) -> Result<(), Error> {
    // By the clock of the server. Not durable: after a crash of the server, there are no transactions.
    let seen = doc! { "$currentDate": { "seen": true } };
    let quick = WriteConcern::builder().w(Acknowledgment::Nodes(1)).build();
    writers.update_one(doc! { "_id": id }, seen).upsert(true).write_concern(quick).await.map(drop)
}
