//! The commit thread over a repository that does as it is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::any::Any;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Poll, Wake};
use std::thread::{self, Thread};

use argus_core::batch::{BatchBuilder, NewEvent};
use argus_core::cause::{Cause, NamedPlace};
use argus_core::clock::Moment;
use argus_core::damage::{Concerned, Damage};
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::{Event, EventType, Payload, Timestamp};
use argus_core::query::Scan;
use argus_core::repository::{
    Expired, Flow, Maintenance, MaintenanceTask, ReadError, Reader, ScanHead, ScanRun, Snapshot, Stats,
};
use argus_core::storage::MemoryStorage;
use futures_util::FutureExt as _;

use super::*;
use crate::backend::Location;
use crate::metrics::Gauges;

/// What the repository does in its next commit.
enum Command {
    Succeed,
    Fail(CommitError),
    Panic,
}

/// Reports the size of each group and the thread that commits it, and then waits to be told what to do about it.
struct Puppet {
    groups: Sender<(usize, Option<String>)>,
    idles: Sender<()>,
    commands: Receiver<Command>,
    last_seq: u64,
    immediate: bool,
    /// That of the last commit, which stays.
    failure: Option<Failure>,
}

/// The other end of the puppet's strings.
struct Strings {
    groups: Receiver<(usize, Option<String>)>,
    idles: Receiver<()>,
    commands: Sender<Command>,
}

struct Picture(Stats);

impl Repository for Puppet {
    fn commit(&mut self, _now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        self.groups.send((group.len(), thread::current().name().map(str::to_owned))).unwrap();
        match self.commands.recv().unwrap() {
            Command::Fail(error) => {
                if let CommitError::Failed { cause, .. } = &error {
                    self.failure = Some(Failure::Failed(cause.clone()));
                }
                Err(error)
            }
            Command::Panic => panic!("as told"),
            Command::Succeed => Ok(group.iter().map(|batch| self.store(batch)).collect()),
        }
    }

    fn on_idle(&mut self) -> Result<(), CommitError> {
        // At the end of a test nobody listens any more.
        let _ = self.idles.send(());
        Ok(())
    }

    fn is_immediate(&self) -> bool {
        self.immediate
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn reader(&self) -> Reader {
        Reader::Current(Arc::new(Picture(Stats { events: self.last_seq, last_seq: self.last_seq, ..Stats::default() })))
    }
}

impl Puppet {
    fn store(&mut self, batch: &Batch) -> Receipt {
        let first_seq = self.last_seq + 1;
        self.last_seq += batch.len() as u64;
        Receipt {
            first_seq,
            stored: u32::try_from(batch.len()).unwrap(),
            duplicates: Box::new([]),
            surplus: None,
            generated_id: None,
            expired: 0,
            durable: false,
        }
    }
}

impl Snapshot for Picture {
    fn stats(&self) -> Result<Stats, ReadError> {
        Ok(self.0)
    }

    fn last_seq(&self) -> u64 {
        self.0.last_seq
    }

    fn get(&self, _id: &str, _sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        Ok(false)
    }

    fn scan(self: Arc<Self>, _scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Ok(Box::new(Nothing))
    }
}

struct Nothing;

impl ScanRun for Nothing {
    fn poll_head(&mut self, _budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        Ok(Poll::Ready(ScanHead { next: None }))
    }

