//! The tasks that the engine hands out.

use std::task::Poll;

use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Maintenance as _, MaintenanceTask};

use super::super::auditor::Expiry;
use super::super::canary::Canary;
use super::{World, outcome};

/// Maintenance must finish within this number of steps.
const TASK_STEPS_MAX: u32 = 10_000;

impl World {
    /// Takes or continues a maintenance task.
    pub(super) fn maintain(&mut self) -> Result<(), String> {
        self.take_tasks();
        if self.tasks.is_empty() {
            return Ok(());
        }
        let chosen = self.random.index(self.tasks.len());
        let task = self.tasks.swap_remove(chosen);
        let budget = self.random.pick(&[1_000, 1, 3, 10]);
        self.work(task, budget)
    }

    /// Takes all tasks that the engine has.
    pub(super) fn take_tasks(&mut self) {
        self.trust_first_clock();
        let (now, retention) = (self.clocks.moment(self.options.canary), self.retention);
        let before = retention.age.map(|age| Timestamp::from_nanos(self.clocks.credible(age) - age));
        self.auditor.allow(Expiry { before, first: retention.bytes.is_some() });
        self.medium.ignore_syncs(self.options.canary == Some(Canary::HastySeal));
        while let Some(task) = self.engine_mut().next_task(now) {
            self.tasks.push(task);
        }
        self.medium.ignore_syncs(false);
        if !self.has_failed {
            self.clocks.seen();
        }
    }

    /// Continues a task; installs it when it is finished.
    pub(super) fn work(&mut self, mut task: Box<dyn MaintenanceTask>, budget: u32) -> Result<(), String> {
        if task.step(budget) == Poll::Pending {
            self.tasks.push(task);
            return Ok(());
        }
        let what = format!("{task:?}");
        let installed = self.install(task)?;
        self.note(|_| format!("{what}: {}", outcome(&installed)));
        match installed {
            Ok(()) => self.summary.tasks += 1,
            Err(error) => self.refused(&error)?,
        }
        self.audit_all()
    }

    /// Installs a task. Checks that it reports exactly the events that have gone.
    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Result<(), CommitError>, String> {
        let stored = |world: &Self| {
            world.engine().snapshot().stats().map(|stats| stats.events).map_err(|error| error.to_string())
        };
        let before = stored(self)?;
        let installed = self.engine_mut().install(task);
        let told = installed.iter().flatten().filter(|_| self.options.canary != Some(Canary::SilentExpiry));
        let told = told.map(|expired| expired.events).sum();
        let left = stored(self)?;
        if before.checked_sub(left) == Some(told) {
            Ok(installed.map(drop))
        } else {
            Err(format!("a task reports {told} expired events, but {left} of {before} are left"))
        }
    }

    /// Does all maintenance, on a medium without faults.
    pub(super) fn finish_maintenance(&mut self) -> Result<(), String> {
        let mut steps = 0;
        loop {
            self.take_tasks();
            let Some(mut task) = self.tasks.pop() else { break };
            while task.step(64) == Poll::Pending {
                steps += 1;
            }
            self.install(task)?
                .map_err(|error| format!("maintenance fails although the medium has no faults any more: {error}"))?;
            steps += 1;
            if steps > TASK_STEPS_MAX {
                return Err("maintenance does not finish".to_string());
            }
        }
        Ok(())
    }
}
