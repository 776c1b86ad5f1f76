//! Searches for sequence numbers whose events were removed.

use std::collections::VecDeque;
use std::sync::Arc;

use argus_core::repository::{Gap, GapRun, ReadError};
use tokio_postgres::types::Type;

use crate::row::broken;
use crate::select::{Select, number};
use crate::store::Store;

/// The fewest stored numbers that one statement looks at.
const NUMBERS_MIN: u32 = 4_096;

/// A search that asks the server once in each poll.
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
}

impl GapRun for Search {
    fn poll_gaps(&mut self, budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        if !self.may_have_gaps || self.known_to >= self.up_to {
            self.known_to = self.up_to;
            return Ok(self.up_to);
        }
        let numbers = budget.max(NUMBERS_MIN);
        let events = format!("{}.events", self.store.address.schema());
        let mut select = Select::default();
        // Each stored number with the one before it: those that do not follow each other, and the last one.
        select
            .push("SELECT before, seq, stored FROM (SELECT seq, lag(seq, 1, ")
            .bind(number(self.known_to), Type::INT8);
        select.push(") OVER (ORDER BY seq) AS before, lead(seq) OVER (ORDER BY seq) IS NULL AS is_last, ");
        select.push(&format!("count(*) OVER () AS stored FROM (SELECT seq FROM {events} WHERE seq > "));
        select.bind(number(self.known_to), Type::INT8).push(" AND seq <= ").bind(number(self.up_to), Type::INT8);
        select.push(&format!(
            " ORDER BY seq LIMIT {numbers}) numbers) numbers WHERE seq > before + 1 OR is_last ORDER BY seq"
        ));
        let rows = self.store.pool.ask(&async |client| select.rows(client).await)?;
        let mut stored = 0;
        for row in &rows {
            let read = |column| row.try_get::<_, i64>(column).map_err(broken);
            let (before, seq) = (read(0)?.cast_unsigned(), read(1)?.cast_unsigned());
            stored = read(2)?;
            if seq > before + 1 {
                gaps.push_back(Gap { first: before + 1, last: seq - 1 });
            }
            self.known_to = seq;
        }
        if stored < i64::from(numbers) {
            // There are no stored numbers after these.
            if self.known_to < self.up_to {
                gaps.push_back(Gap { first: self.known_to + 1, last: self.up_to });
            }
            self.known_to = self.up_to;
        }
        Ok(self.known_to)
    }
}
