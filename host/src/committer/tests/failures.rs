//! Failures: which ones refuse further batches, and which ones end the process.

use std::thread;

use argus_core::cause::{Cause, NamedPlace};
use argus_core::damage::{Affected, Damage};
use argus_core::event::Timestamp;
use argus_core::repository::{ImportError, Maintenance, Stats};
use argus_core::transfer::Transfer;

use super::super::*;
use super::manual::{Command, FixedSnapshot, ROOMY, batch, failure, occupy, over, server_failure, start, stats, wait};
use crate::backend::Location;
use crate::metrics::Gauges;

#[test]
fn a_failure_answers_every_waiter_and_refuses_later_batches() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let second = committer.submit(batch(1)).unwrap();
    let cause = Cause::at(NamedPlace::new("/dev/sda", "the disk"), "it is on fire");
    let error = CommitError::in_doubt(cause.clone());
    control.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    // The second is answered without a commit, which would wait for a command forever.
    assert_eq!(wait(second), Err(CommitError::failed(cause.clone())));
    let failed = Failure::Failed(cause);
    assert_eq!(failure(&committer), Some(failed.clone()));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Failure(failed));
    assert_eq!(stats(&committer).last_seq, 0);
}

#[test]
fn damage_that_fails_the_store_is_counted_once_and_becomes_a_warning() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let (place, reason) = ("segment-1".to_owned(), "its checksum is wrong".to_owned());
    let damage = Damage { place, offset: Some(7), reason, affected: Affected::all(3, 5) };
    let error = CommitError::failed(Cause::from(damage).during("look-up of ids"));
    control.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    // As after a maintenance task, when the repository reports the same failure again.
    committer.shared.update_availability(&**lock(&committer.shared.repository));
    committer.shutdown();
    let warnings = &committer.shared.warnings;
    assert_eq!(warnings.text().unwrap(), "part of what is stored is damaged, events 3 to 5 are affected");
    let metrics = committer.shared.metrics.render(&Gauges::default()).unwrap();
    assert!(metrics.lines().any(|line| line == "argus_damage_found_total 1"), "{metrics}");
}

#[test]
fn a_full_storage_is_not_a_failure() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let error = CommitError::Full("no space".into());
    control.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    assert_eq!(failure(&committer), None);
    let second = occupy(&committer, &control);
    control.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(second).unwrap().first_seq, 1);
}

#[test]
fn a_panic_in_a_commit_ends_the_process() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let second = committer.submit(batch(1)).unwrap();
    control.commands.send(Command::Panic).unwrap();
    let cause = "a commit panicked: as told";
    assert_eq!(wait(first), Err(CommitError::in_doubt(cause)));
    assert_eq!(wait(second), Err(CommitError::failed(cause)));
    assert!(matches!(committer.submit(batch(1)), Err(SubmitError::Failure(Failure::Failed(_)))));
    assert_eq!(server_failure(&committer), Some("a commit panicked: as told"));
    committer.shutdown();
}

#[test]
fn a_storage_error_does_not_end_the_process() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    control.commands.send(Command::Fail(CommitError::in_doubt("the disk is on fire"))).unwrap();
    wait(first).unwrap_err();
    committer.shutdown();
    assert_eq!(server_failure(&committer), None);
}

/// Panics in its maintenance or in a flush.
struct PanickingRepository {
    in_flush: bool,
    /// The committer has started, so only the commit thread asks for maintenance.
    is_started: bool,
}

impl Repository for PanickingRepository {
    fn commit(&mut self, _now: Timestamp, _group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        unreachable!("the committer asks for maintenance before, and that panics")
    }

    fn erase(&mut self, _now: Timestamp, _filter: &Filter) -> Result<Erased, CommitError> {
        unreachable!("the test erases nothing")
    }

    fn import(&mut self, _transfer: &Transfer) -> Result<(), ImportError> {
        unreachable!("a server imports nothing")
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        assert!(self.in_flush || !self.is_started, "as told");
        self.is_started = true;
        None
    }

    fn failure(&self) -> Option<&Failure> {
        None
    }

    fn flush(&mut self) -> Result<(), CommitError> {
        if self.in_flush { panic!("as told") } else { Ok(()) }
    }

    fn reader(&self) -> Reader {
        Reader::Current(Arc::new(FixedSnapshot(Stats::default())))
    }
}

#[test]
fn a_commit_thread_that_dies_leaves_nobody_waiting() {
    let committer = over(Box::new(PanickingRepository { in_flush: false, is_started: false }), ROOMY);
    let waiting: Vec<_> = [(); 3].map(|()| committer.submit(batch(1))).into_iter().flatten().collect();
    assert!(!waiting.is_empty());
    let reason = "the thread argus-commit has panicked: as told";
    for pending in waiting {
        assert!(matches!(wait(pending), Err(CommitError::Failed { .. })));
    }
    // Joins the thread, whose last act is to report the panic.
    committer.shutdown();
    assert_eq!(server_failure(&committer), Some(reason));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Failure(Failure::Failed(reason.into())));
    assert_eq!(committer.queued(), (0, 0));
}

#[test]
fn a_maintenance_thread_that_dies_leaves_nobody_waiting() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let second = committer.submit(batch(1)).unwrap();
    let dies = |_: &Shared| panic!("as told");
    committer.spawn(&committer.maintaining, "argus-maintain", dies, |shared| shared.maintenance.is_closed()).unwrap();
    // The death is reported at once; further commits are refused after the current one.
    while server_failure(&committer).is_none() {
        thread::yield_now();
    }
    control.commands.send(Command::Succeed).unwrap();
    control.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    // Committed, if that was faster.
    let _outcome = wait(second);
    committer.shutdown();
    assert_eq!(failure(&committer), Some(Failure::Failed("the thread argus-maintain has panicked: as told".into())));
}

#[test]
fn a_thread_that_ends_too_early_ends_the_process() {
    let (committer, _control) = start(ROOMY, false);
    committer.spawn(&committer.maintaining, "argus-maintain", |_| (), |shared| shared.maintenance.is_closed()).unwrap();
    while failure(&committer).is_none() {
        thread::yield_now();
    }
    assert_eq!(server_failure(&committer), Some("the thread argus-maintain has ended unexpectedly"));
}

#[test]
fn a_flush_that_panics_ends_the_process() {
    let metrics = Arc::new(Metrics::new("test", "manual").unwrap());
    let lifecycle = Lifecycle::new(1, Duration::ZERO);
    let every = Some(Duration::from_millis(1));
    let trap = Box::new(PanickingRepository { in_flush: true, is_started: false });
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
    let committer = Committer::start(trap, every, ROOMY, metrics, Arc::clone(&lifecycle), warnings).unwrap();
    lifecycle.drained();
    assert_eq!(lifecycle.failure(), Some("a flush panicked: as told"));
    committer.shutdown();
    assert_eq!(failure(&committer), Some(Failure::Failed("a flush panicked: as told".into())));
}
