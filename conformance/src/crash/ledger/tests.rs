//! Tests of the ledger.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;
use crate::erasure::Selection;

fn found(seq: u64, token: Token) -> Found {
    Found { seq, token, id: token.event().id.unwrap_or_else(|| format!("generated-{seq}")) }
}

fn reading(events: Vec<Found>) -> Reading {
    Reading { after: 0, last: events.last().map_or(0, |event| event.seq), events }
}

/// The result if three events are sent with this outcome and these of them are stored, in this order.
fn verdict(outcome: Outcome, there: &[usize]) -> Result<Sums, String> {
    let mut ledger = Ledger::default();
    let fresh: Vec<Token> = (0..3).map(|_| ledger.token(false, false)).collect();
    let tail = (1..).zip(there).map(|(seq, &index)| found(seq, fresh[index])).collect();
    ledger.reconcile(reading(tail), &[Attempt { fresh, repeats: Vec::new(), answered: 0, outcome }], &[])
}

fn acknowledged() -> Outcome {
    Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(1) }
}

#[test]
fn acknowledged_events_are_stored_once_in_order() {
    assert_eq!(verdict(acknowledged(), &[0, 1, 2]).unwrap().acknowledged_events, 3);
    for wrong in [&[][..], &[0, 1], &[0, 2, 1], &[1, 2, 0], &[0, 1, 2, 2]] {
        assert!(verdict(acknowledged(), wrong).is_err(), "{wrong:?}");
    }
    let elsewhere = Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(2) };
    let fewer = Outcome::Many { accepted: 2, duplicates: 1, first_seq: Some(1) };
    assert!(verdict(elsewhere, &[0, 1, 2]).is_err() && verdict(fewer, &[0, 1, 2]).is_err());
}

