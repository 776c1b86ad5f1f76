//! Maintenance in the background, as tasks that other threads may run.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::task::Poll;

use super::{CommitError, Expired, Repository};
use crate::clock::{ClockDoubt, Moment};

/// Maintenance of a [`Repository`]: merging, compacting, removing expired events. Correctness never depends on it.
pub trait Maintenance {
    /// The next task that is due at `now` and can run in parallel with the tasks under way. Call this until it returns
    /// `None`: after commits, after each [`install`](Self::install), and at least every minute. The last is for events
    /// that expire and for a wrong wall clock, which is noticed here.
    fn next_task(&mut self, now: Moment) -> Option<Box<dyn MaintenanceTask>>;

    /// Installs the result of a task that is ready, and returns the events that it has removed because they expired.
    /// Quick, because the task has done the work. Call this for every task that [`next_task`](Self::next_task)
    /// returned, even while there is a [`failure`](Repository::failure). If a task is not ready, its work is due again.
    ///
    /// # Errors
    ///
    /// As for [`Repository::commit`]. All events stay readable, and the work is due again once commits are accepted. A
    /// task of another repository is a [`CommitError::Failed`].
    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError>;

    /// Whether the next commit should wait until a task is installed, because maintenance lags far behind. Never true
    /// unless a task is under way or due.
    fn is_behind(&self) -> bool {
        false
    }

    /// Why the wall clock is not trusted, as of the last [`next_task`](Self::next_task). Until it is, nothing expires
    /// by age.
    fn clock_doubt(&self) -> Option<ClockDoubt> {
        None
    }
}

/// A maintenance task. It owns its inputs, so any thread may run it in parallel with commits and queries. If it is
/// dropped instead of installed, its work is due again only when the repository is opened anew.
pub trait MaintenanceTask: Any + fmt::Debug + Send {
    /// Does about as much work as `budget` events take, or one larger last step. May wait for the storage. Once ready,
    /// whether it succeeded or failed, the task has to be [installed](Maintenance::install).
    fn step(&mut self, budget: u32) -> Poll<()>;

    /// Whether commits may have to wait for this task.
    fn is_urgent(&self) -> bool;
}

/// Tasks that wait to be run.
#[derive(Debug, Default)]
pub struct MaintenanceQueue {
    /// The task that ran last comes last.
    waiting: VecDeque<Box<dyn MaintenanceTask>>,
    /// How many urgent tasks were taken in a row.
    urgent_taken: u32,
}

/// After this many urgent tasks in a row, one that is not urgent is taken. Otherwise steady writes, which cause urgent
/// tasks, would keep compaction and retention from running.
const URGENT_TAKEN_MAX: u32 = 7;

impl MaintenanceQueue {
    /// Adds a task that is new or not ready yet.
    pub fn push(&mut self, task: Box<dyn MaintenanceTask>) {
        self.waiting.push_back(task);
    }

    /// Whether no task waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the task to run next.
    pub fn take(&mut self) -> Option<Box<dyn MaintenanceTask>> {
        let is_turn_of_urgent = self.urgent_taken < URGENT_TAKEN_MAX;
        let preferred = self.waiting.iter().position(|task| task.is_urgent() == is_turn_of_urgent);
        let task = match preferred {
            Some(index) => self.waiting.remove(index),
            None => self.waiting.pop_front(),
        }?;
        self.urgent_taken = if task.is_urgent() { self.urgent_taken.saturating_add(1) } else { 0 };
        Some(task)
    }

