//! The database servers of a run of tests.

use anyhow::{Context as _, Result};
use argus_servers::{
    MONGO_URL_VARIABLE, MongoServer, PROGRAM_FEATURES, PostgresVersion, SECANTUSD_CRATE, TestPostgres, URL_VARIABLE,
    secantusd_root,
};

use crate::{apt, flags::ConformanceOptions, steps, workspace::cargo};

/// Starts a server for all tests of a run, which find it by the variable [`URL_VARIABLE`]. If the variable is set, the
/// tests use that database instead. Installs Debian's server if there is none.
///
/// # Errors
///
/// It is missing and cannot be installed, or does not start.
pub(crate) fn start() -> Result<TestPostgres> {
    if std::env::var_os(URL_VARIABLE).is_none() {
        install()?;
    }
    Ok(TestPostgres::find()?)
}

/// Installs Debian's server if there is none.
///
/// # Errors
///
/// It cannot be installed.
pub(crate) fn install() -> Result<()> {
    if PostgresVersion::usual().is_ok() {
        return Ok(());
    }
    eprintln!("PostgreSQL is missing: installing Debian's postgresql, once.");
    apt::install_postgres().context("cannot install it; by hand (Debian): `apt-get install postgresql`")
}

/// Builds and installs the server that stands in for MongoDB, below the folder for cargo's output, if there is neither
/// MongoDB nor that server.
///
/// # Errors
///
/// It cannot be built.
pub(crate) fn install_mongodb() -> Result<()> {
    if std::env::var_os(MONGO_URL_VARIABLE).is_some_and(|url| !url.is_empty()) || MongoServer::is_installed() {
        return Ok(());
    }
    let (name, version) = SECANTUSD_CRATE;
    let root = secantusd_root().context("the folder for cargo's output is unknown")?;
    eprintln!("MongoDB is missing: building {name}, which stands in for it, once, takes some minutes.");
    apt::install(&["cmake", "g++", "ninja-build"]).context("cannot install what it is built with")?;
    let install = ["install", name, "--version", version, "--locked", "--ignore-rust-version", "--root"];
    steps::run(cargo(install).arg(root))
}

/// The server of `PostgreSQL` that a run of the conformance suite needs, if it needs one. What needs MongoDB starts it
/// by itself, and finds it installed.
///
/// # Errors
///
/// It cannot be installed, or does not start.
pub(crate) fn start_for(options: &ConformanceOptions) -> Result<Option<TestPostgres>> {
    if options.list || options.url.is_some() {
        return Ok(None);
    }
    if let Some(major) = options.postgres {
        return Ok(Some(TestPostgres::start(&PostgresVersion::find(major)?)?));
    }
    let is_needed = match options.repository.as_deref() {
        Some("mongodb") => {
            install_mongodb()?;
            false
        }
        Some(repository) => repository == "postgres",
        None => !PROGRAM_FEATURES.is_empty(),
    };
    is_needed.then(start).transpose()
}

/// Options of cargo for everything that builds our programs for tests: the features by which they use databases.
pub(crate) fn features() -> impl Iterator<Item = String> {
    PROGRAM_FEATURES.iter().map(|feature| format!("--features={feature}"))
}