#[test]
fn unanswered_requests_are_stored_whole_or_not_at_all() {
    let unknown = || Outcome::Unknown("the connection was closed".to_owned());
    assert_eq!(verdict(unknown(), &[]).unwrap().unknown_stored, 0);
    assert_eq!(verdict(unknown(), &[0, 1, 2]).unwrap().unknown_stored, 1);
    for wrong in [&[0][..], &[1, 2], &[2, 1, 0], &[0, 1, 2, 0]] {
        assert!(verdict(unknown(), wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn refused_or_unsent_events_are_not_stored() {
    let refused = || Outcome::Refused("full".to_owned());
    assert_eq!(verdict(refused(), &[]).unwrap().refused, 1);
    assert!(verdict(refused(), &[0, 1, 2]).unwrap_err().contains("refused"));
    let mut ledger = Ledger::default();
    let stray = ledger.token(true, true);
    assert!(ledger.reconcile(reading(vec![found(1, stray)]), &[], &[]).unwrap_err().contains("was not sent"));
}

#[test]
fn stored_events_keep_their_sequence_number_and_id() {
    let mut ledger = Ledger::default();
    let token = ledger.token(false, false);
    let outcome = Outcome::One { seq: 1, duplicate: false, id: "generated-1".to_owned() };
    let attempt = Attempt { fresh: vec![token], repeats: Vec::new(), answered: 0, outcome };
    ledger.reconcile(reading(vec![found(1, token)]), std::slice::from_ref(&attempt), &[]).unwrap();
    assert_eq!(ledger.recognise(&found(1, token)), Ok(()));
    let renamed = Found { id: "another".to_owned(), ..found(1, token) };
    assert!(ledger.recognise(&renamed).is_err() && ledger.recognise(&found(2, token)).is_err());
    let twice = reading(vec![found(1, token), found(2, token)]);
    assert!(ledger.reconcile(twice, &[attempt], &[]).unwrap_err().contains("stored twice"));
}

#[test]
fn a_duplicate_has_the_sequence_number_of_the_first() {
    let mut ledger = Ledger::default();
    let token = ledger.token(true, false);
    let answer = |seq, duplicate| Outcome::One { seq, duplicate, id: token.event().id.unwrap() };
    let first = Attempt { fresh: vec![token], repeats: Vec::new(), answered: 0, outcome: answer(1, false) };
    ledger.reconcile(reading(vec![found(1, token)]), &[first], &[]).unwrap();
    for (outcome, right) in [(answer(1, true), true), (answer(1, false), false), (answer(2, true), false)] {
        let again = Attempt { fresh: Vec::new(), repeats: vec![(token, 1)], answered: 0, outcome };
        assert_eq!(ledger.reconcile(reading(vec![found(1, token)]), &[again], &[]).is_ok(), right);
    }
}

#[test]
fn an_erased_event_is_gone_and_its_token_can_be_stored_again() {
    let mut ledger = Ledger::default();
    let tokens: Vec<Token> = (0..40).map(|_| ledger.token(true, false)).collect();
    let all: Vec<Found> = (1..).zip(&tokens).map(|(seq, token)| found(seq, *token)).collect();
    let outcome = Outcome::Many { accepted: 40, duplicates: 0, first_seq: Some(1) };
    let attempt = Attempt { fresh: tokens, repeats: Vec::new(), answered: 0, outcome };
    ledger.reconcile(reading(all.clone()), &[attempt], &[]).unwrap();
    let selection = Selection::of_type("t");
    let (gone, left): (Vec<Found>, Vec<Found>) = all.into_iter().partition(|event| selection.has(event.token));
    let outcome = Erased::Done(Some(gone.len() as u64));
    let erasures = [Erasure { selection, known: 40, outcome }];
    let after = |events: &[Found]| Reading { after: 0, last: 40, events: events.to_vec() };
    let fewer = left.get(1..).unwrap();
    assert!(ledger.reconcile(after(fewer), &[], &erasures).unwrap_err().contains("no erasure explains"));
    let sums = ledger.reconcile(after(&left), &[], &erasures).unwrap();
    assert_eq!((sums.erased, ledger.visible()), (gone.len() as u64, left.len() as u64));
    let Found { seq, token, .. } = gone[0].clone();
    assert_eq!((ledger.at(seq), ledger.seq(token)), (None, None));
    assert!(ledger.take_unanswered(&[]).contains(&vec![token]));
    assert_eq!(ledger.erased(), gone.iter().map(|event| event.token).collect::<Vec<_>>());
    ledger.reconcile(after(&left), &[], &[]).unwrap();
    assert!(ledger.erased().is_empty(), "only those of the last reconciliation");
    let mut back = left;
    back.insert(0, gone[0].clone());
    assert!(ledger.reconcile(after(&back), &[], &[]).is_err(), "it must not come back");
}

#[test]
fn an_unanswered_request_whose_events_are_all_erased_may_leave_a_gap() {
    let verdict = |last, missing, answered, outcome| {
        let mut ledger = Ledger::default();
        let token = (0..).map(|_| ledger.token(false, false)).find(|token| token.traits().event_type == "t").unwrap();
        let unknown = Outcome::Unknown("the connection was closed".to_owned());
        let attempt = Attempt { fresh: vec![token; missing], repeats: Vec::new(), answered, outcome: unknown };
        let erased = Erasure { selection: Selection::of_type("t"), known: 0, outcome };
        ledger.reconcile(Reading { after: 0, last, events: Vec::new() }, &[attempt], &[erased])
    };
    let done = |counted| Erased::Done(Some(counted));
    let in_doubt = || Erased::Unknown("the connection was closed".to_owned());
    assert_eq!(verdict(1, 1, 0, done(1)).unwrap().erased, 1);
    assert_eq!(verdict(1, 1, 0, in_doubt()).unwrap().erased, 1);
    // It may have come late.
    assert_eq!(verdict(1, 1, 1, in_doubt()).unwrap().erased, 1);
    assert!(verdict(2, 1, 0, done(1)).unwrap_err().contains("is missing"));
    // These cannot have taken the event: one that was refused, and one that was answered before the event was sent.
    assert!(verdict(1, 1, 0, Erased::Refused("full".to_owned())).unwrap_err().contains("is missing"));
    assert!(verdict(1, 1, 1, done(0)).unwrap_err().contains("is missing"));
}

/// Nobody could say whether a stored event is still a duplicate while an erasure that selects it is under way.
#[test]
fn a_request_waits_while_erasures_select_its_stored_events() {
    let mut ledger = Ledger::default();
    let is_t = |token: &Token| token.traits().event_type == "t";
    let (selected, other): (Vec<Token>, Vec<Token>) = (0..40).map(|_| ledger.token(true, false)).partition(is_t);
    let absent = (0..).map(|_| ledger.token(true, false)).find(is_t).unwrap();
    let stored: Vec<Token> = [&selected[..], &other].concat();
    let unknown = || Outcome::Unknown("the connection was closed".to_owned());
    let requests = [selected.clone(), other.clone(), vec![absent]];
    let attempts = requests.map(|fresh| Attempt { fresh, repeats: Vec::new(), answered: 0, outcome: unknown() });
    let events = (1..).zip(stored).map(|(seq, token)| found(seq, token)).collect();
    ledger.reconcile(reading(events), &attempts, &[]).unwrap();
    let taken = ledger.take_unanswered(&[Selection::of_type("t")]);
    assert_eq!(taken, [other.clone(), vec![absent]], "what is not stored is new, erased or not");
    ledger.return_unanswered(vec![other.clone()]);
    assert_eq!(ledger.take_unanswered(&[]), [selected, other]);
}
