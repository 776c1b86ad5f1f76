//! Tests of the model: its answers are worked out by hand.

use argus_core::query::{Operand, PayloadFilter, PayloadPath, Test, TypeTest};

use super::super::{Answer, Draft, Pace, check_same, collect, generate, get};
use super::*;

const NONE: [u64; 0] = [];

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn draft(event_type: &str, nanos: i64, payload: &str, id: Option<&str>) -> Draft {
    Draft { event_type: event_type.into(), timestamp: at(nanos), payload: payload.into(), id: id.map(Into::into) }
}

/// Six events; ordered by time, their sequence numbers are 4, 1, 3, 6, 2, 5.
fn six() -> Model {
    let mut model = Model::new();
    let drafts = [
        draft("view", 10, r#"{"n":1}"#, Some("one")),
        draft("buy", 30, r#"{"n":2}"#, None),
        draft("view", 20, r#"{"n":3}"#, None),
        draft("click", -5, "null", Some("four")),
        draft("view", 30, "[]", None),
        draft("größe", 20, r#"{"n":"3"}"#, None),
    ];
    for pair in drafts.chunks(2) {
        model.commit(at(0), &[generate::batch(pair)]).expect("a model does not fail");
    }
    model
}

fn answer(model: &Model, query: &Scan) -> (Vec<u64>, Option<(i64, u64)>) {
    let Answer { next, events } =
        collect(&model.snapshot(), query, Pace { budget: 1, stop_every: 0 }).expect("a model does not fail");
    (events.iter().map(|event| event.seq).collect(), next.map(|position| (position.timestamp.as_nanos(), position.seq)))
}

fn seqs(query: &Scan) -> Vec<u64> {
    let (seqs, next) = answer(&six(), query);
    assert_eq!(next, None);
    seqs
}

#[test]
fn events_come_in_order_of_time_and_then_of_sequence() {
    assert_eq!(seqs(&Scan::default()), [4, 1, 3, 6, 2, 5]);
    assert_eq!(seqs(&Scan { order: Order::TimeDescending, ..Scan::default() }), [5, 2, 6, 3, 1, 4]);
    assert_eq!(seqs(&Scan { order: Order::Sequence, ..Scan::default() }), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn each_condition_filters_events() {
    let types = |types: &[&str]| {
        let types = Some(types.iter().map(|&text| TypeTest::Eq(text.into())).collect());
        Scan::from(Filter { types, ..Filter::default() })
    };
    assert_eq!(seqs(&types(&["view"])), [1, 3, 5]);
    assert_eq!(seqs(&types(&["größe", "buy", "nobody", "buy"])), [6, 2]);
    assert_eq!(seqs(&types(&[""])), NONE);
    assert_eq!(seqs(&types(&[])), NONE);
    let prefix = |text: &str| Some(vec![TypeTest::Eq("buy".into()), TypeTest::Prefix(text.into())]);
    assert_eq!(seqs(&Scan::from(Filter { types: prefix("vi"), ..Filter::default() })), [1, 3, 2, 5]);

    assert_eq!(seqs(&Scan::from(Filter { start: Some(at(20)), ..Filter::default() })), [3, 6, 2, 5]);
    assert_eq!(seqs(&Scan::from(Filter { end: Some(at(20)), ..Filter::default() })), [4, 1, 3, 6]);
    assert_eq!(seqs(&Scan::from(Filter { start: Some(at(20)), end: Some(at(20)), ..Filter::default() })), [3, 6]);
    assert_eq!(seqs(&Scan::from(Filter { start: Some(at(21)), end: Some(at(20)), ..Filter::default() })), NONE);
    assert_eq!(seqs(&Scan::from(Filter { after_seq: Some(4), ..Filter::default() })), [6, 5]);
    assert_eq!(seqs(&Scan::from(Filter { after_seq: Some(0), ..Filter::default() })), [4, 1, 3, 6, 2, 5]);

    let ids = |ids: &[&str]| Filter { ids: Some(ids.iter().map(|&id| id.into()).collect()), ..Filter::default() };
    assert_eq!(seqs(&ids(&["one", "nobody", "four", "one"]).into()), [4, 1]);
    assert_eq!(seqs(&Filter { after_seq: Some(1), ..ids(&["one", "four"]) }.into()), [4]);
    assert_eq!(seqs(&ids(&[]).into()), NONE);

    let path = PayloadPath::parse("n").expect("a good path");
    let three = PayloadFilter { path, test: Test::Eq(Operand::new("3")) };
    assert_eq!(seqs(&Scan::from(Filter { payload: vec![three.clone()], ..Filter::default() })), [3, 6]);
    assert_eq!(seqs(&Scan::from(Filter { payload: vec![three], after_seq: Some(3), ..Filter::default() })), [6]);
}

#[test]
fn pages_start_after_their_position_and_return_the_next_position() {
    let page = |order, limit, from: Option<(i64, u64)>| {
        let from = from.map(|(nanos, seq)| Position { timestamp: at(nanos), seq });
        answer(&six(), &Scan { order, limit: std::num::NonZeroU32::new(limit), from, ..Scan::default() })
    };
    assert_eq!(page(Order::TimeAscending, 2, None), (vec![4, 1], Some((10, 1))));
    assert_eq!(page(Order::TimeAscending, 2, Some((10, 1))), (vec![3, 6], Some((20, 6))));
    assert_eq!(page(Order::TimeAscending, 2, Some((20, 6))), (vec![2, 5], None));
    assert_eq!(page(Order::TimeAscending, 1, Some((20, 3))), (vec![6], Some((20, 6))));
    assert_eq!(page(Order::TimeAscending, 6, None), (vec![4, 1, 3, 6, 2, 5], None));
    assert_eq!(page(Order::TimeDescending, 5, None), (vec![5, 2, 6, 3, 1], Some((10, 1))));
    assert_eq!(page(Order::TimeDescending, 5, Some((10, 1))), (vec![4], None));
    assert_eq!(page(Order::Sequence, 2, Some((0, 3))), (vec![4, 5], Some((30, 5))));
    assert_eq!(page(Order::Sequence, 2, Some((0, 5))), (vec![6], None));
    // A position need not be that of an event.
    assert_eq!(page(Order::TimeAscending, 9, Some((20, 4))), (vec![6, 2, 5], None));
    assert_eq!(page(Order::TimeDescending, 9, Some((20, 4))), (vec![3, 1, 4], None));
}

#[test]
fn a_known_id_is_a_duplicate_whichever_batch_it_came_in() {
    let mut model = six();
    let generated = model.snapshot();
    let generated =
        collect(&generated, &Scan::from(Filter { after_seq: Some(5), ..Filter::default() }), Pace::UNBROKEN)
            .expect("it has 6");
    let generated = generated.events.first().expect("the sixth").id.text();
    let first = generate::batch(&[
        draft("x", 1, "1", Some("one")),
        draft("x", 2, "2", None),
        draft("x", 3, "3", Some("new")),
        draft("y", 4, "4", Some("new")),
    ]);
    let second = generate::batch(&[draft("x", 5, "5", Some("new")), draft("x", 6, "6", Some(&generated))]);
    let third = generate::batch(&[draft("x", 7, "7", Some("given"))]);
    let receipts = model.commit(at(1_700_000_000_000_000_000), &[first, second, third]).expect("a model does not fail");
    let uuid = "018bcfe5-6800-7000-8000-000000000007";
    assert_eq!(
        receipts,
        [
            Receipt {
                first_seq: 7,
                stored: 2,
                duplicates: [Duplicate { index: 0, seq: 1 }, Duplicate { index: 3, seq: 8 }].into(),
                surplus: None,
                generated_id: model.events().get(6).and_then(|event| match event.id {
                    StoredId::Generated(uuid) => Some(uuid),
                    StoredId::Given(_) => None,
                }),
                expired: 0,
                durable: false,
            },
            Receipt {
                first_seq: 9,
                stored: 0,
                duplicates: [Duplicate { index: 0, seq: 8 }, Duplicate { index: 1, seq: 6 }].into(),
                surplus: None,
                generated_id: None,
                expired: 0,
                durable: false,
            },
            Receipt {
                first_seq: 9,
                stored: 1,
                duplicates: [].into(),
                surplus: None,
                generated_id: None,
                expired: 0,
                durable: false
            },
        ]
    );
    let snapshot = model.snapshot();
    let found = |id: &str| get(&*snapshot, id).expect("a model does not fail").map(|event| event.seq);
    assert_eq!(found("new"), Some(8));
    assert_eq!(found(uuid), Some(7));
    assert_eq!(found("nobody"), None);
    assert_eq!((snapshot.stats().expect("a model does not fail").events, snapshot.last_seq()), (9, 9));
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let mut model = six();
    let (before, same) = (model.snapshot(), six().snapshot());
    model.commit(at(0), &[generate::batch(&[draft("x", 0, "0", None)])]).expect("a model does not fail");
    assert_eq!(check_same(&before, &same, &[]), Ok(()));
    let difference = check_same(&model.snapshot(), &same, &[]).expect_err("it has one more");
    assert_eq!(difference.to_string(), "stats: events\n  should: 6\n  did:    7");
}
