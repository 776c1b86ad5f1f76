//! Delivers the outcomes of a group to the tasks that wait for them.
//!
//! Waking a task costs a few instructions on its own thread, but locks and perhaps system calls from another thread. So
//! of all tasks that wait on one thread, the commit thread wakes one, and that one wakes the others.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use argus_core::repository::CommitError;

use super::lock;

/// The outcome of a batch, or of something else that is committed.
pub(super) type Outcome<T> = Result<T, CommitError>;

/// Delivers an outcome to a task. If dropped before, it delivers an error.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    slot: Arc<Slot<T>>,
    /// The thread that submitted. The task is most likely still there.
    thread: ThreadId,
}

/// Where a task waits for its outcome.
#[derive(Debug)]
pub(super) struct Ticket<T> {
    slot: Arc<Slot<T>>,
}

type Slot<T> = Mutex<State<T>>;

#[derive(Debug)]
enum State<T> {
    /// The waker of the task, once it has been polled.
    Open(Option<Waker>),
    /// The outcome is here. The task that takes it wakes these other tasks.
    Decided(Outcome<T>, Vec<Waker>),
    /// The outcome was taken, or its task was dropped.
    Over,
}

/// A waiter and a ticket for a task on the current thread.
pub(super) fn pair<T>() -> (Waiter<T>, Ticket<T>) {
    let slot = Arc::new(Mutex::new(State::Open(None)));
    (Waiter { slot: Arc::clone(&slot), thread: thread::current().id() }, Ticket { slot })
}

/// A waiter whose task sleeps, and the waker of the task.
type Sleeper<T> = (Waiter<T>, Waker);

/// Delivers every outcome.
pub(super) fn deliver<T>(outcomes: impl IntoIterator<Item = (Waiter<T>, Outcome<T>)>) {
    let mut threads: Vec<(ThreadId, Vec<Sleeper<T>>)> = Vec::new();
    for (waiter, outcome) in outcomes {
        // A task that was not polled yet finds its outcome then.
        let Some(waker) = waiter.decide(outcome) else { continue };
        match threads.iter_mut().find(|(thread, _)| *thread == waiter.thread) {
            Some((_, sleeping)) => sleeping.push((waiter, waker)),
            None => threads.push((waiter.thread, vec![(waiter, waker)])),
        }
    }
    for (_, mut sleeping) in threads {
        while let Some((waiter, waker)) = sleeping.pop() {
            let mut slot = lock(&waiter.slot);
            // A task that already took its outcome, or was dropped, wakes no others.
            if let State::Decided(_, others) = &mut *slot {
                others.extend(sleeping.drain(..).map(|(_, waker)| waker));
                drop(slot);
                if !wake(waker) {
                    // This task may never run, so wake the others here.
                    waiter.wake_others();
                }
            }
        }
    }
}

/// Wakes a task. Returns `false` if its waker panicked: that task may never run, but this thread and all other tasks
/// do.
fn wake(waker: Waker) -> bool {
    catch_unwind(AssertUnwindSafe(|| waker.wake())).is_ok()
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        wake(waker);
    }
}

impl<T> Waiter<T> {
    /// Stores the outcome, and returns the waker of a task that waits for it.
    fn decide(&self, outcome: Outcome<T>) -> Option<Waker> {
        let mut slot = lock(&self.slot);
        match &mut *slot {
            State::Open(waker) => {
                let waker = waker.take();
                *slot = State::Decided(outcome, Vec::new());
                waker
            }
            State::Decided(..) | State::Over => None,
        }
    }

    /// Wakes the tasks that were to be woken by this one.
    fn wake_others(&self) {
        let others = match &mut *lock(&self.slot) {
            State::Decided(_, others) => mem::take(others),
            State::Open(_) | State::Over => Vec::new(),
        };
        wake_all(others);
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        // Has no effect if there is an outcome. Only a thread that panics leaves none.
        let waker = self.decide(Err(CommitError::in_doubt("a commit was interrupted")));
        wake_all(waker.into_iter().collect());
    }
}

