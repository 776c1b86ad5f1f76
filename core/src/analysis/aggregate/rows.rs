//! Adds many events at once.

use alloc::vec::Vec;

use super::AggregateFold;
use crate::analysis::counting::Counting;
use crate::analysis::group_codes::GroupCodes;
use crate::analysis::key;
use crate::analysis::limits::Excess;
use crate::analysis::slot_rows::{NO_SLOT, SlotRows};
use crate::analysis::slots::index;
use crate::calendar::Buckets;
use crate::event::Timestamp;
use crate::json::Paths;
use crate::row_group::RowGroup;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// No run has this number.
const NO_RUN: u32 = u32::MAX;

/// The group of a code.
#[derive(Clone, Copy, Debug)]
struct CodedGroup {
    number: u32,
    /// The lowest code of this group.
    code: u32,
}

/// The groups of the codes of a row group.
struct UsedGroups {
    /// For each code its group, if it occurs.
    groups: Vec<CodedGroup>,
    /// How often each code occurs.
    counts: Vec<u64>,
    /// Whether several codes that occur have the same group.
    has_repetitions: bool,
}

impl AggregateFold {
    /// The paths whose values it needs, and how many they are.
    pub(in crate::analysis) fn paths(&self) -> (&Paths, usize) {
        self.values.paths()
    }

    /// Whether it needs the times of events.
    pub(in crate::analysis) fn needs_times(&self) -> bool {
        self.buckets.is_some()
    }

    /// Whether it needs the types of events.
    pub(in crate::analysis) fn needs_types(&self) -> bool {
        self.group_by.iter().any(|column| column.path.is_none())
    }

