//! An empty schema in a real database for each test.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argus_postgres::{Address, PostgresOptions, Retention};
use tokio_postgres::NoTls;

/// A schema that no other test uses, removed when dropped.
pub(crate) struct Database {
    url: String,
    schema: String,
}

/// Options for tests.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions {
        connections: 2,
        patience: Duration::from_secs(30),
        types_max: 12,
        retention: Retention::default(),
    }
}

impl Database {
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(url) = env::var("ARGUS_TEST_POSTGRES") else {
            eprintln!("SKIPPED: there is no server; ARGUS_TEST_POSTGRES names none");
            return None;
        };
        let schema = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Some(Self { url, schema })
    }

    pub(crate) fn address(&self) -> Address {
        format!("{}?schema={}", self.url, self.schema).parse().unwrap()
    }

    pub(crate) fn sql(&self, statements: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(statements).await.unwrap();
        });
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.sql(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
    }
}
