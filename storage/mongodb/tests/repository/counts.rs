//! Answers for which the server counts events.

use argus_core::query::Filter;
use argus_core::repository::Repository as _;
use argus_mongodb::MongoOptions;
use argus_testing::{Random, bytes_read_to_count, check_counting, count_by_type, store_turning};
use mongodb::bson::{Document, doc};

use super::database::{Database, options};

/// With an even seed, there are few types, and with an odd one many.
fn check(seed: u64) {
    let Some(database) = Database::new() else { return };
    let options = MongoOptions { types_max: 1_000, transaction_events: 100, ..options() };
    let mut repository = database.open_with(options);
    assert_eq!(check_counting(&mut repository, seed), Ok(()), "seed {seed}");
}

// Tests of their own, since each asks hundreds of questions, and a server that stands in for MongoDB may be slow.
#[test]
fn counted_answers_are_those_of_a_scan_of_few_types() {
    check(0);
}

#[test]
fn counted_answers_are_those_of_a_scan_of_many_types() {
    check(1);
}

#[test]
fn counted_events_are_not_read() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    store_turning(&mut repository, &mut Random::seeded(1), true);
    let ids = (0..60).map(|number| format!("id-{number}").into()).collect();
    assert_eq!(bytes_read_to_count(&repository, Filter::default()), 0);
    assert!(bytes_read_to_count(&repository, Filter { ids: Some(ids), ..Filter::default() }) > 0);
}

/// The error of counting after all documents were changed by somebody else.
fn error_after(database: &Database, change: Document) -> String {
    let mut repository = database.open();
    store_turning(&mut repository, &mut Random::seeded(1), true);
    database.change("events", change);
    let mut run = count_by_type(repository.reader().take().unwrap(), Filter::default()).unwrap();
    run.poll(1_000).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_counted_is_damage() {
    for change in [doc! { "event_type": "" }, doc! { "nanos": -1 }] {
        let Some(database) = Database::new() else { return };
        let error = error_after(&database, doc! { "$set": change });
        assert!(error.contains("of the collection `events`"), "{error}");
    }
}
