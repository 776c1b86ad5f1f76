//! Events of a web shop, the same ones in every run.

use std::collections::BTreeMap;

use super::client::post;

/// Types of events, the queried one first.
pub(super) const TYPES: [&str; 8] = [
    "order.placed",
    "page.viewed",
    "page.left",
    "item.searched",
    "item.opened",
    "cart.changed",
    "user.signed_in",
    "error.shown",
];

/// The type that queries ask for.
pub(super) const QUERIED: &str = TYPES[0];

/// The shops, whose numbers have two digits in the paths of events.
pub(super) const SHOPS: usize = 100;

const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "JP", "BR", "IN", "GB", "PL"];

/// 2026-01-01T00:00:00Z.
const EPOCH_MS: u64 = 1_767_225_600_000;

pub(super) const HOUR_MS: u64 = 3_600_000;

/// A generator of pseudo-random numbers (`SplitMix64`; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is so small beside 2^64 that the bias of the modulo does not matter.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a usize fits into 64 bits");
        usize::try_from(self.next() % bound).expect("the number is below a usize")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }
}

/// The type and time of an event, which queries select by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    event_type: &'static str,
    /// Milliseconds since the Unix epoch.
    pub(super) time_ms: u64,
}

/// `count` events of all types, one every 80 milliseconds.
pub(super) fn stream(count: usize, random: &mut Random) -> Vec<Stamp> {
    let times = (0..).map(|index: u64| EPOCH_MS + index * 80);
    times.take(count).map(|time_ms| Stamp { event_type: random.pick(&TYPES), time_ms }).collect()
}

/// Hours with the same number of events each. A fixed number of these has the queried type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hours {
    pub(super) hours: u64,
    pub(super) events_per_hour: u64,
    pub(super) queried_per_hour: u64,
}

impl Hours {
    /// All events in the order of time.
    pub(super) fn stamps(self) -> Vec<Stamp> {
        let positions =
            (0..self.hours).flat_map(|hour| (0..self.events_per_hour).map(move |position| (hour, position)));
        let stride = self.events_per_hour / self.queried_per_hour;
        let mut random = Random::new(3);
        positions
            .map(|(hour, position)| {
                let others = TYPES.get(1..).unwrap_or_default();
                let event_type = if position % stride == 0 { QUERIED } else { random.pick(others) };
                Stamp { event_type, time_ms: self.start(hour) + position * HOUR_MS / self.events_per_hour }
            })
            .collect()
    }

    /// When an hour starts, in milliseconds since the Unix epoch.
    pub(super) fn start(self, hour: u64) -> u64 {
        EPOCH_MS + hour * HOUR_MS
    }

    /// The times of the queried events of an hour, in order.
    pub(super) fn queried(self, hour: u64) -> impl Iterator<Item = u64> {
        let stride = self.events_per_hour / self.queried_per_hour;
        (0..self.queried_per_hour).map(move |index| self.start(hour) + index * stride * HOUR_MS / self.events_per_hour)
    }
}

/// Shuffles the items (Fisher and Yates).
pub(super) fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

/// The number of digits of the search in an event's referrer.
const SEARCH_DIGITS: usize = 6;

/// An event as JSON, 230 to 250 bytes long.
pub(super) fn event(stamp: Stamp, random: &mut Random) -> String {
    event_with_search(stamp, random, SEARCH_DIGITS)
}