    fn poll_events(&mut self, _budget: u32, _sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        Ok(Poll::Ready(()))
    }
}

fn stats(committer: &Committer) -> Stats {
    committer.reader().take().unwrap().stats().unwrap()
}

const ROOMY: QueueLimits = QueueLimits { batches_max: 100, bytes_max: usize::MAX };

fn start(limits: QueueLimits, immediate: bool) -> (Committer, Strings) {
    let (group_sender, groups) = channel();
    let (idle_sender, idles) = channel();
    let (commands, command_receiver) = channel();
    let puppet = Puppet {
        groups: group_sender,
        idles: idle_sender,
        commands: command_receiver,
        last_seq: 0,
        immediate,
        failure: None,
    };
    (over(Box::new(puppet), limits), Strings { groups, idles, commands })
}

fn over(repository: Box<dyn Repository>, limits: QueueLimits) -> Committer {
    let metrics = Arc::new(Metrics::new("test", "puppet").unwrap());
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
    Committer::start(repository, None, limits, metrics, Lifecycle::new(1, Duration::ZERO), warnings).unwrap()
}

fn end_of_process(committer: &Committer) -> Option<&str> {
    committer.shared.lifecycle.failure()
}

/// What the committer says about the repository.
fn failure(committer: &Committer) -> Option<Failure> {
    committer.failure().map(|failure| (*failure).clone())
}

fn batch(events: usize) -> Batch {
    let mut builder = BatchBuilder::new();
    for _ in 0..events {
        let event = NewEvent {
            event_type: EventType::parse("click").unwrap(),
            timestamp: Timestamp::from_nanos(0),
            payload: Payload::parse("null").unwrap(),
            id: None,
        };
        builder.push(event).unwrap();
    }
    builder.finish()
}

pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Submits a batch and waits until the commit thread is inside of its commit, where it stays until told.
fn occupy(committer: &Committer, strings: &Strings) -> PendingCommit {
    let mut pending = committer.submit(batch(1)).unwrap();
    // Others are let pass, and then the thread is called.
    assert!((&mut pending).now_or_never().is_none());
    assert!((&mut pending).now_or_never().is_none());
    assert_eq!(strings.groups.recv().unwrap(), (1, Some("argus-commit".to_owned())));
    pending
}

#[test]
fn the_repository_is_told_when_it_is_idle_at_the_beginning_and_when_nobody_comes_back() {
    let (committer, strings) = start(ROOMY, false);
    strings.idles.recv().unwrap();
    let pending = committer.submit(batch(1)).unwrap();
    strings.commands.send(Command::Succeed).unwrap();
    assert!(wait(pending).is_ok());
    strings.idles.recv().unwrap();
    assert!(strings.idles.try_recv().is_err(), "nothing has happened since");
}

#[test]
fn what_queues_up_is_committed_together_and_published_before_it_is_answered() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let others: Vec<_> = [2, 3, 4].map(|events| committer.submit(batch(events)).unwrap()).into();
    assert_eq!(committer.queued().0, 3);
    assert_eq!(stats(&committer).last_seq, 0);
    strings.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(stats(&committer).last_seq, 1);
    assert_eq!(strings.groups.recv().unwrap().0, 3);
    strings.commands.send(Command::Succeed).unwrap();
    let receipts: Vec<_> = others.into_iter().map(|pending| wait(pending).unwrap()).collect();
    assert_eq!(
        receipts.iter().map(|receipt| (receipt.first_seq, receipt.stored)).collect::<Vec<_>>(),
        [(2, 2), (4, 3), (7, 4)]
    );
    assert_eq!(stats(&committer).last_seq, 10);
    assert_eq!(committer.queued(), (0, 0));
}

#[test]
fn a_failure_answers_everybody_and_refuses_what_comes_later() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let second = committer.submit(batch(1)).unwrap();
    let cause = Cause::at(NamedPlace::new("/dev/sda", "the disk"), "it is on fire");
    let error = CommitError::in_doubt(cause.clone());
    strings.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    // The second is answered without asking the repository, which would wait for a command for ever.
    assert_eq!(wait(second), Err(CommitError::failed(cause.clone())));
    let failed = Failure::Failed(cause);
    assert_eq!(failure(&committer), Some(failed.clone()));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Failure(failed));
    assert_eq!(stats(&committer).last_seq, 0);
}

#[test]
fn damage_that_fails_the_store_is_counted_once_and_a_warning_like_any_other() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let (place, reason) = ("segment-1".to_owned(), "its checksum is wrong".to_owned());
    let damage = Damage { place, offset: Some(7), reason, concerned: Concerned::all(3, 5) };
    let error = CommitError::failed(Cause::from(damage).during("look-up of ids"));
    strings.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    // As after a maintenance task, for which the repository tells nothing but this again.
    committer.shared.follow(&**lock(&committer.shared.repository));
    committer.shutdown();
    let warnings = &committer.shared.warnings;
    assert_eq!(warnings.text().unwrap(), "part of what is stored is damaged, events 3 to 5 are concerned");
    let metrics = committer.shared.metrics.render(&Gauges::default()).unwrap();
    assert!(metrics.lines().any(|line| line == "argus_damage_found_total 1"), "{metrics}");
}

#[test]
fn a_full_storage_is_no_failure() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let error = CommitError::Full("no space".into());
    strings.commands.send(Command::Fail(error.clone())).unwrap();
    assert_eq!(wait(first), Err(error));
    assert_eq!(failure(&committer), None);
    let second = occupy(&committer, &strings);
    strings.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(second).unwrap().first_seq, 1);
}

#[test]
fn a_panic_is_the_end() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let second = committer.submit(batch(1)).unwrap();
    strings.commands.send(Command::Panic).unwrap();
    let cause = "a commit panicked: as told";
    assert_eq!(wait(first), Err(CommitError::in_doubt(cause)));
    assert_eq!(wait(second), Err(CommitError::failed(cause)));
    assert!(matches!(committer.submit(batch(1)), Err(SubmitError::Failure(Failure::Failed(_)))));
    assert_eq!(end_of_process(&committer), Some("a commit panicked: as told"));
    committer.shutdown();
}

