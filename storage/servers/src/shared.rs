//! A database that tests share, if there is one.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Absent, ServerError};
use crate::postgres::{Durability, PostgresServer};
use crate::psql;
use crate::version::PostgresVersion;

/// The environment variable with the URL of a database that tests may use, such as
/// `postgres://postgres@127.0.0.1:5432/postgres`. Its user may create schemas.
pub const URL_VARIABLE: &str = "ARGUS_TEST_POSTGRES";

/// The environment variable that makes a test fail if it would be skipped because something is not installed.
pub const REQUIRED_VARIABLE: &str = "ARGUS_REQUIRE_CLIENTS";

/// The longest time to wait for a program that was killed to release a schema that is to be dropped.
const LOCK_TIMEOUT: &str = "30s";

/// A database for tests. It may have any other contents, so each test takes a [`Schema`].
#[derive(Debug)]
pub struct TestPostgres {
    url: String,
    /// Ends with this value.
    _own: Option<PostgresServer>,
}

/// A schema for one test, dropped with all that is in it when this value is. It does not exist before somebody creates
/// it: Argus does so itself.
#[derive(Debug)]
pub struct Schema {
    database: String,
    name: String,
}

impl TestPostgres {
    /// The database of [`URL_VARIABLE`]. If the variable is not set, or empty, that of a new server.
    ///
    /// # Errors
    ///
    /// [`Absent`] if a server is needed, and is not installed or does not start.
    pub fn find() -> Result<Self, Absent> {
        if let Ok(url) = env::var(URL_VARIABLE)
            && !url.is_empty()
        {
            return Ok(Self { url, _own: None });
        }
        Self::start(&PostgresVersion::usual()?)
    }

    /// The database of a new server.
    ///
    /// # Errors
    ///
    /// [`Absent::Failed`] if it does not start.
    pub fn start(version: &PostgresVersion) -> Result<Self, Absent> {
        // Argus tells its clients whether events are durable.
        let own = PostgresServer::start(version, Durability::Synced)?;
        Ok(Self { url: own.url("postgres"), _own: Some(own) })
    }

    /// As [`find`](Self::find) for a test: `None` if the test is to be skipped, which is said on standard error.
    ///
    /// # Panics
    ///
    /// The server does not start, or it is not installed and [`REQUIRED_VARIABLE`] is set.
    #[must_use]
    pub fn for_test() -> Option<Self> {
        or_skip(Self::find())
    }

    /// The URL of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Executes statements; see [`sql`](crate::sql).
    ///
    /// # Errors
    ///
    /// There is no psql, the server does not answer, or a statement fails.
    pub fn sql(&self, sql: &str) -> Result<String, ServerError> {
        psql::sql(&self.url, sql)
    }

    /// A schema that nobody else has: `case` gives `case_PROCESS_NUMBER`. The word may have small letters and `_`.
    #[must_use]
    pub fn schema(&self, word: &str) -> Schema {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Schema { database: self.url.clone(), name: format!("{word}_{}_{number}", std::process::id()) }
    }
}

impl PostgresVersion {
    /// The usual version for a test; `None` if the test is to be skipped, which is said on standard error.
    ///
    /// # Panics
    ///
    /// None is installed, and [`REQUIRED_VARIABLE`] is set.
    #[must_use]
    pub fn for_test() -> Option<Self> {
        or_skip(Self::usual())
    }
}

impl PostgresServer {
    /// A server of this version, or the usual one, for a test that needs it for itself; `None` if the test is to be
    /// skipped, which is said on standard error.
    ///
    /// # Panics
    ///
    /// The server does not start, or it is not installed and [`REQUIRED_VARIABLE`] is set.
    #[must_use]
    pub fn for_test(major: Option<u32>, durability: Durability) -> Option<Self> {
        let version = major.map_or_else(PostgresVersion::usual, PostgresVersion::find);
        or_skip(version.and_then(|version| Self::start(&version, durability)))
    }
}

impl Schema {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL of a repository in this schema, as Argus takes it: that of the database, and `schema=NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        let separator = if self.database.contains('?') { '&' } else { '?' };
        format!("{}{separator}schema={}", self.database, self.name)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let name = &self.name;
        let drop = format!(
            "set lock_timeout = '{LOCK_TIMEOUT}'; set client_min_messages = warning;\n\
             drop schema if exists \"{name}\" cascade;"
        );
        if let Err(error) = psql::sql(&self.database, &drop) {
            eprintln!("argus-servers: the schema {name} is left behind: {error}");
        }
    }
}

/// The server; `None` if the test is to be skipped, which is said.
pub(crate) fn or_skip<T>(server: Result<T, Absent>) -> Option<T> {
    match server {
        Ok(server) => Some(server),
        Err(Absent::NotInstalled(reason)) if env::var_os(REQUIRED_VARIABLE).is_none() => {
            eprintln!("SKIPPED: {reason}");
            None
        }
        Err(absent @ (Absent::NotInstalled(_) | Absent::Failed(_))) => panic!("{absent}"),
    }
}
