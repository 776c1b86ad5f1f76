//! Compares conditions that are compiled together with conditions compiled one by one, on payloads of about 250 bytes.
//!
//! `cargo bench -p argus-core --bench conditions`
#![expect(clippy::expect_used, reason = "a bench fails by panicking")]

use std::hint::black_box;
use std::time::Duration;

use argus_core::event::Payload;
use argus_core::query::{Conditions, Operand, PayloadFilter, PayloadPath, Test};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Payloads per iteration.
const ROWS: u64 = 1_000;

/// A payload like that of a shop. Contains `number`.
fn payload(number: u64) -> String {
    format!(
        concat!(
            r#"{{"user":{{"id":"u-{number}","plan":"pro","country":"DE"}},"page":"/pricing/{number}","#,
            r#""amount":{number}.50,"currency":"EUR","#,
            r#""items":[{{"sku":"sku-{number}","quantity":2}},{{"sku":"sku-7","quantity":1}}],"#,
            r#""referrer":"https://example.org/search?q=events","is_new":false}}"#
        ),
        number = number
    )
}

fn filter(path: &str, test: Test) -> PayloadFilter {
    PayloadFilter { path: PayloadPath::parse(path).expect("a good path"), test }
}

/// Sets of conditions by name. No payload matches the first three, which is certain only at the end of the text.
fn condition_sets() -> Vec<(&'static str, Vec<PayloadFilter>)> {
    let many = |test: fn(usize) -> Test, path: fn(usize) -> String| -> Vec<PayloadFilter> {
        (0..256).map(|number| filter(&path(number), test(number))).collect()
    };
    let ten =
        ["user.id", "user.plan", "user.country", "page", "amount", "currency", "items.sku", "items", "is_new", "no"];
    vec![
        ("1 equal", vec![filter("is_new", Test::Eq(Operand::new("true")))]),
        ("10 of different paths", ten.map(|path| filter(path, Test::Exists(true))).into()),
        ("256 exist", many(|_| Test::Exists(true), |number| format!("user.m{number}"))),
        ("256 exist not", many(|_| Test::Exists(false), |number| format!("user.m{number}"))),
        ("256 not equal", many(|number| Test::Ne(Operand::new(&format!("{number}x"))), |_| "user.id".into())),
        ("256 ranges of a number", many(|number| Test::Gte(Operand::new(&format!("{number}"))), |_| "amount".into())),
        ("256 ranges of a text", many(|number| Test::Gte(Operand::new(&format!("{number}"))), |_| "page".into())),
        ("contains", vec![filter("referrer", Test::Contains("events!".into()))]),
        ("contains a long needle", vec![filter("referrer", Test::Contains("needle ".repeat(500).into()))]),
    ]
}

fn conditions(criterion: &mut Criterion) {
    let payloads: Vec<String> = (0..ROWS).map(payload).collect();
    let rows: Vec<Payload<'_>> =
        payloads.iter().map(|text| Payload::parse(text).expect("it is compact JSON")).collect();
    let mut group = criterion.benchmark_group("conditions");
    group.throughput(Throughput::Elements(ROWS));
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for (name, filters) in condition_sets() {
        let mut together = Conditions::compile(&filters);
        group.bench_function(BenchmarkId::new("together", name), |bencher| {
            bencher.iter(|| rows.iter().filter(|row| together.evaluate(black_box(**row)).matches).count());
        });
        let mut apart: Vec<Conditions> =
            filters.iter().map(|filter| Conditions::compile(core::slice::from_ref(filter))).collect();
        group.bench_function(BenchmarkId::new("one by one", name), |bencher| {
            let mut matches = |row: Payload<'_>| apart.iter_mut().all(|one| one.evaluate(row).matches);
            bencher.iter(|| rows.iter().filter(|row| matches(black_box(**row))).count());
        });
    }
    group.finish();
}

criterion_group!(benches, conditions);
criterion_main!(benches);
