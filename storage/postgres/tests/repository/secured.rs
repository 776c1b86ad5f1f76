//! TLS and passwords.

use std::fs;

use argus_core::repository::Repository as _;
use argus_postgres::{OpenError, PostgresRepository};
use argus_servers::{Durability, PostgresServer};
use tempfile::TempDir;

use super::database::options;

/// Opens a repository; the error if that is impossible.
fn open(url: &str) -> Result<PostgresRepository, String> {
    match PostgresRepository::open(url.parse().unwrap(), options()) {
        Ok(repository) => match repository.failure() {
            None => Ok(repository),
            Some(failure) => Err(failure.to_string()),
        },
        Err(OpenError::Refused(cause)) => Err(cause.to_string()),
        Err(error @ OpenError::Types { .. }) => panic!("{error}"),
    }
}

#[test]
fn the_server_is_verified_as_far_as_was_asked_for() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    server.sql("create user ann superuser password 'sec ret'").unwrap();
    let lines = "hostssl all ann all scram-sha-256\nhostnossl all ann all reject";
    server.secure(&made.cert.pem(), &made.signing_key.serialize_pem(), lines).unwrap();
    let [trusted, untrusted] = ["trusted.pem", "untrusted.pem"].map(|name| folder.path().join(name));
    fs::write(&trusted, made.cert.pem()).unwrap();
    fs::write(&untrusted, other.cert.pem()).unwrap();
    let port = server.port();
    let url =
        |password: &str, host: &str, rest: &str| format!("postgres://ann:{password}@{host}:{port}/postgres?{rest}");
    let (right, by_name, by_number) = ("sec%20ret", "localhost", "127.0.0.1");
    let root = |path: &std::path::Path| format!("sslrootcert={}", path.display());
    for (host, rest) in [
        (by_number, String::new()),
        (by_number, "sslmode=require".to_owned()),
        (by_number, format!("sslmode=verify-ca&{}", root(&trusted))),
        (by_name, format!("sslmode=verify-full&{}", root(&trusted))),
    ] {
        open(&url(right, host, &rest)).map(drop).unwrap_or_else(|error| panic!("{host} {rest}: {error}"));
    }
    for (password, host, rest, reason) in [
        (right, by_number, "sslmode=disable".to_owned(), "pg_hba.conf"),
        ("secret", by_number, "sslmode=require".to_owned(), "password authentication failed"),
        (right, by_number, format!("sslmode=verify-full&{}", root(&trusted)), "not valid for name"),
        (right, by_name, format!("sslmode=verify-ca&{}", root(&untrusted)), "certificate"),
        (right, by_name, format!("sslmode=verify-full&{}", root(&folder.path().join("missing"))), "missing"),
    ] {
        let error = open(&url(password, host, &rest)).map(drop).unwrap_err();
        assert!(error.contains(reason), "{host} {rest}: {error}");
        assert!(!error.contains("sec ret") && !error.contains(right), "{error}");
    }
}
