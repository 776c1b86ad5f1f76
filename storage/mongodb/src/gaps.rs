//! Searches for sequence numbers whose events were removed.

use std::collections::VecDeque;
use std::sync::Arc;

use argus_core::query::Order;
use argus_core::repository::{Gap, GapRun, ReadError};
use mongodb::bson::doc;

use crate::pieces::sort;
use crate::row::seq;
use crate::store::{Find, Store};
use crate::values::number;
use crate::walk::next_seq;

/// The fewest numbers that one command looks at, and the most.
const NUMBERS_MIN: u32 = 4_096;
const NUMBERS_MAX: u32 = 65_536;

/// A search that asks the server once or twice in each poll.
pub(crate) struct Search {
    store: Arc<Store>,
    /// All gaps up to here were found.
    known_to: u64,
    up_to: u64,
    /// Whether events were ever removed.
    may_have_gaps: bool,
}

impl Search {
    pub(crate) fn new(store: Arc<Store>, after: u64, up_to: u64, may_have_gaps: bool) -> Self {
        Self { store, known_to: after, up_to, may_have_gaps }
    }

    /// Notes that there is an event with this number, and none between it and the last one.
    fn reach(&mut self, seq: u64, gaps: &mut VecDeque<Gap>) {
        if seq > self.known_to + 1 {
            gaps.push_back(Gap { first: self.known_to + 1, last: seq - 1 });
        }
        self.known_to = seq;
    }
}

impl GapRun for Search {
    fn poll_gaps(&mut self, budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        if !self.may_have_gaps || self.known_to >= self.up_to {
            self.known_to = self.up_to;
            return Ok(self.up_to);
        }
        let numbers = budget.clamp(NUMBERS_MIN, NUMBERS_MAX);
        let end = self.up_to.min(self.known_to.saturating_add(numbers.into()));
        // The index alone answers this.
        let filter = doc! { "_id": { "$gt": number(self.known_to), "$lte": number(end) } };
        let find = Find { filter, sort: sort(Order::Sequence), fields: doc! { "_id": 1 }, limit: numbers };
        let (found, _) = self.store.find(find, usize::MAX)?;
        for document in &found {
            self.reach(seq(document)?, gaps);
        }
        if self.known_to < end {
            // A gap goes on to the end of these numbers. It may be large.
            let next = if end < self.up_to { next_seq(&self.store, end, self.up_to)? } else { None };
            match next {
                Some(next) => self.reach(next, gaps),
                None => {
                    gaps.push_back(Gap { first: self.known_to + 1, last: self.up_to });
                    self.known_to = self.up_to;
                }
            }
        }
        Ok(self.known_to)
    }
}
