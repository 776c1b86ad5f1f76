//! Answers for which events are counted against answers for which they are read.

use std::sync::Arc;

use argus_core::analysis::{Aggregate, Aggregation, AnalysisLimits, Field, Fold, Question};
use argus_core::event::Event;
use argus_core::query::{Filter, Scan, TypeTest};
use argus_core::repository::{AnalysisRun, GapRun, Progress, ReadError, Repository, ScanRun, Snapshot, Stats};

use super::compare::Difference;
use super::generate::{self, Draft};
use super::moment::NOW;
use super::naive::analyze;
use super::random::Random;

/// So few that it does not take long to fill buckets, and that some questions exceed them.
const LIMITS: AnalysisLimits = AnalysisLimits { groups_max: 2_000, ..AnalysisLimits::DEFAULT };

/// A snapshot that counts no events.
struct Uncounted(Arc<dyn Snapshot>);

impl Snapshot for Uncounted {
    fn stats(&self) -> Result<Stats, ReadError> {
        self.0.stats()
    }

    fn last_seq(&self) -> u64 {
        self.0.last_seq()
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Arc::clone(&self.0).gaps(after, up_to)
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        self.0.get(id, sink)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Arc::clone(&self.0).scan(scan)
    }
}

/// Compares answers of an empty repository from numbers of events with those from reading all events: while it is
/// empty, of a snapshot that is not the newest, of all events, and after some were erased.
///
/// # Errors
///
/// The first [`Difference`]. An error of a snapshot is one.
///
/// # Panics
///
/// If the repository does not store or erase, or has no snapshot.
pub fn check_counting(repository: &mut impl Repository, seed: u64) -> Result<(), Difference> {
    let mut random = Random::seeded(seed);
    check_counted(&snapshot(repository), &mut random, 10)?;
    let has_few_types = seed.is_multiple_of(2);
    store_turning(repository, &mut random, has_few_types);
    store_turning(repository, &mut random, has_few_types);
    let before = snapshot(repository);
    store_turning(repository, &mut random, has_few_types);
    check_counted(&before, &mut random, 20)?;
    check_counted(&snapshot(repository), &mut random, 40)?;
    let erased = Filter { types: Some([TypeTest::Eq("view".into())].into()), ..Filter::default() };
    repository.erase(NOW, &erased).expect("it erases");
    check_counted(&snapshot(repository), &mut random, 20)
}

/// Stores events near times at which clocks are set, of few types or of many.
///
/// # Panics
///
/// If the repository does not store them.
pub fn store_turning(repository: &mut impl Repository, random: &mut Random<'_>, has_few_types: bool) {
    let drafts: Vec<Draft> = (0..150)
        .map(|_| {
            let draft = Draft { timestamp: generate::turning_time(random), ..generate::draft(random) };
            let few = random.pick(&["view", "click", "buy"]).to_owned();
            if has_few_types { Draft { event_type: few, ..draft } } else { draft }
        })
        .collect();
    repository.commit(NOW, &[generate::batch(&drafts)]).expect("it stores them");
}

/// The bytes of the events that are read to answer how many there are of each type for which a filter holds.
///
/// # Panics
///
/// If a snapshot gives no answer.
#[must_use]
pub fn bytes_read_to_count(repository: &impl Repository, filter: Filter) -> u64 {
    let mut run = count_by_type(snapshot(repository), filter).expect("it answers");
    while run.poll(1).expect("it answers").is_pending() {}
    run.scanned_bytes()
}

/// Begins to answer how many events there are of each type for which a filter holds.
///
/// # Errors
///
/// That of the snapshot.
pub fn count_by_type(snapshot: Arc<dyn Snapshot>, filter: Filter) -> Result<Box<dyn AnalysisRun>, ReadError> {
    let question = Question::Aggregate(Box::new(Aggregate {
        filter,
        periods: None,
        fill: false,
        group_by: [Field::Type].into(),
        aggregations: [Aggregation::Count].into(),
        top: None,
    }));
    let progress = Progress::new(Fold::new(question, AnalysisLimits::DEFAULT, 7), snapshot.last_seq());
    snapshot.analyze(progress)
}

fn snapshot(repository: &impl Repository) -> Arc<dyn Snapshot> {
    repository.reader().take().expect("it has a snapshot")
}

/// Asks a snapshot this number of [questions](generate::counted), and compares its answers with those from reading all
/// events. No event may be removed meanwhile.
///
/// # Errors
///
/// The first [`Difference`]. An error of the snapshot is one.
pub fn check_counted(
    snapshot: &Arc<dyn Snapshot>,
    random: &mut Random<'_>,
    questions: usize,
) -> Result<(), Difference> {
    let uncounted: Arc<dyn Snapshot> = Arc::new(Uncounted(Arc::clone(snapshot)));
    for _ in 0..questions {
        let question = generate::counted(random);
        let (budget, calls) = (random.pick(&[1, 2, 5, 1_000]), random.pick(&[0, 1, 100]));
        let [expected, found] = [(&uncounted, 1_000, 100), (snapshot, budget, calls)]
            .map(|(snapshot, budget, calls)| format!("{:?}", analyze(snapshot, &question, LIMITS, budget, calls)));
        if expected != found || expected.starts_with("Err") {
            return Err(Difference { question: format!("{question:?}"), expected, found });
        }
    }
    Ok(())
}
