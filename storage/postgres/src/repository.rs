//! The repository: the write side, and how it recovers.

use std::sync::Arc;
use std::time::Duration;

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
use crate::attempt::Attempt;
use crate::commit::{Commit, CommitTerms};
use crate::erase::erase;
use crate::expiry::{Expiry, of_task};
use crate::fault::{before_commit, while_running};
use crate::import::Import;
use crate::migration::{SchemaError, prepare, require};
use crate::pool::Pool;
use crate::server::Server;
use crate::session::Session;
use crate::snapshot::Snapshots;
use crate::store::Store;
use crate::writer::Writer;

/// How often a commit is tried again after another transaction was in the way.
const CONFLICTS_MAX: u32 = 5;

/// How a repository works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The most connections for reading. There is one more for writing, and one while events expire.
    pub connections: usize,
    /// The longest time to wait for the server to connect, or to answer one statement.
    pub patience: Duration,
    /// Whether a commit returns only when it is durable. If not, the server makes it durable within
    /// [three times `wal_writer_delay`](https://www.postgresql.org/docs/current/wal-async-commit.html).
    pub is_synchronous: bool,
    /// The limit on different event types.
    pub types_max: usize,
    /// Which events are kept.
    pub retention: Retention,
}

/// Events in a PostgreSQL database, which other processes may share.
#[derive(Debug)]
pub struct PostgresRepository {
    store: Arc<Store>,
    options: PostgresOptions,
    /// The connection for writing.
    writer: Option<Writer>,
    /// Whether the server keeps what it has committed, whatever happens.
    is_durable: bool,
    types: TypeCache,
    failure: Option<Failure>,
    expiry: ExpirySchedule,
}

impl PostgresRepository {
    /// Opens the repository, and makes its tables if there are none. If the server cannot be reached at present, the
    /// repository is [unavailable](Repository::failure) until it can.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for what waiting does not help against; nothing has changed.
    pub fn open(address: Address, options: PostgresOptions) -> Result<Self, OpenError> {
        let pool = Pool::new(address.clone(), options.patience, options.connections);
        let store = Arc::new(Store { address, pool, types_max: options.types_max });
        let (writer, types, failure) = (None, TypeCache::default(), None);
        let (is_durable, expiry) = (false, ExpirySchedule::default());
        let mut repository = Self { store, options, writer, is_durable, types, failure, expiry };
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

    /// Reads the repository, and makes no tables.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there are no tables, or if the server cannot be reached.
    pub fn read_only(address: Address, options: &PostgresOptions) -> Result<Reader, OpenError> {
        let refused = |error| OpenError::Refused(cause(error));
        let mut session = Session::open(&address, options.patience).map_err(|fault| refused(fault.into()))?;
        Server::ask(&mut session).map_err(refused)?;
        require(&mut session, address.schema()).map_err(refused)?;
        let pool = Pool::new(address.clone(), options.patience, options.connections);
        let store = Store { address, pool, types_max: options.types_max };
        Ok(Reader::Shared(Arc::new(Snapshots(Arc::new(store)))))
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.store.address
    }

    /// Connects for writing, and checks the tables.
    fn connect(&mut self) -> Result<(), SchemaError> {
        let mut session = Session::open(&self.store.address, self.options.patience)?;
        let Server { is_durable } = Server::ask(&mut session)?;
        prepare(&mut session, self.store.address.schema())?;
        self.is_durable = is_durable;
        let schema = self.store.address.schema();
        self.writer = Some(Writer::new(session, schema, self.options.is_synchronous)?);
        Ok(())
    }

    /// The connection for writing.
    fn writer(&mut self) -> Result<&mut Writer, Fault> {
        if self.writer.as_ref().is_none_or(|writer| writer.session.is_lost()) {
            self.writer = None;
            let address = &self.store.address;
            let opened = Session::open(address, self.options.patience);
            let writer = opened.and_then(|session| Writer::new(session, address.schema(), self.options.is_synchronous));
            self.writer = Some(writer.map_err(while_running)?);
        }
        self.writer.as_mut().ok_or_else(|| Fault::Unavailable("there is no connection".into()))
    }

    /// Tries a transaction until its outcome is known, or no time is left.
    fn persist<A: Attempt>(&mut self, transaction: &mut A) -> Result<A::Done, CommitError> {
        let mut retries = Retries::new(self.options.patience);
        let mut conflicts = 0;
        loop {
            let fault = match self.attempt(transaction) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            if matches!(fault, Fault::Conflict(_)) && conflicts < CONFLICTS_MAX {
                conflicts += 1;
                continue;
            }
            let is_in_doubt = transaction.is_in_doubt();
            retries.wait(fault, is_in_doubt).map_err(|fault| self.fail(fault, is_in_doubt))?;
        }
    }

    /// One attempt.
    fn attempt<A: Attempt>(&mut self, transaction: &mut A) -> Result<A::Done, Fault> {
        let types_max = self.options.types_max;
        let mut types = std::mem::take(&mut self.types);
        let attempted = self.writer().and_then(|writer| transaction.attempt(writer, &mut types, types_max));
        self.types = types;
        attempted
    }

    /// Takes note of a fault that the next commit would meet, too.
    fn fail(&mut self, fault: Fault, in_doubt: bool) -> CommitError {
        if !matches!(fault, Fault::Full(_)) {
            // The next attempt may reach another server.
            self.writer = None;
        }
        self.failure = fault.failure().or_else(|| self.failure.take());
        fault.into_commit_error(in_doubt)
    }
}

impl Repository for PostgresRepository {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        let store = Arc::clone(&self.store);
        let terms = CommitTerms {
            now,
            keep_from: self.options.retention.keep_from(now),
            is_durable: self.is_durable && self.options.is_synchronous,
        };
        let commit = Commit::new(store.address.schema(), group, terms);
        let mut commit = commit.map_err(|error| CommitError::unavailable(error.to_string()))?;
        self.persist(&mut commit)
    }

