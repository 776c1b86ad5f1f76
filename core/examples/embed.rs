//! The core embedded in another program, without HTTP: parse, commit, take a snapshot, query.
//!
//! ```sh
//! cargo run -p argus-core --example embed
//! ```

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed, TYPES_MAX_DEFAULT};
use argus_core::event::{PAYLOAD_BYTES_DEFAULT, PAYLOAD_DEPTH_DEFAULT, Timestamp};
use argus_core::ingest::{self, Dialect, Framing, Handling, ParseOptions, Parsed};
use argus_core::query::{Filter, Operand, Order, PayloadFilter, PayloadPath, Scan, Test, TypeTest};
use argus_core::repository::{Flow, MaintenanceQueue, Repository, Snapshot};
use argus_core::storage::MemoryStorage;

/// Events to store, one per line. The second `order-7` is the same event, sent again.
const EVENTS: &str = r#"
{"event_type":"page_view","timestamp":"2024-05-01T12:00:00Z","payload":{"page":"/","user":"ada"}}
{"event_type":"page_view","timestamp":"2024-05-01T12:00:05.250Z","payload":{"page":"/shop","user":"ada"}}
{"event_type":"purchase","timestamp":"2024-05-01T12:03:00Z","payload":{"user":"ada","total":19.90},"id":"order-7"}
{"event_type":"page_view","timestamp":1714564920,"payload":{"page":"/","user":"bob"}}
{"event_type":"purchase","timestamp":"2024-05-01T12:03:00Z","payload":{"user":"ada","total":19.90},"id":"order-7"}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    // The core has no source of randomness. A real program takes this seed of 128 bits from the random generator of the
    // system.
    let mut engine = Engine::open(MemoryStorage::default(), Seed(0x5eed))?;

    // Parse bytes into a batch. Any number of threads may do this at once.
    let options = ParseOptions {
        framing: Framing::Lines,
        records: None,
        dialect: Dialect::Native,
        handling: Handling::Strict,
        payload_bytes_max: PAYLOAD_BYTES_DEFAULT,
        depth_max: PAYLOAD_DEPTH_DEFAULT,
        types_max: TYPES_MAX_DEFAULT,
        permitted: None,
    };
    let (Parsed::One(batch) | Parsed::Many { batch, .. }) = ingest::parse(EVENTS.as_bytes(), &options, now()?)?;

    // One writer commits. When this returns, the events are stored, and later snapshots contain them.
    for receipt in engine.commit(now()?, &[batch])? {
        println!("stored {} events; {} were duplicates", receipt.stored, receipt.duplicates.len());
    }

    // When the writer is idle, it runs maintenance tasks. Each call does a bounded amount of work.
    let mut maintenance = MaintenanceQueue::default();
    let moment = Moment { wall: now()?, uptime: begun.elapsed() };
    while maintenance.step(&mut engine, moment, 1_000)? == Poll::Pending {}

    // Readers query a snapshot. It never changes, even while the writer continues.
    let snapshot = engine.reader().take()?;
    println!("{} events in all", snapshot.stats()?.events);

    println!("\nthe latest two page views:");
    let latest = Scan {
        filter: Filter { types: Some(vec![TypeTest::Eq("page_view".into())]), ..Filter::default() },
        order: Order::TimeDescending,
        limit: NonZeroU32::new(2),
        ..Scan::default()
    };
    print_answer(&snapshot, &latest)?;

    println!("\nall events of ada from 12:00:05 on:");
    let by_ada = PayloadFilter { path: PayloadPath::parse("user")?, test: Test::Eq(Operand::new("ada")) };
    let later =
        Filter { start: Some(Timestamp::parse("2024-05-01T12:00:05Z")?), payload: vec![by_ada], ..Filter::default() };
    print_answer(&snapshot, &later.into())?;

    println!("\nthe order by its id:");
    let mut json = Vec::new();
    if snapshot.get("order-7", &mut |event| event.write_json(&mut json))? {
        println!("{}", String::from_utf8(json)?);
    }
    Ok(())
}

/// Runs a scan. Each call does a bounded amount of work, so that a program with one thread can do other work in
/// between.
fn print_answer(snapshot: &Arc<dyn Snapshot>, scan: &Scan) -> Result<(), Box<dyn Error>> {
    /// How many events to examine per call.
    const BUDGET: u32 = 1_000;

    let mut run = Arc::clone(snapshot).scan(scan)?;
    let head = loop {
        if let Poll::Ready(head) = run.poll_head(BUDGET)? {
            break head;
        }
    };
    let mut lines = Vec::new();
    let mut write = |event: argus_core::event::Event<'_>| {
        event.write_json(&mut lines);
        lines.push(b'\n');
        Flow::More
    };
    while run.poll_events(BUDGET, &mut write)?.is_pending() {}
    print!("{}", String::from_utf8(lines)?);
    if head.next.is_some() {
        println!("… and more: for the next page, set `from` to the head's `next`");
    }
    Ok(())
}

/// The time now. The core has no clock.
fn now() -> Result<Timestamp, Box<dyn Error>> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(Timestamp::from_nanos(i64::try_from(nanos)?))
}