    /// Adds the events of a row group. No event has two values at one path.
    pub(in crate::analysis) fn add_rows(&mut self, rows: &RowGroup<'_>) -> Result<(), Excess> {
        let seed = self.seed;
        let codes = self.group_by.iter().map(|column| match column.path {
            None => GroupCodes::of_types(rows.types),
            Some(path) => GroupCodes::of_column(rows.column(path), seed),
        });
        let codes = codes.reduce(|first, second| first.by(second, seed)).unwrap_or_else(|| GroupCodes::same(|_| ()));
        if let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) {
            self.see_times(*first, *last);
        }
        let slots = self.slots_of(rows, &codes);
        self.measures.grow(self.slots.len());
        self.measures.add_rows(&slots, rows, &mut self.hashes);
        self.check()
    }

    /// What has to be known to count events for it; `None` if numbers of events do not suffice.
    pub(in crate::analysis) fn counting(&self) -> Option<Counting> {
        let cells = || self.question.periods.as_ref().map_or_else(Vec::new, |periods| periods.interval.cells());
        let is_countable = self.values.paths().1 == 0;
        is_countable.then(|| Counting { by_type: self.needs_types(), cells: cells(), exact_times: false })
    }

    /// Whether two times, and all between them, are in one bucket.
    pub(in crate::analysis) fn is_in_one_bucket(&mut self, (first, last): (i64, i64)) -> bool {
        self.buckets.as_mut().is_none_or(|numbers| {
            let buckets: &mut Buckets = numbers.buckets();
            buckets.of(first).start == buckets.of(last).start
        })
    }

    /// Adds events, of which only the number, the times of the first and the last one, and the type, if they have only
    /// one, are known. Returns false, and adds nothing, if that is not enough.
    pub(in crate::analysis) fn add_counted(
        &mut self,
        type_name: Option<&str>,
        count: u64,
        (first, last): (i64, i64),
    ) -> Result<bool, Excess> {
        let is_type_missing = self.needs_types() && type_name.is_none();
        if self.values.paths().1 > 0 || is_type_missing || !self.is_in_one_bucket((first, last)) {
            return Ok(false);
        }
        let bucket = match &mut self.buckets {
            None => 0,
            Some(numbers) => {
                let bucket = numbers.buckets().of(first);
                numbers.number_of(bucket)
            }
        };
        self.see_times(first, last);
        self.key.clear();
        // Without a path, the type is the only field that there may be.
        if let Some(name) = type_name.filter(|_| self.needs_types()) {
            key::write_string(name.as_bytes(), &mut self.key);
        }
        let group = self.groups.number(&self.key);
        let slot = self.slots.slot(bucket, group);
        self.measures.grow(slot + 1);
        self.measures.add_events(slot, count);
        self.check()?;
        Ok(true)
    }

    /// The slot of each row.
    fn slots_of(&mut self, rows: &RowGroup<'_>, groups: &GroupCodes) -> SlotRows {
        let runs = self.runs_of(rows);
        let Some(codes) = groups.codes() else {
            let group = self.groups.number(groups.key(0));
            if let [(bucket, len)] = runs.as_slice() {
                return SlotRows::same(self.slots.slot(*bucket, group), *len);
            }
            let slots = runs.iter().map(|(bucket, _)| self.slots.slot(*bucket, group)).collect();
            let counts = runs.iter().map(|(_, len)| *len as u64).collect();
            let indexes = (0..).zip(&runs).flat_map(|(index, (_, len))| core::iter::repeat_n(index, *len));
            return SlotRows::new(slots, counts, indexes.collect());
        };
        let used = self.used_groups(codes, groups);
        if let [(bucket, _)] = runs.as_slice()
            && !used.has_repetitions
        {
            let slot = |(group, count): (&CodedGroup, &u64)| {
                if *count > 0 { self.slots.slot(*bucket, group.number) } else { NO_SLOT }
            };
            let slots = used.groups.iter().zip(&used.counts).map(slot).collect();
            return SlotRows::new(slots, used.counts, codes.to_vec());
        }
        let (mut slots, mut counts, mut indexes) = (Vec::new(), Vec::new(), Vec::with_capacity(rows.rows));
        // For each code the run in which it came last, and the index of its slot there.
        let mut index_of: Vec<(u32, u32)> = alloc::vec![(NO_RUN, 0); used.groups.len()];
        let mut rest = codes;
        for (run, (bucket, len)) in (0..).zip(&runs) {
            let (codes, later) = rest.split_at(rest.len().min(*len));
            rest = later;
            for code in codes {
                let group = used.groups.get(index(*code)).expect("there is a group for each code");
                let known = index_of.get_mut(index(group.code)).expect("a group has one of its codes");
                if known.0 != run {
                    slots.push(self.slots.slot(*bucket, group.number));
                    counts.push(0);
                    *known = (run, slots.len() as u32 - 1);
                }
                *counts.get_mut(index(known.1)).expect("each slot has a count") += 1_u64;
                indexes.push(known.1);
            }
        }
        SlotRows::new(slots, counts, indexes)
    }

    /// The buckets of the rows, each with the number of its rows. No bucket occurs twice.
    fn runs_of(&mut self, rows: &RowGroup<'_>) -> Vec<(u32, usize)> {
        let Some(buckets) = &mut self.buckets else { return Vec::from([(0, rows.rows)]) };
        let (mut runs, mut rest) = (Vec::new(), rows.times);
        while let Some(first) = rest.first() {
            let bucket = buckets.buckets().of(*first);
            // The last bucket reaches beyond the times that there are.
            let len = match bucket.end.checked_mul(NANOS_PER_SECOND) {
                Some(end) => rest.partition_point(|time| *time < end).max(1),
                None => rest.len(),
            };
            runs.push((buckets.number_of(bucket), len));
            rest = rest.get(len..).unwrap_or_default();
        }
        runs
    }

    /// The groups of all codes that occur.
    fn used_groups(&mut self, codes: &[u32], groups: &GroupCodes) -> UsedGroups {
        let mut counts = alloc::vec![0_u64; groups.keys().len()];
        codes.iter().for_each(|code| *counts.get_mut(index(*code)).expect("there is a key for each code") += 1);
        let group = |(code, count): (u32, &u64)| match count {
            0 => CodedGroup { number: 0, code },
            _ => CodedGroup { number: self.groups.number(groups.key(code)), code },
        };
        let mut groups: Vec<CodedGroup> = (0..).zip(&counts).map(group).collect();
        // Values with different texts may be equal.
        let used = groups.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let mut by_number: Vec<CodedGroup> = used.map(|(group, _)| *group).collect();
        by_number.sort_unstable_by_key(|group| (group.number, group.code));
        let (mut first, mut has_repetitions) = (None::<CodedGroup>, false);
        for group in by_number {
            match first {
                Some(first) if first.number == group.number => {
                    groups.get_mut(index(group.code)).expect("there is a group for each code").code = first.code;
                    has_repetitions = true;
                }
                Some(_) | None => first = Some(group),
            }
        }
        UsedGroups { groups, counts, has_repetitions }
    }

    fn see_times(&mut self, first: i64, last: i64) {
        let (first, last) = (Timestamp::from_nanos(first), Timestamp::from_nanos(last));
        let (earliest, latest) = self.span.unwrap_or((first, last));
        self.span = Some((earliest.min(first), latest.max(last)));
    }
}
