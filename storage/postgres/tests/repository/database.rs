//! An empty schema in a real database for each test.

use std::time::Duration;

use argus_postgres::{Address, PostgresOptions, PostgresRepository, Retention};
use argus_servers::{Schema, TestPostgres};

/// A schema that no other test uses, removed when dropped.
pub(crate) struct Database {
    schema: Schema,
    server: TestPostgres,
}

/// Options for tests.
pub(crate) fn options() -> PostgresOptions {
    PostgresOptions {
        connections: 2,
        patience: Duration::from_secs(30),
        is_synchronous: true,
        types_max: 12,
        retention: Retention::default(),
    }
}

impl Database {
    /// `None` if there is no server, which was said.
    pub(crate) fn new() -> Option<Self> {
        let server = TestPostgres::for_test()?;
        Some(Self { schema: server.schema("repository"), server })
    }

    pub(crate) fn address(&self) -> Address {
        self.schema.url().parse().unwrap()
    }

    pub(crate) fn open(&self) -> PostgresRepository {
        self.open_with(options())
    }

    pub(crate) fn open_with(&self, options: PostgresOptions) -> PostgresRepository {
        PostgresRepository::open(self.address(), options).unwrap()
    }

    /// Executes a statement, in which `argus.` stands for the schema.
    pub(crate) fn sql(&self, statement: &str) -> String {
        self.server.sql(&statement.replace("argus.", &format!("{}.", self.schema.name()))).unwrap()
    }
}
