//! Removes events that are too old or too many.

use std::any::Any;
use std::sync::Arc;
use std::task::Poll;

use argus_core::event::Timestamp;
use argus_core::query::Order;
use argus_core::repository::{Expired, ExpiryCause, MaintenanceTask, ReadError};
use argus_database::{Fault, Retention};
use mongodb::bson::{DateTime, Document, doc};

use crate::head::Head;
use crate::pieces::sort;
use crate::removal::{EVENTS, Removal};
use crate::row::seq;
use crate::session::Session;
use crate::standoff::Standoff;
use crate::store::{Find, Store};
use crate::values::{join, split};

/// How often a step is tried while commits are in the way.
const CONFLICTS_MAX: u32 = 100;

/// Removes what has expired, in steps. Several processes may do so at once: an event is removed and counted once.
#[derive(Debug)]
pub(crate) struct Expiry {
    store: Arc<Store>,
    retention: Retention,
    /// The wall clock when the task was made.
    now: Timestamp,
    session: Option<Session>,
    standoff: Standoff,
    conflicts: u32,
    expired: Vec<Expired>,
    outcome: Result<(), Fault>,
}

impl Expiry {
    pub(crate) fn new(store: Arc<Store>, retention: Retention, now: Timestamp) -> Self {
        Self {
            store,
            retention,
            now,
            session: None,
            standoff: Standoff::new(),
            conflicts: 0,
            expired: Vec::new(),
            outcome: Ok(()),
        }
    }

    /// What was removed, and why the rest was not, if it was not.
    pub(crate) fn finish(self) -> (Vec<Expired>, Result<(), Fault>) {
        (self.expired, self.outcome)
    }

    /// One transaction. Returns whether nothing is left to remove.
    fn remove(&mut self) -> Result<bool, Fault> {
        if let Some(seqs) = self.too_old()? {
            self.remove_events(&seqs, ExpiryCause::Age)?;
            return Ok(seqs.len() < count(EVENTS) && self.retention.bytes.is_none());
        }
        let Some(seqs) = self.too_many()? else { return Ok(true) };
        self.remove_events(&seqs, ExpiryCause::Size).map(|removed| removed == 0)
    }

    /// The events that are too old, the oldest first; `None` if there are none.
    fn too_old(&self) -> Result<Option<Vec<u64>>, Fault> {
        if self.retention.age.is_none() {
            return Ok(None);
        }
        let database = self.store.database()?;
        let hello = self.store.wait(async move { database.run_command(doc! { "hello": 1 }).await })?;
        // Both clocks must say that they are old: a clock that has jumped must not remove anything.
        let servers = hello.get_datetime("localTime").ok().and_then(|time: &DateTime| join(*time, 0));
        let now = servers.map_or(self.now, |servers| self.now.min(servers));
        let (cutoff, _) = split(self.retention.keep_from(now));
        // Those beyond are only staged. Others may get their numbers.
        let last_seq = self.store.head()?.last_seq;
        let filter = doc! { "time": { "$lt": cutoff }, "_id": { "$lte": last_seq } };
        let seqs = self.find(filter, Order::TimeAscending, EVENTS)?;
        Ok((!seqs.is_empty()).then_some(seqs))
    }

    /// The events that were stored first, about as many as are too much; `None` if there are not too many.
    fn too_many(&self) -> Result<Option<Vec<u64>>, Fault> {
        if self.retention.bytes.is_none() {
            return Ok(None);
        }
        let head = self.store.head()?;
        let Some(surplus) = surplus(self.retention, &head) else { return Ok(None) };
        self.find(doc! { "_id": { "$lte": head.last_seq } }, Order::Sequence, surplus).map(Some)
    }

    fn find(&self, filter: Document, order: Order, limit: u32) -> Result<Vec<u64>, Fault> {
        let find = Find { filter, sort: sort(order), fields: doc! { "_id": 1 }, limit };
        let (found, _) = self.store.find(find, usize::MAX)?;
        Ok(found.iter().map(|document| seq(document)).collect::<Result<_, ReadError>>()?)
    }

    /// Removes events. Returns how many were still there.
    fn remove_events(&mut self, seqs: &[u64], cause: ExpiryCause) -> Result<u64, Fault> {
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(Session::open(&self.store)?),
        };
        let mut removal = Removal::begin(session)?;
        // Another process may have removed some meanwhile.
        let has_surplus = surplus(self.retention, removal.head()).is_some();
        if cause == ExpiryCause::Size && !has_surplus {
            removal.roll_back();
            return Ok(0);
        }
        let written = removal.delete(seqs).and_then(|deleted| if deleted > 0 { removal.write(false) } else { Ok(()) });
        if let Err(fault) = written {
            removal.roll_back();
            return Err(fault);
        }
        let removed = removal.commit()?;
        self.expired.extend(removed.expired(cause));
        Ok(removed.events)
    }
}

/// How many events are too many, about, and as one transaction can remove; `None` if none is.
fn surplus(retention: Retention, head: &Head) -> Option<u32> {
    let surplus = retention.surplus(head.events.cast_unsigned(), head.bytes.cast_unsigned())?;
    Some(u32::try_from(surplus).unwrap_or(EVENTS).min(EVENTS))
}

fn count(events: u32) -> usize {
    usize::try_from(events).unwrap_or(usize::MAX)
}

impl MaintenanceTask for Expiry {
    fn step(&mut self, _: u32) -> Poll<()> {
        let fault = match self.remove() {
            Ok(is_complete) => {
                (self.standoff, self.conflicts) = (Standoff::new(), 0);
                return if is_complete { Poll::Ready(()) } else { Poll::Pending };
            }
            Err(fault) => fault,
        };
        let own = self.session.as_ref().map(Session::id);
        if matches!(fault, Fault::Conflict(_))
            && self.conflicts < CONFLICTS_MAX
            && self.standoff.wait(&self.store, own).is_ok()
        {
            self.conflicts += 1;
            return Poll::Pending;
        }
        if fault.is_lost()
            && let Some(session) = self.session.take()
        {
            session.kill();
        }
        self.outcome = Err(fault);
        Poll::Ready(())
    }

    fn is_urgent(&self) -> bool {
        false
    }
}

/// The task, if it is one of this repository.
pub(crate) fn of_task(task: Box<dyn MaintenanceTask>) -> Option<Box<Expiry>> {
    (task as Box<dyn Any>).downcast().ok()
}
