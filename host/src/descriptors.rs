//! File descriptors: how many connections may have, so that there are always some for the storage.
//!
//! Without a descriptor nothing is stored. A connection that finds none waits, and others close; a log file or a
//! segment that finds none is an event refused. So connections get what the system permits less what is open otherwise
//! and what the storage may open soon.

use std::os::fd::AsRawFd as _;
use std::{fs, io};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Where the system lists what the process has open, in the order of preference. A container may lack either.
const LISTS: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// Numbers of descriptors that are free in a row, after which it is taken that nothing is open behind them.
const FREE_IN_A_ROW: usize = 256;

/// Log files of 16 MiB that may be opened for what waits to be committed, and for one body of the largest size beside
/// it.
const LOG_FILES: usize = 10;
/// What is written side by side: a segment that is sealed, one that is compacted, two copies of a manifest.
const DRAFTS: usize = 4;
/// A folder that is listed, figures of the process that are read, the connection that was accepted and waits for a
/// place, and a name that is looked up.
const OTHERS: usize = 4;
/// What a reactor opens once it is used first.
const REACTOR: usize = 3;
/// Each segment is an open file. There are up to seven of a size and three sizes below the largest, and those that are
/// compacted are open until the last reader has done with them.
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
        let Some(permitted) = self.permitted else { return Ok(usize::MAX) };
        let open = listed(&LISTS).unwrap_or_else(|| {
            tracing::warn!(
                "the system does not list the open files of this process (/dev/fd, /proc/self/fd), so they are counted \
                 once; if the repository comes to need many more, connections may leave it too few"
            );
            probed(permitted)
        });
        connections(permitted, open.saturating_add(REACTOR))
    }

    /// The same of a server that serves so many connections; at least one. `None` where there is no limit, or the
    /// system does not list what is open: then it is as it was at the start, as far as is known.
    pub(crate) fn connections_now(&self, connections_open: usize) -> Option<usize> {
        let permitted = self.permitted?;
        let others = listed(&LISTS)?.saturating_sub(connections_open);
        Some(connections(permitted, others).unwrap_or(1))
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

/// How many the process has open, by the first of these lists that there is.
fn listed(lists: &[&str]) -> Option<usize> {
    let entries = lists.iter().find_map(|list| fs::read_dir(list).ok())?;
    // One of them is that of the list itself.
    Some(entries.count().saturating_sub(1))
}

/// How many the process has open, by asking for one number after the other: the system gives the next one that is free.
/// Of use when few are free between those that are open, as when a server starts.
fn probed(permitted: usize) -> usize {
    let standard_error = io::stderr();
    let (mut open, mut next, mut free_in_a_row) = (0, 0, 0);
    while free_in_a_row < FREE_IN_A_ROW && next < permitted {
        let wanted = i32::try_from(next).unwrap_or(i32::MAX);
        // Where it gives none, all the others are taken.
        let given = fcntl_dupfd_cloexec(&standard_error, wanted)
            .map_or(permitted, |given| permitted.min(given.as_raw_fd().unsigned_abs() as usize));
        if given > next {
            open = given.saturating_sub(next).saturating_add(open);
            free_in_a_row = 0;
        }
        free_in_a_row += 1;
        next = given.saturating_add(1);
    }
    open
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_open_is_counted() {
        // Other tests of the process open and close files of their own, if there are any: enough to be told from that.
        let counts: [fn() -> usize; 3] = [
            || listed(&LISTS).unwrap(),
            || listed(&["/no/such/folder", "/proc/self/fd"]).unwrap(),
            || probed(getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())),
        ];
        for count in counts {
            let before = count();
            let mut held: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
            assert!(count() >= before + 100);
            // With holes between them.
            let mut index = 0;
            held.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            assert!((before + 50..before + 150).contains(&count()));
        }
        assert_eq!(listed(&["/no/such/folder"]), None);
    }

    #[test]
    fn a_probe_ends_where_the_limit_is() {
        let _held: Vec<File> = (0..10).map(|_| File::open("/dev/null").unwrap()).collect();
        // As if the system permitted so many: these are all open.
        assert_eq!(probed(8), 8);
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
