//! Sums against sums on paper.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::string::ToString;
use alloc::{format, vec};

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::*;

fn total<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Total {
    let mut total = Total::new();
    tokens.into_iter().for_each(|token| total.add(&Decimal::parse(token).unwrap()));
    total
}

fn text(total: &Total) -> String {
    let mut out = Vec::new();
    total.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Adds as on paper: one cell for each decimal place from 10^−2100 up.
fn naive_sum(tokens: &[String]) -> String {
    const PLACES: i64 = 2_100;
    let mut cells = vec![0_i64; 3_300];
    for token in tokens {
        let number = Decimal::parse(token).unwrap();
        let digits = number.digits().bytes().filter(u8::is_ascii_digit);
        for (place, digit) in (1..).zip(digits) {
            let digit = i64::from(digit - b'0');
            let cell = cells.get_mut(usize::try_from(number.scale() - place + PLACES).unwrap()).unwrap();
            *cell += if number.is_negative() { -digit } else { digit };
        }
    }
    let carried = |mut cells: Vec<i64>| {
        let mut carry = 0;
        for cell in &mut cells {
            *cell += carry;
            carry = cell.div_euclid(10);
            *cell = cell.rem_euclid(10);
        }
        (carry == 0).then_some(cells)
    };
    let (sign, cells) = match carried(cells.clone()) {
        Some(cells) => ("", cells),
        None => ("-", carried(cells.iter().map(|cell| -cell).collect()).unwrap()),
    };
    let digits: String = cells.iter().rev().map(i64::to_string).collect();
    // The last digit is always there, so that zero has one.
    let (leading, last) = digits.split_at(digits.len() - 1);
    format!("{sign}{}{last}e-{PLACES}", leading.trim_start_matches('0'))
}

/// Number tokens: common ones, long ones, and large and small exponents.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-1_000_000..1_000_000_i64).prop_map(|cents| format!("{cents}e-2")),
        "-?[1-9][0-9]{0,5}\\.[0-9]{1,4}",
        "-?[1-9][0-9]{0,30}\\.[0-9]{1,30}",
        "-?[1-9][0-9]{0,200}",
        "-?0\\.0{0,30}[0-9]{1,100}",
        "-?[1-9]\\.[0-9]{1,20}e-?[1-9]{1,2}",
        "-?[1-9][0-9]{0,5}e-?[1-9][0-9]{0,2}",
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
    ]
}

#[test]
fn cents_are_exact() {
    assert_eq!(text(&total(["12.99", "0.01"])), "13");
    assert_eq!(text(&total(["0.1"; 3])), "0.3");
    assert_eq!(text(&total(core::iter::repeat_n("0.1", 1_000_003))), "100000.3");
    assert_eq!(text(&total(["-0.5", "0.25"])), "-0.25");
    assert_eq!(text(&total(["1.50", "-1.5"])), "0");
    assert_eq!(text(&total([])), "0");
    assert_eq!(text(&total(["-0", "-0.0"])), "0");
}

#[test]
fn integers_of_any_length_are_exact() {
    let nines = "9".repeat(1_000);
    let sum = total([nines.as_str(), "1"]);
    assert_eq!(text(&sum), "1e+1000");
    assert!(sum.is_exact());
    let all = total([nines.as_str(), "1.5", &format!("-{nines}"), "-0.5"]);
    assert_eq!(text(&all), "1");
    assert_eq!(text(&total(["18446744073709551615"; 3])), "55340232221128654845");
}

#[test]
fn sums_of_integers_do_not_wrap() {
    let mut sum = Total::new();
    sum.add_integers(&[i64::MAX; 1_000]);
    sum.add_integer(i64::MIN);
    assert_eq!(text(&sum), (i128::from(i64::MAX) * 1_000 + i128::from(i64::MIN)).to_string());
    let mut sum = Total::new();
    for _ in 0..3 {
        sum.add_scaled(i128::MAX, 0);
    }
    assert_eq!(text(&sum), "510423550381407695195061911147652317181", "3 × (2^127 − 1)");
    for _ in 0..6 {
        sum.add_scaled(i128::MIN, 0);
    }
    assert_eq!(text(&sum), "-510423550381407695195061911147652317187");
    assert!(sum.is_exact());
    let mut doubled = total(["123456789012345678.5", "1e100"]);
    for _ in 0..300 {
        doubled.merge(&doubled.clone());
    }
    let factor = total(["1e100", "123456789012345678.5"]);
    assert!((doubled.as_f64() / (factor.as_f64() * 2.0_f64.powi(300)) - 1.0).abs() < 1e-15);
    assert!(doubled.is_exact());
}

