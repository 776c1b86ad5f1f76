use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

use super::{Order, PayloadFilter, Position, Query};
use crate::column::partition;
use crate::engine::IdentityKey;
use crate::event::{Event, Timestamp};
use crate::repository::{Find, FindHead, FindStep, Flow, ReadError};
use crate::segment::Segment;

/// A query over segments: a merge of one sorted source per segment, or per segment and type.
#[derive(Debug)]
pub(crate) struct Run {
    segments: Vec<Arc<Segment>>,
    key: IdentityKey,
    sources: Vec<Source>,
    heads: BinaryHeap<Head>,
    order: Order,
    after_seq: u64,
    payload: Vec<PayloadFilter>,
    /// With a limit, the page is chosen before its first event is sent, since the answer's head says whether there is more.
    page: Option<Page>,
}

/// The rows of one segment that may match, in the order of time.
#[derive(Debug)]
struct Source {
    segment: usize,
    /// Places that are left: in the grouping by type if `grouped`, else rows.
    places: Range<usize>,
    grouped: bool,
}

/// The next row of a source. The greatest head is the next event of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    place: (i64, u64),
    order: Order,
    source: usize,
    row: usize,
}

#[derive(Debug)]
struct Page {
    limit: usize,
    chosen: Vec<(usize, usize)>,
    complete: bool,
    next: Option<Position>,
    sent: usize,
}

impl Run {
    pub(crate) fn new(segments: Vec<Arc<Segment>>, key: IdentityKey, query: &Query) -> Self {
        let bounds = Bounds::of(query);
        let mut sources = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let rows = segment.rows();
            if query.after_seq.is_some_and(|after| segment.last_seq() <= after) {
                continue;
            }
            let clip = |range: Range<usize>, row_at: &dyn Fn(usize) -> usize| {
                let start = partition(range.clone(), |place| bounds.is_before(segment.place(row_at(place))));
                start..partition(start..range.end, |place| !bounds.is_behind(segment.place(row_at(place))))
            };
            match &query.types {
                None => {
                    let places = clip(0..rows.len(), &|row| row);
                    sources.push(Source { segment: index, places, grouped: false });
                }
                Some(types) => {
                    let mut codes: Vec<usize> =
                        types.iter().filter_map(|name| rows.type_code(name.as_bytes())).collect();
                    codes.sort_unstable();
                    codes.dedup();
                    for code in codes {
                        let places = clip(rows.type_group(code), &|place| rows.grouped_row(place));
                        sources.push(Source { segment: index, places, grouped: true });
                    }
                }
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
            segments,
            key,
            sources,
            heads: BinaryHeap::new(),
            order: query.order,
            after_seq: query.after_seq.unwrap_or(0),
            payload: query.payload.clone(),
            page,
        };
        run.heads = (0..run.sources.len()).filter_map(|source| run.take_head(source)).collect();
        run
    }

    /// Takes the next row out of a source.
    fn take_head(&mut self, index: usize) -> Option<Head> {
        let source = self.sources.get_mut(index)?;
        let place = match self.order {
            Order::Ascending => source.places.next(),
            Order::Descending => source.places.next_back(),
        }?;
        let segment = self.segments.get(source.segment)?;
        let row = if source.grouped { segment.rows().grouped_row(place) } else { place };
        Some(Head { place: segment.place(row), order: self.order, source: index, row })
    }

    /// The next row that may match: `None` at the end, `Some(None)` if it was examined and does not.
    fn next(&mut self) -> Option<Result<Option<(usize, usize)>, ReadError>> {
        let Head { place, source, row, .. } = self.heads.pop()?;
        if let Some(head) = self.take_head(source) {
            self.heads.push(head);
        }
        let index = self.sources.get(source)?.segment;
        let segment = self.segments.get(index)?;
        if place.1 <= self.after_seq {
            return Some(Ok(None));
        }
        if self.payload.is_empty() {
            return Some(Ok(Some((index, row))));
        }
        Some(
            segment
                .payload(row)
                .map(|payload| self.payload.iter().all(|filter| filter.matches(payload)).then_some((index, row))),
        )
    }

    fn event(&self, (segment, row): (usize, usize)) -> Result<Event<'_>, ReadError> {
        match self.segments.get(segment) {
            Some(segment) => segment.event(row, &self.key),
            None => Err(ReadError::Damaged("a row of no segment".into())),
        }
    }
}

impl Find for Run {
    fn poll_head(&mut self, budget: u32) -> Result<Option<FindHead>, ReadError> {
        let Some(mut page) = self.page.take() else { return Ok(Some(FindHead { next: None })) };
        let mut left = budget.max(1);
        while !page.complete && left > 0 {
            left -= 1;
            match self.next() {
                None => page.complete = true,
                Some(Err(error)) => return Err(error),
                Some(Ok(None)) => {}
                Some(Ok(Some(_))) if page.chosen.len() == page.limit => {
                    // One more than asked for: there is a next page, behind the last event of this one.
                    page.complete = true;
                    page.next = page.chosen.last().and_then(|&(segment, row)| {
                        let (timestamp, seq) = self.segments.get(segment)?.place(row);
                        Some(Position { timestamp: Timestamp::from_nanos(timestamp), seq })
                    });
                }
                Some(Ok(Some(row))) => page.chosen.push(row),
            }
        }
        let head = page.complete.then_some(FindHead { next: page.next });
        self.page = Some(page);
        Ok(head)
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<FindStep, ReadError> {
        for _ in 0..budget.max(1) {
            let row = match &mut self.page {
                Some(page) => {
                    let Some(&row) = page.chosen.get(page.sent) else { return Ok(FindStep::Done) };
                    page.sent += 1;
                    Some(row)
                }
                None => match self.next() {
                    None => return Ok(FindStep::Done),
                    Some(row) => row?,
                },
            };
            if let Some(row) = row
                && sink(self.event(row)?) == Flow::Stop
            {
                return Ok(FindStep::Pending);
            }
        }
        Ok(FindStep::Pending)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.order {
            Order::Ascending => other.place.cmp(&self.place),
            Order::Descending => self.place.cmp(&other.place),
        }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The stretch of the order of events that a query looks at; both ends belong to it.
struct Bounds {
    first: (i64, u64),
    last: (i64, u64),
    /// An end that does not belong to it.
    from: Option<(i64, u64)>,
    order: Order,
}

impl Bounds {
    fn of(query: &Query) -> Self {
        Self {
            first: (query.start.map_or(i64::MIN, Timestamp::as_nanos), 0),
            last: (query.end.map_or(i64::MAX, Timestamp::as_nanos), u64::MAX),
            from: query.from.map(|from| (from.timestamp.as_nanos(), from.seq)),
            order: query.order,
        }
    }

    fn is_before(&self, place: (i64, u64)) -> bool {
        place < self.first || (self.order == Order::Ascending && self.from.is_some_and(|from| place <= from))
    }

    fn is_behind(&self, place: (i64, u64)) -> bool {
        place > self.last || (self.order == Order::Descending && self.from.is_some_and(|from| place >= from))
    }
}