#[test]
fn an_error_of_the_storage_does_not_end_the_process() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    strings.commands.send(Command::Fail(CommitError::in_doubt("the disk is on fire"))).unwrap();
    wait(first).unwrap_err();
    committer.shutdown();
    assert_eq!(end_of_process(&committer), None);
}

/// Panics in what the commit thread asks it apart from commits, or in a flush.
struct Trap {
    in_flush: bool,
    /// It was started, and is asked for maintenance by nobody but the commit thread.
    is_started: bool,
}

impl Repository for Trap {
    fn commit(&mut self, _now: Timestamp, _group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        unreachable!("whoever asks whether it is behind does not get so far")
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
        Reader::Current(Arc::new(Picture(Stats::default())))
    }
}

#[test]
fn a_commit_thread_that_dies_leaves_nobody_waiting() {
    let committer = over(Box::new(Trap { in_flush: false, is_started: false }), ROOMY);
    let waiting: Vec<_> = [(); 3].map(|()| committer.submit(batch(1))).into_iter().flatten().collect();
    assert!(!waiting.is_empty());
    let told = "the thread argus-commit has panicked: as told";
    for pending in waiting {
        assert!(matches!(wait(pending), Err(CommitError::Failed { .. })));
    }
    // It is the last act of the thread.
    committer.shutdown();
    assert_eq!(end_of_process(&committer), Some(told));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Failure(Failure::Failed(told.into())));
    assert_eq!(committer.queued(), (0, 0));
}

#[test]
fn a_maintenance_thread_that_dies_leaves_nobody_waiting() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let second = committer.submit(batch(1)).unwrap();
    let dies = |_: &Shared| panic!("as told");
    committer.spawn(&committer.maintaining, "argus-maintain", dies, |shared| shared.maintenance.is_closed()).unwrap();
    // It tells at once, and waits for the commit that is under way before it refuses.
    while end_of_process(&committer).is_none() {
        thread::yield_now();
    }
    strings.commands.send(Command::Succeed).unwrap();
    strings.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    // Committed, if that was faster.
    let _outcome = wait(second);
    committer.shutdown();
    assert_eq!(failure(&committer), Some(Failure::Failed("the thread argus-maintain has panicked: as told".into())));
}

#[test]
fn a_thread_that_ends_before_it_may_is_missed() {
    let (committer, _strings) = start(ROOMY, false);
    committer.spawn(&committer.maintaining, "argus-maintain", |_| (), |shared| shared.maintenance.is_closed()).unwrap();
    while failure(&committer).is_none() {
        thread::yield_now();
    }
    assert_eq!(end_of_process(&committer), Some("the thread argus-maintain has ended, though it had to go on"));
}

#[test]
fn a_flush_that_panics_ends_the_process() {
    let metrics = Arc::new(Metrics::new("test", "puppet").unwrap());
    let lifecycle = Lifecycle::new(1, Duration::ZERO);
    let every = Some(Duration::from_millis(1));
    let trap = Box::new(Trap { in_flush: true, is_started: false });
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
    let committer = Committer::start(trap, every, ROOMY, metrics, Arc::clone(&lifecycle), warnings).unwrap();
    lifecycle.drained();
    assert_eq!(lifecycle.failure(), Some("a flush panicked: as told"));
    committer.shutdown();
    assert_eq!(failure(&committer), Some(Failure::Failed("a flush panicked: as told".into())));
}

#[test]
fn the_queue_is_bounded_by_batches_and_by_bytes() {
    let (committer, strings) = start(QueueLimits { batches_max: 2, bytes_max: usize::MAX }, false);
    let _first = occupy(&committer, &strings);
    let _queued = [committer.submit(batch(1)).unwrap(), committer.submit(batch(1)).unwrap()];
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(strings);

    let bytes = batch(10).bytes();
    let (committer, strings) = start(QueueLimits { batches_max: 100, bytes_max: bytes }, false);
    let _first = occupy(&committer, &strings);
    let _queued = committer.submit(batch(10)).unwrap();
    assert_eq!(committer.queued(), (1, bytes));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(strings);
}

#[test]
fn a_batch_larger_than_the_queue_is_taken_if_nothing_else_waits() {
    let (committer, strings) = start(QueueLimits { batches_max: 100, bytes_max: 1 }, false);
    let _first = occupy(&committer, &strings);
    let _queued = committer.submit(batch(1000)).unwrap();
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(strings);
}

