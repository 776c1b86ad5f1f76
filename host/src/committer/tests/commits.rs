//! Groups of batches: how they gather, are committed and are answered.

use super::super::*;
use super::puppet::{Command, ROOMY, batch, occupy, start, stats, wait};

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
fn what_nobody_waits_for_is_committed_all_the_same() {
    let (committer, strings) = start(ROOMY, false);
    drop(occupy(&committer, &strings));
    strings.commands.send(Command::Succeed).unwrap();
    committer.shutdown();
    assert_eq!(stats(&committer).last_seq, 1);
}
