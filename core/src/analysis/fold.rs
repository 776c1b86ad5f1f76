//! The state of a question while it takes events.

use super::aggregate::AggregateFold;
use super::answer::{Answer, Content};
use super::counting::Counting;
use super::fields::FieldsFold;
use super::funnel::FunnelFold;
use super::limits::{AnalysisLimits, Excess};
use super::needs::Needs;
use super::occurrences::{OccurrenceFold, Occurrences};
use super::question::{Fields, Question, Types};
use super::retention::RetentionFold;
use super::types::TypesFold;
use crate::event::{Event, Timestamp, TypeTest};
use crate::query::{Filter, Order, Scan};
use crate::row_group::RowGroup;

use alloc::boxed::Box;

/// The state of a question while it takes the events of its [`scan`](Self::scan).
///
/// Every event is taken once. Its memory is bounded: when the question exceeds a limit, the fold drops what it knows
/// and takes no more events, and [`finish`](Self::finish) says which limit.
#[derive(Debug)]
pub struct Fold(State);

#[derive(Debug)]
enum State {
    Aggregate(Box<AggregateFold>),
    Funnel(Box<FunnelFold>),
    Retention(Box<RetentionFold>),
    Types(Box<(Types, TypesFold)>),
    Fields(Box<(Fields, FieldsFold)>),
    /// What a funnel or retention has to know about a span of time.
    Occurrences(Box<(Scan, OccurrenceFold)>),
    Exceeded(Box<(Scan, Excess)>),
}

impl Fold {
    /// The fold of a question before its first event. Answers do not depend on `seed`. Callers of the service must not
    /// know it, since with it they could choose values that slow the fold down.
    #[must_use]
    pub fn new(question: Question, limits: AnalysisLimits, seed: u64) -> Self {
        Self(match question {
            Question::Aggregate(aggregate) => {
                let scan = in_time(&aggregate.filter);
                match AggregateFold::new(aggregate, limits, seed) {
                    Ok(fold) => State::Aggregate(Box::new(fold)),
                    Err(excess) => State::Exceeded(Box::new((scan, excess))),
                }
            }
            Question::Funnel(funnel) => State::Funnel(Box::new(FunnelFold::new(funnel, limits, seed))),
            Question::Retention(retention) => State::Retention(Box::new(RetentionFold::new(retention, limits, seed))),
            Question::Types(types) => State::Types(Box::new((*types, TypesFold::new(limits)))),
            Question::Fields(fields) => State::Fields(Box::new((*fields, FieldsFold::new(limits, seed)))),
        })
    }

    /// The events that the fold takes, and their order. Only a fold whose [order is free](Self::takes_any_order) takes
    /// them in any other order.
    #[must_use]
    pub fn scan(&self) -> Scan {
        match &self.0 {
            State::Aggregate(fold) => in_time(&fold.question().filter),
            State::Funnel(fold) => in_time(&fold.question().filter),
            State::Retention(fold) => in_time(&fold.question().filter),
            State::Types(types) => in_time(&types.0.filter),
            State::Fields(fields) => Scan { order: Order::TimeDescending, ..in_time(&fields.0.filter) },
            State::Occurrences(occurrences) => occurrences.0.clone(),
            State::Exceeded(exceeded) => exceeded.0.clone(),
        }
    }

    /// Whether the events may come in any order. Parts of them may then go to several folds, which are
    /// [merged](Self::merge).
    #[must_use]
    pub fn takes_any_order(&self) -> bool {
        match &self.0 {
            State::Aggregate(_) | State::Types(_) | State::Occurrences(_) | State::Exceeded(_) => true,
            State::Funnel(_) | State::Retention(_) | State::Fields(_) => false,
        }
    }

