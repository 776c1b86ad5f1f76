//! A running scan.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Poll;

use super::bounds::position;
use super::step::{Address, Row, Step, share};
use super::walk::Walk;
use crate::damage::Damage;
use crate::engine::erasure::ErasureTest;
use crate::engine::parts::Parts;
use crate::event::Event;
use crate::identity::IdentityKey;
use crate::query::{Conditions, Evaluation, Position, Scan};
use crate::repository::{Flow, ReadError, ScanHead, ScanRun};
use crate::segment::{Block, Part, RowText, SortKey};

/// Decoding this many bytes of a payload costs about as much as examining a row.
const PAYLOAD_BYTES: usize = 32;

/// The most blocks kept from choosing the events of a page to sending them. Other blocks are read twice.
const RECENT_BLOCKS_MAX: usize = 64;

/// A scan over the parts of a snapshot.
#[derive(Debug)]
pub(in crate::engine) struct Run {
    parts: Vec<Part>,
    key: IdentityKey,
    walk: Walk,
    conditions: Conditions,
    /// Every row that a walk yields is tested, because some walks do not test it.
    erasures: ErasureTest,
    /// With a limit, the page is chosen before its first event is sent, because the header fields of the answer link to
    /// the next page.
    page: Option<Page>,
    recent: Recent,
    text: RowText,
    /// Bytes of rows of fresh segments, and of the blocks that the walk has not read, as they are in memory.
    read_bytes: u64,
}

#[derive(Debug)]
struct Page {
    limit: usize,
    /// The events of the page, in order.
    chosen: Vec<(SortKey, Address)>,
    /// Whether all events of the page are chosen.
    complete: bool,
    /// The next page begins after this position; `None` if there is no next page.
    next: Option<Position>,
    /// How many of the chosen events were sent.
    sent: usize,
}

/// The result of a step.
enum StepResult {
    /// A matching event, and the cost of the step in rows.
    Match(Row, u32),
    /// No event, and the cost of the step in rows.
    Nothing(u32),
    /// There are no more rows.
    End,
}

/// The blocks used most recently, by part and number.
#[derive(Debug, Default)]
struct Recent(VecDeque<((usize, usize), Arc<Block>)>);

impl Run {
    /// # Errors
    ///
    /// [`ReadError`] if an index cannot be read or is damaged.
    pub(in crate::engine) fn new(parts: &Parts, scan: &Scan) -> Result<Self, ReadError> {
        let (walk, held) = Walk::of(parts, scan)?;
        let page = scan.limit.map(|limit| Page {
            limit: limit.get() as usize,
            chosen: Vec::new(),
            complete: false,
            next: None,
            sent: 0,
        });
        Ok(Self {
            parts: held,
            key: *parts.key(),
            walk,
            conditions: Conditions::compile(&scan.filter.payload),
            erasures: parts.erasure_test(),
            page,
            recent: Recent::default(),
            text: RowText::default(),
            read_bytes: 0,
        })
    }

    /// Takes one step of the walk, and evaluates the payload conditions of the row that it yields.
    fn step(&mut self) -> Result<StepResult, ReadError> {
        match self.walk.step()? {
            Step::Row(row) => {
                if let Some(Part::Fresh(segment)) = self.parts.get(row.address.part) {
                    self.read_bytes += (segment.memory_bytes() / segment.rows().len().max(1)) as u64;
                }
                let Evaluation { mut matches, mut cost } = self.examine(&row)?;
                if matches && !self.erasures.is_idle() {
                    matches = !self.is_erased(&row)?;
                    cost = cost.saturating_add(self.erasures.take_cost());
                }
                Ok(if matches { StepResult::Match(row, cost) } else { StepResult::Nothing(cost) })
            }
            Step::Work(rows) => Ok(StepResult::Nothing(rows)),
            Step::End => Ok(StepResult::End),
        }
    }

    /// Evaluates the payload conditions of a row.
    fn examine(&mut self, row: &Row) -> Result<Evaluation, ReadError> {
        if self.conditions.is_empty() {
            return Ok(Evaluation { matches: true, cost: 1 });
        }
        let block = self.block(&row.address, row.block.as_ref())?;
        let (payload, loaded) = match (self.parts.get(row.address.part), block) {
            (Some(Part::Sealed(_)), Some(block)) => {
                self.text.load(&block, row.address.row)?;
                let payload = self.text.payload()?;
                (payload, payload.as_str().len())
            }
            (Some(Part::Fresh(segment)), None) => (segment.payload(row.address.row)?, 0),
            (Some(Part::Fresh(_)), Some(_)) | (Some(Part::Sealed(_)), None) | (None, _) => return Err(wrong_part()),
        };
        let Evaluation { matches, cost } = self.conditions.evaluate(payload);
        let loading = u32::try_from(loaded / PAYLOAD_BYTES).unwrap_or(u32::MAX);
        Ok(Evaluation { matches, cost: 1_u32.saturating_add(cost).saturating_add(loading) })
    }

    /// Whether the event in a row is erased.
    fn is_erased(&mut self, row: &Row) -> Result<bool, ReadError> {
        let block = self.block(&row.address, row.block.as_ref())?;
        let Some(part) = self.parts.get(row.address.part) else { return Err(wrong_part()) };
        Ok(self.erasures.erases(part, block.as_deref(), row.address.row)?)
    }

