//! Transactions that a process leaves behind when it is killed.

use std::time::{Duration, Instant};

use argus_core::repository::Repository as _;
use argus_testing::NOW;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReadConcern;
use mongodb::{Client, ClientSession};

use super::database::{Database, batch, block_on, events};

/// Opens a transaction that has locked the head, as a process that is about to commit.
async fn lock(client: &Client, name: &str) -> ClientSession {
    let mut session = client.start_session().await.unwrap();
    let database = client.database(name);
    let id = session.id().get("id").cloned().unwrap();
    let sign = doc! { "_id": id, "seen": DateTime::now() };
    database.collection::<Document>("writers").insert_one(sign).await.unwrap();
    session.start_transaction().read_concern(ReadConcern::snapshot()).await.unwrap();
    let head = database.collection::<Document>("head");
    let lock = head.update_one(doc! { "_id": "head" }, doc! { "$inc": { "commits": 1 } });
    lock.session(&mut session).await.unwrap();
    session
}

#[test]
fn a_writer_that_is_gone_keeps_others_waiting_for_seconds_only() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let address = database.address();
    block_on(async {
        let client = Client::with_uri_str(database.url()).await.unwrap();
        let session = lock(&client, address.database()).await;
        let begun = Instant::now();
        let receipts = tokio::task::spawn_blocking(move || {
            let receipts = repository.commit(NOW, &[batch(&[("a", "1", None)])]).unwrap();
            assert_eq!(events(&repository).len(), 1);
            receipts
        });
        assert_eq!(receipts.await.unwrap().first().unwrap().first_seq, 1);
        // Servers end such a transaction after a minute by themselves.
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
        drop(session);
    });
}

#[test]
fn a_writer_that_is_slow_is_waited_for() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let address = database.address();
    block_on(async {
        let client = Client::with_uri_str(database.url()).await.unwrap();
        let mut session = lock(&client, address.database()).await;
        let commit = tokio::task::spawn_blocking(move || {
            repository.commit(NOW, &[batch(&[("a", "1", None)])]).unwrap();
            repository
        });
        // It gives signs of life, for longer than a silent one would be left alone.
        let writers = client.database(address.database()).collection::<Document>("writers");
        let id = session.id().get("id").cloned().unwrap();
        for _ in 0..14 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let seen = doc! { "$currentDate": { "seen": true } };
            writers.update_one(doc! { "_id": id.clone() }, seen).await.unwrap();
        }
        assert!(!commit.is_finished());
        session.commit_transaction().await.unwrap();
        assert_eq!(events(&commit.await.unwrap()).len(), 1);
    });
}