    /// Does about as much of the maintenance due at `now` as `budget` events take, for hosts that do everything on one
    /// thread. Ready when nothing is due until the next commit. It does not report expired events; a host that needs
    /// them runs and installs the tasks itself.
    ///
    /// # Errors
    ///
    /// As for [`Maintenance::install`].
    pub fn step(&mut self, repository: &mut dyn Repository, now: Moment, budget: u32) -> Result<Poll<()>, CommitError> {
        let Some(maintenance) = repository.maintenance() else { return Ok(Poll::Ready(())) };
        while let Some(task) = maintenance.next_task(now) {
            self.push(task);
        }
        let Some(mut task) = self.take() else { return Ok(Poll::Ready(())) };
        match task.step(budget) {
            Poll::Pending => self.push(task),
            Poll::Ready(()) => drop(maintenance.install(task)?),
        }
        Ok(Poll::Pending)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use core::time::Duration;

    use super::*;
    use crate::batch::Batch;
    use crate::event::Timestamp;
    use crate::query::Filter;
    use crate::repository::{Erased, Failure, ImportError, Reader, Receipt};
    use crate::transfer::Transfer;

    /// A task that takes `left` units of budget.
    #[derive(Debug, PartialEq, Eq)]
    struct Counted {
        name: &'static str,
        left: u32,
        is_urgent: bool,
    }

    impl MaintenanceTask for Counted {
        fn step(&mut self, budget: u32) -> Poll<()> {
            self.left = self.left.saturating_sub(budget);
            if self.left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }

        fn is_urgent(&self) -> bool {
            self.is_urgent
        }
    }

    fn task(name: &'static str, is_urgent: bool) -> Box<dyn MaintenanceTask> {
        Box::new(Counted { name, left: 3, is_urgent })
    }

    fn name(task: Box<dyn MaintenanceTask>) -> &'static str {
        (task as Box<dyn Any>).downcast::<Counted>().expect("all tasks of these tests are `Counted`").name
    }

    #[test]
    fn urgent_tasks_go_first_and_every_eighth_is_another() {
        let mut queue = MaintenanceQueue::default();
        assert!(queue.is_empty() && queue.take().is_none());
        for name in ["a", "b"] {
            queue.push(task(name, false));
        }
        let mut others = Vec::new();
        for turn in 1..=32 {
            // There is always an urgent task.
            queue.push(task("urgent", true));
            let taken = queue.take().expect("there is one");
            if !taken.is_urgent() {
                let name = name(taken);
                others.push((turn, name));
                queue.push(task(name, false));
            }
        }
        assert_eq!(others, [(8, "a"), (16, "b"), (24, "a"), (32, "b")]);
    }

    #[test]
    fn without_urgent_tasks_the_others_are_taken_in_order() {
        let mut queue = MaintenanceQueue::default();
        for name in ["a", "b", "c"] {
            queue.push(task(name, false));
        }
        let order: Vec<_> = core::iter::from_fn(|| queue.take()).map(name).collect();
        assert_eq!(order, ["a", "b", "c"]);
    }

    /// A repository that is not an engine, with tasks of its own.
    struct OtherRepository {
        due: Vec<&'static str>,
        installed: Vec<&'static str>,
    }

    impl Repository for OtherRepository {
        fn commit(&mut self, _: Timestamp, _: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
            Ok(Vec::new())
        }

        fn erase(&mut self, _: Timestamp, _: &Filter) -> Result<Erased, CommitError> {
            Ok(Erased::Exactly(0))
        }

        fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
            Some(self)
        }

        fn import(&mut self, _: &Transfer) -> Result<(), ImportError> {
            Ok(())
        }

        fn failure(&self) -> Option<&Failure> {
            None
        }

        fn reader(&self) -> Reader {
            unreachable!("nobody reads")
        }
    }

    impl Maintenance for OtherRepository {
        fn next_task(&mut self, _: Moment) -> Option<Box<dyn MaintenanceTask>> {
            self.due.pop().map(|name| task(name, name == "b"))
        }

        fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError> {
            match (task as Box<dyn Any>).downcast::<Counted>() {
                Ok(task) if task.name == "bad" => Err(CommitError::failed("it is bad")),
                Ok(task) => {
                    self.installed.push(task.name);
                    Ok(Vec::new())
                }
                Err(_) => Err(CommitError::failed("a task of another repository")),
            }
        }
    }

    #[test]
    fn a_repository_other_than_the_engine_is_maintained() {
        let mut repository = OtherRepository { due: ["a", "b", "c"].into(), installed: Vec::new() };
        let mut queue = MaintenanceQueue::default();
        let now = Moment { wall: Timestamp::from_nanos(0), uptime: Duration::ZERO };
        let mut steps = 0;
        while queue.step(&mut repository, now, 2) == Ok(Poll::Pending) {
            steps += 1;
        }
        // The urgent one first, then the others in turn.
        assert_eq!((repository.installed.as_slice(), steps), (["b", "c", "a"].as_slice(), 6));

        repository.due.push("bad");
        let outcome = core::iter::repeat_with(|| queue.step(&mut repository, now, 2)).find(Result::is_err);
        assert_eq!(
            outcome.expect("it is bad").map_err(|error| error.to_string()),
            Err(CommitError::failed("it is bad").to_string())
        );
    }
}