fn event_with_search(stamp: Stamp, random: &mut Random, digits: usize) -> String {
    let Stamp { event_type, time_ms } = stamp;
    let (user, session) = (random.below(50_000), random.next());
    let (shop, item, search) = (random.below(SHOPS), random.below(10_000), random.below(1_000_000));
    let (duration, country, flag) = (random.below(100_000), random.pick(&COUNTRIES), random.below(2) == 0);
    let visit =
        format!(r#""path":"/shops/{shop:02}/items/{item:04}","referrer":"https://find.example/?q={search:0digits$}""#);
    let user = format!(r#""user":"u-{user:05}","session":"{session:016x}""#);
    let rest = format!(r#""duration_ms":{duration},"country":"{country}","new":{flag}"#);
    let payload = format!("{{{user},{visit},{rest}}}");
    format!(r#"{{"event_type":"{event_type}","timestamp":"{}","payload":{payload}}}"#, rfc3339(time_ms))
}

/// POST requests of one event each, with bodies of exactly `bytes` bytes, which is more than an event usually has.
pub(super) fn single_requests(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(1);
    let bodies = stream(count, &mut random).into_iter().map(|stamp| {
        // The search fills up the length. The rest of the event depends only on the state of the generator.
        let usual = event_with_search(stamp, &mut random.clone(), SEARCH_DIGITS).len();
        event_with_search(stamp, &mut random, SEARCH_DIGITS + bytes.saturating_sub(usual))
    });
    bodies.map(|body| post("application/json", body.as_bytes())).collect::<Vec<_>>()
}

/// POST requests of `batch` events each as NDJSON, and the total bytes of JSON.
pub(super) fn batch_requests(stamps: &[Stamp], batch: usize) -> (Vec<Vec<u8>>, u64) {
    let mut random = Random::new(2);
    let mut bytes = 0;
    let mut requests = Vec::new();
    for chunk in stamps.chunks(batch) {
        let lines: String = chunk.iter().map(|stamp| event(*stamp, &mut random) + "\n").collect();
        bytes += u64::try_from(lines.len()).expect("a usize fits into 64 bits");
        requests.push(post("application/x-ndjson", lines.as_bytes()));
    }
    (requests, bytes)
}

/// How many of the events in these requests there are of each type in each shop.
pub(super) fn kinds(requests: &[Vec<u8>]) -> BTreeMap<(String, usize), usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        for line in String::from_utf8_lossy(request).lines() {
            let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest);
            let event_type = after("\"event_type\":\"").and_then(|rest| rest.split_once('"'));
            let shop = after("\"/shops/").and_then(|rest| rest.get(..2)?.parse().ok());
            if let (Some((event_type, _)), Some(shop)) = (event_type, shop) {
                *counts.entry((event_type.to_owned(), shop)).or_default() += 1;
            }
        }
    }
    counts
}

/// A time in the format of the wire contract: UTC, with a fraction only if it is not zero.
pub(super) fn rfc3339(time_ms: u64) -> String {
    let (seconds, millisecond) = (time_ms / 1000, time_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that start in March have the leap day last; 719,468 days lie between 0000-03-01 and 1970-01-01 (Hinnant,
    // "days").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let fraction = if millisecond == 0 { String::new() } else { format!(".{millisecond:03}") };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // From `date -u -d @SECONDS +%FT%TZ`.
        for (time_ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (EPOCH_MS, "2026-01-01T00:00:00Z"),
            (EPOCH_MS - 1, "2025-12-31T23:59:59.999Z"),
            (1_798_761_599_080, "2026-12-31T23:59:59.080Z"),
        ] {
            assert_eq!(rfc3339(time_ms), expected);
        }
    }

    #[test]
    fn events_are_json_of_the_promised_size() {
        let mut random = Random::new(7);
        for stamp in stream(1000, &mut random) {
            let event = event(stamp, &mut random);
            assert!((230..=250).contains(&event.len()), "{} bytes: {event}", event.len());
            let parsed: serde_json::Value = serde_json::from_str(&event).expect("an event is JSON");
            assert_eq!(parsed.as_object().map(serde_json::Map::len), Some(3));
        }
    }

    #[test]
    fn single_events_have_exactly_the_size_asked_for() {
        for request in single_requests(100, 250) {
            let text = String::from_utf8(request).expect("a request is text");
            let (_, body) = text.split_once("\r\n\r\n").expect("a request has a head");
            assert_eq!(body.len(), 250, "{body}");
            assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
        }
    }

    #[test]
    fn batches_hold_every_event_once() {
        let stamps = stream(25, &mut Random::new(7));
        let (requests, bytes) = batch_requests(&stamps, 10);
        assert_eq!(requests.len(), 3);
        let text: String = requests.iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(lines.len(), 25);
        assert_eq!(
            lines.iter().map(|line| line.len() + 1).sum::<usize>(),
            usize::try_from(bytes).expect("it is small")
        );
        assert_eq!(kinds(&requests).values().sum::<usize>(), 25, "each has a type and a shop");
    }

    #[test]
    fn hours_have_the_promised_events() {
        let hours = Hours { hours: 3, events_per_hour: 1000, queried_per_hour: 200 };
        let mut stamps = hours.stamps();
        assert_eq!(stamps.len(), 3000);
        assert!(stamps.is_sorted_by_key(|stamp| stamp.time_ms));
        let within = |stamp: &&Stamp| (hours.start(1)..hours.start(2)).contains(&stamp.time_ms);
        let second: Vec<u64> = stamps
            .iter()
            .filter(within)
            .filter(|stamp| stamp.event_type == QUERIED)
            .map(|stamp| stamp.time_ms)
            .collect();
        assert_eq!(second.len(), 200);
        assert_eq!(second, hours.queried(1).collect::<Vec<_>>());

        let ordered = stamps.clone();
        shuffle(&mut stamps, &mut Random::new(7));
        assert_ne!(stamps, ordered);
        stamps.sort_by_key(|stamp| stamp.time_ms);
        assert_eq!(stamps, ordered);
    }
}