    /// Whether further events can change the answer.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        match &self.0 {
            State::Aggregate(_) | State::Funnel(_) | State::Retention(_) | State::Types(_) | State::Occurrences(_) => {
                true
            }
            State::Fields(fields) => !fields.1.is_complete(),
            State::Exceeded(_) => false,
        }
    }

    /// Takes an event. Returns how much longer that took than to find the event, in units of a
    /// [budget](crate::repository::ScanRun::poll_events).
    pub fn add(&mut self, event: &Event<'_>) -> u32 {
        let added = match &mut self.0 {
            State::Aggregate(fold) => fold.add(event),
            State::Funnel(fold) => fold.add(event),
            State::Retention(fold) => fold.add(event),
            State::Types(types) => types.1.add(event),
            State::Fields(fields) => fields.1.add(event),
            State::Occurrences(occurrences) => occurrences.1.add(event),
            State::Exceeded(_) => Ok(0),
        };
        match added {
            Ok(cost) => u32::try_from(cost).unwrap_or(u32::MAX),
            Err(excess) => {
                self.exceed(excess);
                0
            }
        }
    }

    /// What row groups must have for this fold; `None` if it takes only single events.
    pub(crate) fn needs(&self) -> Option<Needs<'_>> {
        match &self.0 {
            State::Aggregate(fold) => {
                let (paths, path_count) = fold.paths();
                Some(Needs { paths, path_count, times: fold.needs_times(), types: fold.needs_types(), seqs: false })
            }
            State::Types(types) => Some(types.1.needs()),
            State::Occurrences(occurrences) => Some(occurrences.1.needs()),
            State::Funnel(_) | State::Retention(_) | State::Fields(_) | State::Exceeded(_) => None,
        }
    }

    /// Takes the events of a row group, which has all that the fold [needs](Self::needs). No event has two values at
    /// one of the paths.
    pub(crate) fn add_rows(&mut self, rows: &RowGroup<'_>) {
        let added = match &mut self.0 {
            State::Aggregate(fold) => fold.add_rows(rows),
            State::Types(types) => types.1.add_rows(rows),
            State::Occurrences(occurrences) => occurrences.1.add_rows(rows),
            State::Funnel(_) | State::Retention(_) | State::Fields(_) | State::Exceeded(_) => {
                debug_assert!(matches!(self.0, State::Exceeded(_)), "this fold takes single events");
                Ok(())
            }
        };
        if let Err(excess) = added {
            self.exceed(excess);
        }
    }

    /// What has to be known to count its events; `None` if numbers of events do not suffice, or cannot be had without
    /// reading the events.
    pub(crate) fn counting(&self) -> Option<Counting> {
        let is_countable = |filter: &Filter| filter.payload.is_empty() && filter.ids.is_none();
        match &self.0 {
            State::Aggregate(fold) => fold.counting().filter(|_| is_countable(&fold.question().filter)),
            State::Types(types) => is_countable(&types.0.filter).then(TypesFold::counting),
            State::Funnel(_) | State::Retention(_) | State::Fields(_) | State::Occurrences(_) | State::Exceeded(_) => {
                None
            }
        }
    }

    /// Whether two times, in nanoseconds since the Unix epoch, and all between them, are in one bucket.
    pub(crate) fn is_in_one_bucket(&mut self, times: (i64, i64)) -> bool {
        match &mut self.0 {
            State::Aggregate(fold) => fold.is_in_one_bucket(times),
            State::Funnel(_)
            | State::Retention(_)
            | State::Types(_)
            | State::Fields(_)
            | State::Occurrences(_)
            | State::Exceeded(_) => true,
        }
    }

    /// Takes events, of which only the number, the times of the first and the last one in nanoseconds since the Unix
    /// epoch, and their type, if they have only one, are known. Returns false, and takes none, if that is not enough.
    pub(crate) fn add_counted(&mut self, type_name: Option<&str>, count: u64, times: (i64, i64)) -> bool {
        let added = match &mut self.0 {
            State::Aggregate(fold) => fold.add_counted(type_name, count, times),
            State::Types(types) => match type_name {
                Some(name) => types.1.add_counted(name, count, times).map(|()| true),
                None => Ok(false),
            },
            State::Funnel(_) | State::Retention(_) | State::Fields(_) | State::Occurrences(_) => Ok(false),
            State::Exceeded(_) => Ok(true),
        };
        added.unwrap_or_else(|excess| {
            self.exceed(excess);
            true
        })
    }

    /// A fold of the same question before its first event, to be merged with this one; `None` if its events must come
    /// in order.
    #[must_use]
    pub(crate) fn emptied(&self) -> Option<Self> {
        match &self.0 {
            State::Aggregate(fold) => fold.emptied().ok().map(|fold| Self(State::Aggregate(Box::new(fold)))),
            State::Occurrences(occurrences) => {
                let emptied = (occurrences.0.clone(), occurrences.1.emptied());
                Some(Self(State::Occurrences(Box::new(emptied))))
            }
            State::Types(types) => Some(Self(State::Types(Box::new((types.0.clone(), types.1.emptied()))))),
            State::Funnel(_) | State::Retention(_) | State::Fields(_) | State::Exceeded(_) => None,
        }
    }

    /// A fold that collects, in any order, what this one has to know about the events in a span of time, both ends
    /// included; `None` if it cannot be collected.
    pub(crate) fn collector(&self, start: Timestamp, end: Timestamp) -> Option<Self> {
        let collector = match &self.0 {
            State::Funnel(fold) => fold.collector()?,
            State::Retention(fold) => fold.collector(),
            State::Aggregate(_) | State::Types(_) | State::Fields(_) | State::Occurrences(_) | State::Exceeded(_) => {
                return None;
            }
        };
        let mut scan = self.scan();
        scan.filter.start = Some(start);
        scan.filter.end = Some(end);
        let types = || collector.types().map(|name| TypeTest::Eq(name.into())).collect();
        scan.filter.types.get_or_insert_with(types);
        Some(Self(State::Occurrences(Box::new((scan, collector)))))
    }

    /// What a [`collector`](Self::collector) has seen; `None` if it had too little memory.
    pub(crate) fn into_collected(self) -> Option<Occurrences> {
        match self.0 {
            State::Occurrences(collected) => Some(collected.1.into_ordered()),
            State::Aggregate(_)
            | State::Funnel(_)
            | State::Retention(_)
            | State::Types(_)
            | State::Fields(_)
            | State::Exceeded(_) => None,
        }
    }

    /// Takes up to `max` of what was [collected](Self::into_collected) about a span of time after all others.
    pub(crate) fn take_collected(&mut self, collected: &mut Occurrences, max: usize) {
        for occurrence in collected.take(max) {
            let added = match &mut self.0 {
                State::Funnel(fold) => fold.add_occurrence(&occurrence),
                State::Retention(fold) => fold.add_occurrence(&occurrence),
                State::Aggregate(_)
                | State::Types(_)
                | State::Fields(_)
                | State::Occurrences(_)
                | State::Exceeded(_) => Ok(()),
            };
            if let Err(excess) = added {
                self.exceed(excess);
            }
        }
    }

    /// How many events this [`collector`](Self::collector) should collect; 0 if it is none.
    pub(crate) fn collected_max(&self) -> usize {
        match &self.0 {
            State::Occurrences(collected) => collected.1.events_max(),
            State::Aggregate(_)
            | State::Funnel(_)
            | State::Retention(_)
            | State::Types(_)
            | State::Fields(_)
            | State::Exceeded(_) => 0,
        }
    }

    /// Takes all that another fold of the same question has taken. Its events must be others. For a funnel or
    /// retention, also its values of `by` must be others. The sample of fields becomes that of both.
    pub fn merge(&mut self, other: &Self) {
        let merged = match (&mut self.0, &other.0) {
            (State::Aggregate(fold), State::Aggregate(other)) => fold.merge(other),
            (State::Funnel(fold), State::Funnel(other)) => {
                fold.merge(other);
                Ok(())
            }
            (State::Retention(fold), State::Retention(other)) => fold.merge(other),
            (State::Types(types), State::Types(other)) => types.1.merge(&other.1),
            (State::Fields(fields), State::Fields(other)) => fields.1.merge(&other.1),
            (State::Occurrences(occurrences), State::Occurrences(other)) => occurrences.1.merge(&other.1),
            (State::Exceeded(_), _) => Ok(()),
            (_, State::Exceeded(exceeded)) => Err(exceeded.1),
            (
                State::Aggregate(_)
                | State::Funnel(_)
                | State::Retention(_)
                | State::Types(_)
                | State::Fields(_)
                | State::Occurrences(_),
                State::Aggregate(_)
                | State::Funnel(_)
                | State::Retention(_)
                | State::Types(_)
                | State::Fields(_)
                | State::Occurrences(_),
            ) => {
                debug_assert!(false, "folds of different questions");
                Ok(())
            }
        };
        if let Err(excess) = merged {
            self.exceed(excess);
        }
    }

    /// Memory in bytes. Cheap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            State::Aggregate(fold) => fold.held_bytes(),
            State::Funnel(fold) => fold.held_bytes(),
            State::Retention(fold) => fold.held_bytes(),
            State::Types(types) => types.1.held_bytes(),
            State::Fields(fields) => fields.1.held_bytes(),
            State::Occurrences(occurrences) => occurrences.1.held_bytes(),
            State::Exceeded(_) => 0,
        }
    }

    /// The answer.
    ///
    /// # Errors
    ///
    /// [`Excess`] if the question exceeds a limit.
    pub fn finish(self) -> Result<Answer, Excess> {
        let content = match self.0 {
            State::Aggregate(fold) => Content::Table(Box::new(fold.finish()?)),
            State::Funnel(fold) => Content::Funnel(fold.finish()),
            State::Retention(fold) => Content::Cohorts(fold.finish()),
            State::Types(types) => Content::Types(types.1.finish()),
            State::Fields(fields) => Content::Fields(fields.1.finish()),
            State::Occurrences(_) => unreachable!("what is collected goes to the fold of a question"),
            State::Exceeded(exceeded) => return Err(exceeded.1),
        };
        Ok(Answer::new(content))
    }

    /// Gives up because of a limit.
    fn exceed(&mut self, excess: Excess) {
        self.0 = State::Exceeded(Box::new((self.scan(), excess)));
    }
}

fn in_time(filter: &Filter) -> Scan {
    Scan::from(filter.clone())
}
