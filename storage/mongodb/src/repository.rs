//! The repository: the write side, and how it recovers.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::batch::Batch;
use argus_core::cause::Cause;
use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::{
    CommitError, Erased, Expired, Failure, ImportError, Maintenance, MaintenanceTask, Reader, Receipt, Repository,
};
use argus_core::transfer::Transfer;
use argus_database::{ExpirySchedule, Fault, OpenError, Retention, Retries, TypeCache};

use crate::address::Address;
use crate::commit::{Commit, CommitTerms};
use crate::erase::Erasure;
use crate::expiry::{Expiry, of_task};
use crate::import::Import;
use crate::pause::pause;
use crate::schema::{SchemaError, prepare, require};
use crate::session::Session;
use crate::snapshot::Snapshots;
use crate::standoff::{Standoff, TURN};
use crate::store::Store;

/// The most events that one transaction stores. A server aborts transactions that take too much of its cache.
pub const TRANSACTION_EVENTS: usize = 5_000;

/// How a repository works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MongoOptions {
    /// The most connections for reading. There are a few more for writing and for looking after the servers.
    pub connections: usize,
    /// The longest time to wait for an answer of the server, and for other writers.
    pub patience: Duration,
    /// Whether a commit returns only when it is durable. If not, the servers make it durable within
    /// [`storage.journal.commitIntervalMs`](https://www.mongodb.com/docs/manual/core/journaling/).
    pub is_synchronous: bool,
    /// The most events that one transaction stores, at least one: [`TRANSACTION_EVENTS`], unless a test needs less. A
    /// larger group takes several.
    pub transaction_events: usize,
    /// The limit on different event types.
    pub types_max: usize,
    /// Which events are kept.
    pub retention: Retention,
}

/// Events in a MongoDB database, which other processes may share.
///
/// Nearly all of its calls wait for the server, so they are for threads that may block.
#[derive(Debug)]
pub struct MongoRepository {
    store: Arc<Store>,
    options: MongoOptions,
    /// The session for writing.
    session: Option<Session>,
    types: TypeCache,
    failure: Option<Failure>,
    /// When it has last kept others waiting for several transactions.
    had_turns: Option<Instant>,
    expiry: ExpirySchedule,
}

impl MongoRepository {
    /// Opens the repository, and makes its collections if there are none. If the server cannot be reached at present,
    /// the repository is [unavailable](Repository::failure) until it can.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for what waiting does not help against; nothing has changed.
    pub fn open(address: Address, options: MongoOptions) -> Result<Self, OpenError> {
        let store = Store::new(address, options.patience, options.connections, options.types_max);
        let store = store.map_err(|error| OpenError::Refused(error.to_string().into()))?;
        let (store, types) = (Arc::new(store), TypeCache::default());
        let mut repository = Self {
            store,
            options,
            session: None,
            types,
            failure: None,
            had_turns: None,
            expiry: ExpirySchedule::default(),
        };
        match repository.connect() {
            Ok(()) => {}
            Err(SchemaError::Fault(Fault::Lost(cause) | Fault::Unavailable(cause))) => {
                repository.failure = Some(Failure::Unavailable(cause));
            }
            Err(error) => return Err(OpenError::Refused(cause(error))),
        }
        if repository.failure.is_none()
            && let Ok(head) = repository.store.head()
            && head.event_types.cast_unsigned() > options.types_max as u64
        {
            return Err(OpenError::Types { found: head.event_types.cast_unsigned(), max: options.types_max });
        }
        Ok(repository)
    }

    /// Reads the repository, and makes no collections.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there are no collections, or if the server cannot be reached.
    pub fn read_only(address: Address, options: &MongoOptions) -> Result<Reader, OpenError> {
        let store = Store::new(address, options.patience, options.connections, options.types_max);
        let store = store.map_err(|error| OpenError::Refused(error.to_string().into()))?;
        require(&store).map_err(|error| OpenError::Refused(cause(error)))?;
        Ok(Reader::Shared(Arc::new(Snapshots(Arc::new(store)))))
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.store.address
    }

    /// Checks the collections, and opens a session for writing.
    fn connect(&mut self) -> Result<(), SchemaError> {
        prepare(&self.store)?;
        // Somebody may have replaced the database meanwhile.
        self.types = TypeCache::default();
        self.session = Some(Session::open(&self.store)?);
        Ok(())
    }

    /// One attempt to write something over the session for writing.
    fn attempt<T>(&mut self, write: impl FnOnce(&mut Session, &mut TypeCache) -> Result<T, Fault>) -> Result<T, Fault> {
        if let Some(lost) = self.session.take_if(|session| session.is_lost()) {
            // What it has left open would keep everybody waiting.
            lost.kill();
        }
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(Session::open(&self.store)?),
        };
        write(session, &mut self.types)
    }

    /// Takes note of a fault that the next commit would meet, too.
    fn fail(&mut self, fault: Fault, in_doubt: bool) -> CommitError {
        self.failure = fault.failure().or_else(|| self.failure.take());
        fault.into_commit_error(in_doubt)
    }
}

/// The attempts of one write.
struct Attempts {
    retries: Retries,
    standoff: Standoff,
}

impl Attempts {
    fn new(patience: Duration) -> Self {
        Self { retries: Retries::new(patience), standoff: Standoff::new() }
    }

    /// Waits until another attempt makes sense.
    ///
    /// # Errors
    ///
    /// The fault, if none does.
    fn wait(&mut self, fault: Fault, is_in_doubt: bool, repository: &MongoRepository) -> Result<(), Fault> {
        if matches!(fault, Fault::Conflict(_)) && !self.retries.is_over() {
            return self.standoff.wait(&repository.store, repository.session.as_ref().map(Session::id));
        }
        self.retries.wait(fault, is_in_doubt)
    }
}

