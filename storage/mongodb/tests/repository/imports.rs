//! Imports: what is kept of events, and what is refused. The steps of the model import, too.

use argus_core::repository::{ImportError, Repository as _};
use argus_core::transfer::Transfer;
use argus_mongodb::{MongoOptions, MongoRepository, OpenError};
use argus_testing::{StoredEvent, all_events, all_gaps, numbered, transfer};

use super::database::{Database, options};

#[test]
fn a_database_without_collections_is_not_read_and_stays_as_it_is() {
    let Some(database) = Database::new() else { return };
    let opened = MongoRepository::read_only(database.address(), &options());
    let Err(OpenError::Refused(reason)) = opened else { panic!("it was opened: {opened:?}") };
    assert!(reason.to_string().contains("there are no events of Argus"), "{reason}");
    database.open().import(&transfer(&[2, 3].map(numbered), 0, 5)).unwrap();
    let snapshot = MongoRepository::read_only(database.address(), &options()).unwrap().take().unwrap();
    assert_eq!(all_events(&snapshot).unwrap(), [numbered(2), numbered(3)]);
    assert_eq!(snapshot.last_seq(), 5);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_stored() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open_with(MongoOptions { types_max: 3, ..options() });
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

/// Each transaction stores two events, and the numbers have gaps.
#[test]
fn an_import_in_several_transactions_is_whole() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let events = [2, 3, 7, 8, 9, 11, 12].map(numbered);
    repository.import(&transfer(&events[..], 0, 20)).unwrap();
    assert_eq!(database.raw().staged(), None);
    let snapshot = repository.reader().take().unwrap();
    assert_eq!(all_events(&snapshot).unwrap(), events);
    assert_eq!(all_gaps(&snapshot, 0, 20, 100).unwrap().len(), 4);
    let stats = snapshot.stats().unwrap();
    assert_eq!((stats.events, stats.last_seq, stats.event_types), (7, 20, 3));
    // The next one begins after it, also if its first transaction is the last one.
    repository.import(&transfer(&[numbered(22)], 20, 22)).unwrap();
    assert_eq!(repository.reader().take().unwrap().stats().unwrap().events, 8);
}
