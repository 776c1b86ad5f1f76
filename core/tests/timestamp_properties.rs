//! Property tests of timestamps and UUIDs: they round-trip through their texts, and no text causes a panic.

use argus_core::event::{Timestamp, TimestampError, Uuid};
use argus_core::json::Decimal;
use proptest::prelude::*;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Date and time of a moment in seconds since the Unix epoch, counted year by year and month by month.
fn date_and_time(seconds: i64) -> (String, String) {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in_year = |year| 365 + i64::from(is_leap(year));
    let (mut days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970;
    while days < 0 {
        year -= 1;
        days += days_in_year(year);
    }
    while days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let time = format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60);
    (format!("{year:04}-{month:02}-{:02}", days + 1), time)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn timestamps_round_trip_through_text(nanos in any::<i64>()) {
        let time = Timestamp::from_nanos(nanos);
        let text = time.to_string();
        prop_assert_eq!(Timestamp::parse(&text), Ok(time));
        let mut written = Vec::new();
        time.write(&mut written);
        prop_assert_eq!(written, text.into_bytes());
    }

    #[test]
    fn times_in_whole_units_have_short_texts(
        value in any::<i64>(),
        (unit, longest) in prop::sample::select(vec![(1_000, 27), (1_000_000, 24), (NANOS_PER_SECOND, 20)]),
    ) {
        let time = Timestamp::from_nanos(value / unit * unit);
        let text = time.to_string();
        prop_assert!(text.len() <= longest);
        prop_assert_eq!(Timestamp::parse(&text), Ok(time));
    }

    #[test]
    fn the_order_of_texts_is_the_order_of_times(left in any::<i32>(), right in any::<i32>()) {
        let text = |seconds: i32| Timestamp::from_nanos(i64::from(seconds) * NANOS_PER_SECOND).to_string();
        prop_assert_eq!(text(left).cmp(&text(right)), left.cmp(&right));
    }

    #[test]
    fn every_spelling_of_a_time_is_the_same_time(
        (seconds, nanos) in (-5_000_000_000_i64..5_000_000_000, 0..NANOS_PER_SECOND),
        (hour, minute, west) in (0_i64..24, 0_i64..60, any::<bool>()),
        (places, zeros) in (0_u32..10, 0_usize..3),
    ) {
        let unit = 10_i64.pow(9 - places);
        let expected = Ok(Timestamp::from_nanos(seconds * NANOS_PER_SECOND + nanos / unit * unit));
        let fraction = match places as usize {
            0 => String::new(),
            places => format!(".{:0places$}{}", nanos / unit, "0".repeat(zeros)),
        };
        let sign = if west { '-' } else { '+' };
        let east = |hour: i64, minute: i64| (hour * 3_600 + minute * 60) * if west { -1 } else { 1 };
        let offsets = [
            (0, "Z".to_owned()),
            (0, "z".to_owned()),
            (0, format!("{sign}00")),
            (east(hour, minute), format!("{sign}{hour:02}:{minute:02}")),
            (east(hour, minute), format!("{sign}{hour:02}{minute:02}")),
            (east(hour, 0), format!("{sign}{hour:02}")),
        ];
        for (east, offset) in offsets {
            let (date, time) = date_and_time(seconds + east);
            for separator in ["T", "t", " "] {
                for space in ["", " "] {
                    let text = format!("{date}{separator}{time}{fraction}{space}{offset}");
                    prop_assert_eq!(Timestamp::parse(&text), expected.clone(), "{}", text);
                }
                let text = format!("{date}{separator}{time}{fraction}");
                let is_refused = matches!(Timestamp::parse(&text), Err(TimestampError::NoOffset { .. }));
                prop_assert!(is_refused, "{}", text);
            }
        }
    }

    #[test]
    fn numbers_are_read_exactly_in_every_unit(nanos in 1_000_000_000_000_000_000_i64..4_000_000_000_000_000_000) {
        let time = Ok(Timestamp::from_nanos(nanos));
        for (unit, places) in [(NANOS_PER_SECOND, 9), (1_000_000, 6), (1_000, 3)] {
            let (whole, part) = (nanos / unit, nanos % unit);
            prop_assert_eq!(Timestamp::parse_number(&format!("{whole}.{part:0places$}")), time.clone());
            prop_assert_eq!(Timestamp::parse_number(&format!("{whole}{part:0places$}e-{places}")), time.clone());
            let negative = Timestamp::parse_number(&format!("-{whole}.{part:0places$}00"));
            prop_assert_eq!(negative, Ok(Timestamp::from_nanos(-nanos)));
        }
        prop_assert_eq!(Timestamp::parse_number(&nanos.to_string()), time);
    }

    #[test]
    fn no_text_causes_a_panic(text in ".{0,40}") {
        match Timestamp::parse_number(&text) {
            Err(TimestampError::NotANumber) => match Timestamp::parse(&text) {
                Err(TimestampError::Grammar { at, .. }) => prop_assert!(at <= text.len()),
                // A text may have a plus sign and leading zeros, a number may not.
                found => prop_assert!(Decimal::parse_text(text.as_bytes()).is_some(), "{found:?}"),
            },
            number => prop_assert_eq!(Timestamp::parse(&text), number),
        }
        prop_assert!(Uuid::parse(&text).is_err());
    }

    #[test]
    fn a_changed_text_is_refused_or_parsed_exactly(nanos in any::<i64>(), at in 0_usize..30, byte in 0x20_u8..0x7f) {
        let mut text = Timestamp::from_nanos(nanos).to_string().into_bytes();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        let text = String::from_utf8(text).expect("ASCII");
        if let Ok(time) = Timestamp::parse(&text) {
            prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }
    }

    #[test]
    fn every_json_number_is_recognised_as_a_number(
        digits in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?",
        exponent in any::<i128>(),
    ) {
        for token in [digits.clone(), format!("{digits}e{exponent}")] {
            let read = Timestamp::parse_number(&token);
            prop_assert_ne!(read.clone(), Err(TimestampError::NotANumber));
            prop_assert_eq!(Timestamp::parse(&token), read);
        }
    }

    #[test]
    fn uuids_round_trip_through_text(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(Uuid::parse(&Uuid(bytes).to_string()), Ok(Uuid(bytes)));
    }
}
