//! Which bucket a time is in.

use alloc::vec::Vec;

use jiff::Timestamp;
use jiff::civil::{self, DateTime};
use jiff::tz::Offset;

use super::interval::Step;
use super::offsets::Offsets;
use super::{Interval, Zone};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// More than the clocks of any zone are before or behind UTC. jiff refuses greater ones.
const OFFSET_SECONDS_MAX: i64 = 26 * 3_600;
/// 0001-01-01T00:00:00Z and 9998-01-01T00:00:00Z. Far beyond the times of events, and within the range of jiff with
/// room for a year.
const SECONDS_RANGE: (i64, i64) = (-62_135_596_800, 253_339_228_800);

/// A part of the time line: from `start` on, and before `end`. In seconds since the Unix epoch, without leap seconds,
/// because a bucket of the earliest or latest event may reach beyond the range of 64-bit nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// The first second.
    pub start: i64,
    /// The second after the last one.
    pub end: i64,
}

/// The buckets of an interval on the wall clock of a zone.
///
/// Keeps what it has looked up, above all the bucket of the last call, so it is fastest for times in order. Threads
/// work on clones.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// `None`: one bucket for all time.
    step: Option<Step>,
    offsets: Offsets,
    /// The bucket of the last call of [`of`](Self::of).
    last: Bucket,
    /// The first and the last nanosecond of `last` that an event can have. Empty before the first call.
    last_nanos: (i64, i64),
}

impl Bucket {
    /// The bucket of all times that an event can have.
    pub const ALL: Self =
        Self { start: i64::MIN.div_euclid(NANOS_PER_SECOND), end: i64::MAX.div_euclid(NANOS_PER_SECOND) + 1 };
}

impl Buckets {
    /// The buckets of this interval. Without an interval, [`Bucket::ALL`] is the only bucket.
    #[must_use]
    pub fn new(interval: Option<Interval>, zone: Zone) -> Self {
        Self { step: interval.map(Interval::step), offsets: Offsets::new(zone), last: Bucket::ALL, last_nanos: (1, 0) }
    }

    /// The bucket that contains this time, in nanoseconds since the Unix epoch. A later time is never in an earlier
    /// bucket.
    ///
    /// ```
    /// use argus_core::calendar::{Buckets, Interval, Zone};
    /// use argus_core::event::Timestamp;
    ///
    /// let mut days = Buckets::new(Interval::parse("1d").ok(), Zone::parse("Europe/Berlin")?);
    /// let noon = Timestamp::parse("2026-03-29T12:00:00+02:00").map(Timestamp::as_nanos).unwrap_or_default();
    /// let day = days.of(noon);
    /// assert_eq!(day.end - day.start, 23 * 3_600, "daylight saving time began on this day");
    /// let mut start = Vec::new();
    /// days.write_time(day.start, &mut start);
    /// assert_eq!(start, b"2026-03-29T00:00:00+01:00");
    /// # Ok::<(), argus_core::calendar::UnknownZone>(())
    /// ```
    #[inline]
    pub fn of(&mut self, nanos: i64) -> Bucket {
        if self.last_nanos.0 <= nanos && nanos <= self.last_nanos.1 { self.last } else { self.turn_to(nanos) }
    }

    /// Finds the bucket of a time, and keeps it.
    fn turn_to(&mut self, nanos: i64) -> Bucket {
        let bucket = self.around(nanos.div_euclid(NANOS_PER_SECOND));
        self.last = bucket;
        // Both saturate where the bucket reaches beyond the range.
        let last = bucket.end.saturating_mul(NANOS_PER_SECOND);
        let last = if last == i64::MAX { last } else { last - 1 };
        self.last_nanos = (bucket.start.saturating_mul(NANOS_PER_SECOND), last);
        bucket
    }

    /// The bucket that begins where this one ends. After [`Bucket::ALL`], the same bucket again.
    pub fn after(&mut self, bucket: Bucket) -> Bucket {
        self.around(bucket.end)
    }

    /// Appends a bucket's start as RFC 3339 without a fraction, with the offset that the zone has then: `Z` in UTC, and
    /// otherwise such as `+01:00` (`+00:00` in London in winter).
    ///
    /// RFC 3339 has no seconds in offsets. Most zones had offsets with seconds until about 1900: those are written
    /// without their seconds, and the time of day fits the written offset, so that the instant is exact.
    pub fn write_time(&mut self, start: i64, out: &mut Vec<u8>) {
        let start = start.clamp(SECONDS_RANGE.0, SECONDS_RANGE.1);
        let minutes = self.offsets.at(start).offset / 60;
        let local = civil_time(start + minutes * 60);
        let year = u16::try_from(local.year()).expect("the range begins with year 1, and no offset leads below year 0");
        let put = |out: &mut Vec<u8>, number: i8| {
            let number = number.unsigned_abs();
            out.extend([b'0' + number / 10, b'0' + number % 10]);
        };
        let century = i8::try_from(year / 100).expect("the range ends before year 9999");
        put(out, century);
        put(out, (year % 100) as i8);
        for (before, number) in [
            (b'-', local.month()),
            (b'-', local.day()),
            (b'T', local.hour()),
            (b':', local.minute()),
            (b':', local.second()),
        ] {
            out.push(before);
            put(out, number);
        }
        if self.offsets.zone().is_utc() {
            out.push(b'Z');
            return;
        }
        out.push(if minutes < 0 { b'-' } else { b'+' });
        let minutes = minutes.abs();
        put(out, (minutes / 60) as i8);
        out.push(b':');
        put(out, (minutes % 60) as i8);
    }

