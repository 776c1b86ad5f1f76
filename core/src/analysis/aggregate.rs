//! Computes an [`Aggregate`].

mod rows;

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::field::Field;
use super::limits::{AnalysisLimits, Excess, Rows};
use super::measures::Measures;
use super::numbered_hashes::NumberedHashes;
use super::question::Aggregate;
use super::slots::{BucketIndex, Interner, Slots};
use super::table::Table;
use super::values::{Keys, Values};
use crate::calendar::{Bucket, Buckets};
use crate::event::{Event, Timestamp};

/// How many values cost as much as an event of a scan.
const VALUES_PER_UNIT: usize = 2;

/// The state of an aggregate: what is known about each bucket and group. The order of events does not matter.
#[derive(Debug)]
pub(super) struct AggregateFold {
    question: Box<Aggregate>,
    limits: AnalysisLimits,
    seed: u64,
    values: Values,
    group_by: Vec<GroupColumn>,
    /// The keys of each group, one after another.
    groups: Interner,
    buckets: Option<BucketIndex>,
    slots: Slots,
    measures: Measures,
    hashes: NumberedHashes,
    /// One slot for an event with many values in many groups.
    scratch: Measures,
    /// The times of the first and the last event.
    span: Option<(Timestamp, Timestamp)>,
    /// Buffer for the key of a group.
    key: Vec<u8>,
}

/// A field to group by, and the values of the last event.
#[derive(Debug)]
struct GroupColumn {
    /// The number of the path; `None` for the event type.
    path: Option<usize>,
    keys: Keys,
}

impl AggregateFold {
    /// Fails at once if `fill` alone would exceed the limit.
    pub(super) fn new(question: Box<Aggregate>, limits: AnalysisLimits, seed: u64) -> Result<Self, Excess> {
        let mut values = Values::default();
        let column = |field: &Field| GroupColumn {
            path: match field {
                Field::Type => None,
                Field::Payload(path) => Some(values.add(path)),
            },
            keys: Keys::default(),
        };
        let group_by = question.group_by.iter().map(column).collect();
        let measures = Measures::new(&question.aggregations, &mut values);
        let mut scratch = measures.emptied();
        scratch.grow(1);
        let mut fold = Self {
            limits,
            seed,
            values,
            group_by,
            groups: Interner::new(seed),
            buckets: question.periods.as_ref().map(BucketIndex::new),
            slots: Slots::new(seed),
            measures,
            hashes: NumberedHashes::default(),
            scratch,
            span: None,
            key: Vec::new(),
            question,
        };
        if let (Some(start), Some(end)) = (fold.question.filter.start, fold.question.filter.end)
            && fold.question.fill
        {
            fold.filled_buckets(start, end)?;
        }
        Ok(fold)
    }

    /// The same question, before its first event.
    pub(super) fn emptied(&self) -> Result<Self, Excess> {
        Self::new(self.question.clone(), self.limits, self.seed)
    }

    pub(super) fn question(&self) -> &Aggregate {
        &self.question
    }

