//! Groups that are stored in several transactions: they are seen whole or not at all, whatever happens in between.

use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::query::{Order, Scan};
use argus_core::repository::{CommitError, Repository as _};
use argus_mongodb::{MongoOptions, MongoRepository, Retention};
use argus_servers::{MongoServer, Proxy};
use argus_testing::{NOW, Pace, collect, steady};
use mongodb::bson::{DateTime, Uuid, doc};

use super::database::{self, Database, Raw, events, options};
use super::wait::{pause, until};

/// How many events a group of [`group`] has.
const EVENTS: u64 = 9;

/// What the program that a test kills is told.
const URL: &str = "ARGUS_TEST_WRITER_URL";
const FIRST: &str = "ARGUS_TEST_WRITER_FIRST";

/// A group of two batches, which needs five transactions. Every other event has an id.
fn group(number: u64) -> [Batch; 2] {
    let texts: Vec<(String, String)> =
        (0..EVENTS).map(|event| (format!("\"{number}-{event}\""), format!("{number}-{event}"))).collect();
    let drafts =
        texts.iter().enumerate().map(|(event, (payload, id))| ("a", &**payload, (event % 2 == 0).then_some(&**id)));
    let drafts: Vec<_> = drafts.collect();
    let (one, other) = drafts.split_at(4);
    [database::batch(one), database::batch(other)]
}

/// Checks that whole groups are stored, each once, under numbers without gaps, and that the head is true. Returns their
/// numbers.
fn stored_groups(repository: &MongoRepository) -> BTreeSet<u64> {
    let stored = events(repository);
    let seqs: Vec<u64> = stored.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=stored.len() as u64).collect::<Vec<_>>());
    let stats = repository.reader().take().unwrap().stats().unwrap();
    assert_eq!((stats.events, stats.last_seq), (stored.len() as u64, stored.len() as u64));
    let payloads: Vec<&str> = stored.iter().map(|event| event.payload.trim_matches('"')).collect();
    let mut groups = BTreeSet::new();
    for payloads in payloads.chunks(EVENTS as usize) {
        let number: u64 = payloads.first().unwrap().split('-').next().unwrap().parse().unwrap();
        let expected: Vec<String> = (0..EVENTS).map(|event| format!("{number}-{event}")).collect();
        assert_eq!(payloads, expected);
        assert!(groups.insert(number), "{number} is stored twice");
    }
    groups
}

#[test]
fn nobody_sees_a_part_of_a_group() {
    const GROUPS: u64 = 20;
    let Some(database) = Database::new() else { return };
    let (mut repository, is_over) = (database.open(), AtomicBool::new(false));
    let reader = database.open();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..GROUPS {
                repository.commit(NOW, &group(number)).unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let mut looks = 0;
        while !is_over.load(Ordering::SeqCst) || looks == 0 {
            let snapshot = reader.reader().take().unwrap();
            let last = snapshot.last_seq();
            assert_eq!((last % EVENTS, snapshot.stats().unwrap().events), (0, last));
            for order in [Order::TimeAscending, Order::TimeDescending, Order::Sequence] {
                let found = collect(&snapshot, &Scan { order, ..Scan::default() }, Pace::UNBROKEN).unwrap().events;
                assert_eq!(found.len() as u64, last);
            }
            // The first event of the next group.
            let next = last / EVENTS;
            assert!(!snapshot.get(&format!("{next}-0"), &mut |_| {}).unwrap());
            looks += 1;
        }
    });
    assert_eq!(stored_groups(&reader), (0..GROUPS).collect());
}

/// Stages two events as a process did that is gone: one with this id, and one of a time long ago.
fn leave(raw: &Raw, by: Uuid, last_seq: i64, id: &str) {
    let event = |seq: i64, id: &str, time: i64| {
        let (time, stored_at) = (DateTime::from_millis(time), DateTime::from_millis(0));
        doc! {
            "_id": seq, "event_type": "left", "time": time, "nanos": 0, "id": id, "id_generated": false,
            "stored_at": stored_at, "stored_nanos": 0, "bytes": 7_i64, "payload": "1",
        }
    };
    let now = NOW.as_nanos() / 1_000_000;
    raw.insert("events", vec![event(last_seq + 1, id, now), event(last_seq + 2, "old", 0)]);
    raw.change("head", doc! { "$set": { "staged": { "by": by, "events": 2_i64 } } });
}

#[test]
fn what_a_writer_that_is_gone_has_staged_is_removed() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let raw = database.raw();
    repository.commit(NOW, &group(0)).unwrap();
    leave(&raw, Uuid::new(), 9, "1-0");
    // Nobody sees it.
    assert_eq!(stored_groups(&repository), BTreeSet::from([0]));
    assert_eq!(repository.commit(NOW, &group(1)).unwrap().first().unwrap().first_seq, 10);
    assert_eq!(stored_groups(&repository), BTreeSet::from([0, 1]));
    assert_eq!(repository.reader().take().unwrap().stats().unwrap().event_types, 1);

    // An erasure removes it, too, and counts it neither as erased nor as stored.
    leave(&raw, Uuid::new(), 18, "2-0");
    let filter = serde_json::from_str(r#"{"types":[{"eq":"left"}]}"#).unwrap();
    let erased = repository.erase(NOW, &filter).unwrap();
    assert!(matches!(erased, argus_core::repository::Erased::Exactly(0)), "{erased:?}");
    assert_eq!(raw.count("events"), 18);
    assert_eq!(stored_groups(&repository), BTreeSet::from([0, 1]));
}

