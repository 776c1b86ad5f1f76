//! Groups of batches: how they gather, are committed and are answered.

use super::super::*;
use super::manual::{Command, ROOMY, batch, occupy, start, stats, wait};

#[test]
fn on_idle_is_called_at_the_start_and_after_the_last_commit() {
    let (committer, control) = start(ROOMY, false);
    control.idles.recv().unwrap();
    let pending = committer.submit(batch(1)).unwrap();
    control.commands.send(Command::Succeed).unwrap();
    assert!(wait(pending).is_ok());
    control.idles.recv().unwrap();
    assert!(control.idles.try_recv().is_err(), "no commit has followed");
}

#[test]
fn queued_batches_are_committed_together_and_published_before_they_are_answered() {
    let (committer, control) = start(ROOMY, false);
    let first = occupy(&committer, &control);
    let others: Vec<_> = [2, 3, 4].map(|events| committer.submit(batch(events)).unwrap()).into();
    assert_eq!(committer.queued().0, 3);
    assert_eq!(stats(&committer).last_seq, 0);
    control.commands.send(Command::Succeed).unwrap();
    assert_eq!(wait(first).unwrap().first_seq, 1);
    assert_eq!(stats(&committer).last_seq, 1);
    assert_eq!(control.groups.recv().unwrap().0, 3);
    control.commands.send(Command::Succeed).unwrap();
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
    let (committer, control) = start(QueueLimits { batches_max: 2, bytes_max: usize::MAX }, false);
    let _first = occupy(&committer, &control);
    let _queued = [committer.submit(batch(1)).unwrap(), committer.submit(batch(1)).unwrap()];
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(control);

    let bytes = batch(10).bytes();
    let (committer, control) = start(QueueLimits { batches_max: 100, bytes_max: bytes }, false);
    let _first = occupy(&committer, &control);
    let _queued = committer.submit(batch(10)).unwrap();
    assert_eq!(committer.queued(), (1, bytes));
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(control);
}

#[test]
fn a_batch_larger_than_the_queue_is_accepted_if_the_queue_is_empty() {
    let (committer, control) = start(QueueLimits { batches_max: 100, bytes_max: 1 }, false);
    let _first = occupy(&committer, &control);
    let _queued = committer.submit(batch(1000)).unwrap();
    assert_eq!(committer.submit(batch(1)).unwrap_err(), SubmitError::QueueFull);
    drop(control);
}

#[test]
fn a_batch_is_committed_even_if_nobody_waits_for_it() {
    let (committer, control) = start(ROOMY, false);
    drop(occupy(&committer, &control));
    control.commands.send(Command::Succeed).unwrap();
    committer.shutdown();
    assert_eq!(stats(&committer).last_seq, 1);
}
