//! Query strings of `GET /events`, against the naive model.

use argus_core::api::{Action, Caller, Route};

use super::super::super::Random;
use super::super::Target;
use super::super::replies::{Answer, answer, checked, request};
use super::super::store::store;

pub(super) const TARGET: Target = Target {
    name: "query",
    about: "a query string is refused, or all of its pages are byte for byte those of the naive model",
    run: query,
    seeds,
    words: &[
        "type=",
        "type[prefix]=",
        "id=",
        "start=",
        "end=",
        "after_seq=",
        "limit=",
        "order=seq",
        "order=desc",
        "cursor=",
        "payload.",
        "payload.a.b=",
        "[gt]",
        "[gte]",
        "[lt]",
        "[lte]",
        "[ne]",
        "[exists]=true",
        "[prefix]=",
        "[contains]=",
        "&",
        "=",
        "%2B",
        "%22",
        "%00",
        "\\.",
        "\\[",
        "2023-11-14T22:13:20Z",
        "view",
        "true",
        "null",
        "1e0",
        "\"1\"",
    ],
    smoke_runs: 400,
};

/// The most pages of one query that are read.
const PAGES_MAX: usize = 12;

/// # Panics
///
/// If the answer differs from the model's.
fn query(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let store = store();
    let mut target = format!("/events?{query}");
    let mut random = Random::seeded(data.len() as u64);
    for _ in 0..PAGES_MAX {
        let [engine, model] = [(); 2].map(|()| request("GET", &target, &[("accept", b"application/x-ndjson")]));
        let (engine, model) = match (engine, model) {
            (Action::Read(engine), Action::Read(model)) => (engine, model),
            (Action::Reply(reply), Action::Reply(other)) => {
                checked(&Caller::default(), reply.clone());
                assert_eq!(reply, other, "the same request has the same reply");
                return;
            }
            (other, _) => panic!("{other:?} to GET {target}"),
        };
        assert_eq!(engine.route(), Route::Events);
        let budget = random.pick(&[1, 7, 1_000]);
        let found = answer(&Caller::default(), engine, &store.reader, budget, Some(&mut random));
        let expected = answer(&Caller::default(), model, &store.model, 1_000, None);
        assert_eq!(shown(&found), shown(&expected), "GET {target}");
        let Some(next) = next_page(&found) else { return };
        target = next;
    }
}

/// An answer as text. Its head may say in other ways than the model's how the body is framed.
fn shown(answer: &Answer) -> (u16, Vec<(&str, &str)>, String) {
    let fields = answer.reply.headers.iter().filter(|(name, _)| *name != "content-length");
    let fields = fields.map(|(name, value)| (*name, value.as_ref())).collect();
    (answer.reply.status, fields, String::from_utf8_lossy(&answer.body).into_owned())
}

/// The target of the link to the next page.
fn next_page(answer: &Answer) -> Option<String> {
    let link = answer.reply.header("link")?;
    let (target, _) = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    Some(target.to_owned())
}

fn seeds() -> Vec<Vec<u8>> {
    let generated = store().events.iter().step_by(9).map(|event| format!("id={}", percent_encoded(&event.id.text())));
    let by_hand = [
        "",
        "type=view&type[prefix]=rare.",
        "type=&limit=3",
        "start=1700000000&end=2023-11-14T22%3A13%3A30Z&order=desc&limit=2",
        "order=seq&after_seq=7&limit=5",
        "payload.a=1&payload.b[exists]=false",
        "payload.a.b%5Bgte%5D=0.1&limit=1",
        "payload.a%5C.b%5C%5C[prefix]=a",
        "payload.a[contains]=%F0%9F%A6%80",
        "payload.a[ne]=%22x%22&limit=10",
        "limit=4&order=desc&payload.a[lt]=100",
        "cursor=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ];
    by_hand.into_iter().map(str::to_owned).chain(generated).map(String::into_bytes).collect()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
