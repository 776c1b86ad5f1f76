//! Removes events that are too old or too many.

use std::any::Any;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use argus_core::event::Timestamp;
use argus_core::repository::{Expired, ExpiryCause, MaintenanceTask};
use argus_database::{Fault, Retention};
use tokio_postgres::types::Type;

use crate::removal::Removal;
use crate::session::Session;
use crate::store::Store;
use crate::values::split;

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
            let (cutoff, _) = split(self.retention.keep_from(self.now));
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
                self.expired.extend(removed.expired(ExpiryCause::Age));
                return Ok(deleted < EVENTS && self.retention.bytes.is_none());
            }
        }
        let head = removal.head()?;
        let Some(surplus) = self.retention.surplus(head.events.cast_unsigned(), head.bytes.cast_unsigned()) else {
            removal.roll_back()?;
            return Ok(true);
        };
        let surplus = surplus.min(EVENTS);
        removal.delete(|delete| {
            delete.push(&format!("seq IN (SELECT seq FROM {events} ORDER BY seq LIMIT {surplus})"));
        })?;
        let removed = removal.commit(false)?;
        self.expired.extend(removed.expired(ExpiryCause::Size));
        Ok(removed.events == 0)
    }
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
