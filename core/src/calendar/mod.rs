//! Cuts the time line into buckets (an hour, a day, a month) on the wall clock of a time zone.
//!
//! # Where a bucket begins
//!
//! - Intervals of seconds, minutes and hours: at every instant at which the wall clock of the zone reads a multiple of
//!   the interval, counted from midnight, or jumps forward past one. At the end of daylight saving time, `1h` therefore
//!   has two buckets for the hour that occurs twice, and `6h` has one bucket of seven hours.
//! - Days, weeks, months, quarters and years: at the first instant of their first day. If the clock skips midnight,
//!   that is the first instant after the gap. If it reads midnight twice, it is the first time. If the zone skips the
//!   whole day, the bucket begins with the next day, and `1d` has no bucket for the skipped one.
//!
//! A bucket ends where the next one begins. So buckets are disjoint and ascend, and together they cover all time.
//!
//! Rules for the future are those of the bundled database. Governments change them: a zone may move buckets of the
//! future with a new version of the database.

mod buckets;
mod interval;
mod offsets;
mod zone;

pub use buckets::{Bucket, Buckets};
pub use interval::{Interval, IntervalError};
pub use zone::{UnknownZone, Zone};

#[cfg(test)]
mod tests;
