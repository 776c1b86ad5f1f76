//! Counts against the numbers of hashes that were added.

use alloc::vec::Vec;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::*;
use crate::sketch::value_hash;

/// Well-mixed hashes: the generator `SplitMix64`, which never repeats.
fn hashes(seed: u64) -> impl Iterator<Item = u64> {
    (1_u64..).map(move |step| {
        let mut hash = seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ hash >> 31
    })
}

fn distinct(hashes: impl IntoIterator<Item = u64>) -> Distinct {
    let mut distinct = Distinct::new();
    hashes.into_iter().for_each(|hash| distinct.add_hash(hash));
    distinct
}

#[test]
fn up_to_the_limit_the_count_is_exact() {
    let mut all = Distinct::new();
    for (index, hash) in hashes(1).take(Distinct::EXACT_MAX).enumerate() {
        all.add_hash(hash);
        all.add_hash(hash);
        assert_eq!(all.estimate(), index as u64 + 1);
        assert!(all.is_exact());
    }
    hashes(1).take(Distinct::EXACT_MAX).for_each(|hash| all.add_hash(hash));
    assert!(all.is_exact(), "these are known");
    all.add_hash(7);
    assert!(!all.is_exact());
    assert!(all.estimate().abs_diff(1_537) < 60, "{}", all.estimate());
}

#[test]
fn the_error_is_within_two_percent_in_95_of_100_cases() {
    for (values, runs) in [(1_600, 2_000), (5_000, 1_000), (40_000, 500), (100_000, 200), (1_000_000, 40)] {
        let mut errors: Vec<f64> = (0..runs)
            .map(|run| distinct(hashes(run * 0x1234_5678_9abc).take(values)).estimate() as f64 / values as f64 - 1.0)
            .collect();
        let mean = errors.iter().sum::<f64>() / runs as f64;
        let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / runs as f64).sqrt();
        // Twice what is expected of the mean of so many runs.
        assert!(mean.abs() < 0.0163 / (runs as f64).sqrt() + 1e-4, "{values}: {mean}");
        assert!(deviation < 0.0100, "{values}: {deviation}");
        errors.sort_by(|left, right| left.abs().total_cmp(&right.abs()));
        let bound = errors.get(errors.len() * 95 / 100).map_or(1.0, |error| error.abs());
        assert!(bound < 0.02, "{values}: {bound}");
    }
}

#[test]
fn the_estimate_of_many_values_does_not_saturate() {
    // Registers as n values leave them on average, for n far beyond what can be added one by one.
    for power in [30, 40, 45] {
        let values = 2.0_f64.powi(power);
        let mut registers = Vec::new();
        for index in 0..REGISTERS {
            // The quantile (index + ½) / 2^14 of a register's distribution: P(register ≤ k) = (1 − 2^−k)^(n / 2^14).
            let share = (index as f64 + 0.5) / REGISTERS as f64;
            let value = (0..=50).find(|k| (-values / REGISTERS as f64 * 2.0_f64.powi(-k)).exp() >= share).unwrap_or(51);
            registers.push(u8::try_from(value).expect("it is 51 at most"));
        }
        let error = estimate(&registers) as f64 / values - 1.0;
        assert!(error.abs() < 0.005, "2^{power}: {error}");
    }
    assert!(estimate(&[51; REGISTERS]) > 1 << 60);
    assert_eq!(estimate(&[0; REGISTERS]), 0);
}

#[test]
fn memory_is_small_for_few_values_and_bounded_for_many() {
    assert!(Distinct::new().memory_bytes() <= 32);
    assert!(distinct(hashes(1).take(3)).memory_bytes() <= 64);
    assert!(distinct(hashes(1).take(100)).memory_bytes() <= 2_100);
    for values in [1_536, 1_537, 100_000] {
        assert!(distinct(hashes(1).take(values)).memory_bytes() <= 16_384 + 32);
    }
}

#[test]
fn hashes_that_collide_in_the_table_are_told_apart() {
    // The same start for all, and at the end of the table.
    let mut colliding = distinct((0..1_000).map(|low| u64::MAX << 20 | low));
    assert_eq!(colliding.estimate(), 1_000);
    colliding.add_hash(u64::MAX << 20);
    assert_eq!(colliding.estimate(), 1_000);
    assert_eq!(distinct([0, 0, 1, 2, u64::MAX]).estimate(), 4);
}

#[test]
fn counts_of_different_values_differ() {
    assert_ne!(distinct([1, 2]), distinct([1, 3]));
    assert_ne!(distinct([1, 2]), distinct([1]));
    assert_ne!(distinct(hashes(1).take(3_000)), distinct(hashes(2).take(3_000)));
    assert_ne!(distinct(hashes(1).take(1_536)), distinct(hashes(1).take(1_537)));
}

#[test]
fn values_of_different_types_are_different() {
    let mut values = Distinct::new();
    for number in 0..500_u32 {
        for tag in 0..3 {
            values.add_hash(value_hash(tag, &number.to_le_bytes()));
        }
    }
    assert_eq!(values.estimate(), 1_500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn neither_order_nor_merging_changes_anything(
        seed: u64,
        len in prop_oneof![0..20_usize, 0..1_800_usize, 1_500..1_570_usize, 0..20_000_usize],
        repeats in 1..3_usize,
        cuts in many(any::<prop::sample::Index>(), 0..6),
        backwards: bool,
    ) {
        let expected = distinct(hashes(seed).take(len));
        let mut values: Vec<u64> = (0..repeats).flat_map(|_| hashes(seed).take(len)).collect();
        // An order that has nothing to do with the one above.
        values.sort_unstable();
        let mut parts = Vec::from([Distinct::new()]);
        for (index, value) in values.iter().enumerate() {
            if cuts.iter().any(|cut| cut.index(values.len()) == index) {
                parts.push(Distinct::new());
            }
            if let Some(part) = parts.last_mut() {
                part.add_hash(*value);
            }
        }
        while let Some(last) = parts.pop() {
            let into = if backwards { parts.last_mut() } else { parts.first_mut() };
            let Some(into) = into else {
                prop_assert_eq!(last.estimate(), expected.estimate());
                prop_assert_eq!(last.is_exact(), len <= Distinct::EXACT_MAX);
                prop_assert_eq!(last, expected);
                break;
            };
            into.merge(&last);
        }
    }
}