    /// The bucket that contains this second.
    fn around(&mut self, second: i64) -> Bucket {
        let second = second.clamp(SECONDS_RANGE.0, SECONDS_RANGE.1);
        match self.step {
            None => Bucket::ALL,
            Some(Step::Seconds(step)) => {
                Bucket { start: self.last_reading(second, step), end: self.next_reading(second, step) }
            }
            Some(step @ (Step::Day | Step::Week | Step::Months(_))) => self.days_around(second, step),
        }
    }

    /// The last instant up to `second` at which the wall clock reads a multiple of `step`, or jumps forward past one.
    fn last_reading(&mut self, second: i64, step: i64) -> i64 {
        let mut span = self.offsets.at(second);
        let mut start = floor(second + span.offset, step) - span.offset;
        while start < span.start {
            let before = self.offsets.at(span.start - 1);
            if transition_reads(span.start, before.offset, span.offset, step) {
                return span.start;
            }
            start = floor(span.start - 1 + before.offset, step) - before.offset;
            span = before;
        }
        start
    }

    /// The first such instant after `second`.
    fn next_reading(&mut self, second: i64, step: i64) -> i64 {
        let mut span = self.offsets.at(second);
        let mut end = floor(second + span.offset, step) + step - span.offset;
        // At the end of a span, the clock already has the next offset.
        while end >= span.end {
            let after = self.offsets.at(span.end);
            if transition_reads(span.end, span.offset, after.offset, step) {
                return span.end;
            }
            end = floor(span.end + after.offset, step) + step - after.offset;
            span = after;
        }
        end
    }

    /// The bucket of whole days that contains this second.
    fn days_around(&mut self, second: i64, step: Step) -> Bucket {
        let first_day = first_day(second + self.offsets.at(second).offset, step);
        let mut next_day = next_first_day(first_day, step);
        let mut bucket = Bucket { start: self.first_instant(first_day), end: self.first_instant(next_day) };
        // The clock may be set back to the day before, when the later day has begun already.
        while bucket.end <= second {
            next_day = next_first_day(next_day, step);
            bucket = Bucket { start: bucket.end, end: self.first_instant(next_day) };
        }
        bucket
    }

    /// The first instant at which the wall clock reads this time or a later one.
    fn first_instant(&mut self, local: i64) -> i64 {
        let earliest = local - OFFSET_SECONDS_MAX;
        let mut span = self.offsets.at(earliest);
        loop {
            let instant = (local - span.offset).max(span.start);
            if instant < span.end {
                return instant;
            }
            span = self.offsets.at(span.end);
        }
    }
}

/// Whether the wall clock reads a multiple of `step` when its offset changes, or jumps forward past one.
const fn transition_reads(at: i64, before: i64, after: i64, step: i64) -> bool {
    let multiple = floor(at + after, step);
    multiple == at + after || multiple >= at + before
}

/// The greatest multiple of `step` that is not above `local`.
const fn floor(local: i64, step: i64) -> i64 {
    local - local.rem_euclid(step)
}

/// Midnight of the first day of the bucket around a time of the wall clock. Times are in seconds since 1970-01-01T00:00
/// on the wall clock.
fn first_day(local: i64, step: Step) -> i64 {
    match step {
        Step::Seconds(step) => floor(local, step),
        Step::Day => floor(local, SECONDS_PER_DAY),
        // 1970-01-01 was a Thursday, three days after a Monday.
        Step::Week => floor(local + 3 * SECONDS_PER_DAY, 7 * SECONDS_PER_DAY) - 3 * SECONDS_PER_DAY,
        Step::Months(months) => first_of_month(floor(month_of(local), months)),
    }
}

/// Midnight of the first day of the bucket after the one that begins with this day.
fn next_first_day(first_day: i64, step: Step) -> i64 {
    match step {
        Step::Seconds(step) => first_day + step,
        Step::Day => first_day + SECONDS_PER_DAY,
        Step::Week => first_day + 7 * SECONDS_PER_DAY,
        Step::Months(months) => first_of_month(month_of(first_day) + months),
    }
}

/// The number of months since January of year 0.
fn month_of(local: i64) -> i64 {
    let time = civil_time(local);
    i64::from(time.year()) * 12 + i64::from(time.month()) - 1
}

/// Midnight of the first day of this month.
fn first_of_month(month: i64) -> i64 {
    let year = i16::try_from(month.div_euclid(12)).expect("the range ends before year 9999");
    let month = i8::try_from(month.rem_euclid(12) + 1).expect("it is 1 to 12");
    let date = civil::Date::new(year, month, 1).expect("every month has a first day");
    let midnight = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).expect("the range is within that of jiff");
    midnight.as_second()
}

/// Date and time of a wall clock.
fn civil_time(local: i64) -> DateTime {
    Offset::UTC.to_datetime(Timestamp::from_second(local).expect("the range is within that of jiff"))
}
