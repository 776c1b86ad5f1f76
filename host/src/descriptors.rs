//! File descriptors: how many connections may have, so that there are always some for the storage.
//!
//! Without a descriptor nothing is stored. A connection that finds none waits, and others close; a log file or a segment that finds none is an
//! event refused. So connections get what the system permits less what is open otherwise and what the storage may open soon.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Where the system lists what the process has open.
const OPEN: &str = "/dev/fd";

/// Log files of 16 MiB that may be opened for what waits to be committed, and for one body of the largest size beside it.
const LOG_FILES: usize = 10;
/// What is written side by side: a segment that is sealed, one that is compacted, two copies of a manifest.
const DRAFTS: usize = 4;
/// A folder that is listed, figures of the process that are read, the connection that was accepted and waits for a place, and a name that
/// is looked up.
const OTHERS: usize = 4;
/// What a reactor opens once it is used first.
const REACTOR: usize = 3;
/// Each segment is an open file. There are up to seven of a size and three sizes below the largest, and those that are compacted are open
/// until the last reader has done with them.
const SEGMENTS: usize = 24;
/// So many of the files that are open when a server starts are no segments; the rest may become as many again.
const NOT_SEGMENTS: usize = 16;

/// How many descriptors the process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// `None` if there is no limit.
    permitted: Option<usize>,
}

/// The system permits too few descriptors to serve at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the system permits {permitted} open files, and at least {needed} are needed: raise the limit \
     (`ulimit -n`, `LimitNOFILE=` of systemd)"
)]
pub struct TooFew {
    permitted: usize,
    needed: usize,
}

impl Descriptors {
    /// Lets the process have as many as it may. What it may without asking is often less.
    #[must_use]
    pub fn raise_limit() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        let permitted = if raised.is_ok() { limit.maximum } else { limit.current };
        Self { permitted: permitted.map(|permitted| usize::try_from(permitted).unwrap_or(usize::MAX)) }
    }

    /// How many connections there may be besides what is open now, which is everything but connections.
    ///
    /// # Errors
    ///
    /// [`TooFew`]: not one.
    pub fn connections_at_start(&self) -> Result<usize, TooFew> {
        match (self.permitted, open()) {
            (Some(permitted), Some(open)) => connections(permitted, open.saturating_add(REACTOR)),
            // Who cannot know what is open, has nothing to go by.
            (Some(_), None) | (None, _) => Ok(usize::MAX),
        }
    }

    /// The same of a server that serves so many connections; at least one. `None` where it is as it was, as far as is known.
    pub(crate) fn connections_now(&self, connections_open: usize) -> Option<usize> {
        let others = open()?.saturating_sub(connections_open);
        Some(connections(self.permitted?, others).unwrap_or(1))
    }
}

fn connections(permitted: usize, others: usize) -> Result<usize, TooFew> {
    let segments = others.saturating_sub(NOT_SEGMENTS).max(SEGMENTS);
    let reserve = others.saturating_add(LOG_FILES + DRAFTS + OTHERS).saturating_add(segments);
    match permitted.checked_sub(reserve) {
        Some(0) | None => Err(TooFew { permitted, needed: reserve.saturating_add(1) }),
        Some(connections) => Ok(connections),
    }
}

/// How many the process has open.
fn open() -> Option<usize> {
    // One of them is that of the list itself.
    fs::read_dir(OPEN).ok().map(|entries| entries.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_open_is_counted() {
        // Other tests of the process open and close files of their own, if there are any: enough to be told from that.
        let before = open().unwrap();
        let held: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(open().unwrap() >= before + 100);
        drop(held);
    }

    #[test]
    fn connections_leave_room_for_what_the_storage_opens() {
        assert_eq!(connections(1024, 16), Ok(1024 - 16 - 18 - 24));
        // A hundred segments may be two hundred for a while.
        assert_eq!(connections(1024, 116), Ok(1024 - 116 - 18 - 100));
        assert_eq!(connections(59, 16), Ok(1));
        let refusal = connections(58, 16).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the system permits 58 open files, and at least 59 are needed: raise the limit (`ulimit -n`, `LimitNOFILE=` of systemd)"
        );
        assert_eq!(Descriptors { permitted: None }.connections_at_start(), Ok(usize::MAX));
    }
}
