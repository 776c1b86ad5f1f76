//! Connections that break, servers that go away, and documents that somebody else has changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use argus_core::query::Scan;
use argus_core::repository::{CommitError, Failure, ReadError, Repository};
use argus_mongodb::{Address, MongoOptions, MongoRepository, OpenError, TRANSACTION_EVENTS};
use argus_servers::{Direction, MongoServer, Proxy};
use argus_testing::generate::batch_of_ids as batch;
use argus_testing::{NOW, Pace, StoredId, collect};
use mongodb::bson::{Bson, doc};

use super::database::{self, Database, events, options};

/// How many bytes lie between the places where connections are cut. The driver waits half a second after each.
const STEP: usize = 97;

fn proxied(server: &MongoServer) -> (Proxy, Address) {
    let proxy = Proxy::start(server.address()).unwrap();
    // Otherwise the driver goes to where the server says that it is.
    let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", proxy.address().port());
    (proxy, url.parse().unwrap())
}

fn open(address: &Address, patience: Duration) -> MongoRepository {
    MongoRepository::open(address.clone(), MongoOptions { patience, ..options() }).unwrap()
}

fn ids(repository: &MongoRepository) -> Vec<(u64, StoredId)> {
    events(repository).into_iter().map(|event| (event.seq, event.id)).collect()
}

/// Wherever the connection breaks during a commit, in either direction, its events are stored once, and the receipt is
/// that of an undisturbed commit.
#[test]
fn a_commit_whose_connection_breaks_is_found_out() {
    cut_everywhere(TRANSACTION_EVENTS);
}

#[test]
fn so_is_one_of_several_transactions() {
    cut_everywhere(options().transaction_events);
}

fn cut_everywhere(transaction_events: usize) {
    let Some(server) = MongoServer::for_test() else { return };
    let (proxy, address) = proxied(&server);
    let options = MongoOptions { transaction_events, ..options() };
    let mut repository = MongoRepository::open(address, options).unwrap();
    let mut stored = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        for bytes in (1..).step_by(STEP) {
            let id = format!("{direction:?}-{bytes}");
            let before = proxy.cuts();
            proxy.cut_after(direction, bytes);
            let group = [batch(&[Some(&id), None, Some(&id)]), batch(&[None])];
            let receipts = repository.commit(NOW, &group).unwrap_or_else(|error| panic!("{id}: {error}"));
            let outcomes: Vec<_> = receipts
                .iter()
                .map(|receipt| {
                    (receipt.first_seq, receipt.stored, receipt.duplicates.len(), receipt.generated_id.is_some())
                })
                .collect();
            assert_eq!(outcomes, [(stored + 1, 2, 1, false), (stored + 3, 1, 0, true)], "{id}");
            stored += 3;
            let was_cut = proxy.cuts() > before;
            // What is read is not cut.
            proxy.cut_after(direction, usize::MAX);
            let found = ids(&repository);
            assert_eq!(found.len() as u64, stored, "{id}");
            let generated = receipts.last().unwrap().generated_id.map(StoredId::Generated);
            assert_eq!(found.last().map(|(_, id)| id.clone()), generated, "{id}");
            if !was_cut {
                // It was not that long.
                break;
            }
        }
    }
    assert!(proxy.cuts() > 10, "{}", proxy.cuts());
}

#[test]
fn a_server_that_is_away_is_unavailable_until_it_is_back() {
    let Some(server) = MongoServer::for_test() else { return };
    let (proxy, address) = proxied(&server);
    let mut repository = open(&address, Duration::from_secs(1));
    repository.commit(NOW, &[batch(&[Some("before")])]).unwrap();
    proxy.close(true);
    let error = repository.commit(NOW, &[batch(&[Some("during")])]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
    assert!(matches!(repository.failure(), Some(Failure::Unavailable(_))));
    assert!(repository.recover().is_err());
    assert!(matches!(repository.reader().take(), Err(ReadError::Unavailable(_))));
    proxy.close(false);
    repository.recover().unwrap();
    assert_eq!(repository.failure(), None);
    repository.commit(NOW, &[batch(&[Some("after")])]).unwrap();
    assert_eq!(ids(&repository).len(), 2);

    // A repository that is opened while the server is away is there later.
    proxy.close(true);
    let mut opened = open(&address, Duration::from_secs(1));
    assert!(matches!(opened.failure(), Some(Failure::Unavailable(_))));
    proxy.close(false);
    opened.recover().unwrap();
    opened.commit(NOW, &[batch(&[None])]).unwrap();
}

#[test]
fn a_server_that_does_not_answer_leaves_the_outcome_unknown() {
    let Some(server) = MongoServer::for_test() else { return };
    let (proxy, address) = proxied(&server);
    let mut repository = open(&address, Duration::from_secs(1));
    repository.commit(NOW, &[batch(&[None])]).unwrap();
    proxy.stall(true);
    let error = repository.commit(NOW, &[batch(&[Some("silent")])]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { .. }), "{error:?}");
    assert!(matches!(repository.reader().take(), Err(ReadError::Unavailable(_))));
    assert!(repository.recover().is_err());
    proxy.stall(false);
    while repository.recover().is_err() {}
    // Whatever has become of it, it is stored once.
    while repository.commit(NOW, &[batch(&[Some("silent")])]).is_err() {}
    assert_eq!(ids(&repository).len(), 2);
}