#[test]
fn mantissas_with_places_are_decimals() {
    for (mantissa, places, expected) in [
        (1_299, 2, "12.99"),
        (-5, 1, "-0.5"),
        (1, 18, "0.000000000000000001"),
        (-7, 19, "-7e-19"),
        (120, 20, "1.2e-18"),
        (0, u32::MAX, "0"),
        (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
    ] {
        let mut sum = Total::new();
        sum.add_scaled(mantissa, places);
        assert_eq!(Decimal::parse(&text(&sum)), Decimal::parse(expected), "{mantissa} {places}");
        assert!(sum.is_exact());
    }
    let mut tiny = Total::new();
    tiny.add_scaled(3, u32::MAX);
    assert_eq!((text(&tiny), tiny.is_exact()), ("0".to_string(), false));
}

#[test]
fn beyond_the_range_a_sum_is_not_exact() {
    for (token, expected, exact) in [
        ("1e1007", "1e+1007", true),
        ("1e1008", "1e+1008", false),
        ("-5e999999999999999999999", "-1e+1008", false),
        ("1e-2016", "1e-2016", true),
        ("1e-2017", "0", false),
        ("15e-2017", "1e-2016", false),
        ("1e-999999999999999999999", "0", false),
    ] {
        let sum = total([token]);
        assert_eq!((text(&sum), sum.is_exact()), (expected.to_string(), exact), "{token}");
    }
}

#[test]
fn floats_are_the_nearest_ones() {
    for (token, expected) in [
        ("0.1", 0.1),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("9007199254740993.000001", 9_007_199_254_740_994.0),
        ("-1e400", f64::MIN),
        ("1e400", f64::MAX),
        ("1e-400", 0.0),
        ("5e-324", 5e-324),
    ] {
        assert_eq!(total([token]).as_f64(), expected, "{token}");
    }
}

#[test]
fn a_sum_of_common_numbers_takes_few_bytes() {
    assert!(total(["1", "2.5", "-9223372036854775808"]).memory_bytes() <= 48);
    assert!(total(["1e300", "1e-300"]).memory_bytes() <= 1_200);
    assert!(total(["1e1007", "1e-2016", "1e2000"]).memory_bytes() <= 4_300);
}

#[test]
fn totals_of_different_sums_differ() {
    assert_ne!(total(["1"]), total(["1.000000000000000000000001"]));
    assert_ne!(total(["1"]), total(["1", "1e-9999"]), "one of them is not exact");
    assert_eq!(total(["1e40", "-1e40"]), total([]));
}

proptest! {
    #[test]
    fn a_total_is_the_sum_on_paper(
        (tokens, shuffled) in many(token(), 0..30).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        cut in any::<prop::sample::Index>(),
    ) {
        let sum = total(tokens.iter().map(String::as_str));
        let [written, expected] = [text(&sum), naive_sum(&tokens)];
        prop_assert_eq!(Decimal::parse(&written), Decimal::parse(&expected));
        prop_assert!(sum.is_exact());
        let (left, right) = shuffled.split_at(cut.index(shuffled.len() + 1));
        let [mut left, right] = [left, right].map(|part| total(part.iter().map(String::as_str)));
        left.merge(&right);
        prop_assert_eq!(text(&left), text(&sum), "order and merging change nothing");
        prop_assert_eq!(left.as_f64().to_bits(), sum.as_f64().to_bits());
        prop_assert_eq!(left, sum);
    }

    #[test]
    fn integers_at_once_are_integers_one_by_one(numbers in many(any::<i64>(), 0..100)) {
        let [mut at_once, mut each, mut tokens] = [Total::new(), Total::new(), Total::new()];
        at_once.add_integers(&numbers);
        for number in &numbers {
            each.add_integer(*number);
            tokens.add(&Decimal::parse(&number.to_string()).unwrap());
        }
        prop_assert_eq!(text(&at_once), numbers.iter().map(|number| i128::from(*number)).sum::<i128>().to_string());
        prop_assert_eq!(&at_once, &each);
        prop_assert_eq!(&at_once, &tokens);
    }
}
