//! What was promised about erasures.

use std::collections::BTreeSet;
use std::sync::Arc;

use argus_core::query::Filter;
use argus_core::repository::{Erased, Gap, Snapshot};

use super::super::super::run::{Answer, Pace, all_gaps, count_erased};
use super::super::super::stored::StoredEvent;
use super::{Auditor, Doubtful, Finding};

impl Auditor {
    /// An erasure's outcome is unknown.
    pub(in crate::simulation) fn erasure_left_in_doubt(&mut self, filter: Filter) {
        self.doubtful = Some(Doubtful::Erasure(filter));
    }

    /// An erasure was acknowledged; `number` is how many the store now has. Checks the number of erased events.
    pub(in crate::simulation) fn erased(
        &mut self,
        filter: &Filter,
        erased: &Erased,
        number: u64,
    ) -> Result<(), Finding> {
        let found = count_erased(erased, filter, Pace { budget: 7, stop_every: 3 });
        let expected = self.erase(filter);
        // One that erases nothing need not be recorded.
        let is_counted = number == self.erasures + 1 || (number == self.erasures && expected == 0);
        if number > self.erasures {
            // Everything before it is durable now.
            self.flushed();
        }
        self.erasures = number;
        // The erasure holds even if damage keeps its events from being counted.
        let found = found?;
        if found == expected && is_counted {
            Ok(())
        } else {
            Err(Finding::Broken(format!("{found} events were erased, not {expected}; erasure {number}")))
        }
    }

    /// The marks of erased events that no other event has had.
    pub(in crate::simulation) fn erased_marks(&self) -> impl Iterator<Item = &str> {
        let marks = self.erased_marks.iter().map(String::as_str);
        marks.filter(|mark| self.stored_marks.get(*mark).is_some_and(|&stored| stored == 1))
    }

    pub(super) fn erase(&mut self, filter: &Filter) -> u64 {
        let before: Vec<StoredEvent> = self.model.events().to_vec();
        let count = self.model.erase_now(filter);
        let gone = before.iter().filter(|event| self.model.event(event.seq).is_none());
        self.erased_marks.extend(gone.filter_map(mark).map(ToString::to_string));
        count
    }

    /// Checks that exactly the numbers without an event are told as gaps.
    pub(super) fn check_gaps(&self, snapshot: &Arc<dyn Snapshot>, found: &Answer) -> Result<(), Finding> {
        let there: BTreeSet<u64> = found.events.iter().map(|event| event.seq).collect();
        let last_seq = snapshot.last_seq();
        let told: Vec<Gap> = all_gaps(snapshot, 0, last_seq, 50)?;
        let missing = told.iter().flat_map(|gap| gap.first..=gap.last);
        if missing.eq((1..=last_seq).filter(|seq| !there.contains(seq))) {
            Ok(())
        } else {
            Err(Finding::Broken(format!("wrong gaps: {told:?}, but these events are there: {there:?}")))
        }
    }
}

/// The mark of an event, if it has one.
pub(super) fn mark(event: &StoredEvent) -> Option<&str> {
    let (_, rest) = event.payload.split_once(r#"{"mark":""#)?;
    Some(rest.split_once('"')?.0)
}
