//! Erases the events that a filter selects.

use std::sync::Arc;
use std::task::Poll;

use argus_core::query::{Filter, Order, Scan};
use argus_core::repository::{Flow, ScanRun as _};
use argus_database::{Fault, Run};
use mongodb::bson::doc;

use crate::pieces::sort;
use crate::removal::{EVENTS, Removal};
use crate::row::seq;
use crate::session::Session;
use crate::source::Source;
use crate::store::{Find, Store};
use crate::values::number;

/// How many events one poll examines.
const BUDGET: u32 = 10_000;

/// An erasure, in steps. Each step is a transaction, so that commits need not wait for all of them; a transaction of
/// MongoDB may last for a minute at most.
#[derive(Debug)]
pub(crate) struct Erasure {
    store: Arc<Store>,
    /// The events to erase in the next step.
    next: Vec<u64>,
    finder: Finder,
    /// How many were erased.
    erased: u64,
    is_in_doubt: bool,
    is_complete: bool,
}

/// Finds the events.
enum Finder {
    /// All up to this number.
    All { up_to: u64 },
    /// Those that the core selects.
    Some(Box<Run<Source>>),
}

impl Erasure {
    /// Erases the events stored so far that a filter selects.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn new(store: &Arc<Store>, filter: &Filter) -> Result<Self, Fault> {
        let last_seq = store.head()?.last_seq.cast_unsigned();
        let finder = if *filter == Filter::default() {
            Finder::All { up_to: last_seq }
        } else {
            let scan = Scan::from(filter.clone());
            Finder::Some(Box::new(Run::<Source>::new(Arc::clone(store), &scan, last_seq)?))
        };
        Ok(Self {
            store: Arc::clone(store),
            next: Vec::new(),
            finder,
            erased: 0,
            is_in_doubt: false,
            is_complete: false,
        })
    }

    /// Whether events were erased, or may have been.
    pub(crate) fn has_begun(&self) -> bool {
        self.erased > 0 || self.is_in_doubt
    }

    /// Whether a step may have been successful although it has failed. It must not be repeated: how many events it has
    /// erased would remain unknown.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Erases some events. Returns how many were erased in all steps, if this was the last one.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. The step can be repeated, unless it is [in doubt](Self::is_in_doubt).
    pub(crate) fn step(&mut self, session: &mut Session) -> Result<Poll<u64>, Fault> {
        if self.next.is_empty() && !self.is_complete {
            self.is_complete = self.find()?;
        }
        let mut removal = Removal::begin(session)?;
        // The erasure is counted once, when everything is erased.
        if let Err(fault) = removal.delete(&self.next).and_then(|_| removal.write(self.is_complete)) {
            removal.roll_back();
            return Err(fault);
        }
        self.is_in_doubt = true;
        self.erased += removal.commit()?.events;
        self.is_in_doubt = false;
        self.next.clear();
        Ok(if self.is_complete { Poll::Ready(self.erased) } else { Poll::Pending })
    }

    /// Finds the events of the next step. Returns whether it is the last one.
    fn find(&mut self) -> Result<bool, Fault> {
        let max = usize::try_from(EVENTS).unwrap_or(usize::MAX);
        let run = match &mut self.finder {
            Finder::All { up_to } => {
                let filter = doc! { "_id": { "$lte": number(*up_to) } };
                let find = Find { filter, sort: sort(Order::Sequence), fields: doc! { "_id": 1 }, limit: EVENTS };
                let (found, _) = self.store.find(find, usize::MAX)?;
                let seqs = found.iter().map(|document| seq(document)).collect::<Result<Vec<_>, _>>();
                self.next = seqs?;
                return Ok(self.next.len() < max);
            }
            Finder::Some(run) => run,
        };
        loop {
            // The core decides which events the filter selects.
            let polled = run.poll_events(BUDGET, &mut |event| {
                self.next.push(event.seq);
                if self.next.len() < max { Flow::More } else { Flow::Stop }
            });
            if polled? == Poll::Ready(()) {
                return Ok(true);
            }
            if self.next.len() >= max {
                return Ok(false);
            }
        }
    }
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All { .. } => "All",
            Self::Some(_) => "Some",
        })
    }
}
