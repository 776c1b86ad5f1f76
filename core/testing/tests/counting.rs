//! Questions over a repository that counts events, in the dullest way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use argus_core::analysis::{Aggregate, Aggregation, AnalysisLimits, Periods, Question, Types};
use argus_core::calendar::{Interval, Zone};
use argus_core::event::{Event, Timestamp};
use argus_core::query::{Filter, Position, Scan};
use argus_core::repository::{
    Count, Counts, EventCounter, GapRun, Grouping, ReadError, Repository as _, ScanRun, Snapshot, Stats,
};
use argus_testing::{Draft, Model, NOW, Pace, Random, StoredEvent, analyze, check_counted, collect, generate};

/// A snapshot that counts.
struct Counting {
    inner: Arc<dyn Snapshot>,
    /// Whether it does not tell apart what it should.
    is_broken: bool,
}

/// Counts these events, which are in order.
struct Counter {
    events: Vec<StoredEvent>,
    grouping: Grouping,
    is_broken: bool,
}

impl Snapshot for Counting {
    fn stats(&self) -> Result<Stats, ReadError> {
        self.inner.stats()
    }

    fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Arc::clone(&self.inner).gaps(after, up_to)
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        self.inner.get(id, sink)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Arc::clone(&self.inner).scan(scan)
    }

    fn counter(self: Arc<Self>, scan: &Scan, grouping: Grouping) -> Result<Option<Box<dyn EventCounter>>, ReadError> {
        let events = collect(&self.inner, scan, Pace::UNBROKEN).unwrap().events;
        Ok(Some(Box::new(Counter { events, grouping, is_broken: self.is_broken })))
    }
}

impl EventCounter for Counter {
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError> {
        let rest: Vec<&StoredEvent> = self.events.iter().filter(|event| Some(event.position()) > after).collect();
        let counted = rest.get(..max as usize).unwrap_or(&rest);
        let mut groups = BTreeMap::<_, Vec<Timestamp>>::new();
        for event in counted {
            let name = (self.grouping.by_type && !self.is_broken).then(|| Box::from(&*event.event_type));
            let cell = cell_seconds
                .filter(|_| !self.is_broken)
                .map(|seconds| event.timestamp.as_nanos().div_euclid(i64::from(seconds.get()) * 1_000_000_000));
            groups.entry((name, cell)).or_default().push(event.timestamp);
        }
        let groups = groups.into_iter().map(|((event_type, _), times)| Count {
            event_type,
            events: times.len() as u64,
            times: (*times.first().unwrap(), *times.last().unwrap()),
        });
        let has_more = counted.len() < rest.len();
        Ok(Counts {
            groups: groups.collect(),
            reached: counted.last().filter(|_| has_more).map(|last| last.position()),
        })
    }
}

/// Events near times at which clocks are set.
fn counting(random: &mut Random<'_>, is_broken: bool) -> Arc<dyn Snapshot> {
    let drafts: Vec<Draft> =
        (0..300).map(|_| Draft { timestamp: generate::turning_time(random), ..generate::draft(random) }).collect();
    let mut model = Model::new();
    model.commit(NOW, &[generate::batch(&drafts)]).unwrap();
    Arc::new(Counting { inner: model.snapshot(), is_broken })
}

#[test]
fn counted_answers_are_those_of_a_scan() {
    for seed in 0..20 {
        let mut random = Random::seeded(seed);
        let snapshot = counting(&mut random, false);
        assert_eq!(check_counted(&snapshot, &mut random, 100), Ok(()), "seed {seed}");
    }
}

#[test]
fn what_was_not_told_apart_is_not_taken() {
    let snapshot = counting(&mut Random::seeded(1), true);
    let hourly = Aggregate {
        filter: Filter::default(),
        periods: Some(Periods { interval: Interval::parse("1h").unwrap(), zone: Zone::utc() }),
        fill: false,
        group_by: Vec::new(),
        aggregations: [Aggregation::Count].into(),
        top: None,
    };
    let types = Types { filter: Filter::default() };
    for question in [Question::Aggregate(Box::new(hourly)), Question::Types(Box::new(types))] {
        let error = analyze(&snapshot, &question, AnalysisLimits::DEFAULT, 1_000, 1).unwrap_err();
        assert!(matches!(error, ReadError::Failed(_)), "{error}");
    }
}
