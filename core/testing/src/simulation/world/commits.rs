//! What callers send, and what makes it durable.

use argus_core::batch::{Batch, Handling};
use argus_core::repository::{CommitError, Maintenance as _, Repository as _};

use super::super::auditor::Occasion;
use super::super::canary::{Canary, without_ids};
use super::{World, outcome};
use crate::generate::{self, Draft};

/// A text that only one event has.
fn mark(number: u64) -> String {
    format!("mark-{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl World {
    /// Commits a group of batches: a new one, or the one sent last.
    pub(super) fn commit(&mut self) -> Result<(), String> {
        if self.engine().is_behind() && !self.tasks.iter().any(|task| task.is_urgent()) && !self.has_failed {
            return Err("commits wait for maintenance, but no urgent task was given out".to_string());
        }
        let group = match &self.sent {
            Some(last) if self.random.one_in(3) => last.clone(),
            Some(_) | None => self.draw_group(),
        };
        self.sent = Some(group.clone());
        let elapsed = self.random.pick(&[1_000_000, 0, 999_999, -3_000_000, 1_000_000_000]);
        self.clocks.pass(elapsed);
        self.trust_first_clock();
        let now = self.clocks.wall();
        let outcome = match self.options.canary {
            Some(Canary::ForgottenIds) => {
                let found = self.auditor.model().events().iter().take_while(|event| event.seq <= self.found);
                let group = without_ids(&group, |id| found.clone().any(|event| event.id.is(id)));
                self.engine_mut().commit(now, &group)
            }
            Some(_) | None => self.engine_mut().commit(now, &group),
        };
        self.note(|_| {
            let sizes: Vec<usize> = group.iter().map(Batch::len).collect();
            match &outcome {
                Ok(receipts) => {
                    format!("commit of {sizes:?} events: {:?}", receipts.iter().map(|r| r.stored).collect::<Vec<_>>())
                }
                Err(error) => format!("commit of {sizes:?} events: {error}"),
            }
        });
        match outcome {
            Ok(_) if self.has_failed => Err("a failed engine accepted a commit".to_string()),
            Ok(receipts) => {
                self.summary.commits += 1;
                let snapshot = self.engine().snapshot();
                let occasion = Occasion { now, age: self.retention.age, belief: self.belief() };
                let is_durable = !self.is_deferred;
                self.without_faults(|world| {
                    world.auditor.acknowledged(occasion, &group, &receipts, is_durable, &snapshot)
                })
            }
            Err(error) => {
                self.summary.refusals += 1;
                let had_failed = self.has_failed;
                self.refused(&error)?;
                if !had_failed && matches!(error, CommitError::Failed { in_doubt: true, .. }) {
                    self.auditor.left_in_doubt(now, &group);
                }
                self.audit_all()
            }
        }
    }

    /// No commit is waiting.
    pub(super) fn on_idle(&mut self) -> Result<(), String> {
        let noted = self.engine_mut().on_idle();
        self.note(|_| format!("on_idle: {}", outcome(&noted)));
        if let Err(error) = noted {
            self.refused(&error)?;
        }
        self.audit_all()
    }

    /// Makes everything committed durable.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        let flushed = self.engine_mut().flush();
        self.note(|_| format!("flush: {}", outcome(&flushed)));
        match flushed {
            Ok(()) if self.has_failed => return Err("a failed engine flushed".to_string()),
            Ok(()) => {
                self.summary.flushes += 1;
                self.auditor.flushed();
            }
            Err(error) => self.refused(&error)?,
        }
        self.audit_all()
    }

    fn draw_group(&mut self) -> Vec<Batch> {
        let batches = self.random.pick(&[1, 1, 2, 3]);
        (0..batches)
            .map(|_| {
                let events = match self.random.below(16) {
                    0 => 20,
                    1 => 0,
                    _ => 1 + self.random.below(4),
                };
                let drafts: Vec<Draft> = (0..events).map(|_| self.draw_event()).collect();
                let handling = if self.random.one_in(3) { Handling::Lenient } else { Handling::Strict };
                generate::batch(&drafts).handled(handling)
            })
            .collect()
    }

    /// An event, sometimes with the id of a stored one, generated ids included.
    fn draw_event(&mut self) -> Draft {
        let mut draft = generate::draft(&mut self.random);
        if self.random.one_in(3) {
            // By its mark, the bytes of an event can be found on the medium.
            self.marks += 1;
            draft.payload = format!(r#"{{"mark":"{}"}}"#, mark(self.marks));
        }
        if self.random.one_in(10) {
            let events = self.auditor.model().events();
            let known = events.get(self.random.index(events.len()));
            draft.id = known.map(|event| event.id.text()).or(draft.id);
        }
        draft
    }
}