impl<T> Ticket<T> {
    /// Ready with the outcome. Until then, registers the task of `cx`.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome<T>> {
        let mut slot = lock(&self.slot);
        match &mut *slot {
            State::Open(waker) => {
                match waker {
                    Some(known) => known.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Decided(..) | State::Over => {
                drop(slot);
                self.take().map_or(Poll::Pending, Poll::Ready)
            }
        }
    }

    /// Takes the outcome, if there is one, and wakes the other tasks.
    fn take(&mut self) -> Option<Outcome<T>> {
        let state = mem::replace(&mut *lock(&self.slot), State::Over);
        match state {
            State::Decided(outcome, others) => {
                wake_all(others);
                Some(outcome)
            }
            State::Open(_) | State::Over => None,
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use argus_core::repository::Receipt;

    use super::*;

    /// Counts wake-ups.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn outcome(seq: u64) -> Outcome<Receipt> {
        Ok(Receipt {
            first_seq: seq,
            stored: 1,
            duplicates: Box::new([]),
            surplus: None,
            generated_id: None,
            expired: 0,
            durable: true,
        })
    }

    fn poll(ticket: &mut Ticket<Receipt>, count: &Arc<Count>) -> Option<u64> {
        match ticket.poll(&Context::from_waker(&Arc::clone(count).into())) {
            Poll::Ready(outcome) => outcome.ok().map(|receipt| receipt.first_seq),
            Poll::Pending => None,
        }
    }

    /// A waiter and its outcome.
    type Decision = (Waiter<Receipt>, Outcome<Receipt>);

    /// A waiting task and its wake-ups.
    type Task = (Ticket<Receipt>, Arc<Count>);

    /// Three tasks, and their outcomes.
    fn waiting() -> (Vec<Decision>, Vec<Task>) {
        let pairs = (1..=3).map(|seq| {
            let (waiter, mut ticket) = pair();
            let count = Arc::default();
            assert_eq!(poll(&mut ticket, &count), None);
            ((waiter, outcome(seq)), (ticket, count))
        });
        pairs.unzip()
    }

    fn woken(tasks: &[Task]) -> usize {
        tasks.iter().map(|(_, count)| count.0.load(Ordering::SeqCst)).sum()
    }

    #[test]
    fn one_task_is_woken_and_wakes_the_others_of_its_thread() {
        let (mut outcomes, mut tasks) = waiting();
        let (elsewhere, mut other_ticket) = thread::scope(|scope| scope.spawn(pair).join().expect("it does not panic"));
        let other_count = Arc::default();
        assert_eq!(poll(&mut other_ticket, &other_count), None);
        outcomes.push((elsewhere, outcome(4)));
        deliver(outcomes);
        assert_eq!((woken(&tasks), other_count.0.load(Ordering::SeqCst)), (1, 1));
        tasks.sort_by_key(|(_, count)| count.0.load(Ordering::SeqCst));
        let (mut ticket, count) = tasks.pop().expect("there are three");
        assert!(poll(&mut ticket, &count).is_some());
        assert!(tasks.iter().all(|(_, count)| count.0.load(Ordering::SeqCst) == 1));
        let mut found: Vec<_> = tasks.iter_mut().map(|(ticket, count)| poll(ticket, count)).collect();
        found.push(poll(&mut other_ticket, &other_count));
        assert!(found.iter().all(Option::is_some));
    }

    #[test]
    fn a_task_polled_after_delivery_finds_its_outcome() {
        let (outcomes, mut tasks) = waiting();
        let (late, mut late_ticket) = pair();
        deliver(outcomes.into_iter().chain([(late, outcome(4))]));
        let found: Vec<_> = tasks.iter_mut().map(|(ticket, count)| poll(ticket, count)).collect();
        assert_eq!(found, [Some(1), Some(2), Some(3)]);
        assert_eq!(poll(&mut late_ticket, &Arc::default()), Some(4));
    }

    #[test]
    fn a_task_that_is_dropped_wakes_the_others() {
        let (outcomes, mut tasks) = waiting();
        deliver(outcomes);
        tasks.sort_by_key(|(_, count)| count.0.load(Ordering::SeqCst));
        drop(tasks.pop());
        assert_eq!(woken(&tasks), 2);

        // A task that is gone already is not the one that is woken.
        let (outcomes, mut tasks) = waiting();
        tasks.truncate(2);
        deliver(outcomes);
        assert_eq!(woken(&tasks), 1);
    }

    /// A waker that panics.
    struct Trap;

    impl Wake for Trap {
        fn wake(self: Arc<Self>) {
            panic!("as told");
        }
    }

    #[test]
    fn a_waker_that_panics_affects_only_its_task() {
        for trap in 0..3 {
            let (mut outcomes, tasks) = waiting();
            let (waiter, mut ticket) = pair();
            let trapped = Arc::new(Trap).into();
            assert!(ticket.poll(&Context::from_waker(&trapped)).is_pending());
            outcomes.insert(trap, (waiter, outcome(4)));
            deliver(outcomes);
            drop(ticket);
            let mut awake: Vec<_> = tasks.into_iter().filter(|(_, count)| count.0.load(Ordering::SeqCst) > 0).collect();
            assert!(!awake.is_empty());
            // They wake the others.
            let found: Vec<_> = awake.iter_mut().map(|(ticket, count)| poll(ticket, count)).collect();
            assert!(found.iter().all(Option::is_some));
        }
    }

    #[test]
    fn a_waiter_that_is_dropped_leaves_an_error() {
        let (outcomes, mut tasks) = waiting();
        drop(outcomes);
        assert_eq!(woken(&tasks), 3);
        for (ticket, count) in &mut tasks {
            let outcome = ticket.poll(&Context::from_waker(&Arc::clone(count).into()));
            assert!(matches!(outcome, Poll::Ready(Err(CommitError::Failed { in_doubt: true, .. }))));
        }
    }
}
