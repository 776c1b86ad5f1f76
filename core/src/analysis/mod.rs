//! Questions about many events that have short answers: figures by time and group, funnels, retention, and what there
//! is to ask for.
//!
//! A [`Question`] says what is asked. A [`Fold`] takes the events that the question is about, one by one, and keeps
//! what the answer needs, within [limits](AnalysisLimits). Folds of parts of the events can be merged. In the end the
//! fold becomes an [`Answer`]. A [`Snapshot`](crate::repository::Snapshot) runs folds.
//!
//! # Values
//!
//! A path may lead to values of any kind. Two values are the same if they are equal in a filter: `1` and `1.0` are, `1`
//! and `"1"` are not, and objects are if they have the same JSON text. Values are in this order: `null`, `false`,
//! `true`, numbers by value, strings by bytes, objects by text.
//!
//! An array is no value, but its elements are, and those of arrays in it, as in filters. As a group, or as a value of
//! `by`, each *different* element counts once; for figures, each element counts. Where a group needs a value and there
//! is none, it is `null`: if the path is missing, and for an empty array.

mod accuracy;
mod aggregate;
mod aggregation;
mod answer;
mod by;
mod column;
mod counting;
mod field;
mod fields;
mod fold;
mod funnel;
mod group_codes;
mod key;
mod limits;
mod measures;
mod needs;
mod numbered_hashes;
mod occurrences;
mod question;
mod ranking;
mod retention;
mod slot_rows;
mod slots;
mod source;
mod table;
mod types;
mod values;

pub use aggregation::{Aggregation, AggregationError, Function};
pub use answer::Answer;
pub(crate) use counting::Counting;
pub use field::Field;
pub use fold::Fold;
pub use limits::{AnalysisLimits, Excess, Rows};
pub(crate) use needs::Needs;
pub(crate) use occurrences::Occurrences;
pub use question::{
    AGGREGATIONS_MAX, Aggregate, EXAMPLE_BYTES_MAX, EXAMPLES_MAX, FIELDS_SAMPLE, Fields, Funnel, GROUP_BY_MAX,
    PERIODS_MAX, Periods, Question, Retention, STEPS, Step, Types,
};

#[cfg(test)]
mod tests;
