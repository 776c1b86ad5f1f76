//! Answers [`Retention`].

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::by::{ByValues, push};
use super::limits::{AnalysisLimits, Excess, Rows};
use super::occurrences::{Occurrence, OccurrenceFold};
use super::question::Retention;
use super::slots::index;
use crate::calendar::{Bucket, Buckets};
use crate::event::Event;
use crate::json::write_u64;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Who belongs to which cohort and has returned. Takes events in the order of time and sequence numbers.
#[derive(Debug)]
pub(super) struct RetentionFold {
    question: Box<Retention>,
    limits: AnalysisLimits,
    seed: u64,
    buckets: Buckets,
    by: ByValues,
    members: Vec<Member>,
    cohorts: Vec<Cohort>,
    /// The cohorts by the start of their period.
    numbers: BTreeMap<i64, u32>,
}

/// A value of `by`.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// One bit for each period in which it has returned.
    returned: u64,
    /// The index of its cohort.
    cohort: u32,
}

#[derive(Debug)]
struct Cohort {
    start: i64,
    size: u64,
    periods: Vec<Period>,
}

/// A period of a cohort.
#[derive(Clone, Copy, Debug)]
struct Period {
    /// The second after its last one, since the Unix epoch.
    end: i64,
    returned: u64,
}

/// The answer, by time.
#[derive(Debug)]
pub(super) struct Cohorts {
    buckets: Buckets,
    cohorts: Vec<Cohort>,
}

impl RetentionFold {
    pub(super) fn new(question: Box<Retention>, limits: AnalysisLimits, seed: u64) -> Self {
        let buckets = Buckets::new(Some(question.periods.interval), question.periods.zone.clone());
        let by = ByValues::new(&question.by, seed);
        Self { limits, seed, buckets, by, members: Vec::new(), cohorts: Vec::new(), numbers: BTreeMap::new(), question }
    }

    pub(super) fn question(&self) -> &Retention {
        &self.question
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let event_type = event.event_type.as_str();
        let (is_first, is_then) = (*self.question.first == *event_type, *self.question.then == *event_type);
        if !is_first && !is_then {
            return Ok(0);
        }
        let values = self.by.read(event.payload.as_str()).to_vec();
        for by in &values {
            self.see(*by, is_first, is_then, event.timestamp.as_nanos())?;
        }
        self.check()?;
        Ok(values.len())
    }

    /// Adds an event in short. Step 0 is the first event of a cohort, and step 1 a return.
    pub(super) fn add_occurrence(&mut self, occurrence: &Occurrence) -> Result<(), Excess> {
        self.see(occurrence.by, occurrence.steps & 1 == 1, occurrence.steps & 2 == 2, occurrence.time)?;
        self.check()
    }

    /// Collects events in short, for [`add_occurrence`](Self::add_occurrence).
    pub(super) fn collector(&self) -> OccurrenceFold {
        let types = Vec::from([self.question.first.clone(), self.question.then.clone()]);
        OccurrenceFold::new(types, &self.question.by, self.seed, self.limits)
    }

    /// A value of `by` has an event at this time, in nanoseconds since the Unix epoch.
    fn see(&mut self, by: u128, is_first: bool, is_then: bool, nanos: i64) -> Result<(), Excess> {
        match self.by.find(by) {
            Some(number) if is_then => self.come_back(number, nanos.div_euclid(NANOS_PER_SECOND)),
            None if is_first => {
                let bucket = self.buckets.of(nanos);
                let cohort = self.cohort(bucket)?;
                self.by.add(by);
                push(&mut self.members, Member { returned: 0, cohort });
                if let Some(cohort) = self.cohorts.get_mut(index(cohort)) {
                    cohort.size += 1;
                }
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Excess> {
        if self.held_bytes() > self.limits.bytes_max {
            return Err(Excess::Memory { of: Rows::Values, max: self.limits.bytes_max });
        }
        Ok(())
    }

    /// Adds the results of another one, whose events had other values of `by`.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Excess> {
        for cohort in &other.cohorts {
            let end = cohort.periods.first().map_or(cohort.start, |period| period.end);
            let number = self.cohort(Bucket { start: cohort.start, end })?;
            let Some(own) = self.cohorts.get_mut(index(number)) else { continue };
            own.size += cohort.size;
            for (own, more) in own.periods.iter_mut().zip(&cohort.periods) {
                own.returned += more.returned;
            }
        }
        Ok(())
    }

    pub(super) fn held_bytes(&self) -> usize {
        let periods = index(self.question.count) + 1;
        let cohort = size_of::<Cohort>() + periods * size_of::<Period>() + 2 * size_of::<(i64, u32)>();
        self.by.held_bytes() + self.members.capacity() * size_of::<Member>() + self.cohorts.len() * cohort
    }

    pub(super) fn finish(self) -> Cohorts {
        let Self { buckets, mut cohorts, .. } = self;
        cohorts.sort_unstable_by_key(|cohort| cohort.start);
        Cohorts { buckets, cohorts }
    }

    /// A member of a cohort has a `then` event after its first event.
    fn come_back(&mut self, number: u32, second: i64) {
        let Some(member) = self.members.get_mut(index(number)) else { return };
        let Some(cohort) = self.cohorts.get_mut(index(member.cohort)) else { return };
        let at = cohort.periods.partition_point(|period| period.end <= second);
        if let Some(period) = cohort.periods.get_mut(at)
            && member.returned >> at & 1 == 0
        {
            member.returned |= 1 << at;
            period.returned += 1;
        }
    }

    /// The cohort of a period.
    fn cohort(&mut self, bucket: Bucket) -> Result<u32, Excess> {
        if let Some(number) = self.numbers.get(&bucket.start) {
            return Ok(*number);
        }
        if self.cohorts.len() == self.limits.groups_max {
            return Err(Excess::Groups { of: Rows::Cohorts, max: self.limits.groups_max });
        }
        let number = u32::try_from(self.cohorts.len()).expect("the limit on rows is reached long before 2^32 cohorts");
        let mut next = bucket;
        let periods = (0..=self.question.count).map(|_| {
            let period = Period { end: next.end, returned: 0 };
            next = self.buckets.after(next);
            period
        });
        let periods = periods.collect();
        self.cohorts.push(Cohort { start: bucket.start, size: 0, periods });
        self.numbers.insert(bucket.start, number);
        Ok(number)
    }
}

impl Cohorts {
    pub(super) fn len(&self) -> usize {
        self.cohorts.len()
    }

    pub(super) fn write_row(&mut self, row: usize, out: &mut Vec<u8>) {
        let Some(Cohort { start, size, periods }) = self.cohorts.get(row) else { return };
        out.extend_from_slice(b"{\"time\":\"");
        self.buckets.write_time(*start, out);
        out.extend_from_slice(b"\",\"size\":");
        write_u64(*size, out);
        out.extend_from_slice(b",\"returned\":[");
        for (at, period) in periods.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            write_u64(period.returned, out);
        }
        out.extend_from_slice(b"]}");
    }

    pub(super) fn held_bytes(&self) -> usize {
        let periods: usize = self.cohorts.iter().map(|cohort| cohort.periods.capacity()).sum();
        self.cohorts.capacity() * size_of::<Cohort>() + periods * size_of::<Period>()
    }
}