#[test]
fn staged_events_do_not_expire() {
    let Some(database) = Database::new() else { return };
    let retention = Retention { age: Some(3_600_000_000_000), bytes: None };
    let mut repository = database.open_with(MongoOptions { retention, ..options() });
    leave(&database.raw(), Uuid::new(), 0, "1-0");
    let maintenance = repository.maintenance().unwrap();
    let mut task = maintenance.next_task(steady(NOW)).unwrap();
    while task.step(1_000).is_pending() {}
    assert_eq!(maintenance.install(task).unwrap(), []);
    // They wait for the next commit.
    assert_eq!(database.raw().count("events"), 2);
    repository.commit(NOW, &group(1)).unwrap();
    assert_eq!(stored_groups(&repository), BTreeSet::from([1]));
}

#[test]
fn a_writer_that_stages_is_waited_for_as_long_as_it_shows_life() {
    let Some(database) = Database::new() else { return };
    let mut repository = database.open();
    let (raw, by) = (database.raw(), Uuid::new());
    let show_life = || raw.upsert("writers", doc! { "_id": by }, doc! { "$currentDate": { "seen": true } });
    show_life();
    leave(&raw, by, 0, "1-0");
    thread::scope(|scope| {
        let commit = scope.spawn(|| repository.commit(NOW, &group(1)).unwrap());
        // For longer than a silent one is left alone.
        for _ in 0..14 {
            pause(Duration::from_millis(500));
            show_life();
        }
        assert!(!commit.is_finished());
        assert_eq!(commit.join().unwrap().first().unwrap().first_seq, 1);
    });
    assert_eq!(stored_groups(&repository), BTreeSet::from([1]));
}

/// A writer whose events are staged stands still until others take it for gone, and then goes on.
#[test]
fn a_writer_that_was_taken_for_gone_starts_over() {
    let Some(server) = MongoServer::for_test() else { return };
    let proxy = Proxy::start(server.address()).unwrap();
    let url = format!("mongodb://127.0.0.1:{}/?directConnection=true", proxy.address().port());
    let mut slow = MongoRepository::open(url.parse().unwrap(), options()).unwrap();
    let mut other = MongoRepository::open(server.url("argus").parse().unwrap(), options()).unwrap();
    let raw = Raw::new(&server.url("argus"), "argus");
    let large = database::batch(&vec![("a", "\"slow\"", None); 400]);
    let (receipts, before) = thread::scope(|scope| {
        let commit = scope.spawn(|| {
            loop {
                match slow.commit(NOW, std::slice::from_ref(&large)) {
                    Ok(receipts) => return receipts,
                    Err(CommitError::Unavailable { in_doubt: false, .. }) => while slow.recover().is_err() {},
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        until("a staged event", || raw.staged());
        proxy.stall(true);
        let receipts = other.commit(NOW, &group(1)).unwrap();
        let before = receipts.first().unwrap().first_seq;
        assert_eq!(stored_groups(&other), BTreeSet::from([1]));
        proxy.stall(false);
        (commit.join().unwrap(), before)
    });
    assert_eq!(before, 1);
    let receipt = receipts.first().unwrap();
    assert_eq!((receipt.first_seq, receipt.stored), (EVENTS + 1, 400));
    let seqs: BTreeSet<u64> = events(&other).into_iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=EVENTS + 400).collect());
    assert_eq!(raw.count("events"), EVENTS + 400);
}

/// Each group is stored or not, wherever its process is killed, and those that were acknowledged are.
#[test]
fn a_writer_that_is_killed_leaves_no_part_of_a_group() {
    const KILLS: u64 = 5;
    let Some(database) = Database::new() else { return };
    let mut acknowledged = BTreeSet::new();
    for kill in 0..KILLS {
        let mut writer = Command::new(env::current_exe().unwrap());
        writer.args(["--exact", "staging::write_until_killed", "--ignored", "--nocapture"]);
        writer.env(URL, database.url()).env(FIRST, (1_000 * kill).to_string()).stdout(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut numbers = lines.filter_map(|line| line.strip_prefix("stored ")?.parse::<u64>().ok());
        acknowledged.extend(numbers.by_ref().take(3));
        // In the middle of one of the next groups, at another point each time.
        until("another staged event", || database.raw().staged().filter(|staged| *staged > kill));
        writer.kill().unwrap();
        writer.wait().unwrap();
        acknowledged.extend(numbers);
    }
    assert!(acknowledged.len() as u64 >= 3 * KILLS);
    let mut repository = database.open();
    let before = stored_groups(&repository);
    assert!(before.is_superset(&acknowledged), "{:?}", acknowledged.difference(&before));
    assert!(before.len() as u64 <= acknowledged.len() as u64 + KILLS);
    repository.commit(NOW, &group(1_000_000)).unwrap();
    assert_eq!(stored_groups(&repository).len(), before.len() + 1);
    assert_eq!(database.raw().count("events"), EVENTS * (before.len() as u64 + 1));
}

#[test]
#[ignore = "it is a program that another test starts and kills"]
fn write_until_killed() {
    let (Ok(url), Ok(first)) = (env::var(URL), env::var(FIRST)) else { return };
    let mut repository = MongoRepository::open(url.parse().unwrap(), options()).unwrap();
    for number in first.parse::<u64>().unwrap().. {
        repository.commit(NOW, &group(number)).unwrap();
        // A line of its own, whatever the harness has written before.
        println!("\nstored {number}");
    }
}