impl Repository for MongoRepository {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        let keep_from = self.options.retention.keep_from(now);
        let MongoOptions { is_synchronous, transaction_events, .. } = self.options;
        let terms = CommitTerms { now, keep_from, is_synchronous, transaction_events };
        let mut commit = Commit::new(group, terms).map_err(|error| CommitError::unavailable(error.to_string()))?;
        let types_max = self.options.types_max;
        if let Some(ended) = self.had_turns.take() {
            pause(TURN.saturating_sub(ended.elapsed()));
        }
        let mut attempts = Attempts::new(self.options.patience);
        loop {
            let fault = match self.attempt(|session, types| commit.step(session, types, types_max)) {
                Ok(Poll::Ready(receipts)) => {
                    self.had_turns = self.had_turns.map(|_| Instant::now());
                    return Ok(receipts);
                }
                Ok(Poll::Pending) => {
                    self.had_turns = Some(Instant::now());
                    attempts = Attempts::new(self.options.patience);
                    continue;
                }
                Err(fault) => fault,
            };
            if let Err(fault) = attempts.wait(fault, commit.is_in_doubt(), self) {
                return Err(self.fail(fault, commit.is_in_doubt()));
            }
        }
    }

    fn erase(&mut self, _: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        let mut erasure = Erasure::new(&self.store, filter).map_err(|fault| self.fail(fault, false))?;
        let mut attempts = Attempts::new(self.options.patience);
        loop {
            let fault = match self.attempt(|session, _| erasure.step(session)) {
                Ok(Poll::Ready(erased)) => return Ok(Erased::Exactly(erased)),
                Ok(Poll::Pending) => {
                    attempts = Attempts::new(self.options.patience);
                    continue;
                }
                Err(fault) => fault,
            };
            if erasure.is_in_doubt() {
                return Err(self.fail(fault, true));
            }
            // What was begun is finished, if that is possible in time.
            if let Err(fault) = attempts.wait(fault, erasure.has_begun(), self) {
                let error = self.fail(fault, erasure.has_begun());
                return Err(if erasure.has_begun() { in_part(error) } else { error });
            }
        }
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        let mut import = Import::new(transfer, self.options.transaction_events);
        let types_max = self.options.types_max;
        let mut attempts = Attempts::new(self.options.patience);
        loop {
            let fault = match self.attempt(|session, _| import.step(session, types_max)) {
                Ok(Poll::Ready(imported)) => return imported,
                Ok(Poll::Pending) => {
                    attempts = Attempts::new(self.options.patience);
                    continue;
                }
                Err(fault) => fault,
            };
            if let Err(fault) = attempts.wait(fault, import.is_in_doubt(), self) {
                return Err(self.fail(fault, import.is_in_doubt()).into());
            }
        }
    }

    fn close(&mut self) -> Result<(), CommitError> {
        // Nothing is open there, but nobody else needs to watch it.
        if let Some(session) = self.session.take() {
            session.kill();
        }
        Ok(())
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        if self.options.retention.removes() { Some(self) } else { None }
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn recover(&mut self) -> Result<(), CommitError> {
        if self.failure.is_none() {
            return Ok(());
        }
        let old = self.session.take();
        match self.connect() {
            Ok(()) => {
                if let Some(old) = old {
                    old.kill();
                }
                self.failure = None;
                Ok(())
            }
            Err(error) => {
                self.session = old;
                match error {
                    SchemaError::Fault(fault) => Err(fault.into_commit_error(false)),
                    error @ (SchemaError::Standalone
                    | SchemaError::Absent
                    | SchemaError::NoRight(..)
                    | SchemaError::Newer(_)) => Err(CommitError::failed(cause(error))),
                }
            }
        }
    }

    fn reader(&self) -> Reader {
        Reader::Shared(Arc::new(Snapshots(Arc::clone(&self.store))))
    }
}

impl Maintenance for MongoRepository {
    fn next_task(&mut self, now: Moment) -> Option<Box<dyn MaintenanceTask>> {
        if self.failure.is_some() || !self.expiry.begin(now.uptime) {
            return None;
        }
        Some(Box::new(Expiry::new(Arc::clone(&self.store), self.options.retention, now.wall)))
    }

    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError> {
        let Some(task) = of_task(task) else { return Err(CommitError::failed("a task of another repository")) };
        self.expiry.end();
        let (expired, outcome) = task.finish();
        match outcome {
            // What was removed before is told, and the rest is due again.
            Ok(()) => Ok(expired),
            Err(_) if !expired.is_empty() => Ok(expired),
            Err(fault) => Err(fault.into_commit_error(false)),
        }
    }
}

/// The error of an erasure that is known to have erased some events, and not the others.
fn in_part(error: CommitError) -> CommitError {
    let part = "some were, the others were not";
    match error {
        CommitError::Full(cause) | CommitError::Unavailable { cause, .. } => {
            CommitError::Unavailable { cause: cause.during(part), in_doubt: true }
        }
        CommitError::Failed { cause, .. } => CommitError::in_doubt(cause.during(part)),
    }
}

fn cause(error: SchemaError) -> Cause {
    match error {
        SchemaError::Fault(fault) => fault.into_cause(),
        error @ (SchemaError::Standalone | SchemaError::Absent | SchemaError::NoRight(..) | SchemaError::Newer(_)) => {
            error.to_string().into()
        }
    }
}
