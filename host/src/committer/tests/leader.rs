//! Commits made by whoever submits first.

use std::thread;

use futures_util::FutureExt as _;

use super::manual::{Command, ROOMY, batch, start, wait};

#[test]
fn if_the_repository_never_waits_the_leader_commits() {
    let (committer, control) = start(ROOMY, true);
    control.commands.send(Command::Succeed).unwrap();
    let [first, second] = [2, 3].map(|events| committer.submit(batch(events)).unwrap());
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(control.groups.recv().unwrap(), (2, thread::current().name().map(str::to_owned)));
    assert_eq!(second.now_or_never().unwrap().unwrap().first_seq, 3);
}

#[test]
fn batches_that_arrive_during_a_commit_are_committed_after_it() {
    let (committer, control) = start(ROOMY, true);
    thread::scope(|threads| {
        let committing = threads.spawn(|| wait(committer.submit(batch(1)).unwrap()).unwrap().first_seq);
        assert_eq!(control.groups.recv().unwrap(), (1, None));
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
        assert_eq!(control.groups.recv().unwrap(), (2, Some("argus-commit".to_owned())));
        control.commands.send(Command::Succeed).unwrap();
        assert_eq!(wait(second).unwrap().first_seq, 2);
    }
}
