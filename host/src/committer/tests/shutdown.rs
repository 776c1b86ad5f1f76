//! Shutdown: queued batches are committed, and the repository is closed last.

use std::sync::mpsc::{Sender, channel};

use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{ImportError, Maintenance};
use argus_core::storage::MemoryStorage;
use argus_core::transfer::Transfer;

use super::super::*;
use super::manual::{Command, ROOMY, batch, failure, occupy, over, start, stats, wait};

#[test]
fn a_shutdown_commits_the_queue_and_refuses_new_batches() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let second = committer.submit(batch(5)).unwrap();
    control.commands.send(Command::Succeed).unwrap();
    control.commands.send(Command::Succeed).unwrap();
    committer.shutdown();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(wait(second).unwrap().first_seq, 2);
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Stopped);
    assert_eq!(stats(&committer).last_seq, 6);
    committer.shutdown();
}

/// A repository that reports when it is closed, and panics if it is used afterwards.
struct Closing {
    engine: Engine<MemoryStorage>,
    closes: Sender<()>,
    is_closed: bool,
}

impl Repository for Closing {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        assert!(!self.is_closed, "it is used after it was closed");
        self.engine.commit(now, group)
    }

    fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        self.engine.erase(now, filter)
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        self.engine.import(transfer)
    }

    fn on_idle(&mut self) -> Result<(), CommitError> {
        assert!(!self.is_closed, "it is used after it was closed");
        self.engine.on_idle()
    }

    fn close(&mut self) -> Result<(), CommitError> {
        self.is_closed = true;
        self.closes.send(()).unwrap();
        self.engine.close()
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        assert!(!self.is_closed, "it is used after it was closed");
        self.engine.maintenance()
    }

    fn failure(&self) -> Option<&Failure> {
        self.engine.failure()
    }

    fn reader(&self) -> Reader {
        self.engine.reader()
    }
}

#[test]
fn a_shutdown_closes_the_repository_last() {
    let tuning = Tuning { seal_events: 1, ..Tuning::default() };
    let engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).unwrap();
    let (closes, closed) = channel();
    let committer = over(Box::new(Closing { engine, closes, is_closed: false }), ROOMY);
    for _ in 0..20 {
        drop(committer.submit(batch(3)).unwrap());
    }
    committer.shutdown();
    closed.try_recv().unwrap();
    assert_eq!((stats(&committer).events, failure(&committer)), (60, None));
    committer.shutdown();
    drop(committer);
    assert!(closed.try_recv().is_err(), "it is closed once");
}
