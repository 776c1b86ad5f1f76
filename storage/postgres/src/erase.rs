//! Erases the events that a filter selects.

use std::sync::Arc;
use std::task::Poll;

use argus_core::query::{Filter, Scan};
use argus_core::repository::{Flow, ScanRun as _};
use argus_database::{Fault, Run};
use tokio_postgres::types::Type;

use crate::fault::before_commit;
use crate::head::Head;
use crate::removal::Removal;
use crate::select::number;
use crate::session::Session;
use crate::source::Source;
use crate::store::Store;

/// How many events one statement removes at most.
const EVENTS: usize = 10_000;

/// How many events one poll examines.
const BUDGET: u32 = 10_000;

/// Removes the events in one transaction, so that all of them disappear at once. Returns how many. Commits of other
/// processes go on meanwhile, and their events are not affected.
///
/// # Errors
///
/// A [`Fault`]. After [`Fault::Lost`], the events may be erased; otherwise they are not.
pub(crate) fn erase(store: &Arc<Store>, session: &mut Session, filter: &Filter) -> Result<u64, Fault> {
    let schema = store.address.schema();
    let head = session.run(async |client| Head::read(client, schema).await).map_err(before_commit)?;
    let last_seq = head.last_seq.cast_unsigned();
    let mut removal = Removal::begin(session, schema).map_err(before_commit)?;
    match remove(store, &mut removal, filter, last_seq) {
        Ok(()) => Ok(removal.commit(true)?.events),
        Err(fault @ Fault::Lost(_)) => Err(before_commit(fault)),
        Err(fault) => {
            removal.roll_back().map_err(before_commit)?;
            Err(fault)
        }
    }
}

fn remove(store: &Arc<Store>, removal: &mut Removal<'_>, filter: &Filter, last_seq: u64) -> Result<(), Fault> {
    let is_everything = *filter == Filter::default();
    if is_everything {
        for after in (0..last_seq).step_by(EVENTS) {
            let up_to = last_seq.min(after + EVENTS as u64);
            removal.delete(|delete| {
                delete.push("seq > ").bind(number(after), Type::INT8);
                delete.push(" AND seq <= ").bind(number(up_to), Type::INT8);
            })?;
        }
        return Ok(());
    }
    // The core decides which events the filter selects.
    let scan = Scan::from(filter.clone());
    let mut run = Run::<Source>::new(Arc::clone(store), &scan, last_seq)?;
    loop {
        let mut seqs = Vec::new();
        let polled = run.poll_events(BUDGET, &mut |event| {
            seqs.push(number(event.seq));
            if seqs.len() < EVENTS { Flow::More } else { Flow::Stop }
        })?;
        if !seqs.is_empty() {
            removal.delete(|delete| {
                delete.push("seq = ANY(").bind(seqs, Type::INT8_ARRAY).push(")");
            })?;
        }
        if polled == Poll::Ready(()) {
            return Ok(());
        }
    }
}
