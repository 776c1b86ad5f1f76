//! Summaries of many values that can be merged: sums, quantiles, and how many values are different.
//!
//! Each summary is a function of the values alone: neither the order in which they were added nor the way in which
//! parts were merged changes a single bit of any answer. So pieces of a question can be computed on several cores, in
//! several stores, and by several versions of this program.
//!
//! | summary | answer | error |
//! |---|---|---|
//! | [`Total`] | sum of numbers | none, see [`Total::is_exact`] |
//! | [`Quantiles`] | median and percentiles | at most 1 % of the value, always |
//! | [`Distinct`] | number of different values | none up to [`Distinct::EXACT_MAX`], then below 1.6 % in 95 of 100 cases |
//!
//! A question may have a summary for each of 100,000 groups, so one with few values takes few bytes.

mod distinct;
mod log_scale;
mod number;
mod quantiles;
mod total;
mod value_hash;

pub use distinct::Distinct;
pub use number::write_f64;
pub use quantiles::Quantiles;
pub use total::Total;
pub use value_hash::value_hash;
