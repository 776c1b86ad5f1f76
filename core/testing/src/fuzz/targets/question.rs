//! Query strings of the questions about many events, such as `GET /events/aggregate`.

use argus_core::api::{Action, Caller, ReadRun, Route};

use super::super::super::Random;
use super::super::Target;
use super::super::replies::{answer, answer_between, checked, request};
use super::super::store::store;

pub(super) const TARGET: Target = Target {
    name: "question",
    about: "a question is refused, or its answer is the same at once, in parts, suspended often, and event by event",
    run: question,
    seeds,
    words: &[
        "interval=",
        "1h",
        "30s",
        "1mo",
        "1w",
        "timezone=",
        "Europe/Berlin",
        "fill=true",
        "group_by=",
        "type",
        "agg=",
        "count",
        "sum(payload.a)",
        "avg(payload.b)",
        "min(payload.",
        "max(payload.a)",
        "p50(payload.b)",
        "unique(payload.a)",
        "top=",
        "step=",
        "step.1.payload.",
        "step.2.",
        "by=payload.",
        "within=",
        "first=",
        "then=",
        "periods=",
        "type[prefix]=",
        "start=1700000000",
        "end=2023-11-14T22:13:30Z",
        "after_seq=",
        "payload.a",
        "[exists]=true",
        "[gte]=",
        "&",
        "=",
        "%2B",
        "\\.",
        "view",
        "buy",
    ],
    smoke_runs: 300,
};

/// The routes, by the number that the first byte of an input chooses.
const ROUTES: [(&str, Route); 5] = [
    ("aggregate", Route::Aggregate),
    ("funnel", Route::Funnel),
    ("retention", Route::Retention),
    ("types", Route::Types),
    ("fields", Route::Fields),
];

/// The first byte chooses the route and the format, and the rest is the query string.
///
/// # Panics
///
/// If two ways to the answer differ.
fn question(data: &[u8]) {
    let (choice, query) = data.split_first().map_or((0, data), |(first, query)| (first.wrapping_sub(b'0'), query));
    let choice = usize::from(choice);
    let Some((name, route)) = ROUTES.get(choice % ROUTES.len()) else { return };
    let accept: &[u8] = if choice / ROUTES.len() % 2 == 1 { b"text/csv" } else { b"application/json" };
    let target = format!("/events/{name}?{}", String::from_utf8_lossy(query));
    let ask = || match request("GET", &target, &[("accept", accept)]) {
        Action::Read(read) => {
            assert_eq!(read.route(), *route, "GET {target}");
            Some(read)
        }
        Action::Reply(reply) => {
            checked(&Caller::default(), reply);
            None
        }
        other @ (Action::Submit(_) | Action::Erase(_) | Action::Stream(_) | Action::Metrics(_)) => {
            panic!("{other:?} to GET {target}")
        }
    };
    let [Some(whole), Some(parted), Some(suspended), Some(model)] = [(); 4].map(|()| ask()) else { return };
    let store = store();
    let mut random = Random::seeded(data.len() as u64);
    let caller = Caller::default();
    // The model has no columns: it takes event by event.
    let expected = answer(&caller, model, &store.model, 1_000, None);
    let found = answer(&caller, whole, &store.reader, 1_000, None);
    assert_eq!(found, expected, "GET {target}");
    let budget = random.pick(&[1, 7, 1_000]);
    let found = answer(&caller, suspended, &store.reader, budget, Some(&mut random));
    assert_eq!(found, expected, "suspended often: GET {target}");
    let found = answer_between(&caller, parted, &store.reader, budget, |run| hand_out(run, budget, &mut random));
    assert_eq!(found, expected, "in parts: GET {target}");
}

/// Hands out some of the work, and does not always do it.
fn hand_out(run: &mut ReadRun, budget: u32, random: &mut Random<'_>) {
    let mut parts = run.split(random.index(4));
    while !parts.is_empty() {
        let mut part = parts.swap_remove(random.index(parts.len()));
        if random.one_in(2) {
            let _ = part.poll(budget).expect("a store in memory can be read");
        }
        run.join(part);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "0",
        "0interval=1h&group_by=type&agg=count&agg=sum(payload.a)&agg=avg(payload.a)",
        "5interval=1d&timezone=Europe%2FBerlin&fill=true&start=1700000000&end=1700100000",
        "0group_by=payload.a&group_by=payload.b&top=3",
        "0group_by=payload.a&top=2&agg=max(payload.b)&agg=min(payload.a.b)&interval=1mo",
        "5group_by=type&agg=p50(payload.a)&agg=p99(payload.b)&agg=unique(payload.a)&payload.a[exists]=true",
        "0interval=1s&fill=true",
        "1step=view&step=buy&by=payload.a&within=7d",
        "1step=view&step=view&step=buy&by=payload.b&step.2.payload.a[gte]=0&type=view&type=buy",
        "2first=view&then=view&by=payload.a&interval=1w&periods=3&timezone=America/New_York",
        "2first=view&then=buy&by=payload.b",
        "3type[prefix]=rare.",
        "3after_seq=7&payload.a=1",
        "4",
        "4type=view&start=2023-11-14T22:13:20Z&end=1700000030",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .into()
}
