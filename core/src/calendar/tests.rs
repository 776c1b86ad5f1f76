//! Buckets against what the wall clock shows, second by second or minute by minute.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;

use super::*;
use crate::event;

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
const INTERVALS: [&str; 13] = ["1s", "9m", "15m", "1h", "2h", "6h", "8h", "24h", "1d", "1w", "1mo", "1q", "1y"];

fn buckets(interval: &str, zone: &str) -> Buckets {
    Buckets::new(Some(Interval::parse(interval).unwrap()), Zone::parse(zone).unwrap())
}

fn zone_names() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_string()).collect()
}

fn seconds(time: &str) -> i64 {
    event::Timestamp::parse(time).unwrap().as_nanos() / NANOS
}

/// The starts of the buckets from the one that contains `first` up to the one that contains `last`.
fn starts(interval: &str, zone: &str, first: &str, last: &str) -> Vec<String> {
    let mut buckets = buckets(interval, zone);
    let mut bucket = buckets.of(seconds(first) * NANOS);
    let mut starts = Vec::new();
    while bucket.start <= seconds(last) {
        let mut out = Vec::new();
        buckets.write_time(bucket.start, &mut out);
        starts.push(String::from_utf8(out).unwrap());
        bucket = buckets.after(bucket);
    }
    starts
}

#[test]
fn the_hour_that_occurs_twice_has_two_buckets() {
    assert_eq!(
        starts("1h", "Europe/Berlin", "2025-10-25T23:30:00Z", "2025-10-26T02:30:00Z"),
        [
            "2025-10-26T01:00:00+02:00",
            "2025-10-26T02:00:00+02:00",
            "2025-10-26T02:00:00+01:00",
            "2025-10-26T03:00:00+01:00",
        ],
    );
    assert_eq!(
        starts("6h", "Europe/Berlin", "2025-10-25T22:00:00Z", "2025-10-26T05:00:00Z"),
        ["2025-10-26T00:00:00+02:00", "2025-10-26T06:00:00+01:00"],
        "the first has seven hours",
    );
}

#[test]
fn the_hour_that_is_skipped_has_no_bucket() {
    assert_eq!(
        starts("1h", "America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T08:00:00Z"),
        ["2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"],
    );
    assert_eq!(
        starts("2h", "America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T08:00:00Z"),
        ["2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T04:00:00-04:00"],
        "the clock jumps past 02:00, where a bucket begins",
    );
}

