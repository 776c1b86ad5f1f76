//! Answers fresh segments, which are in memory.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::plan::{PAYLOAD_BYTES, Plan};
use crate::analysis::Fold;
use crate::column::partition_point;
use crate::engine::scan::{RequestedTypes, share};
use crate::query::Evaluation;
use crate::repository::ReadError;
use crate::row_group::{ROWS_MAX, RowGroup, Types};
use crate::segment::{Part, Segment, TextSearch, payload_text};

/// So many rows whose type and time suffice cost as much as one that is examined.
const ROWS_PER_UNIT: usize = 8;

/// Fresh segments that a question still has to look at.
#[derive(Debug, Default)]
pub(super) struct FreshRows {
    /// The last is next.
    segments: Vec<Arc<Segment>>,
    /// The next row of that one.
    next: usize,
}

impl FreshRows {
    /// All rows of these segments, which ascend by sequence number.
    pub(super) fn of(segments: impl Iterator<Item = Arc<Segment>>) -> Self {
        Self { segments: segments.collect(), next: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The last sequence number of the segments that were not begun; `None` in the middle of one, or after the last.
    pub(super) fn last_seq(&self) -> Option<u64> {
        self.segments.last().filter(|_| self.next == 0).map(|segment| segment.last_seq())
    }

    /// Passes the matching events among the next rows to the fold. Returns the cost.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a text is damaged.
    pub(super) fn step(&mut self, plan: &mut Plan, fold: &mut Fold) -> Result<u32, ReadError> {
        let Some(segment) = self.segments.last() else { return Ok(0) };
        if self.next == 0 {
            // The rows are in the order of time.
            self.next = partition_point(0..segment.rows().len(), |row| plan.bounds.is_before(segment.sort_key(row)));
        }
        let needs_payloads =
            !plan.filter.payload.is_empty() || fold.needs().is_none_or(|needs| needs.path_count > 0 || needs.seqs);
        let (start, len) = (self.next, segment.rows().len());
        let last = partition_point(start..len, |row| !plan.bounds.is_after(segment.sort_key(row)));
        let end = last.min(start + ROWS_MAX);
        let requested = RequestedTypes::in_fresh(&plan.filter, segment);
        let requested = requested.filter(|_| plan.bounds.has_any_seq((segment.base(), segment.last_seq())));
        let (next, cost) = match requested {
            Some(requested) if needs_payloads || plan.erasures.may_erase_in(&Part::Fresh(Arc::clone(segment))) => {
                (end, add_events(segment, start..end, &requested, plan, fold)?)
            }
            Some(requested) => (end, add_rows(segment, start..end, &requested, plan, fold)?),
            None => (last, 1),
        };
        if next < last {
            self.next = next;
        } else {
            self.next = 0;
            self.segments.pop();
        }
        Ok(cost)
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.segments.iter().map(|segment| share(segment.memory_bytes(), segment)).sum()
    }
}

/// Passes the events of some rows to the fold, one by one.
fn add_events(
    segment: &Segment,
    range: Range<usize>,
    requested: &RequestedTypes,
    plan: &mut Plan,
    fold: &mut Fold,
) -> Result<u32, ReadError> {
    let rows = segment.rows();
    let search = plan.pruning.search().cloned();
    let mut cost = 0_u32;
    for row in range {
        cost = cost.saturating_add(1);
        if !plan.bounds.contains(segment.sort_key(row)) || !requested.has(rows.row_type(row)) {
            continue;
        }
        if let Some(search) = &search {
            let text = rows.row_text(row);
            cost = cost.saturating_add(TextSearch::cost(text.len()) - 1);
            if !search.may_have(text) {
                continue;
            }
        }
        let payload = segment.payload(row)?;
        let reading = u32::try_from(payload.as_str().len() / PAYLOAD_BYTES).unwrap_or(u32::MAX);
        let Evaluation { matches, cost: comparing } = plan.conditions.evaluate(payload);
        cost = cost.saturating_add(reading).saturating_add(comparing);
        if matches {
            let is_erased = plan.erasures.erases_fresh(segment, row)?;
            cost = cost.saturating_add(plan.erasures.take_cost());
            if !is_erased {
                cost = cost.saturating_add(fold.add(&segment.event(row, &plan.key)?));
            }
        }
    }
    Ok(cost)
}

/// Passes the types and times of some rows to a fold that needs no more. None of their events is erased, and there are
/// no conditions on payloads.
fn add_rows(
    segment: &Segment,
    range: Range<usize>,
    requested: &RequestedTypes,
    plan: &Plan,
    fold: &mut Fold,
) -> Result<u32, ReadError> {
    let rows = segment.rows();
    let names = (0..rows.type_count()).map(|code| payload_text(rows.type_name(code), segment.base()));
    let names: Vec<&str> = names.collect::<Result<_, _>>()?;
    let (mut times, mut codes) = (Vec::with_capacity(range.len()), Vec::with_capacity(range.len()));
    let cost = 1 + range.len() / ROWS_PER_UNIT;
    for row in range {
        let code = rows.row_type(row);
        if plan.bounds.contains(segment.sort_key(row)) && requested.has(code) {
            times.push(rows.timestamp(row));
            codes.push(code as u32);
        }
    }
    if !times.is_empty() {
        let types = Types::Coded { names: &names, codes: &codes };
        fold.add_rows(&RowGroup { rows: times.len(), times: &times, seqs: &[], types, columns: &[] });
    }
    Ok(u32::try_from(cost).unwrap_or(u32::MAX))
}
