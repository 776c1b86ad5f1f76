//! A snapshot that a run holds.

use alloc::sync::{Arc, Weak};
use core::ptr;
use core::time::Duration;

use crate::repository::{Reader, Snapshot};

/// How long a run may hold a snapshot that has been replaced.
const REPLACED_HELD_MAX: Duration = Duration::from_secs(1);

/// Detects that the snapshot of a run was replaced. Only the run itself keeps the snapshot alive.
pub(super) struct HeldSnapshot {
    snapshot: Weak<dyn Snapshot>,
    /// The uptime at which it was taken.
    since: Duration,
}

impl HeldSnapshot {
    pub(super) fn new(snapshot: &Arc<dyn Snapshot>, since: Duration) -> Self {
        Self { snapshot: Arc::downgrade(snapshot), since }
    }

    /// Whether it was replaced and has been held for too long.
    pub(super) fn is_outdated(&self, reader: &Reader, uptime: Duration) -> bool {
        let is_current = match reader {
            Reader::Current(current) => ptr::addr_eq(self.snapshot.as_ptr(), Arc::as_ptr(current)),
            Reader::Shared(_) => false,
        };
        uptime.saturating_sub(self.since) >= REPLACED_HELD_MAX && !is_current
    }
}