#[test]
fn a_shutdown_commits_what_waits_and_takes_nothing_more() {
    let (committer, strings) = start(ROOMY, false);
    let first = occupy(&committer, &strings);
    let second = committer.submit(batch(5)).unwrap();
    strings.commands.send(Command::Succeed).unwrap();
    strings.commands.send(Command::Succeed).unwrap();
    committer.shutdown();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(wait(second).unwrap().first_seq, 2);
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::Stopped);
    assert_eq!(stats(&committer).last_seq, 6);
    committer.shutdown();
}

#[test]
fn what_nobody_waits_for_is_committed_all_the_same() {
    let (committer, strings) = start(ROOMY, false);
    drop(occupy(&committer, &strings));
    strings.commands.send(Command::Succeed).unwrap();
    committer.shutdown();
    assert_eq!(stats(&committer).last_seq, 1);
}

#[test]
fn a_repository_that_never_waits_is_committed_to_by_whoever_submitted_first() {
    let (committer, strings) = start(ROOMY, true);
    strings.commands.send(Command::Succeed).unwrap();
    let [first, second] = [2, 3].map(|events| committer.submit(batch(events)).unwrap());
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(strings.groups.recv().unwrap(), (2, thread::current().name().map(str::to_owned)));
    assert_eq!(second.now_or_never().unwrap().unwrap().first_seq, 3);
}

#[test]
fn while_somebody_commits_the_next_group_is_the_threads() {
    let (committer, strings) = start(ROOMY, true);
    thread::scope(|threads| {
        let committing = threads.spawn(|| wait(committer.submit(batch(1)).unwrap()).unwrap().first_seq);
        assert_eq!(strings.groups.recv().unwrap(), (1, None));
        let second = threads.spawn(|| wait(committer.submit(batch(1)).unwrap()).unwrap().first_seq);
        strings.commands.send(Command::Succeed).unwrap();
        assert_eq!(committing.join().unwrap(), 1);
        // Whoever it is that finds the repository free.
        assert_eq!(strings.groups.recv().unwrap().0, 1);
        strings.commands.send(Command::Succeed).unwrap();
        assert_eq!(second.join().unwrap(), 2);
    });
}

#[test]
fn a_leader_that_gives_up_leaves_the_queue_to_the_thread() {
    for polled in [false, true] {
        let (committer, strings) = start(ROOMY, true);
        let mut first = committer.submit(batch(1)).unwrap();
        let second = committer.submit(batch(1)).unwrap();
        if polled {
            assert!((&mut first).now_or_never().is_none());
        }
        drop(first);
        assert_eq!(strings.groups.recv().unwrap(), (2, Some("argus-commit".to_owned())));
        strings.commands.send(Command::Succeed).unwrap();
        assert_eq!(wait(second).unwrap().first_seq, 2);
    }
}

#[test]
fn maintenance_is_done_beside_the_commits() {
    let tuning = Tuning { seal_events: 100, fan_in: 2, ..Tuning::default() };
    let engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).unwrap();
    let committer = over(Box::new(engine), ROOMY);
    for _ in 0..100 {
        wait(committer.submit(batch(70)).unwrap()).unwrap();
    }
    // Two batches make a sealed segment. However long maintenance takes, it gets there.
    while stats(&committer).segments > 50 {
        thread::yield_now();
    }
    assert_eq!(stats(&committer).events, 7000);
}

/// A repository that tells when it is closed, and whether anybody uses it afterwards.
struct Closing {
    engine: Engine<MemoryStorage>,
    closes: Sender<()>,
    is_closed: bool,
}

impl Repository for Closing {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        assert!(!self.is_closed, "it is used when it is closed");
        self.engine.commit(now, group)
    }

    fn on_idle(&mut self) -> Result<(), CommitError> {
        assert!(!self.is_closed, "it is used when it is closed");
        self.engine.on_idle()
    }

    fn close(&mut self) -> Result<(), CommitError> {
        self.is_closed = true;
        self.closes.send(()).unwrap();
        self.engine.close()
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        assert!(!self.is_closed, "it is used when it is closed");
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
fn a_shutdown_closes_the_repository_when_nobody_uses_it_any_more() {
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

/// A task that no engine has made.
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

/// A repository outside of the engine, with a task of its own that cannot be installed while it is out of reach.
struct Remote {
    is_due: bool,
    is_away: Arc<AtomicBool>,
    failure: Option<Failure>,
    installs: Sender<u32>,
}

impl Repository for Remote {
    fn commit(&mut self, _now: Timestamp, _group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        unreachable!("nobody commits")
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
        Reader::Current(Arc::new(Picture(Stats::default())))
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
fn a_repository_that_fails_in_its_maintenance_is_asked_to_recover_though_nobody_commits() {
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
    assert_eq!((failure(&committer), end_of_process(&committer)), (None, None));
}
