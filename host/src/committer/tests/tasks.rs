//! Maintenance tasks: the engine's, and those of any other repository.

use std::any::Any;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread;

use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{Expired, ImportError, Maintenance, MaintenanceTask, Stats};
use argus_core::storage::MemoryStorage;
use argus_core::transfer::Transfer;

use super::super::*;
use super::manual::{FixedSnapshot, ROOMY, batch, failure, over, server_failure, stats, wait};

#[test]
fn maintenance_is_done_beside_the_commits() {
    let tuning = Tuning { seal_events: 100, fan_in: 2, ..Tuning::default() };
    let engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).unwrap();
    let committer = over(Box::new(engine), ROOMY);
    for _ in 0..100 {
        wait(committer.submit(batch(70)).unwrap()).unwrap();
    }
    // Two batches fill a segment. Maintenance gets there, however long it takes.
    while stats(&committer).segments > 50 {
        thread::yield_now();
    }
    assert_eq!(stats(&committer).events, 7000);
}

/// A maintenance task that is not the engine's.
#[derive(Debug)]
struct Vacuum {
    steps_left: u32,
}

impl MaintenanceTask for Vacuum {
    fn step(&mut self, _budget: u32) -> Poll<()> {
        self.steps_left -= 1;
        if self.steps_left == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_urgent(&self) -> bool {
        false
    }
}

/// A repository that is not the engine, whose task cannot be installed while the repository is unavailable.
struct Remote {
    is_due: bool,
    is_away: Arc<AtomicBool>,
    failure: Option<Failure>,
    installs: Sender<u32>,
}

impl Repository for Remote {
    fn commit(&mut self, _now: Timestamp, _group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        unreachable!("the test commits nothing")
    }

    fn erase(&mut self, _now: Timestamp, _filter: &Filter) -> Result<Erased, CommitError> {
        unreachable!("the test erases nothing")
    }

    fn import(&mut self, _transfer: &Transfer) -> Result<(), ImportError> {
        unreachable!("a server imports nothing")
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        Some(self)
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn recover(&mut self) -> Result<(), CommitError> {
        self.failure = self.failure.take().filter(|_| self.is_away.load(Ordering::SeqCst));
        self.failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn reader(&self) -> Reader {
        Reader::Current(Arc::new(FixedSnapshot(Stats::default())))
    }
}

impl Maintenance for Remote {
    fn next_task(&mut self, _now: Moment) -> Option<Box<dyn MaintenanceTask>> {
        mem::take(&mut self.is_due).then(|| Box::new(Vacuum { steps_left: 3 }) as Box<dyn MaintenanceTask>)
    }

    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError> {
        let Ok(task) = (task as Box<dyn Any>).downcast::<Vacuum>() else { unreachable!("there are no others") };
        if self.is_away.load(Ordering::SeqCst) {
            (self.is_due, self.failure) = (true, Some(Failure::Unavailable("away".into())));
            return Err(CommitError::unavailable("away"));
        }
        self.installs.send(task.steps_left).unwrap();
        Ok(Vec::new())
    }
}

#[test]
fn a_repository_that_fails_in_maintenance_is_asked_to_recover() {
    let (is_away, (installs, installed)) = (Arc::new(AtomicBool::new(true)), channel());
    let remote = Remote { is_due: true, is_away: Arc::clone(&is_away), failure: None, installs };
    let committer = over(Box::new(remote), ROOMY);
    while failure(&committer).is_none() {
        thread::yield_now();
    }
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Failure(Failure::Unavailable("away".into())));
    is_away.store(false, Ordering::SeqCst);
    assert_eq!(installed.recv().unwrap(), 0);
    committer.shutdown();
    assert_eq!((failure(&committer), server_failure(&committer)), (None, None));
}

/// A long task, which ends once an urgent one was installed.
#[derive(Debug)]
struct Compaction {
    begun: Sender<()>,
    sealed: Receiver<()>,
}

#[derive(Debug)]
struct Sealing;

impl MaintenanceTask for Compaction {
    fn step(&mut self, _budget: u32) -> Poll<()> {
        self.begun.send(()).unwrap();
        self.sealed.recv().unwrap();
        Poll::Ready(())
    }

    fn is_urgent(&self) -> bool {
        false
    }
}

impl MaintenanceTask for Sealing {
    fn step(&mut self, _budget: u32) -> Poll<()> {
        Poll::Ready(())
    }

    fn is_urgent(&self) -> bool {
        true
    }
}

/// A repository with a long task, and an urgent one after the first erasure.
struct Compacting {
    due: Vec<Box<dyn MaintenanceTask>>,
    sealed: Sender<()>,
    installs: Sender<&'static str>,
}

impl Repository for Compacting {
    fn commit(&mut self, _now: Timestamp, _group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        unreachable!("the test commits nothing")
    }

    fn erase(&mut self, _now: Timestamp, _filter: &Filter) -> Result<Erased, CommitError> {
        self.due.push(Box::new(Sealing));
        Ok(Erased::Exactly(0))
    }

    fn import(&mut self, _transfer: &Transfer) -> Result<(), ImportError> {
        unreachable!("a server imports nothing")
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        Some(self)
    }

    fn failure(&self) -> Option<&Failure> {
        None
    }

    fn recover(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    fn reader(&self) -> Reader {
        Reader::Current(Arc::new(FixedSnapshot(Stats::default())))
    }
}

impl Maintenance for Compacting {
    fn next_task(&mut self, _now: Moment) -> Option<Box<dyn MaintenanceTask>> {
        self.due.pop()
    }

    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError> {
        if (task as Box<dyn Any>).is::<Sealing>() {
            self.installs.send("sealing").unwrap();
            self.sealed.send(()).unwrap();
        } else {
            self.installs.send("compaction").unwrap();
        }
        Ok(Vec::new())
    }
}

#[test]
fn an_urgent_task_does_not_wait_for_a_long_one() {
    let ((begun, has_begun), (sealed, is_sealed), (installs, installed)) = (channel(), channel(), channel());
    let compaction = Compaction { begun, sealed: is_sealed };
    let committer = over(Box::new(Compacting { due: vec![Box::new(compaction)], sealed, installs }), ROOMY);
    has_begun.recv().unwrap();
    wait(committer.erase(&Filter::default()).unwrap()).unwrap();
    assert_eq!([installed.recv().unwrap(), installed.recv().unwrap()], ["sealing", "compaction"]);
}