#[test]
fn a_killed_server_loses_nothing() {
    let Some(server) = MongoServer::for_test() else { return };
    let address: Address = server.url("argus").parse().unwrap();
    let mut repository = open(&address, Duration::from_secs(5));
    for round in 0..3_u64 {
        let ids = [format!("{round}-a"), format!("{round}-b")];
        repository.commit(NOW, &[batch(&[Some(&ids[0]), Some(&ids[1])])]).unwrap();
        server.kill();
        let error = repository.commit(NOW, &[batch(&[None])]).unwrap_err();
        assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
        server.restart().unwrap();
        repository.recover().unwrap();
        assert_eq!(self::ids(&repository).len() as u64, 2 * (round + 1));
    }
}

/// Each commit is known to be stored or not, although the server dies in the middle of some.
#[test]
fn a_server_that_is_killed_under_load_stores_each_event_once() {
    const KILLS: usize = 4;
    let Some(server) = MongoServer::for_test() else { return };
    let address: Address = server.url("argus").parse().unwrap();
    let mut repository = open(&address, Duration::from_secs(60));
    let (is_over, stored) = (AtomicBool::new(false), AtomicU64::new(0));
    let (progress, watched) = mpsc::channel();
    thread::scope(|scope| {
        let (server, is_over) = (&server, &is_over);
        scope.spawn(move || {
            for _ in 0..KILLS {
                // Ends early if the writer fails.
                for () in watched.iter().take(20) {}
                server.kill();
                server.restart().unwrap();
                for () in watched.try_iter() {}
            }
            is_over.store(true, Ordering::SeqCst);
        });
        // Dropped also if this fails.
        let progress = progress;
        while !is_over.load(Ordering::SeqCst) {
            let number = stored.load(Ordering::SeqCst);
            let (id, payload) = (format!("id-{number}"), number.to_string());
            let group = [database::batch(&[("a", &payload, None), ("a", &payload, Some(&id))])];
            let receipts = loop {
                match repository.commit(NOW, &group) {
                    Ok(receipts) => break receipts,
                    Err(CommitError::Unavailable { in_doubt: false, .. }) => while repository.recover().is_err() {},
                    Err(error) => panic!("{error:?}"),
                }
            };
            assert_eq!(receipts.first().map(|receipt| (receipt.first_seq, receipt.stored)), Some((2 * number + 1, 2)));
            stored.store(number + 1, Ordering::SeqCst);
            // Nobody counts after the last kill.
            let _ = progress.send(());
        }
    });
    let payloads: Vec<String> = events(&repository).into_iter().map(|event| event.payload).collect();
    let expected: Vec<String> =
        (0..stored.into_inner()).flat_map(|number| [number, number].map(|it| it.to_string())).collect();
    assert_eq!(payloads, expected);
}

#[test]
fn collections_of_a_later_version_are_left_alone() {
    let Some(database) = Database::new() else { return };
    drop(database.open());
    database.change("head", doc! { "$set": { "schema_version": 1_000_i64 } });
    let newer = MongoRepository::open(database.address(), options()).unwrap_err();
    assert!(matches!(&newer, OpenError::Refused(_)) && newer.to_string().contains("1000"), "{newer}");
}

#[test]
fn documents_that_somebody_else_has_changed_are_damage() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    repository.commit(NOW, &[batch(&[Some("a")])]).unwrap();
    let changes: [(&str, Bson, Bson); 4] = [
        ("payload", "{".into(), "1".into()),
        ("event_type", "".into(), "a".into()),
        ("nanos", 1_000_000.into(), 0.into()),
        ("id", "\u{7}".into(), "a".into()),
    ];
    for (field, wrong, right) in changes {
        database.change("events", doc! { "$set": { field: wrong } });
        let snapshot = repository.reader().take().unwrap();
        let found = collect(&snapshot, &Scan::default(), Pace::UNBROKEN);
        assert!(matches!(found, Err(ReadError::Damaged(_))), "{field}: {found:?}");
        database.change("events", doc! { "$set": { field: right } });
    }
    assert_eq!(events(&repository).len(), 1);
}
