//! Servers that do not let everybody in.

use argus_core::repository::Repository as _;
use argus_mongodb::{MongoRepository, OpenError};
use argus_servers::MongoServer;
use argus_testing::NOW;

use super::database::{batch, events, options};

/// Opens the database `shop` with this login.
fn open(server: &MongoServer, login: &str) -> Result<MongoRepository, OpenError> {
    let url = format!("mongodb://{login}127.0.0.1:{}/shop", server.port());
    MongoRepository::open(url.parse().unwrap(), options())
}

#[test]
fn a_user_needs_a_password_and_the_right_to_write() {
    let Some(mut server) = MongoServer::for_test() else { return };
    server.require_password("shop", ("ann", "p@ss"), "readWrite").unwrap();
    for login in ["", "ann:wrong@", "bob:p%40ss@"] {
        let refused = open(&server, login).unwrap_err().to_string();
        assert!(refused.contains("`readWrite`") && !refused.contains("wrong"), "{refused}");
    }
    let mut repository = open(&server, "ann:p%40ss@").unwrap();
    repository.commit(NOW, &[batch(&[("a", "1", None)])]).unwrap();
    assert_eq!(events(&repository).len(), 1);
    repository.reader().take().unwrap().stats().unwrap();
    repository.close().unwrap();
}

#[test]
fn a_user_who_may_only_read_is_refused() {
    let Some(mut server) = MongoServer::for_test() else { return };
    drop(open(&server, "").unwrap());
    server.require_password("shop", ("bob", "secret"), "read").unwrap();
    let refused = open(&server, "bob:secret@").unwrap_err().to_string();
    assert!(refused.contains("`readWrite`") && !refused.contains("secret"), "{refused}");
}
