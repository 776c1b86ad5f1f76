//! Runs a query: merges what the segments give, in bounded steps.

use alloc::collections::{BinaryHeap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::bounds::Bounds;
use super::source::{Address, Next, Source};
use super::{Order, PayloadFilter, Position, Query};
use crate::damage::Damage;
use crate::event::{Event, Timestamp};
use crate::identity::IdentityKey;
use crate::repository::{Find, FindHead, FindStep, Flow, ReadError};
use crate::segment::{Block, Part, Place, RowText};

/// Opening a block is as much work as examining so many rows.
const BLOCK_ROWS: u32 = 32;

/// So many blocks of a page are kept between choosing its events and sending them; the others are read twice.
const RECENT_BLOCKS_MAX: usize = 64;

/// A query over the parts of a snapshot: a merge of one sorted source per segment and type, or per lane.
#[derive(Debug)]
pub(crate) struct Run {
    parts: Vec<Part>,
    key: IdentityKey,
    sources: Vec<Source>,
    heads: BinaryHeap<Head>,
    bounds: Bounds,
    order: Order,
    after_seq: u64,
    payload: Vec<PayloadFilter>,
    /// With a limit, the page is chosen before its first event is sent, since the answer's head says whether there is
    /// more.
    page: Option<Page>,
    is_paged: bool,
    recent: Recent,
    text: RowText,
}

/// What a source has next. The greatest head is the next event of the answer, or may have it.
#[derive(Debug)]
struct Head {
    place: Place,
    order: Order,
    source: usize,
    /// `None` for a block that is not open yet.
    row: Option<Address>,
}

#[derive(Debug)]
struct Page {
    limit: usize,
    chosen: Vec<(Place, Address)>,
    complete: bool,
    next: Option<Position>,
    sent: usize,
}

/// The blocks that were opened last, by part and number.
#[derive(Debug, Default)]
struct Recent(VecDeque<((usize, usize), Arc<Block>)>);

/// What one step of the merge has found.
enum Found {
    /// An event that matches, and its block if it lies in one.
    Match(Place, Address, Option<Arc<Block>>),
    /// A row that does not match, or a block that is open now.
    Nothing { cost: u32 },
}

impl Run {
    pub(crate) fn new(parts: Vec<Part>, key: IdentityKey, query: &Query) -> Self {
        // A part without a row that can match is let go at once: whoever takes the answer may be slow.
        let (mut wanted, mut sources) = (Vec::with_capacity(parts.len()), Vec::with_capacity(parts.len()));
        for part in parts {
            let before = sources.len();
            sources.extend(Source::of(wanted.len(), &part, query));
            if sources.len() > before {
                wanted.push(part);
            }
        }
        let page = query.limit.map(|limit| Page {
            limit: limit.get() as usize,
            chosen: Vec::new(),
            complete: false,
            next: None,
            sent: 0,
        });
        let mut run = Self {
            parts: wanted,
            key,
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            bounds: Bounds::of(query),
            order: query.order,
            after_seq: query.after_seq.unwrap_or(0),
            payload: query.payload.clone(),
            page,
            is_paged: query.limit.is_some(),
            recent: Recent::default(),
            text: RowText::default(),
        };
        for source in 0..run.sources.len() {
            run.advance(source);
        }
        run
    }

    /// Puts what a source has next among the heads.
    fn advance(&mut self, source: usize) {
        let next = self.sources.get_mut(source).and_then(Source::next);
        let head = next.map(|next| match next {
            Next::Row(place, row) => Head { place, order: self.order, source, row: Some(row) },
            Next::Block(place) => Head { place, order: self.order, source, row: None },
        });
        self.heads.extend(head);
    }

    /// Does one step: `None` at the end.
    fn next(&mut self) -> Result<Option<Found>, ReadError> {
        let Some(Head { place, source, row, .. }) = self.heads.pop() else { return Ok(None) };
        let Some(row) = row else {
            self.open(source)?;
            return Ok(Some(Found::Nothing { cost: BLOCK_ROWS }));
        };
        let block = self.sources.get(source).and_then(Source::block).cloned();
        self.advance(source);
        if place.seq <= self.after_seq || !self.matches(&row, block.as_deref())? {
            return Ok(Some(Found::Nothing { cost: 1 }));
        }
        Ok(Some(Found::Match(place, row, block)))
    }

    fn open(&mut self, source: usize) -> Result<(), ReadError> {
        let Some(opened) = self.sources.get_mut(source) else { return Ok(()) };
        if let Some((number, block)) = opened.open(&self.bounds)?
            && self.is_paged
        {
            self.recent.keep((opened.part, number), block);
        }
        self.advance(source);
        Ok(())
    }

    /// Whether what a payload has in it is asked for.
    fn matches(&mut self, row: &Address, block: Option<&Block>) -> Result<bool, ReadError> {
        if self.payload.is_empty() {
            return Ok(true);
        }
        let payload = match (self.parts.get(row.part), block) {
            (_, Some(block)) => {
                self.text.load(block, row.row);
                self.text.payload()?
            }
            (Some(Part::Fresh(segment)), None) => segment.payload(row.row)?,
            (Some(Part::Sealed(_)) | None, None) => return Err(of_no_part()),
        };
        Ok(self.payload.iter().all(|filter| filter.matches(payload)))
    }

    /// Hands an event over.
    fn send(
        &mut self,
        row: &Address,
        block: Option<Arc<Block>>,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Flow, ReadError> {
        let block = match (self.parts.get(row.part), row.block, block) {
            (Some(Part::Fresh(segment)), None, _) => return Ok(sink(segment.event(row.row, &self.key)?)),
            (Some(Part::Sealed(_)), Some(_), Some(block)) => block,
            (Some(Part::Sealed(sealed)), Some(number), None) => match self.recent.get((row.part, number)) {
                Some(block) => block,
                None => {
                    let block = sealed.block(number)?;
                    self.recent.keep((row.part, number), Arc::clone(&block));
                    block
                }
            },
            (Some(Part::Fresh(_)), Some(_), _) | (Some(Part::Sealed(_)), None, _) | (None, ..) => {
                return Err(of_no_part());
            }
        };
        self.text.load(&block, row.row);
        Ok(sink(self.text.event(&block, row.row, &self.key)?))
    }
}

impl Find for Run {
    fn poll_head(&mut self, budget: u32) -> Result<Option<FindHead>, ReadError> {
        let Some(mut page) = self.page.take() else { return Ok(Some(FindHead { next: None })) };
        let mut left = budget.max(1);
        while !page.complete && left > 0 {
            match self.next()? {
                None => page.complete = true,
                Some(Found::Nothing { cost }) => left = left.saturating_sub(cost),
                Some(Found::Match(..)) if page.chosen.len() == page.limit => {
                    // One more than asked for: there is a next page, behind the last event of this one.
                    page.complete = true;
                    page.next = page
                        .chosen
                        .last()
                        .map(|(place, _)| Position { timestamp: Timestamp::from_nanos(place.time), seq: place.seq });
                }
                Some(Found::Match(place, row, _)) => {
                    left -= 1;
                    page.chosen.push((place, row));
                }
            }
        }
        let head = page.complete.then_some(FindHead { next: page.next });
        self.page = Some(page);
        Ok(head)
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<FindStep, ReadError> {
        let mut left = budget.max(1);
        while left > 0 {
            let (row, block) = match &mut self.page {
                Some(page) => {
                    let Some((_, row)) = page.chosen.get(page.sent) else { return Ok(FindStep::Done) };
                    page.sent += 1;
                    (row.clone(), None)
                }
                None => match self.next()? {
                    None => return Ok(FindStep::Done),
                    Some(Found::Nothing { cost }) => {
                        left = left.saturating_sub(cost);
                        continue;
                    }
                    Some(Found::Match(_, row, block)) => (row, block),
                },
            };
            left -= 1;
            if self.send(&row, block, sink)? == Flow::Stop {
                return Ok(FindStep::Pending);
            }
        }
        Ok(FindStep::Pending)
    }
}

impl Recent {
    fn get(&self, key: (usize, usize)) -> Option<Arc<Block>> {
        self.0.iter().find(|(other, _)| *other == key).map(|(_, block)| Arc::clone(block))
    }

    fn keep(&mut self, key: (usize, usize), block: Arc<Block>) {
        if self.0.len() == RECENT_BLOCKS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((key, block));
    }
}

fn of_no_part() -> ReadError {
    ReadError::Damaged(Damage::of("a query", "it has a row of no part, which is a fault of Argus"))
}

impl Ord for Head {
    /// Where a block may begin with a row of the same place, the block comes first: its row may be the very one. Places
    /// of rows are never the same.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = match self.order {
            Order::Ascending => other.place.cmp(&self.place),
            Order::Descending => self.place.cmp(&other.place),
        };
        by_place.then_with(|| other.row.is_some().cmp(&self.row.is_some()))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Seed;
    use crate::segment::{Epoch, RowsBuilder, Segment};

    fn part(seq: u64, event_type: &str, time: i64) -> Part {
        let mut rows = RowsBuilder::default();
        let code = rows.intern(event_type.as_bytes());
        rows.push(time, 0, code, b"", b"{}");
        Part::Fresh(Arc::new(Segment::new(seq, rows.finish_sorted(), [Epoch { rank: 0, millis: 0 }].into())))
    }

    #[test]
    fn only_parts_with_rows_that_can_match_are_held() {
        let parts = || alloc::vec![part(1, "a", 10), part(2, "b", 20), part(3, "a", 30)];
        let since = |time| Some(Timestamp::from_nanos(time));
        for (query, held) in [
            (Query::default(), 3),
            (Query { types: Some(alloc::vec!["a".into()]), ..Query::default() }, 2),
            (Query { start: since(20), ..Query::default() }, 2),
            (Query { types: Some(alloc::vec!["b".into()]), start: since(21), ..Query::default() }, 0),
            (Query { after_seq: Some(2), ..Query::default() }, 1),
        ] {
            let mut run = Run::new(parts(), IdentityKey::new(Seed(1)), &query);
            assert_eq!(run.parts.len(), held, "{query:?}");
            let mut found = 0;
            let mut count = |_: Event<'_>| {
                found += 1;
                Flow::More
            };
            while run.poll_events(100, &mut count).expect("all is in memory") == FindStep::Pending {}
            assert_eq!(found, held, "{query:?}");
        }
    }
}
