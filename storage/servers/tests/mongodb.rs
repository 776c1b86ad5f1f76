//! Real MongoDB servers: they start again on the same port, and nothing is left of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;

use argus_servers::{MongoServer, TestMongo};
use bson::doc;

#[test]
fn a_server_ends_and_starts_again_on_its_port() {
    let Some(server) = MongoServer::for_test() else { return };
    let answers = || server.command("admin", doc! { "ping": 1 }).is_ok();
    assert!(answers());
    server.kill();
    assert!(!answers());
    // There is nothing left to kill.
    server.kill();
    server.restart().unwrap();
    assert!(answers());
    server.stop().unwrap();
    assert!(!answers());
    server.restart().unwrap();
    let address = server.address();
    assert!(server.url("shop").ends_with(&format!(":{}/shop", server.port())));
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn each_test_gets_a_database_of_its_own() {
    let Some(server) = TestMongo::for_test() else { return };
    let (one, other) = (server.database("case"), server.database("case"));
    assert_ne!(one.name(), other.name());
    assert!(one.url().starts_with(server.url()) && one.url().ends_with(one.name()));
}
