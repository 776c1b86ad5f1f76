//! Imports: what is kept of events, and connections that break meanwhile. The steps of the model import, too.

use std::net::{Ipv4Addr, SocketAddr};

use argus_core::repository::{ImportError, Repository as _};
use argus_core::transfer::Transfer;
use argus_postgres::{OpenError, PostgresOptions, PostgresRepository};
use argus_servers::{Direction, Durability, PostgresServer, Proxy};
use argus_testing::{StoredEvent, all_events, all_gaps, numbered, transfer};

use super::database::{Database, options};

#[test]
fn a_database_without_tables_is_not_read_and_stays_as_it_is() {
    let Some(database) = Database::new() else { return };
    let opened = PostgresRepository::read_only(database.address(), &options());
    let Err(OpenError::Refused(reason)) = opened else { panic!("it was opened: {opened:?}") };
    assert!(reason.to_string().contains("there are no events of Argus"), "{reason}");
    let schemas = database.sql("SELECT count(*) FROM pg_namespace WHERE nspname || '.' = 'argus.'");
    assert_eq!(schemas.trim(), "0");
    database.open().import(&transfer(&[2, 3].map(numbered), 0, 5)).unwrap();
    let snapshot = PostgresRepository::read_only(database.address(), &options()).unwrap().take().unwrap();
    assert_eq!(all_events(&snapshot).unwrap(), [numbered(2), numbered(3)]);
}

/// Wherever the connection breaks, the events are stored once.
#[test]
fn an_import_whose_connection_breaks_is_found_out() {
    let Some(server) = PostgresServer::for_test(None, Durability::Volatile) else { return };
    let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()))).unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", proxy.address().port());
    let mut repository = PostgresRepository::open(url.parse().unwrap(), options()).unwrap();
    let mut stored = Vec::new();
    for direction in [Direction::ToServer, Direction::ToClient] {
        for bytes in (1..).step_by(97) {
            let after = stored.last().map_or(0, |seq| seq + 1);
            let seqs = [after + 1, after + 2, after + 5];
            let before = proxy.cuts();
            proxy.cut_after(direction, bytes);
            let imported = repository.import(&transfer(&seqs.map(numbered), after, after + 6));
            let was_cut = proxy.cuts() > before;
            // What is read is not cut.
            proxy.cut_after(direction, usize::MAX);
            assert_eq!(imported, Ok(()), "{direction:?} {bytes}");
            stored.extend(seqs);
            let snapshot = repository.reader().take().unwrap();
            assert_eq!(snapshot.last_seq(), after + 6);
            let expected: Vec<StoredEvent> = stored.iter().map(|seq| numbered(*seq)).collect();
            assert_eq!(all_events(&snapshot).unwrap(), expected, "{direction:?} {bytes}");
            assert_eq!(snapshot.stats().unwrap().events, stored.len() as u64);
            if !was_cut {
                // It was not that long.
                break;
            }
        }
    }
    assert!(proxy.cuts() > 20, "{}", proxy.cuts());
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_stored() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open_with(PostgresOptions { types_max: 3, ..options() });
    repository.import(&transfer(&[2, 3, 4].map(numbered), 0, 9)).unwrap();
    let mut refused = |transfer: &Transfer, expected: &str| {
        let Err(ImportError::Refused(reason)) = repository.import(transfer) else { panic!("{expected}") };
        assert!(reason.contains(expected), "{reason}");
        let snapshot = repository.reader().take().unwrap();
        assert_eq!((snapshot.last_seq(), snapshot.stats().unwrap().events), (9, 3));
        assert_eq!(all_gaps(&snapshot, 0, 9, 1).unwrap().len(), 2);
    };
    refused(&transfer(&[9].map(numbered), 8, 9), "its last sequence number is 9, and not 8");
    refused(&transfer(&[11].map(numbered), 10, 11), "its last sequence number is 9, and not 10");
    let mut taken = Transfer::after(9);
    taken.push(&StoredEvent { id: numbered(3).id, ..numbered(10) }.as_event()).unwrap();
    refused(&taken, "event 10 has the id of event 3");
    let mut twins = transfer(&[10].map(numbered), 9, 10);
    twins.push(&StoredEvent { seq: 12, ..numbered(10) }.as_event()).unwrap();
    refused(&twins, "event 12 has the id of event 10");
    let mut other = Transfer::after(9);
    other.push(&StoredEvent { event_type: "other".into(), ..numbered(10) }.as_event()).unwrap();
    refused(&other, "more event types than the limit, 3");
}
