//! Property tests of timestamps and UUIDs: they round-trip through their texts, and no text causes a panic.

use argus_core::event::{Timestamp, TimestampError, Uuid};
use proptest::prelude::*;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn timestamps_round_trip_through_text(nanos in any::<i64>()) {
        let time = Timestamp::from_nanos(nanos);
        let text = time.to_string();
        prop_assert_eq!(Timestamp::parse_rfc3339(&text), Ok(time));
        prop_assert_eq!(Timestamp::parse_param(&text), Ok(time));
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
        prop_assert_eq!(Timestamp::parse_rfc3339(&text), Ok(time));
    }

    #[test]
    fn the_order_of_texts_is_the_order_of_times(left in any::<i32>(), right in any::<i32>()) {
        let text = |seconds: i32| Timestamp::from_nanos(i64::from(seconds) * NANOS_PER_SECOND).to_string();
        prop_assert_eq!(text(left).cmp(&text(right)), left.cmp(&right));
    }

    #[test]
    fn an_offset_moves_the_time(
        seconds in 0_i64..4_000_000_000,
        hour in 0_i64..24,
        minute in 0_i64..60,
        west in any::<bool>(),
    ) {
        let local = Timestamp::from_nanos(seconds * NANOS_PER_SECOND).to_string();
        let sign = if west { '-' } else { '+' };
        let text = format!("{}{sign}{hour:02}:{minute:02}", local.trim_end_matches('Z'));
        let shift = (hour * 3_600 + minute * 60) * if west { 1 } else { -1 };
        let expected = Timestamp::from_nanos((seconds + shift) * NANOS_PER_SECOND);
        prop_assert_eq!(Timestamp::parse_rfc3339(&text), Ok(expected));
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
        let result = Timestamp::parse_rfc3339(&text);
        let is_grammar_error = matches!(result, Err(TimestampError::Grammar { at, .. }) if at <= text.len());
        prop_assert!(is_grammar_error);
        prop_assert_eq!(Timestamp::parse_number(&text).is_ok(), Timestamp::parse_param(&text).is_ok());
        prop_assert!(Uuid::parse(&text).is_err());
    }

    #[test]
    fn a_changed_text_is_refused_or_parsed_exactly(nanos in any::<i64>(), at in 0_usize..30, byte in 0x20_u8..0x7f) {
        let mut text = Timestamp::from_nanos(nanos).to_string().into_bytes();
        if let Some(place) = text.get_mut(at) {
            *place = byte;
        }
        let text = String::from_utf8(text).expect("ASCII");
        if let Ok(time) = Timestamp::parse_rfc3339(&text) {
            prop_assert_eq!(Timestamp::parse_rfc3339(&time.to_string()), Ok(time));
        }
    }

    #[test]
    fn every_json_number_is_recognised_as_a_number(
        digits in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,40})?",
        exponent in any::<i128>(),
    ) {
        for token in [digits.clone(), format!("{digits}e{exponent}")] {
            let read = Timestamp::parse_number(&token);
            let is_unknown = matches!(read, Err(TimestampError::NotANumber | TimestampError::Grammar { .. }));
            prop_assert!(!is_unknown, "{:?}", read);
        }
    }

    #[test]
    fn uuids_round_trip_through_text(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(Uuid::parse(&Uuid(bytes).to_string()), Ok(Uuid(bytes)));
    }
}
