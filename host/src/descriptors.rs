//! How many connections fit into the limit on file descriptors, so that the storage always has enough.
//!
//! Without a descriptor, a connection waits until another one closes; but if the storage has none for a log file or a
//! segment, events are refused. So connections get the descriptors that the system permits, less those that are open
//! for other purposes and those that the storage may soon open.

use std::os::fd::AsRawFd as _;
use std::{fs, io};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Directories that list the open descriptors of this process, in order of preference. A container may lack either.
const LISTS: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// After this many free numbers in a row, the probe assumes that no higher number is in use.
const FREE_IN_A_ROW: usize = 256;

/// Log files of 16 MiB that may be opened for the commit queue, plus a body of the largest size.
const LOG_FILES: usize = 10;
/// Files written at the same time: a segment being sealed, one being compacted, two copies of a manifest.
const DRAFTS: usize = 4;
/// A directory listing, the process's own figures, an accepted connection that waits for a permit, and a name lookup.
const OTHERS: usize = 4;
/// Files that a reactor opens when it is first used.
const REACTOR: usize = 3;
/// Each segment is an open file. There are up to seven in each of three sizes below the largest, and compacted ones
/// stay open until their last reader has finished.
const SEGMENTS: usize = 24;
/// Files open at the start that are not segments. All others may be segments, whose number may double.
const NOT_SEGMENTS: usize = 16;

/// The limit on open files of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// `None` if there is no limit.
    permitted: Option<usize>,
}

/// The limit is too low to serve even one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the system permits {permitted} open files, and at least {needed} are needed: raise the limit \
     (`ulimit -n`, `LimitNOFILE=` of systemd)"
)]
pub struct TooFewDescriptors {
    permitted: usize,
    needed: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard limit: the soft limit is often much lower.
    #[must_use]
    pub fn raise_limit() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        let permitted = if raised.is_ok() { limit.maximum } else { limit.current };
        Self { permitted: permitted.map(|permitted| usize::try_from(permitted).unwrap_or(usize::MAX)) }
    }

    /// How many connections there may be, besides the files that are open now. Call it before the first connection.
    ///
    /// # Errors
    ///
    /// [`TooFewDescriptors`] if there is no room for a single one.
    pub fn connections_at_start(&self) -> Result<usize, TooFewDescriptors> {
        let Some(permitted) = self.permitted else { return Ok(usize::MAX) };
        let open = listed(&LISTS).unwrap_or_else(|| {
            tracing::warn!(
                "the system does not list the open files of this process (/dev/fd, /proc/self/fd), so they are counted \
                 only now; a repository that grows may find too few left"
            );
            probed(permitted)
        });
        connections(permitted, open.saturating_add(REACTOR))
    }

    /// The same for a server that has `connections_open` connections; at least one. `None` if there is no limit, or if
    /// the system does not list open files; the number from the start then remains the best estimate.
    pub(crate) fn connections_now(&self, connections_open: usize) -> Option<usize> {
        let permitted = self.permitted?;
        let others = listed(&LISTS)?.saturating_sub(connections_open);
        Some(connections(permitted, others).unwrap_or(1))
    }
}

fn connections(permitted: usize, others: usize) -> Result<usize, TooFewDescriptors> {
    let segments = others.saturating_sub(NOT_SEGMENTS).max(SEGMENTS);
    let reserve = others.saturating_add(LOG_FILES + DRAFTS + OTHERS).saturating_add(segments);
    match permitted.checked_sub(reserve) {
        Some(0) | None => Err(TooFewDescriptors { permitted, needed: reserve.saturating_add(1) }),
        Some(connections) => Ok(connections),
    }
}

/// How many files the process has open, by the first of these directories that exists.
fn listed(lists: &[&str]) -> Option<usize> {
    let entries = lists.iter().find_map(|list| fs::read_dir(list).ok())?;
    // One of them is the listing itself.
    Some(entries.count().saturating_sub(1))
}

/// How many files the process has open, found by asking for one number after the other: the system returns the next
/// free one. Accurate while there are few gaps, as when a server starts.
fn probed(permitted: usize) -> usize {
    let standard_error = io::stderr();
    let (mut open, mut next, mut free_in_a_row) = (0, 0, 0);
    while free_in_a_row < FREE_IN_A_ROW && next < permitted {
        let wanted = i32::try_from(next).unwrap_or(i32::MAX);
        // If the system returns none, all higher numbers are in use.
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
    fn open_descriptors_are_counted() {
        // Other tests in this process open and close files at the same time; 200 are enough to tell the difference.
        let counts: [fn() -> usize; 3] = [
            || listed(&LISTS).unwrap(),
            || listed(&["/no/such/folder", "/proc/self/fd"]).unwrap(),
            || probed(getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())),
        ];
        for count in counts {
            let before = count();
            let mut held: Vec<File> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
            assert!(count() >= before + 100);
            // Leave gaps.
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
    fn a_probe_ends_at_the_limit() {
        let _held: Vec<File> = (0..10).map(|_| File::open("/dev/null").unwrap()).collect();
        // The first eight descriptors are in use.
        assert_eq!(probed(8), 8);
    }

    #[test]
    fn connections_leave_room_for_what_the_storage_opens() {
        assert_eq!(connections(1024, 16), Ok(1024 - 16 - 18 - 24));
        // A hundred segments may become two hundred for a while.
        assert_eq!(connections(1024, 116), Ok(1024 - 116 - 18 - 100));
        assert_eq!(connections(59, 16), Ok(1));
        let refusal = connections(58, 16).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the system permits 58 open files, and at least 59 are needed: raise the limit (`ulimit -n`, \
             `LimitNOFILE=` of systemd)"
        );
        assert_eq!(Descriptors { permitted: None }.connections_at_start(), Ok(usize::MAX));
    }
}
