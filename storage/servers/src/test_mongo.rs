//! A MongoDB server that tests share, if there is one.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicU64, Ordering};

use bson::doc;

use crate::error::{Absent, ServerError};
use crate::mongodb::MongoServer;
use crate::shared::or_skip;
use crate::wire::MongoConnection;

/// The environment variable with the URL of a MongoDB server that tests may use, such as `mongodb://127.0.0.1:27017`.
/// It must be the primary of a replica set, and accept connections without a password.
pub const MONGO_URL_VARIABLE: &str = "ARGUS_TEST_MONGODB";

/// A server for tests. It may have any other contents, so each test takes a [`MongoDatabase`].
#[derive(Debug)]
pub struct TestMongo {
    /// Without a database.
    url: String,
    /// Ends with this value.
    _own: Option<MongoServer>,
}

/// A database for one test, dropped when this value is. It does not exist before somebody writes to it.
#[derive(Debug)]
pub struct MongoDatabase {
    server: String,
    name: String,
}

impl TestMongo {
    /// The server of [`MONGO_URL_VARIABLE`]. If the variable is not set, or empty, a new one.
    ///
    /// # Errors
    ///
    /// [`Absent`] if a server is needed, and is not installed or does not start.
    pub fn find() -> Result<Self, Absent> {
        if let Ok(url) = env::var(MONGO_URL_VARIABLE)
            && !url.is_empty()
        {
            return Ok(Self { url: url.trim_end_matches('/').to_owned(), _own: None });
        }
        Self::start()
    }

    /// A new server.
    ///
    /// # Errors
    ///
    /// [`Absent`] if it is not installed or does not start.
    pub fn start() -> Result<Self, Absent> {
        let own = MongoServer::start()?;
        Ok(Self { url: own.url("").trim_end_matches('/').to_owned(), _own: Some(own) })
    }

    /// As [`find`](Self::find) for a test: `None` if the test is to be skipped, which is said on standard error.
    ///
    /// # Panics
    ///
    /// The server does not start, or it is not installed and [`REQUIRED_VARIABLE`](crate::REQUIRED_VARIABLE) is set.
    #[must_use]
    pub fn for_test() -> Option<Self> {
        or_skip(Self::find())
    }

    /// The URL of the server, without a database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A database that nobody else has: `case` gives `case_PROCESS_NUMBER`. The word may have small letters and `_`.
    #[must_use]
    pub fn database(&self, word: &str) -> MongoDatabase {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        MongoDatabase { server: self.url.clone(), name: format!("{word}_{}_{number}", std::process::id()) }
    }
}

impl MongoServer {
    /// A server for a test that needs it for itself; `None` if the test is to be skipped, which is said on standard
    /// error.
    ///
    /// # Panics
    ///
    /// The server does not start, or it is not installed and [`REQUIRED_VARIABLE`](crate::REQUIRED_VARIABLE) is set.
    #[must_use]
    pub fn for_test() -> Option<Self> {
        or_skip(Self::start())
    }
}

impl MongoDatabase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of a repository in this database, as Argus takes it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    fn remove(&self) -> Result<(), ServerError> {
        let hosts = self.server.strip_prefix("mongodb://").unwrap_or(&self.server);
        let first = hosts.split([',', '/', '?']).next().unwrap_or(hosts);
        let mut addresses = first.to_socket_addrs().map_err(ServerError::of(first))?;
        let address: SocketAddr =
            addresses.next().ok_or_else(|| ServerError::new(format!("{first} has no address")))?;
        MongoConnection::open(address)?.command(&self.name, doc! { "dropDatabase": 1 }).map(drop)
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("argus-servers: the database {} is left behind: {error}", self.name);
        }
    }
}
