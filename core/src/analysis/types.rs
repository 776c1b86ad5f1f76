//! Answers [`Types`](super::Types).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::limits::{AnalysisLimits, Excess, Rows};
use crate::event::{Event, Timestamp};
use crate::json::{write_string, write_u64};

/// What is known about each type.
#[derive(Debug)]
pub(super) struct TypesFold {
    limits: AnalysisLimits,
    types: BTreeMap<Box<str>, Entry>,
    /// Bytes of the names.
    name_bytes: usize,
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
        Self { limits, types: BTreeMap::new(), name_bytes: 0 }
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let entry = Entry { count: 1, first: event.timestamp, last: event.timestamp };
        self.add_entry(event.event_type.as_str(), entry)?;
        Ok(0)
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
