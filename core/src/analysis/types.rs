//! Answers [`Types`](super::Types).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::counting::Counting;
use super::limits::{AnalysisLimits, Excess, Rows};
use super::needs::Needs;
use super::slots::index;
use crate::event::{Event, Timestamp};
use crate::json::{Paths, write_string, write_u64};
use crate::row_group::{RowGroup, Types};

/// What is known about each type.
#[derive(Debug)]
pub(super) struct TypesFold {
    limits: AnalysisLimits,
    types: BTreeMap<Box<str>, Entry>,
    /// Bytes of the names.
    name_bytes: usize,
    no_paths: Paths,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

/// The types, those with the most events first.
#[derive(Debug)]
pub(super) struct TypeList(Vec<(Box<str>, Entry)>);

impl TypesFold {
    pub(super) fn new(limits: AnalysisLimits) -> Self {
        Self { limits, types: BTreeMap::new(), name_bytes: 0, no_paths: Paths::default() }
    }

    /// The same, before the first event.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.limits)
    }

    pub(super) fn needs(&self) -> Needs<'_> {
        Needs { paths: &self.no_paths, path_count: 0, times: true, types: true, seqs: false }
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let entry = Entry { count: 1, first: event.timestamp, last: event.timestamp };
        self.add_entry(event.event_type.as_str(), entry)?;
        Ok(0)
    }

    pub(super) fn add_rows(&mut self, rows: &RowGroup<'_>) -> Result<(), Excess> {
        let time = |row: usize| Timestamp::from_nanos(*rows.times.get(row).expect("a row group has the times it must"));
        match rows.types {
            Types::One(name) => {
                let (first, last) = (time(0), time(rows.rows.saturating_sub(1)));
                self.add_entry(name, Entry { count: rows.rows as u64, first, last })
            }
            Types::Coded { names, codes } => {
                let mut entries = alloc::vec![None::<Entry>; names.len()];
                for (row, code) in codes.iter().enumerate() {
                    let Some(entry) = entries.get_mut(index(*code)) else { continue };
                    let known = entry.get_or_insert(Entry { count: 0, first: time(row), last: time(row) });
                    known.count += 1;
                    known.last = time(row);
                }
                let named = names.iter().zip(entries);
                named
                    .filter_map(|(name, entry)| Some((name, entry?)))
                    .try_for_each(|(name, entry)| self.add_entry(name, entry))
            }
        }
    }

    /// What has to be known to count events for it.
    pub(super) fn counting() -> Counting {
        Counting { by_type: true, cells: Vec::new(), exact_times: true }
    }

    /// Adds events of one type, of which only the number and the times of the first and the last one are known.
    pub(super) fn add_counted(&mut self, name: &str, count: u64, times: (i64, i64)) -> Result<(), Excess> {
        let (first, last) = (Timestamp::from_nanos(times.0), Timestamp::from_nanos(times.1));
        self.add_entry(name, Entry { count, first, last })
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), Excess> {
        other.types.iter().try_for_each(|(name, entry)| self.add_entry(name, *entry))
    }

    pub(super) fn held_bytes(&self) -> usize {
        // A node of the tree has room for 11 entries, and is two thirds full on average.
        self.name_bytes + self.types.len() * size_of::<(Box<str>, Entry)>() * 3 / 2
    }

    pub(super) fn finish(self) -> TypeList {
        let mut types: Vec<_> = self.types.into_iter().collect();
        // Stable: types with equal counts stay in the order of their names.
        types.sort_by_key(|(_, entry)| Reverse(entry.count));
        TypeList(types)
    }

    fn add_entry(&mut self, name: &str, more: Entry) -> Result<(), Excess> {
        if let Some(entry) = self.types.get_mut(name) {
            entry.count += more.count;
            entry.first = entry.first.min(more.first);
            entry.last = entry.last.max(more.last);
            return Ok(());
        }
        self.types.insert(name.into(), more);
        self.name_bytes += name.len();
        let AnalysisLimits { groups_max, bytes_max } = self.limits;
        if self.types.len() > groups_max {
            return Err(Excess::Groups { of: Rows::Types, max: groups_max });
        }
        if self.held_bytes() > bytes_max {
            return Err(Excess::Memory { of: Rows::Types, max: bytes_max });
        }
        Ok(())
    }
}

impl TypeList {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn write_row(&self, row: usize, out: &mut Vec<u8>) {
        let Some((name, Entry { count, first, last })) = self.0.get(row) else { return };
        out.extend_from_slice(b"{\"type\":");
        write_string(name, out);
        out.extend_from_slice(b",\"count\":");
        write_u64(*count, out);
        out.extend_from_slice(b",\"first\":\"");
        first.write(out);
        out.extend_from_slice(b"\",\"last\":\"");
        last.write(out);
        out.extend_from_slice(b"\"}");
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.iter().map(|(name, _)| name.len() + size_of::<(Box<str>, Entry)>()).sum()
    }
}