#[test]
fn a_shift_of_half_an_hour_makes_one_hour_longer_or_shorter() {
    assert_eq!(
        starts("1h", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z"),
        ["2026-04-05T01:00:00+11:00", "2026-04-05T02:00:00+10:30"],
        "02:00 became 01:30",
    );
    assert_eq!(
        starts("1h", "Australia/Lord_Howe", "2026-10-03T15:00:00Z", "2026-10-03T16:00:00Z"),
        ["2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"],
        "02:00 became 02:30",
    );
}

#[test]
fn a_day_without_midnight_begins_after_the_gap() {
    for (zone, first, last, expected) in [
        (
            "America/Sao_Paulo",
            "2017-10-14T12:00:00Z",
            "2017-10-16T12:00:00Z",
            ["2017-10-14T00:00:00-03:00", "2017-10-15T01:00:00-02:00", "2017-10-16T00:00:00-02:00"],
        ),
        (
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            "2026-04-25T12:00:00Z",
            ["2026-04-23T00:00:00+02:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"],
        ),
    ] {
        assert_eq!(starts("1d", zone, first, last), expected);
    }
}

#[test]
fn a_day_begins_at_the_first_of_two_midnights() {
    // At 00:01 on November 7, the clock went back to 23:01 on November 6.
    assert_eq!(
        starts("1d", "America/Goose_Bay", "2010-11-06T12:00:00Z", "2010-11-08T12:00:00Z"),
        ["2010-11-06T00:00:00-03:00", "2010-11-07T00:00:00-03:00", "2010-11-08T00:00:00-04:00"],
    );
    let mut days = buckets("1d", "America/Goose_Bay");
    let again = seconds("2010-11-06T23:30:00-04:00");
    assert_eq!(days.of(again * NANOS).start, seconds("2010-11-07T00:00:00-03:00"));
}

#[test]
fn a_day_that_is_skipped_has_no_bucket() {
    assert_eq!(
        starts("1d", "Pacific/Apia", "2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00"),
        ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"],
    );
}

#[test]
fn weeks_begin_on_monday_and_months_quarters_and_years_on_their_first() {
    let first = "2026-02-11T12:00:00Z";
    assert_eq!(
        starts("1w", "Asia/Kolkata", first, "2026-02-16T12:00:00Z"),
        ["2026-02-09T00:00:00+05:30", "2026-02-16T00:00:00+05:30"],
    );
    assert_eq!(starts("1w", "UTC", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"), ["1969-12-29T00:00:00Z"]);
    assert_eq!(
        starts("1mo", "Europe/London", first, "2026-04-02T00:00:00Z"),
        ["2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+01:00"],
    );
    assert_eq!(
        starts("1q", "UTC", first, "2026-10-02T00:00:00Z"),
        ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z"],
    );
    assert_eq!(starts("1y", "UTC", first, "2027-10-02T00:00:00Z"), ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"],);
}

#[test]
fn offsets_are_written_without_seconds_and_the_instant_stays() {
    // Berlin was 53 minutes and 28 seconds ahead of Greenwich.
    assert_eq!(
        starts("1d", "Europe/Berlin", "1850-05-05T12:00:00Z", "1850-05-05T12:00:00Z"),
        ["1850-05-04T23:59:32+00:53"],
    );
    // Monrovia was 44 minutes and 30 seconds behind until 1972.
    assert_eq!(
        starts("1d", "Africa/Monrovia", "1971-05-05T12:00:00Z", "1971-05-05T12:00:00Z"),
        ["1971-05-05T00:00:30-00:44"],
    );
}

#[test]
fn the_first_and_the_last_nanosecond_have_buckets() {
    let ends = |interval, zone| {
        let mut buckets = buckets(interval, zone);
        [buckets.of(i64::MIN), buckets.of(i64::MAX)]
    };
    let [first, last] = ends("1y", "UTC");
    assert_eq!(first, Bucket { start: -9_246_096_000, end: -9_214_560_000 }, "1677");
    assert_eq!(last, Bucket { start: 9_214_646_400, end: 9_246_182_400 }, "2262");
    for zone in ["UTC", "Asia/Manila", "America/Juneau", "Pacific/Apia"] {
        for interval in INTERVALS {
            let [first, last] = ends(interval, zone);
            assert!(first.start <= Bucket::ALL.start && Bucket::ALL.start < first.end, "{interval} {zone}");
            assert!(last.start <= i64::MAX / NANOS && i64::MAX / NANOS < last.end, "{interval} {zone}");
        }
    }
    let mut all = Buckets::new(None, Zone::utc());
    for nanos in [i64::MIN, -1, 0, i64::MAX] {
        assert_eq!(all.of(nanos), Bucket::ALL);
    }
    assert_eq!(Bucket::ALL, Bucket { start: -9_223_372_037, end: 9_223_372_037 });
}

#[test]
fn buckets_that_nobody_made_do_no_harm() {
    for interval in INTERVALS {
        let mut buckets = buckets(interval, "America/New_York");
        for second in [i64::MIN, i64::MIN + 1, -1 << 50, 1 << 50, i64::MAX - 1, i64::MAX] {
            let after = buckets.after(Bucket { start: second, end: second });
            assert!(after.start < after.end);
            let mut out = Vec::new();
            buckets.write_time(second, &mut out);
            assert_eq!(out.len(), "1970-01-01T00:00:00-05:00".len());
        }
    }
}

/// What the wall clock shows: `steps` readings from `first` on.
fn readings(rules: &TimeZone, first: i64, step: i64, steps: i64) -> Vec<(i64, i64)> {
    let read =
        |second| (second, second + i64::from(rules.to_offset(Timestamp::from_second(second).unwrap()).seconds()));
    (0..steps).map(|count| read(first + count * step)).collect()
}

/// Where buckets begin, by reading the clock at every step.
fn naive_starts(readings: &[(i64, i64)], interval: &str) -> Vec<i64> {
    let (seconds, unit): (i64, &dyn Fn(i64) -> i64) = match interval {
        "1d" => (0, &|local| local.div_euclid(DAY)),
        "1w" => (0, &|local| (local.div_euclid(DAY) + 3).div_euclid(7)),
        "1mo" => (0, &|local| months(local)),
        "1q" => (0, &|local| months(local).div_euclid(3)),
        "1y" => (0, &|local| months(local).div_euclid(12)),
        "1s" => (1, &|local| local),
        "24h" => (24 * HOUR, &|local| local),
        minutes if minutes.ends_with('m') => {
            (minutes.trim_end_matches('m').parse::<i64>().unwrap() * 60, &|local| local)
        }
        hours => (hours.trim_end_matches('h').parse::<i64>().unwrap() * HOUR, &|local| local),
    };
    let mut starts = Vec::new();
    let mut latest = unit(readings.first().unwrap().1);
    for pair in readings.windows(2) {
        let [(_, before), (second, local)] = *pair else { unreachable!("windows of two") };
        if seconds == 0 && unit(local) > latest {
            latest = unit(local);
            starts.push(second);
        } else if seconds > 0 && (local % seconds == 0 || local.div_euclid(seconds) > before.div_euclid(seconds)) {
            starts.push(second);
        }
    }
    starts
}

/// Months since January of year 0.
fn months(local: i64) -> i64 {
    let date = TimeZone::UTC.to_datetime(Timestamp::from_second(local).unwrap());
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

/// Compares all buckets around a transition with the clock.
fn check_transition(zone: &str, transition: i64) {
    let rules = TimeZoneDatabase::bundled().get(zone).unwrap();
    let around: Vec<i64> =
        readings(&rules, transition - 80 * HOUR, HOUR, 160).iter().map(|(at, local)| local - at).collect();
    let whole_minutes = transition % 60 == 0 && around.iter().all(|offset| offset % 60 == 0);
    // A clock with seconds is read for a shorter time.
    let (step, span) = if whole_minutes { (60, 40 * HOUR) } else { (1, 2 * HOUR) };
    let readings = readings(&rules, transition - 2 * span, step, 4 * span / step);
    for interval in INTERVALS.into_iter().filter(|interval| !whole_minutes || *interval != "1s") {
        let seen: Vec<i64> = naive_starts(&readings, interval)
            .into_iter()
            .filter(|start| (transition - span..transition + span).contains(start))
            .collect();
        let mut buckets = buckets(interval, zone);
        let mut bucket = buckets.of((transition - span) * NANOS);
        let mut found = Vec::new();
        while bucket.start < transition + span {
            if bucket.start >= transition - span {
                found.push(bucket.start);
            }
            bucket = buckets.after(bucket);
        }
        assert_eq!(found, seen, "{interval} in {zone} around {transition}");
    }
}

#[test]
fn buckets_around_transitions_are_those_that_the_clock_shows() {
    let mut transitions = vec![];
    for name in zone_names() {
        let rules = TimeZoneDatabase::bundled().get(&name).unwrap();
        let begin = Timestamp::from_second(-9_000_000_000).unwrap();
        let seconds = rules.following(begin).map(|transition| transition.timestamp().as_second());
        transitions.extend(seconds.take_while(|second| *second < 9_000_000_000).map(|second| (name.clone(), second)));
    }
    assert!(transitions.len() > 100_000);
    for (zone, second) in transitions.iter().step_by(transitions.len() / 150) {
        check_transition(zone, *second);
    }
    for (zone, time) in [
        ("America/Goose_Bay", "2010-11-07T00:01:00-03:00"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("America/Sao_Paulo", "2017-10-15T03:00:00Z"),
    ] {
        check_transition(zone, seconds(time));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn buckets_are_disjoint_and_cover_all_time(
        zone in prop::sample::select(zone_names()),
        interval in prop::sample::select(&INTERVALS[..]),
        nanos in prop_oneof![any::<i64>(), -3_000_000_000_000_000_000..3_000_000_000_000_000_000_i64],
        other in any::<i64>(),
        near in -10_000_000_000_000_000..10_000_000_000_000_000_i64,
    ) {
        let mut used = buckets(interval, &zone);
        let near = nanos.saturating_add(near);
        let [bucket, far, close] = [nanos, other, near].map(|nanos| used.of(nanos));
        for (bucket, nanos) in [(bucket, nanos), (far, other), (close, near)] {
            prop_assert!((bucket.start..bucket.end).contains(&nanos.div_euclid(NANOS)));
            prop_assert_eq!(bucket, buckets(interval, &zone).of(nanos), "what was asked before does not matter");
        }
        for (other, other_bucket) in [(other, far), (near, close)] {
            if nanos <= other {
                prop_assert!(bucket == other_bucket || bucket.end <= other_bucket.start);
            } else {
                prop_assert!(bucket == other_bucket || other_bucket.end <= bucket.start);
            }
        }
        let next = used.after(bucket);
        prop_assert_eq!(next.start, bucket.end);
        if let Some(end) = bucket.end.checked_mul(NANOS) {
            prop_assert_eq!(used.of(end), next);
            prop_assert_eq!(used.of(end - 1), bucket);
        }
        if let Some(start) = bucket.start.checked_mul(NANOS) {
            prop_assert_eq!(used.of(start), bucket);
        }
    }

    #[test]
    fn a_written_time_reads_back(
        zone in prop::sample::select(zone_names()),
        second in -9_000_000_000..9_000_000_000_i64,
    ) {
        let mut out = Vec::new();
        buckets("1s", &zone).write_time(second, &mut out);
        let text = String::from_utf8(out).unwrap();
        prop_assert_eq!(event::Timestamp::parse(&text).map(event::Timestamp::as_nanos), Ok(second * NANOS), "{}", text);
    }

    #[test]
    fn a_day_begins_where_jiff_says(
        zone in prop::sample::select(zone_names()),
        second in -9_000_000_000..9_000_000_000_i64,
    ) {
        let bucket = buckets("1d", &zone).of(second * NANOS);
        let rules = TimeZoneDatabase::bundled().get(&zone).unwrap();
        let start = Timestamp::from_second(bucket.start).unwrap().to_zoned_datetime(rules).start_of_day().unwrap();
        prop_assert_eq!(start.timestamp().as_second(), bucket.start);
    }
}
