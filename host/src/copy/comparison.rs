//! Whether a repository has the beginning of a copy of another one.

use std::collections::VecDeque;
use std::sync::Arc;

use argus_core::repository::{Flow, ReadError, Snapshot};

use super::digest::{Digest, EventHash};
use super::error::{CopyError, Unrelated};
use super::progress::Progress;
use super::reading::EventScan;

/// What was found in both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The events that both have.
    pub(super) digest: Digest,
    /// The events that only the target has: they were removed from the source after they were copied.
    pub(super) left_over: Digest,
}

/// The numbers and hashes of events, in order.
struct Hashes {
    scan: EventScan,
    next: VecDeque<(u64, EventHash)>,
    is_complete: bool,
}

/// Compares the events that the target has with those of the source that have the same numbers.
///
/// # Errors
///
/// [`CopyError::Unrelated`] if the target has no beginning of a copy of the source, or if one of them cannot be read.
pub(super) fn compare(
    from: &Arc<dyn Snapshot>,
    to: &Arc<dyn Snapshot>,
    progress: &mut Progress,
) -> Result<Found, CopyError> {
    let last_seq = to.last_seq();
    if last_seq > from.last_seq() {
        return Err(Unrelated::Ahead { from: from.last_seq(), to: last_seq }.into());
    }
    let mut ours = Hashes::begin(from, last_seq).map_err(CopyError::ReadSource)?;
    let mut theirs = Hashes::begin(to, last_seq).map_err(CopyError::ReadTarget)?;
    let mut found = Found::default();
    loop {
        let next = ours.peek().map_err(CopyError::ReadSource)?;
        match (next, theirs.peek().map_err(CopyError::ReadTarget)?) {
            (None, None) => break,
            (Some((seq, hash)), Some((same, other))) if seq == same => {
                if hash != other {
                    return Err(Unrelated::Other(seq).into());
                }
                found.digest.add_hash(hash);
                progress.reach(seq);
                ours.next.pop_front();
                theirs.next.pop_front();
            }
            (Some((seq, _)), Some((later, _))) if seq < later => return Err(Unrelated::Missing(seq).into()),
            (Some((seq, _)), None) => return Err(Unrelated::Missing(seq).into()),
            (Some(_) | None, Some((_, left_over))) => {
                found.left_over.add_hash(left_over);
                theirs.next.pop_front();
            }
        }
    }
    if found.digest.events() == 0 && found.left_over.events() > 0 {
        return Err(Unrelated::NothingShared(found.left_over.events()).into());
    }
    Ok(found)
}

impl Hashes {
    fn begin(snapshot: &Arc<dyn Snapshot>, up_to: u64) -> Result<Self, ReadError> {
        Ok(Self { scan: EventScan::begin(snapshot, 0, up_to)?, next: VecDeque::new(), is_complete: false })
    }

    /// The next event; `None` if there is none.
    fn peek(&mut self) -> Result<Option<(u64, EventHash)>, ReadError> {
        while self.next.is_empty() && !self.is_complete {
            let next = &mut self.next;
            let step = self.scan.poll(&mut |event| {
                next.push_back((event.seq, EventHash::of(&event)));
                Flow::More
            })?;
            self.is_complete = step.is_ready();
        }
        Ok(self.next.front().copied())
    }
}
