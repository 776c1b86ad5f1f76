//! What can be asked.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::aggregation::Aggregation;
use super::field::Field;
use crate::calendar::{Interval, Zone};
use crate::query::{Filter, PayloadFilter, PayloadPath};

/// Most fields that an [`Aggregate`] groups by.
pub const GROUP_BY_MAX: usize = 3;
/// Most aggregations of an [`Aggregate`].
pub const AGGREGATIONS_MAX: usize = 32;
/// Fewest and most steps of a [`Funnel`].
pub const STEPS: core::ops::RangeInclusive<usize> = 2..=10;
/// Most periods of a [`Retention`] after that of the first event.
pub const PERIODS_MAX: u32 = 52;
/// How many of the latest events [`Fields`] looks at.
pub const FIELDS_SAMPLE: u32 = 10_000;
/// Most examples of values at a path.
pub const EXAMPLES_MAX: usize = 5;
/// Longest example in bytes of JSON. Longer values are no examples.
pub const EXAMPLE_BYTES_MAX: usize = 200;

/// A question about many events, which has a short answer.
#[derive(Clone, Debug)]
pub enum Question {
    /// Counts, sums, percentiles and the like.
    Aggregate(Box<Aggregate>),
    /// How many reach each step of a sequence of events.
    Funnel(Box<Funnel>),
    /// How many come back.
    Retention(Box<Retention>),
    /// Which event types there are.
    Types(Box<Types>),
    /// Which paths the payloads have.
    Fields(Box<Fields>),
}

/// Figures about the matching events, by time and group.
///
/// Without `periods` and `group_by`, the answer has exactly one row. With `periods` alone, it has a row for each bucket
/// of time with events; with `group_by`, one for each group, and each bucket in which the group has events.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Which events.
    pub filter: Filter,
    /// The buckets of time; `None` for one bucket.
    pub periods: Option<Periods>,
    /// Whether buckets without events have rows as well: count and sum 0, all else null. They reach from the bucket of
    /// the filter's `start`, or else of the first event, to that of its `end`, or else of the last event. Each group
    /// that appears in any bucket has a row in each.
    pub fill: bool,
    /// The fields that make up a group, at most [`GROUP_BY_MAX`]. Each is one column. All different.
    pub group_by: Vec<Field>,
    /// What is computed: at least one aggregation, at most [`AGGREGATIONS_MAX`], all different.
    pub aggregations: Vec<Aggregation>,
    /// Only this number of groups, those with the highest result of the first aggregation over all buckets together.
    /// Of equal ones, that whose JSON text comes first: `10` before `9`. Several columns are compared one after the
    /// other, and strings without escapes, by their bytes. Needs `group_by`.
    pub top: Option<NonZeroU32>,
}

/// Buckets of time.
#[derive(Clone, Debug)]
pub struct Periods {
    /// How long they are.
    pub interval: Interval,
    /// Whose clock and calendar they follow.
    pub zone: Zone,
}

/// How far each value of `by` gets in a sequence of steps.
///
/// Events count in the order of time, and then of sequence numbers. An attempt starts at an event of the first step,
/// and reaches each further step with a later event of it, at most `within` after its start. Attempts may start any
/// number of times; the furthest counts. One event is never two steps.
#[derive(Clone, Debug)]
pub struct Funnel {
    /// Which events, for all steps.
    pub filter: Filter,
    /// Two to ten: [`STEPS`].
    pub steps: Vec<Step>,
    /// Whose events are a sequence. Events without a value there, or with `null`, count for nobody. One with an array
    /// counts for each distinct element.
    pub by: PayloadPath,
    /// The longest time from the first step to the last one; `None` for any.
    pub within: Option<Duration>,
}

/// A step of a [`Funnel`].
#[derive(Clone, Debug)]
pub struct Step {
    /// The event type.
    pub event_type: Box<str>,
    /// Further conditions, all of which must hold.
    pub payload: Vec<PayloadFilter>,
}

/// How many values of `by` come back in later periods.
///
/// A value of `by` belongs to the cohort of the period of its first `first` event. It returns in period `k` if it has a
/// `then` event in the k-th period after that; in period 0 if it has one in the same period, but after its first event.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Which events, for both.
    pub filter: Filter,
    /// The type of the events that a cohort begins with.
    pub first: Box<str>,
    /// The type of the events that count as a return. May be the same.
    pub then: Box<str>,
    /// As in [`Funnel::by`].
    pub by: PayloadPath,
    /// The periods: days, weeks or months.
    pub periods: Periods,
    /// How many periods after the first one are counted, from 1 to [`PERIODS_MAX`].
    pub count: u32,
}

/// The event types of the matching events, each with the number of its events and the times of its first and last one.
#[derive(Clone, Debug)]
pub struct Types {
    /// Which events.
    pub filter: Filter,
}

/// The paths in the payloads of the latest [`FIELDS_SAMPLE`] matching events, and what is found there.
#[derive(Clone, Debug)]
pub struct Fields {
    /// Which events.
    pub filter: Filter,
}
