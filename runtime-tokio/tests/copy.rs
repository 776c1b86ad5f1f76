//! Copies by `argus-tokio`, beside running servers and in databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../host/tests/shared/copy.rs"]
mod copy;

const PROGRAM: &str = env!("CARGO_BIN_EXE_argus-tokio");

#[test]
fn folders_are_copied_beside_a_server() {
    copy::folders_are_copied_beside_a_server(PROGRAM);
}

#[test]
fn unsuitable_repositories_are_refused() {
    copy::unsuitable_repositories_are_refused(PROGRAM);
}

#[test]
fn a_killed_copy_is_continued() {
    copy::a_killed_copy_is_continued(PROGRAM);
}

#[test]
fn a_postgresql_database_is_copied() {
    copy::a_postgresql_database_is_copied(PROGRAM);
}

#[test]
fn a_mongodb_database_is_copied() {
    copy::a_mongodb_database_is_copied(PROGRAM);
}
