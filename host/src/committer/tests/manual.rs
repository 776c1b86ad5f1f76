//! A repository whose commits the test controls, and a committer over it.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use argus_core::batch::{BatchBuilder, NewEvent};
use argus_core::event::{Event, EventType, Payload, Timestamp};
use argus_core::query::Scan;
use argus_core::repository::{Flow, Gap, GapRun, ImportError, ReadError, ScanHead, ScanRun, Snapshot, Stats};
use argus_core::transfer::Transfer;
use futures_util::FutureExt as _;

use super::super::*;
use crate::backend::Location;

/// What the repository does in its next commit.
pub(super) enum Command {
    Succeed,
    Fail(CommitError),
    Panic,
}

/// Reports the size of each group and the thread that commits it, and then waits for a command.
pub(super) struct ManualRepository {
    groups: Sender<(usize, Option<String>)>,
    idles: Sender<()>,
    commands: Receiver<Command>,
    last_seq: u64,
    immediate: bool,
    /// The failure of the last commit, which stays.
    failure: Option<Failure>,
}

/// The test's side of a [`ManualRepository`].
pub(super) struct Control {
    pub(super) groups: Receiver<(usize, Option<String>)>,
    pub(super) idles: Receiver<()>,
    pub(super) commands: Sender<Command>,
}

pub(super) struct FixedSnapshot(pub(super) Stats);

impl Repository for ManualRepository {
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

    fn erase(&mut self, _now: Timestamp, _filter: &Filter) -> Result<Erased, CommitError> {
        self.groups.send((0, thread::current().name().map(str::to_owned))).unwrap();
        match self.commands.recv().unwrap() {
            Command::Fail(error) => Err(error),
            Command::Panic => panic!("as told"),
            Command::Succeed => Ok(Erased::Exactly(self.last_seq)),
        }
    }

    fn import(&mut self, _transfer: &Transfer) -> Result<(), ImportError> {
        unreachable!("a server imports nothing")
    }

    fn on_idle(&mut self) -> Result<(), CommitError> {
        // At the end of a test the receiver is dropped.
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
        Reader::Current(Arc::new(FixedSnapshot(Stats {
            events: self.last_seq,
            last_seq: self.last_seq,
            ..Stats::default()
        })))
    }
}

impl ManualRepository {
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

impl Snapshot for FixedSnapshot {
    fn stats(&self) -> Result<Stats, ReadError> {
        Ok(self.0)
    }

    fn last_seq(&self) -> u64 {
        self.0.last_seq
    }

    fn gaps(self: Arc<Self>, _after: u64, up_to: u64) -> Box<dyn GapRun> {
        Box::new(NoGaps { up_to })
    }

    fn get(&self, _id: &str, _sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        Ok(false)
    }

    fn scan(self: Arc<Self>, _scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Ok(Box::new(Nothing))
    }
}

struct NoGaps {
    up_to: u64,
}

impl GapRun for NoGaps {
    fn poll_gaps(&mut self, _budget: u32, _gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        Ok(self.up_to)
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

pub(super) fn stats(committer: &Committer) -> Stats {
    committer.reader().take().unwrap().stats().unwrap()
}

pub(super) const ROOMY: QueueLimits = QueueLimits { batches_max: 100, bytes_max: usize::MAX };

pub(super) fn start(limits: QueueLimits, immediate: bool) -> (Committer, Control) {
    let (group_sender, groups) = channel();
    let (idle_sender, idles) = channel();
    let (commands, command_receiver) = channel();
    let repository = ManualRepository {
        groups: group_sender,
        idles: idle_sender,
        commands: command_receiver,
        last_seq: 0,
        immediate,
        failure: None,
    };
    (over(Box::new(repository), limits), Control { groups, idles, commands })
}

pub(super) fn over(repository: Box<dyn Repository>, limits: QueueLimits) -> Committer {
    let metrics = Arc::new(Metrics::new("test", "manual").unwrap());
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), Location::Memory));
    Committer::start(repository, None, limits, metrics, Lifecycle::new(1, Duration::ZERO), warnings).unwrap()
}

pub(super) fn server_failure(committer: &Committer) -> Option<&str> {
    committer.shared.lifecycle.failure()
}

/// The failure that the committer reports.
pub(super) fn failure(committer: &Committer) -> Option<Failure> {
    committer.failure().map(|failure| (*failure).clone())
}

pub(super) fn batch(events: usize) -> Batch {
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

/// Submits a batch and waits until the commit thread commits it, which lasts until the test sends a command.
pub(super) fn occupy(committer: &Committer, control: &Control) -> PendingCommit<Receipt> {
    let mut pending = committer.submit(batch(1)).unwrap();
    // The leader yields once, and then wakes the thread.
    assert!((&mut pending).now_or_never().is_none());
    assert!((&mut pending).now_or_never().is_none());
    assert_eq!(control.groups.recv().unwrap(), (1, Some("argus-commit".to_owned())));
    pending
}
