//! An empty database of a real server for each test.

use std::sync::Arc;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::query::Scan;
use argus_core::repository::Repository as _;
use argus_mongodb::{Address, MongoOptions, MongoRepository, Retention};
use argus_servers::{MongoDatabase, TestMongo};
use argus_testing::{Draft, NOW, Pace, StoredEvent, collect, generate};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use tokio::runtime::{Builder, Runtime};

/// A database that no other test uses, removed when dropped.
pub(crate) struct Database {
    // Dropped before the server is.
    database: MongoDatabase,
    _server: Arc<TestMongo>,
}

/// Options for tests.
pub(crate) fn options() -> MongoOptions {
    MongoOptions {
        connections: 2,
        patience: Duration::from_secs(30),
        is_synchronous: true,
        // So that most groups need several transactions.
        transaction_events: 2,
        types_max: 12,
        retention: Retention::default(),
    }
}

/// A batch of events with these types, payloads and ids.
pub(crate) fn batch(drafts: &[(&str, &str, Option<&str>)]) -> Batch {
    let draft = |&(event_type, payload, id): &(&str, &str, Option<&str>)| Draft {
        event_type: event_type.into(),
        timestamp: NOW,
        payload: payload.into(),
        id: id.map(Into::into),
    };
    generate::batch(&drafts.iter().map(draft).collect::<Vec<_>>())
}

/// All events.
pub(crate) fn events(repository: &MongoRepository) -> Vec<StoredEvent> {
    let snapshot = repository.reader().take().unwrap();
    collect(&snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events
}

impl Database {
    /// `None` if there is no server, which was said.
    pub(crate) fn new() -> Option<Self> {
        TestMongo::for_test().map(|server| Self::of(&Arc::new(server)))
    }

    /// A database of this server.
    pub(crate) fn of(server: &Arc<TestMongo>) -> Self {
        Self { database: server.database("repository"), _server: Arc::clone(server) }
    }

    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    pub(crate) fn address(&self) -> Address {
        self.database.url().parse().unwrap()
    }

    pub(crate) fn open(&self) -> MongoRepository {
        self.open_with(options())
    }

    pub(crate) fn open_with(&self, options: MongoOptions) -> MongoRepository {
        MongoRepository::open(self.address(), options).unwrap()
    }

    /// The same database without Argus.
    pub(crate) fn raw(&self) -> Raw {
        Raw::new(&self.database.url(), self.database.name())
    }

    /// Changes all documents of a collection behind the repository's back.
    pub(crate) fn change(&self, collection: &str, change: Document) {
        self.raw().change(collection, change);
    }
}

/// A database behind the repository's back.
pub(crate) struct Raw {
    runtime: Runtime,
    database: mongodb::Database,
}

impl Raw {
    pub(crate) fn new(url: &str, name: &str) -> Self {
        let runtime = runtime();
        let database = runtime.block_on(async { Client::with_uri_str(url).await.unwrap().database(name) });
        Self { runtime, database }
    }

    /// Changes all documents of a collection.
    pub(crate) fn change(&self, collection: &str, change: Document) {
        self.runtime.block_on(async { self.collection(collection).update_many(doc! {}, change).await.unwrap() });
    }

    /// Changes the documents that a filter finds, or makes one.
    pub(crate) fn upsert(&self, collection: &str, filter: Document, change: Document) {
        let collection = self.collection(collection);
        self.runtime.block_on(async { collection.update_many(filter, change).upsert(true).await.unwrap() });
    }

    pub(crate) fn insert(&self, collection: &str, documents: Vec<Document>) {
        self.runtime.block_on(async { self.collection(collection).insert_many(documents).await.unwrap() });
    }

    pub(crate) fn count(&self, collection: &str) -> u64 {
        self.runtime.block_on(async { self.collection(collection).count_documents(doc! {}).await.unwrap() })
    }

    /// A document that a filter finds.
    pub(crate) fn first(&self, collection: &str, filter: Document) -> Document {
        self.runtime.block_on(async { self.collection(collection).find_one(filter).await.unwrap().unwrap() })
    }

    /// The answer to a command.
    pub(crate) fn command(&self, command: Document) -> Document {
        self.runtime.block_on(async { self.database.run_command(command).await.unwrap() })
    }

    /// How many events are staged; `None` if none are.
    pub(crate) fn staged(&self) -> Option<u64> {
        let head = self.runtime.block_on(async { self.collection("head").find_one(doc! {}).await.unwrap() })?;
        head.get_document("staged").ok()?.get_i64("events").ok().map(i64::cast_unsigned)
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }
}

/// Does something with the driver.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
