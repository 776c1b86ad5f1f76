//! Measures what hand-written JSON saves over `serde_json`: `cargo bench -p argus-core --bench json`.
//!
//! The documentation of each function that writes or reads JSON by hand states the results. A function that saves
//! nothing should be replaced by `serde_json`.

use std::hint::black_box;

use argus_core::api::Acknowledged;
use argus_core::batch::{BatchBuilder, NewEvent};
use argus_core::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use argus_core::ingest::{self, Dialect, Framing, Handling, ParseOptions};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A payload of ordinary length.
const PAYLOAD: &str = concat!(
    r#"{"page":"/products/4711","referrer":"https://example.com/search?q=shoes","#,
    r#""user":{"id":"u-183920","plan":"pro"},"items":[17,4.50,"blue"],"ms":1234}"#
);

fn acknowledgement(c: &mut Criterion) {
    let mut group = c.benchmark_group("acknowledgement");
    let given = ClientId::parse("visit-1829").expect("it is short");
    for (name, id) in [("generated", EventId::Generated(Uuid([0x5a; 16]))), ("given", EventId::Given(given))] {
        let acknowledged = Acknowledged { id, seq: 12_345_678, duplicate: false, durable: true, expired: None };
        group.bench_function(BenchmarkId::new("by hand", name), |b| {
            b.iter(|| {
                let mut body = Vec::with_capacity(Acknowledged::BYTES_USUAL);
                black_box(acknowledged).write_json(&mut body);
                body
            });
        });
        group.bench_function(BenchmarkId::new("serde_json", name), |b| {
            b.iter(|| {
                let mut body = Vec::with_capacity(Acknowledged::BYTES_USUAL);
                serde_json::to_writer(&mut body, &black_box(acknowledged)).map(|()| body)
            });
        });
    }
    group.finish();
}

fn event_out(c: &mut Criterion) {
    let event = |seq| Event {
        id: EventId::Generated(Uuid([0x5a; 16])),
        seq,
        event_type: EventType::parse("page_view").expect("it is short"),
        timestamp: Timestamp::from_nanos(1_700_000_000_123_000_000),
        payload: Payload::parse(PAYLOAD).expect("it is short"),
        stored_at: Timestamp::from_nanos(1_700_000_000_124_000_000),
    };
    let mut out = Vec::new();
    let mut group = c.benchmark_group("event out");
    event(12_345_678).write_json(&mut out);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("by hand", |b| {
        b.iter(|| {
            out.clear();
            event(black_box(12_345_678)).write_json(&mut out);
        });
    });
    group.bench_function("serde_json", |b| {
        b.iter(|| {
            out.clear();
            serde_json::to_writer(&mut out, &event(black_box(12_345_678))).expect("it cannot fail");
        });
    });
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("body");
    for lines in [1, 1000] {
        let mut body = Vec::new();
        for n in 0..lines {
            let id = format!("visit-{n}");
            let event = NewEvent {
                event_type: EventType::parse("page_view").expect("it is short"),
                timestamp: Timestamp::from_nanos(1_700_000_000_123_000_000 + n),
                payload: Payload::parse(PAYLOAD).expect("it is JSON"),
                id: Some(ClientId::parse(&id).expect("it is short")),
            };
            serde_json::to_writer(&mut body, &event).expect("it cannot fail");
            body.push(b'\n');
        }
        let options = ParseOptions {
            framing: Framing::Lines,
            records: None,
            dialect: Dialect::Native,
            handling: Handling::Strict,
            payload_bytes_max: 256 * 1024,
            depth_max: 128,
            types_max: 1000,
            permitted: None,
        };
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("by hand", lines), &body, |b, body| {
            b.iter(|| ingest::parse(body, &options, Timestamp::from_nanos(0)).expect("the body is valid"));
        });
        group.bench_with_input(BenchmarkId::new("serde_json", lines), &body, |b, body| {
            b.iter(|| {
                let mut batch = BatchBuilder::new();
                for event in serde_json::Deserializer::from_slice(body).into_iter::<NewEvent<'_>>() {
                    batch.push(event.expect("the body is valid")).expect("a batch holds more");
                }
                batch.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, acknowledgement, event_out, bodies);
criterion_main!(benches);
