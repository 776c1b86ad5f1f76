//! Commits made by whoever submits first.

use std::thread;

use futures_util::FutureExt as _;

use super::puppet::{Command, ROOMY, batch, start, wait};

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
