//! Events of sequences, in short.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::by::{ByValues, push};
use super::group_codes::GroupCodes;
use super::limits::{AnalysisLimits, Excess, Rows};
use super::needs::Needs;
use super::slots::index;
use crate::event::Event;
use crate::query::PayloadPath;
use crate::row_group::{RowGroup, Types};

/// All that a funnel or retention has to know about an event and one of its values of `by`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrence {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: i64,
    seq: u64,
    /// The hash of the value of `by`.
    pub(super) by: u128,
    /// A bit for each step that the event is.
    pub(super) steps: u16,
}

/// Collects occurrences, in any order, and [sorts](Self::into_ordered) them.
///
/// Sequences need their events in the order of time. To collect a span of time from columns and to sort what little is
/// needed is several times as fast as to merge whole events.
#[derive(Debug)]
pub(super) struct OccurrenceFold {
    /// The type of each step.
    types: Vec<Box<str>>,
    by: ByValues,
    seed: u64,
    path: PayloadPath,
    limits: AnalysisLimits,
    occurrences: Vec<Occurrence>,
}

/// What an [`OccurrenceFold`] has collected, in the order of time, and of sequence numbers.
#[derive(Debug)]
pub(crate) struct Occurrences(vec::IntoIter<Occurrence>);

impl Occurrences {
    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Memory in bytes, without that of those that were taken, which is not freed yet.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

impl Iterator for Occurrences {
    type Item = Occurrence;

    fn next(&mut self) -> Option<Occurrence> {
        self.0.next()
    }
}

impl OccurrenceFold {
    pub(super) fn new(types: Vec<Box<str>>, by: &PayloadPath, seed: u64, limits: AnalysisLimits) -> Self {
        let path = by.clone();
        Self { types, by: ByValues::new(by, seed), seed, path, limits, occurrences: Vec::new() }
    }

    /// The same, before the first event.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.types.clone(), &self.path, self.seed, self.limits)
    }

    /// How many events should be collected at a time. There is memory for twice as many.
    pub(super) fn events_max(&self) -> usize {
        self.bytes_max() / 2 / size_of::<Occurrence>()
    }

    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(AsRef::as_ref)
    }

    pub(super) fn needs(&self) -> Needs<'_> {
        let (paths, path_count) = self.by.paths();
        Needs { paths, path_count, times: true, types: true, seqs: true }
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let steps = self.steps_of(event.event_type.as_str());
        if steps == 0 {
            return Ok(0);
        }
        let Self { by, occurrences, .. } = self;
        let (time, seq) = (event.timestamp.as_nanos(), event.seq);
        let values = by.read(event.payload.as_str());
        values.iter().for_each(|by| push(occurrences, Occurrence { time, seq, by: *by, steps }));
        let count = values.len();
        self.check()?;
        Ok(count)
    }

    pub(super) fn add_rows(&mut self, rows: &RowGroup<'_>) -> Result<(), Excess> {
        let values = GroupCodes::of_column(rows.column(0), self.seed);
        let hashes: Vec<Option<u128>> = values.keys().iter().map(|key| self.by.hash(key)).collect();
        let steps: Vec<u16> = match rows.types {
            Types::One(name) => Vec::from([self.steps_of(name)]),
            Types::Coded { names, .. } => names.iter().map(|name| self.steps_of(name)).collect(),
        };
        self.occurrences.reserve(rows.rows);
        for (row, (time, seq)) in rows.times.iter().zip(rows.seqs).enumerate() {
            let code_of = |codes: &[u32]| index(*codes.get(row).expect("each row has a code"));
            let step = match rows.types {
                Types::One(_) => 0,
                Types::Coded { codes, .. } => code_of(codes),
            };
            let steps = *steps.get(step).expect("each type has its steps");
            let by = *hashes.get(values.codes().map_or(0, code_of)).expect("each code has a key");
            if let Some(by) = by
                && steps != 0
            {
                self.occurrences.push(Occurrence { time: *time, seq: *seq, by, steps });
            }
        }
        self.check()
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Excess> {
        self.occurrences.extend_from_slice(&other.occurrences);
        self.check()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.by.held_bytes() + self.occurrences.capacity() * size_of::<Occurrence>()
    }

    /// What was collected.
    pub(super) fn into_ordered(mut self) -> Occurrences {
        // Stable, since that is fast where parts are in order already.
        self.occurrences.sort_by_key(|occurrence| (occurrence.time, occurrence.seq));
        Occurrences(self.occurrences.into_iter())
    }

    fn steps_of(&self, event_type: &str) -> u16 {
        let steps = self.types.iter().enumerate();
        steps.fold(0, |steps, (step, name)| steps | u16::from(**name == *event_type) << step)
    }

    fn check(&self) -> Result<(), Excess> {
        if self.held_bytes() > self.bytes_max() {
            return Err(Excess::Memory { of: Rows::Values, max: self.limits.bytes_max });
        }
        Ok(())
    }

    /// Occurrences may take as much as half of the memory for the answer.
    fn bytes_max(&self) -> usize {
        self.limits.bytes_max / 2
    }
}
