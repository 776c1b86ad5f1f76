//! Conditions of equality find their events by the index of values.

use std::num::NonZeroU32;

use argus_core::event::{Event, Payload, Timestamp};
use argus_core::query::{Conditions, Filter, Order, Scan};
use argus_core::repository::{Flow, Repository as _};
use argus_mongodb::{MongoOptions, MongoRepository};
use argus_testing::{Draft, NOW, Pace, collect, generate};
use mongodb::bson::{Bson, Document, doc};

use super::database::{Database, options};

const EVENTS: i64 = 2_000;

/// The number of the event whose payload has too many values to be found by one of them.
const LARGE: i64 = 707;

/// Events of two types, one a second: a quarter is of type `d`. Each of 100 users has one of a hundred, and the first
/// half of all have another plan than the second one.
fn stored(database: &Database) -> MongoRepository {
    let draft = |number: i64| {
        let event_type = if number % 4 == 3 { "d" } else { "a" };
        let plan = if number < EVENTS / 2 { "free" } else { "paid" };
        let more: Vec<String> = (0..if number == LARGE { 300 } else { 1 }).map(|more| more.to_string()).collect();
        Draft {
            event_type: event_type.into(),
            timestamp: Timestamp::from_nanos(NOW.as_nanos() + number * 1_000_000_000),
            payload: format!(
                r#"{{"user":"u{}","plan":"{plan}","n":{number}.0,"more":[{}]}}"#,
                number % 100,
                more.join(",")
            ),
            id: None,
        }
    };
    let batch = generate::batch(&(0..EVENTS).map(draft).collect::<Vec<_>>());
    let mut repository = database.open_with(MongoOptions { transaction_events: 5_000, ..options() });
    repository.commit(NOW, &[batch]).unwrap();
    repository
}

fn filter(json: &str) -> Filter {
    serde_json::from_str(json).unwrap()
}

/// The numbers of the events that a scan finds, and how many bytes of events it has read.
fn scanned(repository: &MongoRepository, scan: &Scan) -> (Vec<u64>, u64) {
    let mut run = repository.reader().take().unwrap().scan(scan).unwrap();
    while run.poll_head(u32::MAX).unwrap().is_pending() {}
    let mut found = Vec::new();
    let mut sink = |event: Event<'_>| {
        found.push(event.seq);
        Flow::More
    };
    while run.poll_events(u32::MAX, &mut sink).unwrap().is_pending() {}
    let bytes = run.scanned_bytes();
    (found, bytes)
}

/// The numbers of the events that a scan without conditions finds, and for which the core says that they hold.
fn tested(repository: &MongoRepository, filter: &Filter, order: Order) -> Vec<u64> {
    let scan = Scan { filter: Filter { payload: Vec::new(), ..filter.clone() }, order, ..Scan::default() };
    let mut conditions = Conditions::compile(&filter.payload);
    let mut events = collect(&repository.reader().take().unwrap(), &scan, Pace::UNBROKEN).unwrap().events;
    events.retain(|event| conditions.evaluate(Payload::parse(&event.payload).unwrap()).matches);
    events.iter().map(|event| event.seq).collect()
}

#[test]
fn few_events_are_read_to_find_those_with_a_value() {
    let Some(database) = Database::new() else { return };
    let repository = stored(&database);
    let (all, bytes) = scanned(&repository, &Scan::default());
    assert_eq!(all.len() as u64, EVENTS.cast_unsigned());
    let bytes_of_one = bytes / EVENTS.cast_unsigned();
    for (json, found_max, read_max) in [
        (r#"{"payload":[{"path":"user","test":{"eq":"u7"}}]}"#, 20, 60),
        (r#"{"payload":[{"path":"n","test":{"eq":"11"}}]}"#, 1, 40),
        (r#"{"payload":[{"path":"user","test":{"eq":"nobody"}}]}"#, 0, 40),
        // The large one is found, too.
        (r#"{"payload":[{"path":"more","test":{"eq":"299"}}]}"#, 1, 40),
        // By the rarest of the values, or by the type.
        (r#"{"payload":[{"path":"plan","test":{"eq":"free"}},{"path":"user","test":{"eq":"u7"}}]}"#, 10, 60),
        (r#"{"types":[{"eq":"d"}],"payload":[{"path":"user","test":{"eq":"u7"}}]}"#, 20, 60),
        (r#"{"types":[{"eq":"d"}],"payload":[{"path":"plan","test":{"eq":"free"}}]}"#, 250, 900),
        (r#"{"types":[{"eq":"none"}],"payload":[{"path":"plan","test":{"eq":"free"}}]}"#, 0, 300),
        (r#"{"start":"2099-01-01T00:00:00Z","payload":[{"path":"user","test":{"eq":"u7"}}]}"#, 0, 40),
    ] {
        let filter = filter(json);
        for order in [Order::TimeAscending, Order::TimeDescending] {
            for limit in [None, NonZeroU32::new(3)] {
                let scan = Scan { filter: filter.clone(), order, limit, ..Scan::default() };
                let (found, bytes) = scanned(&repository, &scan);
                let mut expected = tested(&repository, &filter, order);
                assert!(expected.len() <= found_max, "{json}: {}", expected.len());
                expected.truncate(limit.map_or(usize::MAX, |limit| limit.get() as usize));
                assert_eq!(found, expected, "{json} {order:?} {limit:?}");
                assert!(bytes <= read_max * bytes_of_one, "{json} {order:?} {limit:?}: {}", bytes / bytes_of_one);
            }
        }
    }
}

#[test]
fn the_server_finds_values_in_order_of_time() {
    let Some(database) = Database::new() else { return };
    let repository = stored(&database);
    drop(repository);
    let raw = database.raw();
    let event = raw.first("events", doc! { "document.user": "u7" });
    let values = event.get_array("values").unwrap();
    assert_eq!(values.len(), 4);
    assert_eq!(event.get_document("document").unwrap().get("n").and_then(Bson::as_f64), Some(7.0));
    let explain = |mut filter: Document, order: i32| {
        filter.insert("_id", doc! { "$gt": 0_i64, "$lte": EVENTS });
        let find = doc! {
            "find": "events",
            "filter": filter,
            "sort": { "time": order, "nanos": order, "_id": order },
            "projection": { "document": 0, "values": 0 },
            "limit": 10,
        };
        let explained = raw.command(doc! { "explain": find, "verbosity": "executionStats" });
        let plan = explained.get_document("queryPlanner").unwrap().get_document("winningPlan").unwrap().to_string();
        let stats = explained.get_document("executionStats").unwrap();
        let counts = ["nReturned", "totalKeysExamined"].map(|name| {
            let count = stats.get(name).unwrap();
            count.as_i64().or(count.as_i32().map(i64::from)).unwrap()
        });
        (plan, counts)
    };
    let (plan, _) = explain(doc! { "event_type": "a" }, 1);
    if !plan.contains("type_time") {
        eprintln!("skipped: this server finds no events in order by an index of several fields: {plan}");
        return;
    }
    for order in [1, -1] {
        let mut found = Vec::new();
        for value in values {
            let (plan, [returned, keys]) = explain(doc! { "values": value }, order);
            assert!(plan.contains("values_time") && !plan.contains("SORT"), "{plan}");
            // It may look at the entry after the last one.
            assert!(keys <= returned + 1, "{keys} {returned}");
            found.push(returned);
        }
        found.sort_unstable();
        assert_eq!(found, [1, 10, 10, 10]);
    }
}
