//! Measures what a value costs in an aggregate: `cargo bench -p argus-core --bench summaries`.

use std::hint::black_box;

use argus_core::calendar::{Buckets, Interval, Zone};
use argus_core::json::Decimal;
use argus_core::sketch::{Distinct, Quantiles, Total, value_hash};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const VALUES: usize = 10_000;

/// Well-mixed numbers from a fixed seed.
fn numbers() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0x0123_4567_89ab_cdef_u64), |number| {
        let next = number ^ number << 13;
        let next = next ^ next >> 7;
        Some(next ^ next << 17)
    })
}

fn buckets(c: &mut Criterion) {
    let mut group = c.benchmark_group("bucket");
    group.throughput(Throughput::Elements(VALUES as u64));
    let zone = || Zone::parse("America/New_York").expect("it is in the database");
    let interval = |text| Interval::parse(text).expect("it is an interval");
    // Ten years, in order or not.
    let mut times: Vec<i64> =
        numbers().take(VALUES).map(|number| (number % 315_000_000) as i64 * 1_000_000_000).collect();
    for order in ["random", "ascending"] {
        for text in ["1h", "1d", "1mo"] {
            let mut buckets = Buckets::new(Some(interval(text)), zone());
            group.bench_function(BenchmarkId::new(order, text), |b| {
                b.iter(|| times.iter().fold(0, |sum, time| sum ^ buckets.of(*time).start));
            });
        }
        times.sort_unstable();
    }
    let near: Vec<i64> = (0..VALUES as i64).map(|second| second * 100_000_000).collect();
    let mut buckets = Buckets::new(Some(interval("1d")), zone());
    group.bench_function("the same again", |b| {
        b.iter(|| near.iter().fold(0, |sum, time| sum ^ buckets.of(*time).start));
    });
    group.finish();
    c.bench_function("zone by name", |b| b.iter(|| Zone::parse(black_box("America/New_York")).is_ok()));
}

fn sketches(c: &mut Criterion) {
    let mut group = c.benchmark_group("value");
    group.throughput(Throughput::Elements(VALUES as u64));
    let integers: Vec<i64> = numbers().take(VALUES).map(|number| number as i64).collect();
    // From 0.001 to 100,000, as durations are: most are short.
    let floats: Vec<f64> = numbers().take(VALUES).map(|number| 1e5 / (1.0 + (number % 100_000_000) as f64)).collect();
    let tokens: Vec<String> =
        numbers().take(VALUES).map(|number| format!("{}.{:02}", number % 1_000, number % 100)).collect();
    let decimals: Vec<Decimal<'_>> = tokens.iter().filter_map(|token| Decimal::parse(token)).collect();
    let hashes: Vec<u64> = numbers().take(VALUES).collect();

    let mut total = Total::new();
    group.bench_function("integers of a slice", |b| b.iter(|| total.add_integers(black_box(&integers))));
    group.bench_function("integers one by one", |b| {
        b.iter(|| integers.iter().for_each(|number| total.add_integer(*number)));
    });
    group.bench_function("decimals", |b| b.iter(|| decimals.iter().for_each(|number| total.add(number))));
    let mut quantiles = Quantiles::new();
    group.bench_function("quantiles", |b| b.iter(|| quantiles.add_many(black_box(&floats))));
    group.bench_function("quantiles of few values", |b| {
        b.iter(|| {
            floats
                .chunks(10)
                .map(|few| {
                    let mut quantiles = Quantiles::new();
                    quantiles.add_many(few);
                    quantiles.count()
                })
                .sum::<u64>()
        });
    });
    group.bench_function("different values, counted exactly", |b| {
        b.iter(|| {
            hashes
                .chunks(1_000)
                .map(|few| {
                    let mut distinct = Distinct::new();
                    few.iter().for_each(|hash| distinct.add_hash(*hash));
                    distinct.estimate()
                })
                .sum::<u64>()
        });
    });
    let mut distinct = Distinct::new();
    group.bench_function("different values, estimated", |b| {
        b.iter(|| hashes.iter().for_each(|hash| distinct.add_hash(*hash)));
    });
    group.bench_function("hash of a short text", |b| {
        b.iter(|| tokens.iter().fold(0, |sum, token| sum ^ value_hash(1, token.as_bytes())));
    });
    group.finish();
    c.bench_function("answer of different values", |b| b.iter(|| distinct.estimate()));
    c.bench_function("answer of a quantile", |b| b.iter(|| quantiles.quantile(black_box(0.95))));
}

criterion_group!(benches, buckets, sketches);
criterion_main!(benches);
