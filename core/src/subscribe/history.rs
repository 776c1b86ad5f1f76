//! What one reader of a live stream gets of the stored events.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::size_of;
use core::task::Poll;

use bytes::Bytes;

use super::Message;
use crate::event::Timestamp;
use crate::query::{Filter, Order, Position, Scan};
use crate::repository::{Flow, Gap, GapRun, ReadError, Reader, ScanRun, Snapshot};

/// A scan of a snapshot by sequence number, and the gaps in it. It does not keep the snapshot if that keeps events: the
/// scan and the search for gaps hold what they need of it.
pub(super) struct History {
    /// The snapshot, if events that are removed are missing from it.
    losing: Option<Arc<dyn Snapshot>>,
    /// `None` once it is complete.
    scan: Option<Box<dyn ScanRun>>,
    search: Box<dyn GapRun>,
    /// Gaps after the position, ascending.
    gaps: VecDeque<Gap>,
    /// All gaps up to here are known.
    known_to: u64,
    /// An event beyond the next gap, which the scan has found already.
    held: Option<Message>,
    /// The position when it began.
    start: u64,
    /// The position when it is complete.
    end: u64,
    /// The number of erasures that its snapshot shows.
    erasures: u64,
}

/// The result of [`Subscription::poll_history`](super::Subscription::poll_history).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There are messages.
    Messages,
    /// No events between the position before this call and this sequence number are stored any more, whether the filter
    /// selects them or not; or the position is one that this repository has not reached, because it was replaced. The
    /// stream goes on with this sequence number or a later one.
    Gap {
        /// That sequence number.
        first_seq: u64,
    },
    /// The history is complete. Go on with [`Subscription::poll_live`](super::Subscription::poll_live).
    End,
}

/// The result of [`History::begin`].
pub(super) enum Start {
    /// A scan.
    Scan(History),
    /// The position is beyond the highest sequence number.
    NotReached {
        /// That number.
        last_seq: u64,
    },
    /// All has been read already.
    Nothing,
}

impl History {
    /// Begins after `position`, and ends with the snapshot, or after `up_to`.
    pub(super) fn begin(
        snapshot: &Arc<dyn Snapshot>,
        filter: &Filter,
        position: u64,
        up_to: Option<u64>,
    ) -> Result<Start, ReadError> {
        let last_seq = snapshot.last_seq();
        if position > last_seq {
            return Ok(Start::NotReached { last_seq });
        }
        let end = up_to.map_or(last_seq, |up_to| up_to.min(last_seq));
        if end <= position {
            return Ok(Start::Nothing);
        }
        let scan = Scan {
            filter: filter.clone(),
            order: Order::Sequence,
            from: Some(Position { timestamp: Timestamp::from_nanos(0), seq: position }),
            up_to_seq: Some(end),
            ..Scan::default()
        };
        Ok(Start::Scan(Self {
            losing: (!snapshot.keeps_events()).then(|| Arc::clone(snapshot)),
            scan: Some(Arc::clone(snapshot).scan(&scan)?),
            search: Arc::clone(snapshot).gaps(position, end),
            gaps: VecDeque::new(),
            known_to: position,
            held: None,
            start: position,
            end,
            erasures: snapshot.erasures(),
        }))
    }

    /// The position when it is complete.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether events may have been erased since its snapshot.
    pub(super) fn is_outdated(&self, reader: &Reader) -> bool {
        reader.erasures().is_some_and(|erasures| erasures > self.erasures)
    }

    /// Whether events were removed since its snapshot was taken, and are missing from it: gaps that are told, and what
    /// is read, may belong to different times. May wait.
    pub(super) fn has_lost_events(&self) -> Result<bool, ReadError> {
        self.losing.as_ref().map_or(Ok(false), |snapshot| snapshot.has_lost_events())
    }

    /// Whether it has got nowhere yet.
    pub(super) fn is_at_start(&self, position: u64) -> bool {
        position == self.start
    }

    /// Its memory in bytes. Cheap.
    pub(super) fn held_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |message| message.json.len());
        let gaps = self.gaps.capacity() * size_of::<Gap>() + self.search.held_bytes();
        self.scan.as_ref().map_or(0, |scan| scan.held_bytes()) + held + gaps
    }

    /// Moves the position. Otherwise as [`Subscription::poll_history`](super::Subscription::poll_history).
    pub(super) fn poll(
        &mut self,
        budget: u32,
        bytes_max: usize,
        position: &mut u64,
        json: &mut Vec<u8>,
        batch: &mut Vec<Message>,
    ) -> Result<Poll<Found>, ReadError> {
        if *position == self.stored_to() {
            if self.gaps.is_empty() {
                self.known_to = self.search.poll_gaps(budget, &mut self.gaps)?;
            }
            if let Some(gap) = self.gaps.pop_front_if(|gap| gap.first == *position + 1) {
                *position = gap.last;
                return Ok(Poll::Ready(Found::Gap { first_seq: gap.last.saturating_add(1) }));
            }
            // The search has begun a gap whose end it does not know.
            if *position == self.known_to {
                return Ok(Poll::Pending);
            }
        }
        self.poll_events(budget, bytes_max, position, json, batch)
    }

    /// All events from the position to this one are stored, as far as is known.
    fn stored_to(&self) -> u64 {
        self.gaps.front().map_or(self.known_to, |gap| gap.first - 1)
    }

    /// Hands out events that are stored before the next gap.
    fn poll_events(
        &mut self,
        budget: u32,
        bytes_max: usize,
        position: &mut u64,
        json: &mut Vec<u8>,
        batch: &mut Vec<Message>,
    ) -> Result<Poll<Found>, ReadError> {
        let last = self.stored_to();
        let Self { scan, held, .. } = self;
        let mut bytes = 0;
        if let Some(message) = held.take_if(|message| message.seq <= last) {
            bytes = message.json.len();
            *position = message.seq;
            batch.push(message);
        }
        if let (Some(running), None) = (scan.as_mut(), &held) {
            let step = running.poll_events(budget, &mut |event| {
                json.clear();
                event.write_json(json);
                let message = Message { seq: event.seq, json: Bytes::copy_from_slice(json) };
                if event.seq > last {
                    *held = Some(message);
                    return Flow::Stop;
                }
                bytes += json.len();
                *position = event.seq;
                batch.push(message);
                if bytes < bytes_max { Flow::More } else { Flow::Stop }
            })?;
            let reached = running.reached().map_or(0, |reached| reached.seq);
            *position = (*position).max(reached.min(last));
            if step.is_ready() {
                *scan = None;
            }
        }
        if scan.is_none() || held.is_some() {
            *position = last;
        }
        Ok(if bytes > 0 {
            Poll::Ready(Found::Messages)
        } else if *position == self.end {
            Poll::Ready(Found::End)
        } else {
            Poll::Pending
        })
    }
}
