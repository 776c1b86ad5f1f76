//! Reads what was committed, for the hub.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::matcher::Matcher;
use super::{GroupId, Message};
use crate::query::{Filter, Order, Scan};
use crate::repository::{Flow, ReadError, ScanRun, Snapshot};

/// A piece has about this many bytes of JSON at most, plus one event.
const PIECE_BYTES: usize = 256 * 1024;

/// Reads new events for a [`Hub`](super::Hub). A hub has one feed. It keeps the filters of readers that have left until
/// the next pass. Without live readers there are no passes: the host may then replace the feed, which frees them.
#[derive(Default)]
pub struct Feed {
    matcher: Matcher,
    pass: Option<Pass>,
    /// A buffer for one event.
    json: Vec<u8>,
    /// A buffer for the groups that want it.
    wanted: Vec<GroupId>,
}

struct Pass {
    snapshot: Arc<dyn Snapshot>,
    run: Box<dyn ScanRun>,
    /// All events up to here were examined.
    position: u64,
    target: u64,
}

/// What a pass has to do, from [`Hub::begin`](super::Hub::begin).
#[derive(Debug)]
pub struct Assignment {
    /// The pass begins after this event,
    pub(super) after: u64,
    /// and ends with this one.
    pub(super) target: u64,
    /// Groups that are new since the last pass.
    pub(super) added: Vec<(GroupId, Arc<Filter>)>,
    /// Groups that have ended since.
    pub(super) removed: Vec<GroupId>,
}

/// A part of a pass, for [`Hub::apply`](super::Hub::apply).
#[derive(Debug)]
pub struct Piece {
    /// The messages, and the groups that want them.
    pub(super) found: Vec<(Message, Box<[GroupId]>)>,
    /// All events up to here were examined.
    pub(super) reached: u64,
}

/// Whether [`Feed::begin`] began a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It did.
    Pass,
    /// Events after the hub's position are not stored any more, so readers may miss some of them. Call
    /// [`Hub::reset`](super::Hub::reset): it sends the readers to history, which tells them.
    Gap,
}

/// The result of [`Feed::poll`].
#[derive(Debug)]
pub enum Polled {
    /// Give it to [`Hub::apply`](super::Hub::apply).
    Piece(Piece),
    /// Events were removed while they were read, and the pass is over. Call [`Hub::reset`](super::Hub::reset), as after
    /// [`Begun::Gap`].
    Gap,
    /// The pass is complete.
    End,
}

impl Feed {
    /// Begins a pass over a snapshot: the one whose last sequence number [`Hub::begin`](super::Hub::begin) was given,
    /// or a newer one. May wait for the storage.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: the pass did not begin. Call [`Hub::reset`](super::Hub::reset).
    pub fn begin(&mut self, assignment: Assignment, snapshot: &Arc<dyn Snapshot>) -> Result<Begun, ReadError> {
        let Assignment { after, target, added, removed } = assignment;
        self.pass = None;
        for group in removed {
            self.matcher.remove(group);
        }
        for (group, filter) in added {
            self.matcher.add(group, filter);
        }
        if has_gap(snapshot, after, target.min(snapshot.last_seq()))? {
            return Ok(Begun::Gap);
        }
        let filter = Filter { types: self.matcher.types(), after_seq: Some(after), ..Filter::default() };
        let scan = Scan { filter, order: Order::Sequence, up_to_seq: Some(target), ..Scan::default() };
        let run = Arc::clone(snapshot).scan(&scan)?;
        self.pass = Some(Pass { snapshot: Arc::clone(snapshot), run, position: after, target });
        Ok(Begun::Pass)
    }

    /// Reads on: examines about `budget` events at most. May wait for the storage.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: the pass is over. Call [`Hub::reset`](super::Hub::reset).
    pub fn poll(&mut self, budget: u32) -> Result<Polled, ReadError> {
        let Self { matcher, pass, json, wanted } = self;
        let Some(Pass { snapshot, mut run, position, target }) = pass.take() else { return Ok(Polled::End) };
        let (mut found, mut bytes, mut left) = (Vec::new(), 0_usize, budget);
        let mut last = position;
        let step = run.poll_events(budget, &mut |event| {
            last = event.seq;
            wanted.clear();
            left = left.saturating_sub(matcher.find(&event, wanted));
            if !wanted.is_empty() {
                json.clear();
                event.write_json(json);
                bytes += json.len();
                let message = Message { seq: event.seq, json: Bytes::copy_from_slice(json) };
                found.push((message, wanted.as_slice().into()));
            }
            if bytes < PIECE_BYTES && left > 0 { Flow::More } else { Flow::Stop }
        })?;
        if snapshot.has_lost_events()? {
            return Ok(Polled::Gap);
        }
        let reached = match (step.is_ready(), run.reached()) {
            (true, _) => target,
            (false, Some(reached)) => reached.seq.max(last),
            (false, None) => last,
        };
        // The pass is over at its target, even if the run does not know yet that there is nothing more: from now on the
        // hub may rest and go back, and another piece would move it forward.
        if reached < target {
            *pass = Some(Pass { snapshot, run, position: reached, target });
        }
        Ok(Polled::Piece(Piece { found, reached }))
    }
}

/// Whether there is a gap after `after` and up to `up_to`.
fn has_gap(snapshot: &Arc<dyn Snapshot>, after: u64, up_to: u64) -> Result<bool, ReadError> {
    let (mut search, mut gaps, mut known_to) = (Arc::clone(snapshot).gaps(after, up_to), VecDeque::new(), after);
    while known_to < up_to && gaps.is_empty() {
        known_to = search.poll_gaps(u32::MAX, &mut gaps)?;
    }
    Ok(!gaps.is_empty())
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.pass.as_ref().map(|pass| pass.position);
        f.debug_struct("Feed").field("matcher", &self.matcher).field("position", &position).finish_non_exhaustive()
    }
}
