//! Commits made by the leader, the first to submit.

use std::thread;

use futures_util::FutureExt as _;

use super::manual::{Command, ROOMY, batch, start, wait};

#[test]
fn if_the_repository_never_waits_the_leader_commits() {
    let (committer, control) = start(ROOMY, true);
    let leader = thread::current().name().map(str::to_owned);
    loop {
        control.commands.send(Command::Succeed).unwrap();
        control.commands.send(Command::Succeed).unwrap();
        let [first, second] = [2, 3].map(|events| committer.submit(batch(events)).unwrap());
        let first = wait(first).unwrap();
        if control.groups.recv().unwrap() == (2, leader.clone()) {
            assert_eq!(second.now_or_never().unwrap().unwrap().first_seq, first.first_seq + 2);
            return;
        }
        // Until the commit thread sleeps for the first time, it may be faster than the leader.
        wait(second).unwrap();
        while control.groups.try_recv().is_ok() {}
    }
}

#[test]
fn batches_that_arrive_during_a_commit_are_committed_after_it() {
    let (committer, control) = start(ROOMY, true);
    thread::scope(|threads| {
        let committing = threads.spawn(|| wait(committer.submit(batch(1)).unwrap()).unwrap().first_seq);
        assert_eq!(control.groups.recv().unwrap().0, 1);
        let second = threads.spawn(|| wait(committer.submit(batch(1)).unwrap()).unwrap().first_seq);
        control.commands.send(Command::Succeed).unwrap();
        assert_eq!(committing.join().unwrap(), 1);
        // Committed by whichever thread finds the repository unlocked first.
        assert_eq!(control.groups.recv().unwrap().0, 1);
        control.commands.send(Command::Succeed).unwrap();
        assert_eq!(second.join().unwrap(), 2);
    });
}

#[test]
fn if_the_leader_is_dropped_the_thread_commits() {
    for polled in [false, true] {
        let (committer, control) = start(ROOMY, true);
        let mut first = committer.submit(batch(1)).unwrap();
        let second = committer.submit(batch(1)).unwrap();
        if polled {
            assert!((&mut first).now_or_never().is_none());
        }
        drop(first);
        let mut committed = 0;
        // In one group, unless the thread was about to sleep when the first batch came.
        while committed < 2 {
            let (batches, thread) = control.groups.recv().unwrap();
            assert_eq!(thread.as_deref(), Some("argus-commit"));
            committed += batches;
            control.commands.send(Command::Succeed).unwrap();
        }
        assert_eq!(wait(second).unwrap().first_seq, 2);
    }
}
