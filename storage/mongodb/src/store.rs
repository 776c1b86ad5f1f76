//! What reading and writing share: the client and the threads on which it works.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argus_database::Fault;
use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::error::Error;
use mongodb::options::{ClientOptions, ReadConcern};
use mongodb::{Client, Collection, Cursor, Database};
use tokio::runtime::{Builder, Runtime};

use crate::address::Address;
use crate::collections::events;
use crate::fault::{fault_of, silent};
use crate::head::Head;
use crate::pause::pause;
use crate::row::row_fields;
use crate::size::{Size, ask};

/// The threads of a repository. They wait for sockets.
const THREADS: usize = 2;

/// How long to try to reach a server, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the driver looks whether the servers are there, unless the URL says otherwise. A server that stands still
/// is noticed after about this time and [`CONNECT_TIMEOUT`].
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long to look for a primary, unless the URL says otherwise.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections beside those for reading: for writing, for removing what has expired, and for signs of life.
const OTHER_CONNECTIONS: u32 = 3;

/// How long a snapshot waits for a server that does not know the last commit yet, and how long between two looks.
const LAG_MAX: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The database.
pub(crate) struct Store {
    pub(crate) address: Address,
    /// The limit on different event types.
    pub(crate) types_max: usize,
    /// The longest time to wait for an answer.
    patience: Duration,
    /// The most connections for reading.
    connections: usize,
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
    /// `None` until the servers are known, which takes a look at the DNS if the URL says so.
    client: Mutex<Option<Client>>,
    /// The last sequence number of the newest snapshot.
    newest: AtomicI64,
    size: Size,
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Find {
    pub(crate) filter: Document,
    pub(crate) sort: Document,
    /// Those of a [`StoredRow`](crate::row::StoredRow) if it is empty.
    pub(crate) fields: Document,
    /// How many; 0 for all.
    pub(crate) limit: u32,
}

impl Store {
    /// Does not connect.
    ///
    /// # Errors
    ///
    /// The system refuses to start threads.
    pub(crate) fn new(
        address: Address,
        patience: Duration,
        connections: usize,
        types_max: usize,
    ) -> Result<Self, std::io::Error> {
        let runtime =
            Builder::new_multi_thread().worker_threads(THREADS).thread_name("mongodb").enable_all().build()?;
        Ok(Self {
            address,
            types_max,
            patience,
            connections,
            runtime: Some(runtime),
            client: Mutex::default(),
            newest: AtomicI64::new(0),
            size: Size::default(),
        })
    }

    /// Waits for what the driver does. May be called by any thread that may block.
    ///
    /// The driver's futures must not be dropped before they are ready, so one that takes too long goes on alone.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; [`Fault::Lost`] if it takes too long.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Fault> {
        let patience = self.patience;
        let Some(runtime) = &self.runtime else { return Err(Fault::Failed("the repository is closed".into())) };
        let (sender, receiver) = mpsc::channel();
        // Nobody listens any more if it takes too long.
        drop(runtime.spawn(async move { drop(sender.send(work.await)) }));
        match receiver.recv_timeout(patience) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(fault_of(&error)),
            Err(RecvTimeoutError::Timeout) => Err(silent(patience)),
            Err(RecvTimeoutError::Disconnected) => Err(Fault::Lost("the driver of MongoDB has panicked".into())),
        }
    }

    /// Lets work go on in the background.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            drop(runtime.spawn(work));
        }
    }

    /// The client, which connects by itself.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the servers are unknown.
    pub(crate) fn client(&self) -> Result<Client, Fault> {
        if let Some(client) = &*self.client.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(client.clone());
        }
        let (address, patience) = (self.address.options(), self.patience);
        let readers = u32::try_from(self.connections).unwrap_or(u32::MAX).max(1);
        let client = self.wait(async move {
            let mut options = ClientOptions::parse(address).await?;
            options.app_name.get_or_insert_with(|| "argus".to_owned());
            options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
            options.heartbeat_freq.get_or_insert(HEARTBEAT);
            options.server_selection_timeout.get_or_insert(SELECTION_TIMEOUT.min(patience));
            options.max_pool_size = Some(readers.saturating_add(OTHER_CONNECTIONS));
            // Everything is read from the primary.
            options.selection_criteria = None;
            Client::with_options(options)
        })?;
        Ok(self.client.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(client).clone())
    }

    /// The database.
    ///
    /// # Errors
    ///
    /// As for [`client`](Self::client).
    pub(crate) fn database(&self) -> Result<Database, Fault> {
        Ok(self.client()?.database(self.address.database()))
    }

    /// Reads the head. Its last sequence number is not lower than that of an earlier call, unless it stays so for some
    /// time: then somebody has replaced the database.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn head(&self) -> Result<Head, Fault> {
        let database = self.database()?;
        let deadline = Instant::now() + LAG_MAX.min(self.patience);
        loop {
            let database = database.clone();
            let head = self.wait(async move { Head::read(&database).await })?;
            let newest = self.newest.fetch_max(head.last_seq, Ordering::SeqCst);
            if head.last_seq >= newest {
                return Ok(head);
            }
            // A new primary may not know yet what the majority has.
            if Instant::now() > deadline {
                self.newest.store(head.last_seq, Ordering::SeqCst);
                return Ok(head);
            }
            pause(LOOK_INTERVAL);
        }
    }

    /// The bytes of the events with their indexes, about; `None` if the user may not know it.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn size(&self) -> Result<Option<i64>, Fault> {
        if let Some(bytes) = self.size.known() {
            return Ok(bytes);
        }
        let database = self.database()?;
        let bytes = self.wait(async move { ask(&database).await })?;
        self.size.note(bytes);
        Ok(bytes)
    }

    /// Reads events until they have `bytes_max` bytes. Returns them, and whether there may be more within the limit.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn find(&self, find: Find, bytes_max: usize) -> Result<(Vec<RawDocumentBuf>, bool), Fault> {
        let (database, patience) = (self.database()?, self.patience);
        self.wait(async move { find.first(&events(&database), patience, bytes_max).await })
    }

    /// The longest time to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }
}

impl Find {
    /// The first events, until they have `bytes_max` bytes, and whether there may be more within the limit. The server
    /// holds no cursor afterwards.
    ///
    /// The read is local to the primary. A snapshot's last number is known to the majority, so no primary lacks an
    /// event up to there, and those after it are not asked for. A majority read could lack some after a failover.
    ///
    /// # Errors
    ///
    /// The error of the server.
    pub(crate) async fn first(
        self,
        events: &Collection<RawDocumentBuf>,
        patience: Duration,
        bytes_max: usize,
    ) -> Result<(Vec<RawDocumentBuf>, bool), Error> {
        let fields = if self.fields.is_empty() { row_fields() } else { self.fields };
        let mut find = events.find(self.filter).sort(self.sort).projection(fields).max_time(patience);
        if self.limit > 0 {
            // One more than the limit, so that the server need not keep a cursor.
            find = find.limit(self.limit.into()).batch_size(self.limit.saturating_add(1));
        }
        let mut cursor: Cursor<RawDocumentBuf> = find.read_concern(ReadConcern::local()).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while cursor.advance().await? {
            let document = cursor.current().to_owned();
            bytes += document.as_bytes().len();
            found.push(document);
            if bytes >= bytes_max {
                return Ok((found, true));
            }
        }
        Ok((found, false))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nobody, so it may happen on any thread.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("address", &self.address).finish_non_exhaustive()
    }
}
