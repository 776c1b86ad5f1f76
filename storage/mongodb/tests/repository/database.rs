//! An empty database of a real server for each test.

use std::sync::Arc;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::query::Scan;
use argus_core::repository::Repository as _;
use argus_mongodb::{Address, MongoOptions, MongoRepository, Retention};
use argus_servers::{MongoDatabase, TestMongo};
use argus_testing::{Draft, NOW, Pace, StoredEvent, collect, generate};
use mongodb::Client;
use mongodb::bson::{Document, doc};

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

    /// Changes all documents of a collection behind the repository's back.
    pub(crate) fn change(&self, collection: &str, change: Document) {
        let (url, name) = (self.database.url(), self.database.name().to_owned());
        block_on(async move {
            let client = Client::with_uri_str(url).await.unwrap();
            client.database(&name).collection::<Document>(collection).update_many(doc! {}, change).await.unwrap();
        });
    }
}

/// Does something with the driver.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}
