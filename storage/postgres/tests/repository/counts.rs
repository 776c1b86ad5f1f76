//! Answers for which the server counts events.

use argus_core::query::Filter;
use argus_core::repository::Repository as _;
use argus_postgres::PostgresOptions;
use argus_testing::{Random, bytes_read_to_count, check_counting, count_by_type, store_turning};

use super::database::{Database, options};

#[test]
fn counted_answers_are_those_of_a_scan() {
    for seed in 0..6 {
        let Some(database) = Database::new() else { return };
        let mut repository = database.open_with(PostgresOptions { types_max: 1_000, ..options() });
        assert_eq!(check_counting(&mut repository, seed), Ok(()), "seed {seed}");
    }
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

#[test]
fn a_type_that_is_none_is_damage() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    store_turning(&mut repository, &mut Random::seeded(1), true);
    database.sql("UPDATE argus.events SET event_type = '' WHERE seq = 7");
    let mut run = count_by_type(repository.reader().take().unwrap(), Filter::default()).unwrap();
    let error = run.poll(1_000).unwrap_err().to_string();
    assert!(error.contains("a row of the table `events`"), "{error}");
}
