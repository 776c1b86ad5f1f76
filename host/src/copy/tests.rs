//! Copies between repositories in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::{ImportError, Repository as _, Snapshot};
use argus_testing::{Draft, Model, NOW, all_events, all_gaps, generate};

use super::comparison::{Found, compare};
use super::digest::Digest;
use super::error::{CopyError, Unrelated};
use super::progress::Progress;
use super::writing::write;

/// A repository with events of which some were erased, the last one too.
fn source() -> Model {
    let mut model = Model::new();
    for commit in 0..6_i64 {
        let draft = |number: i64| Draft {
            event_type: "click".into(),
            timestamp: Timestamp::from_nanos(1_000 - number),
            payload: format!(r#"{{"n":{number}.0}}"#),
            id: (number % 2 == 0).then(|| format!("order {commit} {number}")),
        };
        let drafts: Vec<Draft> = (0..3).map(draft).collect();
        model.commit(Timestamp::from_nanos(NOW.as_nanos() + commit * 5_000_000), &[generate::batch(&drafts)]).unwrap();
    }
    erase(&mut model, "order 1 2");
    erase(&mut model, "order 5 2");
    model
}

fn erase(model: &mut Model, id: &str) {
    assert_eq!(model.erase_now(&Filter { ids: Some(vec![id.into()]), ..Filter::default() }), 1);
}

fn commit(model: &mut Model, id: &str) {
    let draft = Draft { event_type: "new".into(), timestamp: NOW, payload: "1".into(), id: Some(id.into()) };
    model.commit(NOW, &[generate::batch(&[draft])]).unwrap();
}

/// What a run of the command does, without its check at the end.
fn copy(from: &Model, to: &mut Model) -> Result<(Found, u64), CopyError> {
    let (from, existing): (Arc<dyn Snapshot>, _) = (from.snapshot(), to.snapshot());
    let mut progress = Progress::new(from.last_seq());
    let mut found = compare(&from, &existing, &mut progress)?;
    let written = write(&from, existing.last_seq(), to, &mut found.digest, &mut progress)?;
    Ok((found, written))
}

fn digest(model: &Model) -> Digest {
    super::digest(&model.snapshot(), &mut Progress::new(model.last_seq())).unwrap()
}

/// A model with the events up to a number.
fn begun(from: &Model, up_to: u64) -> Model {
    let mut beginning = from.clone();
    beginning.truncate(up_to);
    let mut to = Model::new();
    copy(&beginning, &mut to).unwrap();
    to
}

#[test]
fn a_copy_can_begin_anywhere() {
    let from = source();
    for up_to in 0..=from.last_seq() {
        let mut to = begun(&from, up_to);
        let (found, written) = copy(&from, &mut to).unwrap();
        assert_eq!(written, from.events().iter().filter(|event| event.seq > up_to).count() as u64);
        assert_eq!((found.digest, found.left_over), (digest(&from), Digest::default()));
        assert_eq!((digest(&to), to.last_seq()), (digest(&from), from.last_seq()));
        let gaps = |model: &Model| all_gaps(&model.snapshot(), 0, from.last_seq(), 9).unwrap();
        assert_eq!(gaps(&to), gaps(&from));
        assert_eq!(all_events(&to.snapshot()).unwrap().len(), 16);
    }
}

#[test]
fn what_was_removed_from_the_source_since_is_told_and_not_compared() {
    let mut from = source();
    let mut to = begun(&from, 9);
    erase(&mut from, "order 0 0");
    let (found, _) = copy(&from, &mut to).unwrap();
    assert_eq!((found.digest.events(), found.left_over.events()), (15, 1));
    assert_eq!(digest(&to).without(&found.left_over), digest(&from));
}

#[test]
fn an_id_that_was_used_again_in_the_source_is_not_stored_twice() {
    let mut from = source();
    let mut to = begun(&from, 9);
    erase(&mut from, "order 0 0");
    commit(&mut from, "order 0 0");
    let Err(CopyError::Store(ImportError::Refused(reason))) = copy(&from, &mut to) else { panic!("it was stored") };
    assert_eq!(reason, "event 19 has the id of event 1, which is stored already");
}

#[test]
fn anything_else_than_the_beginning_of_a_copy_is_refused() {
    let from = source();
    let refused = |to: &mut Model, expected: Unrelated| {
        let before = digest(to);
        let Err(CopyError::Unrelated(reason)) = copy(&from, to) else { panic!("it was not refused: {expected}") };
        assert_eq!((reason, digest(to)), (expected, before));
    };
    let mut ahead = begun(&from, from.last_seq());
    commit(&mut ahead, "later");
    refused(&mut ahead, Unrelated::Ahead { from: 18, to: 19 });
    let mut other = begun(&from, 4);
    commit(&mut other, "between");
    refused(&mut other, Unrelated::Other(5));
    let mut fewer = begun(&from, 9);
    erase(&mut fewer, "order 0 2");
    refused(&mut fewer, Unrelated::Missing(3));
    let mut emptied = begun(&from, 9);
    emptied.retain(|_| false);
    refused(&mut emptied, Unrelated::Missing(1));
    let mut strange = begun(&from, 0);
    commit(&mut strange, "strange");
    refused(&mut strange, Unrelated::Other(1));
    // Where the source has no event any more, the target has one, and nothing else.
    let mut gone = source();
    gone.retain(|event| event.seq > 3);
    let mut left = begun(&from, 3);
    let Err(CopyError::Unrelated(reason)) = copy(&gone, &mut left) else { panic!("it was not refused") };
    assert_eq!(reason, Unrelated::NothingShared(3));
}
