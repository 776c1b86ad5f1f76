//! The results of aggregations, in columns by slot.

use alloc::vec::Vec;

use super::accuracy::Accuracy;
use super::aggregation::{Aggregation, Function};
use super::numbered_hashes::NumberedHashes;
use super::slot_rows::SlotRows;
use super::source::Source;
use super::values::Values;
use crate::row_group::RowGroup;

/// The states of all aggregations. A slot is a row of states. Adding a value to a slot is separate from finding the
/// slot, and the order in which values come does not matter.
#[derive(Debug)]
pub(super) struct Measures {
    /// How many events each slot has.
    events: Vec<u64>,
    sources: Vec<Source>,
    outputs: Vec<Output>,
}

/// A column of the answer.
#[derive(Clone, Copy, Debug)]
enum Output {
    Count,
    /// The index of a source.
    Of(Function, usize),
}

impl Measures {
    /// Without any slot. Adds the paths to `values`.
    pub(super) fn new(aggregations: &[Aggregation], values: &mut Values) -> Self {
        let mut sources = Vec::<Source>::new();
        let outputs = aggregations.iter().map(|aggregation| match aggregation {
            Aggregation::Count => Output::Count,
            Aggregation::Of(function, path) => {
                let path = values.add(path);
                let at = sources.iter().position(|source| source.path == path).unwrap_or_else(|| {
                    sources.push(Source::new(path));
                    sources.len() - 1
                });
                sources.get_mut(at).expect("the source was found or added").compute(*function);
                Output::Of(*function, at)
            }
        });
        let outputs = outputs.collect();
        Self { events: Vec::new(), sources, outputs }
    }

    /// The same aggregations, without any slot.
    pub(super) fn emptied(&self) -> Self {
        let sources = self.sources.iter().map(Source::emptied).collect();
        Self { events: Vec::new(), sources, outputs: self.outputs.clone() }
    }

    /// One output of these, without any slot.
    pub(super) fn only(&self, output: usize) -> Self {
        let output = self.outputs.get(output).copied().unwrap_or(Output::Count);
        let mut only = Self { events: Vec::new(), sources: Vec::new(), outputs: Vec::from([output]) };
        if let Output::Of(function, source) = output {
            // The other sources have no columns, and only keep the places of the sources equal.
            only.sources = self.sources.iter().map(|other| Source::new(other.path)).collect();
            only.sources.get_mut(source).expect("an output has the index of its source").compute(function);
        }
        only
    }

    /// Makes room for this number of slots.
    pub(super) fn grow(&mut self, slots: usize) {
        if slots > self.events.len() {
            self.events.resize(slots, 0);
            self.sources.iter_mut().for_each(|source| source.grow(slots));
        }
    }

    /// Adds an event to a slot: the one that `values` has read last. Returns how many values there were.
    pub(super) fn add(&mut self, slot: usize, payload: &str, values: &Values) -> usize {
        if let Some(events) = self.events.get_mut(slot) {
            *events += 1;
        }
        let mut count = 0;
        for source in &mut self.sources {
            for raw in values.texts(source.path, payload) {
                source.add(slot, raw);
                count += 1;
            }
        }
        count
    }

    /// Adds each row of a row group to its slot. The row group has the values of each path in [`Values`].
    pub(super) fn add_rows(&mut self, slots: &SlotRows, rows: &RowGroup<'_>, hashes: &mut NumberedHashes) {
        for (slot, count) in slots.slots().iter().zip(slots.counts()) {
            self.add_events(*slot, *count);
        }
        for source in &mut self.sources {
            source.add_rows(slots, rows.column(source.path), hashes);
        }
    }

    /// Adds events without values to a slot.
    pub(super) fn add_events(&mut self, slot: usize, count: u64) {
        if let Some(events) = self.events.get_mut(slot) {
            *events += count;
        }
    }

    /// How many values the event that `values` has read last would add to a slot.
    pub(super) fn values_of(&self, values: &Values) -> usize {
        self.sources.iter().map(|source| values.count(source.path)).sum()
    }

    /// Adds a slot of another one with the same aggregations to a slot of this.
    pub(super) fn merge(&mut self, slot: usize, other: &Self, from: usize) {
        if let (Some(events), Some(more)) = (self.events.get_mut(slot), other.events.get(from)) {
            *events += more;
        }
        for (source, other) in self.sources.iter_mut().zip(&other.sources) {
            source.merge(slot, other, from);
        }
    }

    /// Appends the result of an output for a slot as JSON. Without a slot, or without an event in it, that is 0 for
    /// counts and sums, and null for all others.
    pub(super) fn write(&self, output: usize, slot: Option<usize>, out: &mut Vec<u8>) {
        let slot = slot.filter(|&slot| self.events.get(slot).is_some_and(|&events| events > 0));
        match (self.outputs.get(output), slot) {
            (Some(Output::Count) | None, slot) => {
                let events = slot.and_then(|slot| self.events.get(slot)).copied().unwrap_or(0);
                crate::json::write_u64(events, out);
            }
            (Some(Output::Of(function, source)), Some(slot)) => {
                let source = self.sources.get(*source).expect("an output has the index of its source");
                source.write(*function, slot, out);
            }
            (Some(Output::Of(Function::Sum, _)), None) => out.push(b'0'),
            (Some(Output::Of(_, _)), None) => out.extend_from_slice(b"null"),
        }
    }

    /// The [key](super::key) of the result of an output for a slot; `None` if there is none, or if it is not one of the
    /// values.
    pub(super) fn extreme(&self, output: usize, slot: usize) -> Option<&[u8]> {
        match self.outputs.get(output)? {
            Output::Of(function, source) => self.sources.get(*source)?.extreme(*function, slot),
            Output::Count => None,
        }
    }

    /// How far the result of an output for a slot may be from the exact one.
    pub(super) fn accuracy(&self, output: usize, slot: usize) -> Accuracy {
        match self.outputs.get(output) {
            Some(Output::Of(function, source)) => {
                self.sources.get(*source).map_or(Accuracy::Exact, |source| source.accuracy(*function, slot))
            }
            Some(Output::Count) | None => Accuracy::Exact,
        }
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let sources: usize = self.sources.iter().map(Source::held_bytes).sum();
        self.events.capacity() * size_of::<u64>() + sources
    }
}
