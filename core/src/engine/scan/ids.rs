//! Walks the events that have certain ids.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::bounds::{Bounds, position};
use super::step::{Address, Row, Step};
use crate::engine::erasure::ErasureTest;
use crate::engine::parts::{Located, Parts};
use crate::query::{Filter, Order, Position, TypeTest};
use crate::repository::ReadError;
use crate::segment::SortKey;

/// Looking up an id costs about as much as examining this many rows.
const LOOKUP_ROWS: u32 = 64;

/// Looks up one id per step, then yields the events found in the order of the scan.
#[derive(Debug)]
pub(super) struct IdWalk {
    parts: Parts,
    test: ErasureTest,
    ids: vec::IntoIter<Box<str>>,
    types: Option<Vec<TypeTest>>,
    bounds: Bounds,
    is_sorted: bool,
    found: Vec<(SortKey, Address)>,
    /// How many of the events found were yielded.
    yielded: usize,
}

impl IdWalk {
    /// Walks the events with these ids. The `part` of an [`Address`] is an index into `parts`.
    pub(super) fn among(parts: Parts, ids: &[Box<str>], filter: &Filter, bounds: Bounds) -> Self {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let (ids, types) = (ids.into_iter(), filter.types.clone());
        let test = parts.erasure_test();
        Self { parts, test, ids, types, bounds, is_sorted: false, found: Vec::new(), yielded: 0 }
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        if let Some(id) = self.ids.next() {
            if let Some(located) = self.parts.locate(&id, &mut self.test)?
                && self.bounds.contains(located.sort_key())
                && has_type(self.types.as_deref(), &located)
            {
                let address = Address { part: located.part(), block: located.block_number(), row: located.row() };
                self.found.push((located.sort_key(), address));
            }
            return Ok(Step::Work(LOOKUP_ROWS));
        }
        if !self.is_sorted {
            match self.bounds.order() {
                Order::TimeAscending => self.found.sort_unstable_by_key(|&(sort_key, _)| sort_key),
                Order::TimeDescending => self.found.sort_unstable_by_key(|&(sort_key, _)| core::cmp::Reverse(sort_key)),
                Order::Sequence => self.found.sort_unstable_by_key(|&(sort_key, _)| sort_key.seq),
            }
            self.is_sorted = true;
        }
        let Some((sort_key, address)) = self.found.get(self.yielded) else { return Ok(Step::End) };
        self.yielded += 1;
        Ok(Step::Row(Row { sort_key: *sort_key, address: address.clone(), block: None }))
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.found.capacity() * size_of::<(SortKey, Address)>()
    }

    /// All events up to this position were examined; `None` if none was.
    pub(super) fn reached(&self) -> Option<Position> {
        let last = self.yielded.checked_sub(1).and_then(|last| self.found.get(last));
        last.map(|&(sort_key, _)| position(sort_key))
    }
}

fn has_type(types: Option<&[TypeTest]>, located: &Located<'_>) -> bool {
    types.is_none_or(|types| types.iter().any(|test| test.matches(located.type_name())))
}
