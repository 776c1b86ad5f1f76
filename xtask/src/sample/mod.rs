//! `cargo xtask sample`: a realistic stream of events, to try things on, for tests and documents.

mod catalogue;
pub(crate) mod draw;
mod shop;

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};

use crate::flags::SampleOptions;
use shop::Shop;

/// Writes the stream to standard output, one event a line.
///
/// The reader may stop early (`… | head`); that is no error.
pub(crate) fn run(options: &SampleOptions) -> Result<bool> {
    match write(options, BufWriter::new(io::stdout().lock())) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        written => written.map(|()| true).context("cannot write to standard output"),
    }
}

fn write(options: &SampleOptions, mut out: impl Write) -> io::Result<()> {
    for line in Shop::new(options) {
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn sample(events: u64, seed: u64) -> String {
        let mut out = Vec::new();
        write(&SampleOptions { events, seed, ..SampleOptions::default() }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn parsed(text: &str) -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// FNV-1a, to compare a long text by one number.
    fn digest(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn a_seed_gives_the_same_bytes_everywhere() {
        assert_eq!(sample(3000, 1), sample(3000, 1));
        assert_ne!(sample(3000, 1), sample(3000, 2));
        // The README contains results of queries on the stream. After an intended change, update them.
        assert_eq!(digest(&sample(3000, 1)), 13_025_073_463_743_866_782);
    }

    #[test]
    fn there_are_as_many_events_as_asked_for() {
        for events in [0, 1, 2, 7, 1000, 12_345] {
            assert_eq!(sample(events, 5).lines().count() as u64, events);
        }
    }

    #[test]
    fn every_line_is_an_event_of_the_contract() {
        for event in parsed(&sample(5000, 3)) {
            let members: BTreeSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
            let mut allowed = BTreeSet::from(["event_type", "timestamp", "payload"]);
            if members.contains("id") {
                allowed.insert("id");
                assert!((1..=64).contains(&event["id"].as_str().unwrap().len()));
            }
            assert_eq!(members, allowed);
            assert!(!event["event_type"].as_str().unwrap().is_empty() && event["payload"].is_object());
            assert!(event["timestamp"].as_u64().is_some() || event["timestamp"].as_str().unwrap().ends_with('Z'));
        }
    }

    #[test]
    fn a_shop_is_open_all_week_and_busier_in_the_evening() {
        let mut hours = BTreeMap::new();
        let mut days = BTreeSet::new();
        for event in parsed(&sample(20_000, 1)) {
            let Some(time) = event["timestamp"].as_str() else { continue };
            days.insert(time[..10].to_owned());
            *hours.entry(time[11..13].to_owned()).or_insert(0) += 1;
        }
        assert!(days.len() >= 7, "{days:?}");
        assert!(hours["20"] > 4 * hours["04"], "{hours:?}");
    }

    #[test]
    fn purchases_follow_from_carts_and_refunds_from_purchases() {
        let mut count: BTreeMap<String, u64> = BTreeMap::new();
        let mut orders = BTreeSet::new();
        let mut refunded = BTreeSet::new();
        for event in parsed(&sample(20_000, 1)) {
            let event_type = event["event_type"].as_str().unwrap();
            *count.entry(event_type.to_owned()).or_default() += 1;
            let order = event["payload"]["order"].as_str().map(str::to_owned);
            match event_type {
                "purchase" => drop(orders.insert(order.unwrap())),
                "refund" => drop(refunded.insert(order.unwrap())),
                _ => assert_eq!(order, None),
            }
        }
        let stages = ["page_view", "product_view", "cart_add", "checkout", "purchase", "refund"];
        let counts: Vec<u64> = stages.iter().map(|stage| count[*stage]).collect();
        assert!(counts.iter().all(|count| *count > 0) && counts[1..].is_sorted_by(|a, b| a > b), "{count:?}");
        assert!(refunded.is_subset(&orders));
    }

    #[test]
    fn some_events_are_late_or_sent_twice_and_some_clocks_are_wrong() {
        let events = parsed(&sample(20_000, 1));
        let hour = 3_600_000;
        // In order of the clocks of browsers, which are right.
        let mut now = 0;
        let (mut in_app, mut late, mut ahead) = (0, 0, 0);
        for event in &events {
            match event["timestamp"].as_u64() {
                None => {
                    let time = humantime::parse_rfc3339(event["timestamp"].as_str().unwrap()).unwrap();
                    now = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
                }
                Some(time) => {
                    in_app += 1;
                    late += u64::from(time + hour < now);
                    ahead += u64::from(now > 0 && time > now + hour);
                }
            }
        }
        assert!(late > in_app / 100 && late < in_app / 10, "{late} of {in_app} come late");
        assert!(ahead > 0 && ahead < in_app / 50, "{ahead} of {in_app} have a time in the future");
        let ids: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert!(distinct.len() < ids.len() && distinct.len() > ids.len() * 9 / 10, "{} {}", ids.len(), distinct.len());
    }

    #[test]
    fn the_first_event_is_not_before_the_start() {
        let start = humantime::parse_rfc3339("2030-01-01T00:00:00Z").unwrap();
        let mut out = Vec::new();
        write(&SampleOptions { events: 1000, seed: 1, start }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let first = text.lines().find_map(|line| line.split_once("\"timestamp\":\"20")).unwrap().1;
        assert!(first.starts_with("30-01-01T"), "{first}");
    }
}
