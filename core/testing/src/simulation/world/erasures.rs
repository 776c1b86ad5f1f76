//! Erasures, and the search for what they leave behind.

use argus_core::engine::check;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Repository as _};

use super::super::canary::Canary;
use super::{World, outcome};
use crate::generate;

impl World {
    /// Erases some events.
    pub(super) fn erase(&mut self) -> Result<(), String> {
        let mut filter = generate::erased(&mut self.random);
        if self.random.one_in(4) {
            let events = self.auditor.model().events();
            let event = events.get(self.random.index(events.len()));
            let ids = event.map(|event| event.id.text().into()).into_iter().collect();
            filter = Filter { ids: Some(ids), ..Filter::default() };
        }
        let now = self.clocks.wall();
        let erased = match self.options.canary {
            Some(Canary::IgnoredErasure) => Ok(Erased::Exactly(0)),
            Some(_) | None => self.engine_mut().erase(now, &filter),
        };
        self.note(|_| format!("erasure by {filter:?}: {}", outcome(&erased)));
        match erased {
            Ok(_) if self.has_failed => return Err("a failed engine accepted an erasure".to_string()),
            Ok(erased) => {
                self.summary.erasures += 1;
                let number = match self.options.canary {
                    Some(Canary::IgnoredErasure) => self.engine().snapshot().erasures() + 1,
                    Some(_) | None => self.engine().snapshot().erasures(),
                };
                self.without_faults(|world| world.auditor.erased(&filter, &erased, number))?;
            }
            Err(error) => {
                self.summary.refusals += 1;
                let had_failed = self.has_failed;
                // An erasure waits until both copies of the manifest are current.
                if !self.engine().recovery().manifest_outdated {
                    self.refused(&error)?;
                }
                if !had_failed && matches!(error, CommitError::Failed { in_doubt: true, .. }) {
                    self.auditor.erasure_left_in_doubt(filter);
                }
            }
        }
        self.audit_all()
    }

    /// After all maintenance, nothing of the erased events is left on the medium.
    pub(super) fn check_erased(&mut self) -> Result<(), String> {
        let stats = self.engine().snapshot().stats().map_err(|error| error.to_string())?;
        if stats.erasures.pending > 0 {
            return Err(format!("erasures are still pending after all maintenance: {:?}", stats.erasures));
        }
        let (report, visible) = (check(&self.medium), self.auditor.model().events().len() as u64);
        if report.events != visible {
            return Err(format!("{visible} events are visible; on the medium are: {report:?}"));
        }
        let raw = self.medium.raw_bytes();
        let is_there =
            |text: &&str| raw.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()));
        match self.auditor.erased_marks().find(is_there) {
            Some(mark) => Err(format!("the bytes of an erased event are still on the medium: {mark}")),
            None => Ok(()),
        }
    }
}
