//! Answers for which the server counts events.

use std::sync::Arc;

use argus_core::analysis::{Aggregate, Aggregation, AnalysisLimits, Field, Fold, Question};
use argus_core::query::{Filter, TypeTest};
use argus_core::repository::{AnalysisRun, Progress, Repository as _, Snapshot};
use argus_postgres::{PostgresOptions, PostgresRepository};
use argus_testing::{Draft, NOW, Random, check_counted, generate};

use super::database::{Database, options};

/// Stores events near times at which clocks are set, of few types or of many.
fn store(repository: &mut PostgresRepository, random: &mut Random<'_>, has_few_types: bool) {
    let drafts: Vec<Draft> = (0..150)
        .map(|_| {
            let draft = Draft { timestamp: generate::turning_time(random), ..generate::draft(random) };
            let few = random.pick(&["view", "click", "buy"]).to_owned();
            if has_few_types { Draft { event_type: few, ..draft } } else { draft }
        })
        .collect();
    repository.commit(NOW, &[generate::batch(&drafts)]).unwrap();
}

fn snapshot(repository: &PostgresRepository) -> Arc<dyn Snapshot> {
    repository.reader().take().unwrap()
}

#[test]
fn counted_answers_are_those_of_a_scan() {
    for seed in 0..6 {
        let Some(database) = Database::new() else { return };
        let mut repository = database.open_with(PostgresOptions { types_max: 1_000, ..options() });
        let mut random = Random::seeded(seed);
        assert_eq!(check_counted(&snapshot(&repository), &mut random, 10), Ok(()), "seed {seed}: empty");
        let has_few_types = seed % 2 == 0;
        store(&mut repository, &mut random, has_few_types);
        store(&mut repository, &mut random, has_few_types);
        let before = snapshot(&repository);
        store(&mut repository, &mut random, has_few_types);
        assert_eq!(check_counted(&before, &mut random, 20), Ok(()), "seed {seed}: not the newest");
        assert_eq!(check_counted(&snapshot(&repository), &mut random, 40), Ok(()), "seed {seed}: all");
        let erased = Filter { types: Some([TypeTest::Eq("view".into())].into()), ..Filter::default() };
        repository.erase(NOW, &erased).unwrap();
        assert_eq!(check_counted(&snapshot(&repository), &mut random, 20), Ok(()), "seed {seed}: erased");
    }
}

/// Begins to answer how many events there are of each type for which a filter holds.
fn begin(snapshot: Arc<dyn Snapshot>, filter: Filter) -> Box<dyn AnalysisRun> {
    let question = Question::Aggregate(Box::new(Aggregate {
        filter,
        periods: None,
        fill: false,
        group_by: [Field::Type].into(),
        aggregations: [Aggregation::Count].into(),
        top: None,
    }));
    let progress = Progress::new(Fold::new(question, AnalysisLimits::DEFAULT, 7), snapshot.last_seq());
    snapshot.analyze(progress).unwrap()
}

#[test]
fn counted_events_are_not_read() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    store(&mut repository, &mut Random::seeded(1), true);
    let ids = (0..60).map(|number| format!("id-{number}").into()).collect();
    for (ids, is_read) in [(None, false), (Some(ids), true)] {
        let mut run = begin(snapshot(&repository), Filter { ids, ..Filter::default() });
        while run.poll(1).unwrap().is_pending() {}
        assert_eq!(run.scanned_bytes() > 0, is_read);
    }
}

#[test]
fn a_type_that_is_none_is_damage() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    store(&mut repository, &mut Random::seeded(1), true);
    database.sql("UPDATE argus.events SET event_type = '' WHERE seq = 7");
    let mut run = begin(snapshot(&repository), Filter::default());
    let error = run.poll(1_000).unwrap_err().to_string();
    assert!(error.contains("a row of the table `events`"), "{error}");
}
