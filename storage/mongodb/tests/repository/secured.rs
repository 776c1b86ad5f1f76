//! Servers that do not let everybody in, and servers that are not trusted.

use std::fs;
use std::time::Duration;

use argus_core::repository::Repository as _;
use argus_mongodb::{MongoOptions, MongoRepository, OpenError};
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

#[test]
fn a_server_is_trusted_if_its_certificate_is() {
    let Some(mut server) = MongoServer::for_test() else { return };
    let certificate = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (made, other) = (certificate(), certificate());
    server.encrypt(&made.cert.pem(), &made.signing_key.serialize_pem()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [trusted, untrusted] = ["trusted.pem", "untrusted.pem"].map(|name| folder.path().join(name));
    fs::write(&trusted, made.cert.pem()).unwrap();
    fs::write(&untrusted, other.cert.pem()).unwrap();
    let open = |rest: &str| {
        let url = format!("mongodb://127.0.0.1:{}/shop?tls=true{rest}", server.port());
        let options = MongoOptions { patience: Duration::from_secs(5), ..options() };
        MongoRepository::open(url.parse().unwrap(), options)
    };
    let mut repository = open(&format!("&tlsCAFile={}", trusted.display())).unwrap();
    repository.commit(NOW, &[batch(&[("a", "1", None)])]).unwrap();
    assert_eq!(events(&repository).len(), 1);
    for rest in [String::new(), format!("&tlsCAFile={}", untrusted.display())] {
        // It may be another server soon, so this is no reason to give up.
        let repository = open(&rest).unwrap();
        assert!(repository.failure().is_some(), "{rest}");
    }
}
