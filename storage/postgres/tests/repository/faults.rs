//! Connections that break, servers that go away, and rows that somebody else has changed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use argus_core::query::Scan;
use argus_core::repository::{CommitError, Failure, ReadError, Repository};
use argus_postgres::{Address, OpenError, PostgresOptions, PostgresRepository};
use argus_servers::{Direction, Durability, PostgresServer, Proxy};
use argus_testing::generate::batch_of_ids as batch;
use argus_testing::{NOW, Pace, StoredId, collect};

use super::database::{Database, options};

fn proxied(server: &PostgresServer) -> (Proxy, Address) {
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", proxy.address().port());
    (proxy, url.parse().unwrap())
}

pub(crate) fn open(address: &Address, patience: Duration) -> PostgresRepository {
    PostgresRepository::open(address.clone(), PostgresOptions { patience, ..options() }).unwrap()
}

pub(crate) fn ids(repository: &PostgresRepository) -> Vec<(u64, StoredId)> {
    let snapshot = repository.reader().take().unwrap();
    let events = collect(&snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.into_iter().map(|event| (event.seq, event.id)).collect()
}

/// Wherever the connection breaks during a commit, in either direction, its events are stored once, and the receipt is
/// that of an undisturbed commit.
#[test]
fn a_commit_whose_connection_breaks_is_found_out() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let (proxy, address) = proxied(&server);
    let mut repository = open(&address, Duration::from_secs(30));
    let mut stored = 0;
    for direction in [Direction::ToServer, Direction::ToClient] {
        for bytes in (1..).step_by(61) {
            let id = format!("{direction:?}-{bytes}");
            // The server closes the old connection; the next one begins with the start-up messages.
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
    assert!(proxy.cuts() > 20, "{}", proxy.cuts());
}

#[test]
fn a_server_that_is_away_is_unavailable_until_it_is_back() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let (proxy, address) = proxied(&server);
    let mut repository = open(&address, Duration::from_millis(500));
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
    let mut opened = open(&address, Duration::from_millis(500));
    assert!(matches!(opened.failure(), Some(Failure::Unavailable(_))));
    proxy.close(false);
    opened.recover().unwrap();
    opened.commit(NOW, &[batch(&[None])]).unwrap();
}

#[test]
fn a_server_that_does_not_answer_in_time_is_unavailable() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let (proxy, address) = proxied(&server);
    let mut repository = open(&address, Duration::from_millis(300));
    repository.commit(NOW, &[batch(&[None])]).unwrap();
    // Somebody else keeps the row that every commit locks.
    let mut holder = server.client("psql");
    let mut holder = holder
        .args(["--dbname", "postgres", "-c", "begin; select from argus.head for update; select pg_sleep(2)"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let waits = "select count(*) from pg_stat_activity where query like '%pg_sleep(2)' and state = 'active'";
    while server.sql(waits).unwrap().trim() != "1" {}
    let error = repository.commit(NOW, &[batch(&[Some("late")])]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
    holder.wait().unwrap();
    repository.recover().unwrap();
    let receipts = repository.commit(NOW, &[batch(&[Some("late")])]).unwrap();
    assert_eq!(receipts.first().unwrap().stored, 1, "what was refused was not stored");
    // Nothing comes through any more.
    proxy.stall(true);
    let error = repository.commit(NOW, &[batch(&[Some("silent")])]).unwrap_err();
    assert!(matches!(error, CommitError::Unavailable { in_doubt: false, .. }), "{error:?}");
}

#[test]
fn a_killed_server_loses_nothing() {
    let Some(server) = PostgresServer::for_test(None, Durability::Synced) else { return };
    let address: Address = server.url("postgres").parse().unwrap();
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

#[test]
fn who_may_not_make_tables_is_told_who_can() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    server.sql("create user writer").unwrap();
    let url = server.url("postgres").replace("postgres@", "writer@");
    let address: Address = url.parse().unwrap();
    let refused = PostgresRepository::open(address.clone(), options()).unwrap_err();
    assert!(refused.to_string().contains("`schema postgres`"), "{refused}");
    // What the message advises helps.
    server.sql(&address.schema().statements()).unwrap();
    server.sql("grant usage on schema argus to writer").unwrap();
    server.sql("grant select, insert, update, delete on all tables in schema argus to writer").unwrap();
    let mut repository = PostgresRepository::open(address.clone(), options()).unwrap();
    repository.commit(NOW, &[batch(&[None])]).unwrap();
    for missing in [url.replace("writer@", "nobody@"), format!("{url}_2")] {
        let refused = PostgresRepository::open(missing.parse().unwrap(), options()).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Refused(_)) && refused.to_string().contains("does not exist"),
            "{refused}"
        );
    }
    server.sql("update argus.head set schema_version = 1000").unwrap();
    let newer = PostgresRepository::open(address, options()).unwrap_err();
    assert!(matches!(&newer, OpenError::Refused(_)) && newer.to_string().contains("1000"), "{newer}");
}

#[test]
fn rows_that_somebody_else_has_changed_are_damage() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    repository.commit(NOW, &[batch(&[Some("a")])]).unwrap();
    for change in ["payload = '{'", "event_type = ''", "nanos = 1000", "id = chr(7)"] {
        database.sql(&format!("update argus.events set {change}"));
        let snapshot = repository.reader().take().unwrap();
        let found = collect(&snapshot, &Scan::default(), Pace::UNBROKEN);
        assert!(matches!(found, Err(ReadError::Damaged(_))), "{change}: {found:?}");
        database.sql("delete from argus.events");
        database
            .sql("update argus.head set last_seq = 0, events = 0, bytes = 0, event_types = 0, removals = removals + 1");
        repository.commit(NOW, &[batch(&[Some("a")])]).unwrap();
    }
}
