//! Quantiles against sorted values.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::*;

const QUANTILES: [f64; 9] = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0];

fn quantiles(values: &[f64]) -> Quantiles {
    let mut quantiles = Quantiles::new();
    values.iter().for_each(|value| quantiles.add(*value));
    quantiles
}

/// The exact value with this rank.
fn nearest_rank(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    *sorted.get(rank - 1).unwrap()
}

fn assert_close(found: f64, exact: f64) {
    assert!((found - exact).abs() * 100.0 <= exact.abs(), "{found:e} instead of {exact:e}");
}

/// Finite floats: all, common ones, tiny ones, and few different ones.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    let value = prop_oneof![
        finite,
        0.0..1e4_f64,
        -100.0..100.0_f64,
        (0..1_u64 << 20).prop_map(f64::from_bits),
        (-3..3_i8).prop_map(f64::from),
    ];
    prop_oneof![many(value.clone(), 0..40), many(value, 0..600), many(1.0..1e6_f64, 0..600)]
}

proptest! {
    #[test]
    fn every_quantile_is_within_one_percent_of_the_exact_value(values in values(), q in 0.0..1.0_f64) {
        let summary = quantiles(&values);
        prop_assert_eq!(summary.count(), values.len() as u64);
        for q in QUANTILES.into_iter().chain([q]) {
            match summary.quantile(q) {
                Some(found) => assert_close(found, nearest_rank(&values, q)),
                None => prop_assert!(values.is_empty()),
            }
        }
    }

    #[test]
    fn neither_order_nor_merging_changes_anything(
        (values, shuffled) in values().prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
        cuts in many(any::<prop::sample::Index>(), 0..6),
        backwards: bool,
    ) {
        let expected = quantiles(&values);
        let mut parts = Vec::from([Quantiles::new()]);
        for (index, value) in shuffled.iter().enumerate() {
            if cuts.iter().any(|cut| cut.index(shuffled.len()) == index) {
                parts.push(Quantiles::new());
            }
            parts.last_mut().unwrap().add(*value);
        }
        // From the left, or from the right in pairs.
        while parts.len() > 1 {
            let last = parts.pop().unwrap();
            let into = if backwards { parts.last_mut() } else { parts.first_mut() };
            into.unwrap().merge(&last);
        }
        let merged = parts.pop().unwrap();
        prop_assert!(merged == expected);
        for q in QUANTILES {
            prop_assert_eq!(merged.quantile(q).map(f64::to_bits), expected.quantile(q).map(f64::to_bits));
        }
        let mut added = Quantiles::new();
        added.add_many(&values);
        prop_assert!(added == expected);
    }

    #[test]
    fn a_rank_is_that_of_whole_percentages(count in 1..10_000_000_000_000_u64, percent in 0..=100_u64) {
        let exact = (u128::from(count) * u128::from(percent)).div_ceil(100).max(1) as u64;
        prop_assert_eq!(rank(percent as f64 / 100.0, count), exact);
    }
}

#[test]
fn ranks_of_small_counts_are_exact() {
    for count in 1..3_000_u64 {
        for permille in 0..=1_000 {
            let exact = (count * permille).div_ceil(1_000).max(1);
            assert_eq!(rank(permille as f64 / 1_000.0, count), exact, "{permille} of {count}");
        }
    }
    assert_eq!(rank(0.07, 100), 7);
    assert_eq!([-1.0, f64::NAN, 2.0].map(|q| rank(q, 10)), [1, 1, 10]);
}

#[test]
fn summaries_of_different_values_differ() {
    assert!(quantiles(&[1.0, 2.0, 3.0]) != quantiles(&[1.0, 2.5, 3.0]));
    assert!(quantiles(&[1.0, 2.0]) != quantiles(&[1.0, 2.0, 2.0]));
    assert!(quantiles(&[1.0, 2.0]) != quantiles(&[1.0, 2.001]), "in the same bucket");
}

#[test]
fn equal_values_are_exact() {
    for value in [0.0, 100.0, -0.3, f64::MAX, f64::MIN, 5e-324] {
        let summary = quantiles(&[value; 7]);
        assert_eq!(summary.quantile(0.5), Some(value));
    }
}

#[test]
fn what_is_not_finite_is_limited_and_what_is_no_number_is_left_out() {
    let summary = quantiles(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]);
    assert_eq!(summary.count(), 2);
    assert_eq!([0.0, 1.0].map(|q| summary.quantile(q)), [Some(f64::MIN), Some(f64::MAX)]);
    assert_eq!(Quantiles::new().quantile(0.5), None);
    let zeros = [quantiles(&[0.0, -0.0]), quantiles(&[-0.0, 0.0])];
    assert_eq!(zeros.map(|zero| zero.quantile(0.0).map(f64::to_bits)), [Some(0), Some(0)]);
}

#[test]
fn counts_beyond_32_bits_are_kept() {
    let mut doubled = quantiles(&[1.0, 1.0, 1.0, 50.0]);
    let mut many_buckets: Vec<f64> = (1..100).map(f64::from).collect();
    many_buckets.extend([7.0; 201]);
    let mut wide = quantiles(&many_buckets);
    for _ in 0..40 {
        doubled.merge(&doubled.clone());
        wide.merge(&wide.clone());
    }
    assert_eq!((doubled.count(), wide.count()), (4 << 40, 300 << 40));
    assert_close(doubled.quantile(0.75).unwrap(), 1.0);
    assert_close(doubled.quantile(0.750_001).unwrap(), 50.0);
    // 6 smaller values, 202 sevens.
    assert_close(wide.quantile(6.0 / 300.0).unwrap(), 6.0);
    assert_close(wide.quantile(6.001 / 300.0).unwrap(), 7.0);
    assert_close(wide.quantile(208.0 / 300.0).unwrap(), 7.0);
    assert_close(wide.quantile(208.001 / 300.0).unwrap(), 8.0);
    for _ in 0..40 {
        doubled.merge(&doubled.clone());
        wide.merge(&wide.clone());
    }
    assert_eq!((doubled.count(), wide.count()), (u64::MAX, u64::MAX), "counts saturate");
    assert!(wide.quantile(0.5).is_some());
}

#[test]
fn memory_grows_with_the_buckets_that_have_values() {
    assert!(Quantiles::new().memory_bytes() <= 64);
    assert!(quantiles(&[1.0]).memory_bytes() <= 72);
    assert!(quantiles(&[1.0; 1_000]).memory_bytes() <= 72);
    let latencies: Vec<f64> = (1..=10_000).map(f64::from).collect();
    assert!(quantiles(&latencies).memory_bytes() <= 5_000);
    // 1,000 values, each in a page of its own.
    let spread: Vec<f64> = (0..1_000).map(|power| 2.0_f64.powi(power)).collect();
    assert!(quantiles(&spread).memory_bytes() <= 150 * spread.len());
}

#[test]
fn every_bucket_of_the_scale_can_have_values() {
    let mut summary = Quantiles::new();
    for key in -log_scale::KEY_MAX..=log_scale::KEY_MAX {
        summary.add(log_scale::middle(key));
    }
    assert_eq!(summary.count(), 162_333);
    assert!(summary.memory_bytes() <= 1_200_000);
    assert_eq!(summary.quantile(0.5), Some(0.0));
}