    fn erase(&mut self, _: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        let store = Arc::clone(&self.store);
        let mut erased =
            self.writer().map_err(before_commit).and_then(|writer| erase(&store, &mut writer.session, filter));
        for _ in 0..CONFLICTS_MAX {
            if !matches!(erased, Err(Fault::Conflict(_))) {
                break;
            }
            erased = self.writer().map_err(before_commit).and_then(|writer| erase(&store, &mut writer.session, filter));
        }
        erased.map(Erased::Exactly).map_err(|fault| {
            let in_doubt = fault.is_lost();
            // It may still be within the transaction.
            self.writer = None;
            self.fail(fault, in_doubt)
        })
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        let store = Arc::clone(&self.store);
        self.persist(&mut Import::new(store.address.schema(), transfer))?
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
        self.writer = None;
        match self.connect() {
            Ok(()) => {
                self.failure = None;
                Ok(())
            }
            Err(SchemaError::Fault(fault)) => Err(fault.into_commit_error(false)),
            Err(error) => Err(CommitError::failed(cause(error))),
        }
    }

    fn reader(&self) -> Reader {
        Reader::Shared(Arc::new(Snapshots(Arc::clone(&self.store))))
    }
}

impl Maintenance for PostgresRepository {
    fn next_task(&mut self, now: Moment) -> Option<Box<dyn MaintenanceTask>> {
        if self.failure.is_some() || !self.expiry.begin(now.uptime) {
            return None;
        }
        let PostgresOptions { patience, retention, .. } = self.options;
        Some(Box::new(Expiry::new(Arc::clone(&self.store), patience, retention, now.wall)))
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

fn cause(error: SchemaError) -> Cause {
    match error {
        SchemaError::Fault(fault) => fault.into_cause(),
        error @ (SchemaError::Server(_) | SchemaError::Absent | SchemaError::NoRight(_) | SchemaError::Newer(_)) => {
            error.to_string().into()
        }
    }
}
