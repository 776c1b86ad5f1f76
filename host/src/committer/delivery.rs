//! How the outcomes of a group get to the tasks that wait for them.
//!
//! To wake a task takes a few instructions on its own thread, and locks and perhaps system calls on any other. So of
//! all tasks that wait on one thread the commit thread wakes one, and that one wakes the others.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use argus_core::repository::{CommitError, Receipt};

use super::lock;

/// What became of a batch.
pub(super) type Outcome = Result<Receipt, CommitError>;

/// Gives a task its outcome. One that is dropped instead gives it an error.
#[derive(Debug)]
pub(super) struct Waiter {
    slot: Arc<Slot>,
    /// Where the task was when it submitted. It is still there, in all likelihood.
    thread: ThreadId,
}

/// Where a task finds its outcome.
#[derive(Debug)]
pub(super) struct Ticket {
    slot: Arc<Slot>,
}

type Slot = Mutex<State>;

#[derive(Debug)]
enum State {
    /// Whom to wake, if anybody has asked yet.
    Open(Option<Waker>),
    /// It is there, and whoever takes it wakes these others.
    Decided(Outcome, Vec<Waker>),
    /// It was taken, or nobody wants it.
    Over,
}

/// A pair for a task on this thread.
pub(super) fn pair() -> (Waiter, Ticket) {
    let slot = Arc::new(Mutex::new(State::Open(None)));
    (Waiter { slot: Arc::clone(&slot), thread: thread::current().id() }, Ticket { slot })
}

/// Gives every task its outcome.
pub(super) fn deliver(outcomes: impl IntoIterator<Item = (Waiter, Outcome)>) {
    let mut threads: Vec<(ThreadId, Vec<(Waiter, Waker)>)> = Vec::new();
    for (waiter, outcome) in outcomes {
        // A task that has not asked finds it when it does.
        let Some(waker) = waiter.decide(outcome) else { continue };
        match threads.iter_mut().find(|(thread, _)| *thread == waiter.thread) {
            Some((_, sleeping)) => sleeping.push((waiter, waker)),
            None => threads.push((waiter.thread, vec![(waiter, waker)])),
        }
    }
    for (_, mut sleeping) in threads {
        while let Some((waiter, waker)) = sleeping.pop() {
            let mut slot = lock(&waiter.slot);
            // One that was faster, or has gone away, wakes nobody.
            if let State::Decided(_, others) = &mut *slot {
                others.extend(sleeping.drain(..).map(|(_, waker)| waker));
                drop(slot);
                if !wake(waker) {
                    // It may never look, and the others must not depend on it.
                    waiter.call_others();
                }
            }
        }
    }
}

/// Wakes a task; whether that went well. A task whose waker panics is lost, but neither the thread that wakes it nor
/// any other task.
fn wake(waker: Waker) -> bool {
    catch_unwind(AssertUnwindSafe(|| waker.wake())).is_ok()
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        wake(waker);
    }
}

impl Waiter {
    /// Puts the outcome where the task looks for it; gives whom to wake.
    fn decide(&self, outcome: Outcome) -> Option<Waker> {
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

    /// Wakes those who depend on the task.
    fn call_others(&self) {
        let others = match &mut *lock(&self.slot) {
            State::Decided(_, others) => mem::take(others),
            State::Open(_) | State::Over => Vec::new(),
        };
        wake_all(others);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // Nothing, if there is an outcome. There is always one unless a thread unwinds.
        let waker = self.decide(Err(CommitError::in_doubt("a commit was left half-way")));
        wake_all(waker.into_iter().collect());
    }
}

impl Ticket {
    /// The outcome, once it is there; the task of `cx` is woken then.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome> {
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

    /// Takes the outcome, if there is one, and wakes those who depend on that.
    fn take(&mut self) -> Option<Outcome> {
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

impl Drop for Ticket {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often a task was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn outcome(seq: u64) -> Outcome {
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

    fn poll(ticket: &mut Ticket, count: &Arc<Count>) -> Option<u64> {
        match ticket.poll(&Context::from_waker(&Arc::clone(count).into())) {
            Poll::Ready(outcome) => outcome.ok().map(|receipt| receipt.first_seq),
            Poll::Pending => None,
        }
    }

    /// A task that waits, and how often it was woken.
    type Task = (Ticket, Arc<Count>);

    /// Three of them, and what they are to be given.
    fn waiting() -> (Vec<(Waiter, Outcome)>, Vec<Task>) {
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
    fn outcomes_are_there_for_whoever_asks_first() {
        let (outcomes, mut tasks) = waiting();
        let (late, mut late_ticket) = pair();
        deliver(outcomes.into_iter().chain([(late, outcome(4))]));
        let found: Vec<_> = tasks.iter_mut().map(|(ticket, count)| poll(ticket, count)).collect();
        assert_eq!(found, [Some(1), Some(2), Some(3)]);
        assert_eq!(poll(&mut late_ticket, &Arc::default()), Some(4));
    }

    #[test]
    fn who_goes_away_wakes_the_others_first() {
        let (outcomes, mut tasks) = waiting();
        deliver(outcomes);
        tasks.sort_by_key(|(_, count)| count.0.load(Ordering::SeqCst));
        drop(tasks.pop());
        assert_eq!(woken(&tasks), 2);

        // One that has gone before is not the one that is woken.
        let (outcomes, mut tasks) = waiting();
        tasks.truncate(2);
        deliver(outcomes);
        assert_eq!(woken(&tasks), 1);
    }

    /// The waker of a task whose executor is broken.
    struct Trap;

    impl Wake for Trap {
        fn wake(self: Arc<Self>) {
            panic!("as told");
        }
    }

    #[test]
    fn a_waker_that_panics_costs_its_task_and_nobody_else() {
        for trap in 0..3 {
            let (mut outcomes, tasks) = waiting();
            let (waiter, mut ticket) = pair();
            let trapped = Arc::new(Trap).into();
            assert!(ticket.poll(&Context::from_waker(&trapped)).is_pending());
            outcomes.insert(trap, (waiter, outcome(4)));
            deliver(outcomes);
            drop(ticket);
            let mut asked: Vec<_> = tasks.into_iter().filter(|(_, count)| count.0.load(Ordering::SeqCst) > 0).collect();
            assert!(!asked.is_empty());
            // Those who were woken wake the others.
            let found: Vec<_> = asked.iter_mut().map(|(ticket, count)| poll(ticket, count)).collect();
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