    /// Adds an event that the filter selects. Returns its cost in units of a budget.
    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let payload = event.payload.as_str();
        self.values.read(payload);
        let mut combinations = 1_usize;
        for GroupColumn { path, keys } in &mut self.group_by {
            match path {
                Some(path) => self.values.distinct(*path, payload, keys),
                None => {
                    keys.clear();
                    keys.push(|out| super::key::write_string(event.event_type.as_str().as_bytes(), out));
                }
            }
            combinations = combinations.saturating_mul(keys.len());
        }
        // Each combination is a row.
        if combinations > self.limits.groups_max {
            return Err(Excess::Groups { of: self.rows(), max: self.limits.groups_max });
        }
        let (first, last) = self.span.unwrap_or((event.timestamp, event.timestamp));
        self.span = Some((first.min(event.timestamp), last.max(event.timestamp)));
        let bucket = self.buckets.as_mut().map_or(0, |buckets| buckets.number(event.timestamp));
        let values = self.measures.values_of(&self.values);
        if combinations == 1 {
            let slot = self.slot(bucket, 0);
            self.measures.grow(slot + 1);
            self.measures.add(slot, payload, &self.values);
            self.check()?;
        } else {
            // The values are added once, and their sum to each group: an event may have many of both.
            self.scratch = self.measures.emptied();
            self.scratch.grow(1);
            self.scratch.add(0, payload, &self.values);
            for combination in 0..combinations {
                let slot = self.slot(bucket, combination);
                self.measures.grow(slot + 1);
                self.measures.merge(slot, &self.scratch, 0);
                self.check()?;
            }
        }
        Ok((values + combinations) / VALUES_PER_UNIT)
    }

    /// The slot of a bucket and one combination of the last event's values.
    fn slot(&mut self, bucket: u32, combination: usize) -> usize {
        self.key.clear();
        let mut rest = combination;
        for GroupColumn { keys, .. } in &self.group_by {
            let count = keys.len().max(1);
            self.key.extend_from_slice(keys.get(rest % count).unwrap_or_default());
            rest /= count;
        }
        let group = self.groups.number(&self.key);
        self.slots.slot(bucket, group)
    }

    /// Adds all that another one of the same question has seen. This is one step: for 100,000 rows of the other one,
    /// it takes 10 to 60 ms, and up to 90 if they have long strings. So folds that are merged often have to be small.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Excess> {
        for (from, &(bucket, group)) in other.slots.pairs().iter().enumerate() {
            let group = self.groups.number(other.groups.text(group));
            let bucket = match (&mut self.buckets, &other.buckets) {
                (Some(own), Some(others)) => {
                    others.list().get(super::slots::index(bucket)).map_or(0, |bucket| own.number_of(*bucket))
                }
                (_, _) => 0,
            };
            let slot = self.slots.slot(bucket, group);
            self.measures.grow(slot + 1);
            self.measures.merge(slot, &other.measures, from);
            self.check()?;
        }
        let spans = self.span.into_iter().chain(other.span);
        self.span = spans.reduce(|(first, last), (other, later)| (first.min(other), last.max(later)));
        Ok(())
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.table_bytes() + self.hashes.held_bytes()
    }

    /// What counts towards the limit of the question. The kept hashes do not: they only save time, and their size is
    /// fixed.
    fn table_bytes(&self) -> usize {
        let keys: usize = self.group_by.iter().map(|column| column.keys.held_bytes()).sum();
        let buckets = self.buckets.as_ref().map_or(0, BucketIndex::held_bytes);
        let buffers = self.values.held_bytes() + self.scratch.held_bytes() + keys + self.key.capacity();
        buffers + buckets + self.groups.held_bytes() + self.slots.held_bytes() + self.measures.held_bytes()
    }

    /// The answer. This is one step, whatever the number of rows: 100,000 of them take 10 to 40 ms, or longer if long
    /// strings rank them.
    pub(super) fn finish(mut self) -> Result<Table, Excess> {
        let filled = match (self.question.fill, self.fill_range()) {
            (true, Some((start, end))) => Some(self.filled_buckets(start, end)?),
            (true, None) => Some(Vec::new()),
            (false, _) => None,
        };
        let groups = if self.group_by.is_empty() { 1 } else { self.groups.len() };
        let groups = self.question.top.map_or(groups, |top| groups.min(top.get() as usize));
        if let Some(filled) = &filled
            && filled.len().saturating_mul(groups) > self.limits.groups_max
        {
            return Err(Excess::Groups { of: Rows::FilledBuckets, max: self.limits.groups_max });
        }
        if self.group_by.is_empty() {
            // There is one group, also without events.
            self.groups.number(&[]);
        }
        Ok(Table::new(
            &self.question,
            self.groups,
            self.buckets.as_ref(),
            &self.slots,
            self.measures,
            filled.as_deref(),
        ))
    }

    /// The first and the last time of filled buckets; `None` if there are none.
    fn fill_range(&self) -> Option<(Timestamp, Timestamp)> {
        let filter = &self.question.filter;
        let start = filter.start.or(self.span.map(|(first, _)| first))?;
        let end = filter.end.or(self.span.map(|(_, last)| last))?;
        Some((start, end))
    }

    /// All buckets from one time to another. Fails when there are more than rows may be.
    fn filled_buckets(&mut self, start: Timestamp, end: Timestamp) -> Result<Vec<Bucket>, Excess> {
        let max = self.limits.groups_max;
        let Some(index) = &mut self.buckets else { return Ok(Vec::new()) };
        let buckets: &mut Buckets = index.buckets();
        let last = buckets.of(end.as_nanos());
        let mut bucket = buckets.of(start.as_nanos());
        let mut filled = Vec::new();
        while bucket.start <= last.start {
            if filled.len() == max {
                return Err(Excess::Groups { of: Rows::FilledBuckets, max });
            }
            filled.push(bucket);
            bucket = buckets.after(bucket);
        }
        Ok(filled)
    }

    /// What a row is for.
    fn rows(&self) -> Rows {
        if self.buckets.is_some() { Rows::Buckets } else { Rows::Groups }
    }

    fn check(&self) -> Result<(), Excess> {
        let AnalysisLimits { groups_max, bytes_max } = self.limits;
        if self.slots.len() > groups_max {
            return Err(Excess::Groups { of: self.rows(), max: groups_max });
        }
        if self.table_bytes() > bytes_max {
            return Err(Excess::Memory { of: self.rows(), max: bytes_max });
        }
        Ok(())
    }
}