    /// Passes an event to the sink.
    fn send(
        &mut self,
        address: &Address,
        block: Option<&Arc<Block>>,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, ReadError> {
        let block = self.block(address, block)?;
        match (self.parts.get(address.part), block) {
            (Some(Part::Fresh(segment)), None) => Ok(sink(segment.event(address.row, &self.key)?)),
            (Some(Part::Sealed(_)), Some(block)) => {
                self.text.load(&block, address.row)?;
                Ok(sink(self.text.event(&block, address.row, &self.key)?))
            }
            (Some(Part::Fresh(_)), Some(_)) | (Some(Part::Sealed(_)), None) | (None, _) => Err(wrong_part()),
        }
    }

    /// The block of a row, if its part has blocks: the open one, a recent one, or one that is read now.
    fn block(&mut self, address: &Address, open: Option<&Arc<Block>>) -> Result<Option<Arc<Block>>, ReadError> {
        let Address { part, block: Some(number), .. } = *address else { return Ok(None) };
        if let Some(block) = open {
            return Ok(Some(Arc::clone(block)));
        }
        if let Some(block) = self.recent.get((part, number)) {
            return Ok(Some(block));
        }
        let Some(Part::Sealed(sealed)) = self.parts.get(part) else { return Err(wrong_part()) };
        let block = sealed.block(number)?;
        self.read_bytes += block.memory_bytes() as u64;
        self.recent.keep((part, number), &block);
        Ok(Some(block))
    }
}

impl ScanRun for Run {
    fn poll_head(&mut self, budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        let Some(mut page) = self.page.take() else { return Ok(Poll::Ready(ScanHead { next: None })) };
        let mut left = budget.max(1);
        while !page.complete && left > 0 {
            match self.step()? {
                StepResult::End => page.complete = true,
                StepResult::Nothing(rows) => left = left.saturating_sub(rows),
                StepResult::Match(..) if page.chosen.len() == page.limit => {
                    // There is one more match than the limit: the next page begins after the last event of this one.
                    page.complete = true;
                    page.next = page.chosen.last().map(|&(sort_key, _)| position(sort_key));
                }
                StepResult::Match(Row { sort_key, address, block }, rows) => {
                    left = left.saturating_sub(rows);
                    if let (Some(number), Some(block)) = (address.block, &block) {
                        self.recent.keep((address.part, number), block);
                    }
                    page.chosen.push((sort_key, address));
                }
            }
        }
        let head = if page.complete { Poll::Ready(ScanHead { next: page.next }) } else { Poll::Pending };
        self.page = Some(page);
        Ok(head)
    }

    fn end_page(&mut self) -> Option<Position> {
        let page = self.page.as_mut().filter(|page| !page.complete)?;
        let reached = self.walk.reached()?;
        page.complete = true;
        page.next = Some(reached);
        Some(reached)
    }

    fn chosen(&self) -> Option<(u32, Option<Position>)> {
        let chosen = &self.page.as_ref()?.chosen;
        Some((u32::try_from(chosen.len()).ok()?, chosen.last().map(|&(place, _)| position(place))))
    }

    fn reached(&self) -> Option<Position> {
        match &self.page {
            Some(page) if page.complete => {
                page.sent.checked_sub(1).and_then(|last| page.chosen.get(last)).map(|&(sort_key, _)| position(sort_key))
            }
            Some(_) | None => self.walk.reached(),
        }
    }

    fn held_bytes(&self) -> usize {
        let fresh = |part: &Part| match part {
            Part::Fresh(segment) => share(segment.memory_bytes(), segment),
            Part::Sealed(_) => 0,
        };
        let chosen = self.page.as_ref().map_or(0, |page| page.chosen.capacity() * size_of::<(SortKey, Address)>());
        let parts: usize = self.parts.iter().map(fresh).sum();
        parts + chosen + self.walk.held_bytes() + self.recent.held_bytes()
    }

    fn scanned_bytes(&self) -> u64 {
        self.walk.read_bytes().saturating_add(self.read_bytes)
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        let mut left = budget.max(1);
        while left > 0 {
            let (address, block, rows) = match &mut self.page {
                Some(page) => {
                    let Some((_, address)) = page.chosen.get(page.sent) else { return Ok(Poll::Ready(())) };
                    page.sent += 1;
                    (address.clone(), None, 1)
                }
                None => match self.step()? {
                    StepResult::End => return Ok(Poll::Ready(())),
                    StepResult::Nothing(rows) => {
                        left = left.saturating_sub(rows);
                        continue;
                    }
                    StepResult::Match(Row { address, block, .. }, rows) => (address, block, rows),
                },
            };
            left = left.saturating_sub(rows);
            if self.send(&address, block.as_ref(), sink)? == Flow::Stop {
                return Ok(Poll::Pending);
            }
        }
        Ok(Poll::Pending)
    }
}

impl Recent {
    fn held_bytes(&self) -> usize {
        self.0.iter().map(|(_, block)| share(block.memory_bytes(), block)).sum()
    }

    fn get(&self, key: (usize, usize)) -> Option<Arc<Block>> {
        self.0.iter().rev().find(|(other, _)| *other == key).map(|(_, block)| Arc::clone(block))
    }

    fn keep(&mut self, key: (usize, usize), block: &Arc<Block>) {
        if self.0.iter().rev().any(|(other, _)| *other == key) {
            return;
        }
        if self.0.len() == RECENT_BLOCKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((key, Arc::clone(block)));
    }
}

/// The error for a row that refers to a part of the wrong kind, or to none.
fn wrong_part() -> ReadError {
    ReadError::Damaged(Damage::of("a scan", "a row refers to a wrong segment, which is a bug in Argus"))
}

#[cfg(test)]
mod tests;
