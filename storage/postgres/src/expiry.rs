//! Removes events that are too old or too many.

use std::any::Any;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use argus_core::event::Timestamp;
use argus_core::repository::{Expired, ExpiryCause, MaintenanceTask};
use tokio_postgres::types::Type;

use crate::fault::Fault;
use crate::head::Head;
use crate::removal::{Removal, Removed};
use crate::session::Session;
use crate::store::Store;
use crate::values::split;

/// Which events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events that are older are removed; `None` keeps them. In nanoseconds.
    pub age: Option<i64>,
    /// If the types, ids and payloads of all events have more bytes, those that were stored first are removed.
    pub bytes: Option<u64>,
}

/// How many events one transaction removes.
const EVENTS: u64 = 10_000;

/// The number of the lock of the database that one process has while it removes expired events.
const LOCK: i64 = 0x6172_6775_7365_7870;

/// Removes what has expired, in steps. One process at a time does it.
#[derive(Debug)]
pub(crate) struct Expiry {
    store: Arc<Store>,
    patience: Duration,
    retention: Retention,
    /// The wall clock when the task was made.
    now: Timestamp,
    session: Option<Session>,
    expired: Vec<Expired>,
    outcome: Result<(), Fault>,
}

impl Expiry {
    pub(crate) fn new(store: Arc<Store>, patience: Duration, retention: Retention, now: Timestamp) -> Self {
        Self { store, patience, retention, now, session: None, expired: Vec::new(), outcome: Ok(()) }
    }

    /// What was removed, and why the rest was not, if it was not.
    pub(crate) fn finish(self) -> (Vec<Expired>, Result<(), Fault>) {
        (self.expired, self.outcome)
    }

    /// One transaction. Returns whether nothing is left to remove.
    fn remove(&mut self) -> Result<bool, Fault> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.store.address, self.patience)?,
        };
        let is_complete = self.remove_over(&mut session)?;
        self.session = Some(session);
        Ok(is_complete)
    }

    fn remove_over(&mut self, session: &mut Session) -> Result<bool, Fault> {
        let schema = self.store.address.schema();
        let events = format!("{schema}.events");
        let mut removal = Removal::begin(session, schema)?;
        if !removal.try_lock(LOCK)? {
            // Another process is at it.
            removal.roll_back()?;
            return Ok(true);
        }
        if let Some(age) = self.retention.age {
            let (cutoff, _) = split(Timestamp::from_nanos(self.now.as_nanos().saturating_sub(age)));
            // Both clocks must say that they are old: a clock that has jumped must not remove anything.
            let micros = age / 1_000;
            let deleted = removal.delete(|delete| {
                delete
                    .push(&format!("seq IN (SELECT seq FROM {events} WHERE time < LEAST("))
                    .bind(cutoff, Type::TIMESTAMPTZ);
                delete.push(&format!(", now() - interval '1 microsecond' * {micros}"));
                delete.push(&format!(") ORDER BY time, nanos, seq LIMIT {EVENTS})"));
            })?;
            if deleted > 0 {
                let removed = removal.commit(false)?;
                self.expired.extend(expired(removed, ExpiryCause::Age));
                return Ok(deleted < EVENTS && self.retention.bytes.is_none());
            }
        }
        let Some(max) = self.retention.bytes else {
            removal.roll_back()?;
            return Ok(true);
        };
        let head = removal.head()?;
        if head.bytes.cast_unsigned() <= max {
            removal.roll_back()?;
            return Ok(true);
        }
        let surplus = oldest(&events, &head, max);
        removal.delete(|delete| {
            delete.push(&surplus);
        })?;
        let removed = removal.commit(false)?;
        self.expired.extend(expired(removed, ExpiryCause::Size));
        Ok(removed.events == 0)
    }
}

/// The condition for the events that were stored first, about as many as are too much.
fn oldest(events: &str, head: &Head, max: u64) -> String {
    let mean = (head.bytes / head.events.max(1)).max(1).cast_unsigned();
    let surplus = (head.bytes.cast_unsigned().saturating_sub(max) / mean + 1).min(EVENTS);
    format!("seq IN (SELECT seq FROM {events} ORDER BY seq LIMIT {surplus})")
}

fn expired(removed: Removed, cause: ExpiryCause) -> Option<Expired> {
    let (first, last) = removed.span?;
    Some(Expired { events: removed.events, first, last, cause })
}

impl MaintenanceTask for Expiry {
    fn step(&mut self, _: u32) -> Poll<()> {
        match self.remove() {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(()),
            Err(fault) => {
                self.outcome = Err(fault);
                Poll::Ready(())
            }
        }
    }

    fn is_urgent(&self) -> bool {
        false
    }
}

/// The task, if it is one of this repository.
pub(crate) fn of_task(task: Box<dyn MaintenanceTask>) -> Option<Box<Expiry>> {
    (task as Box<dyn Any>).downcast().ok()
}
