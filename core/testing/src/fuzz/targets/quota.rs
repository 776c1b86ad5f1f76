//! Rate limits, against a bucket of whole numbers.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::time::Duration;

use argus_core::limit::{AddressTable, Meter, Quota, Quotas, Rate, Unit, parse_size};

use super::super::super::Random;
use super::super::Target;

pub(super) const TARGET: Target = Target {
    name: "quota",
    about: "a limit admits what a bucket of tokens admits, says how long to wait, and refuses nobody for ever",
    run: quota,
    seeds,
    words: &["/s", "/m", "/h", "MiB", "KB", "18446744073709551615", "0", "1"],
    smoke_runs: 1_500,
};

/// The most steps of one input.
const STEPS_MAX: u64 = 60;

/// Tokens of one quota, in parts: as many to a token as a period has nanoseconds. Less than none is a debt.
struct Bucket {
    parts: i128,
    burst: i128,
    /// Parts of a token.
    token: i128,
    /// Parts that a nanosecond brings.
    speed: i128,
}

impl Bucket {
    fn new(quota: &Quota) -> Self {
        let token = i128::try_from(quota.rate().period().as_nanos()).expect("at most an hour");
        let burst = i128::from(quota.burst().get()) * token;
        Self { parts: burst, burst, token, speed: quota.rate().amount().get().into() }
    }

    fn pass(&mut self, nanos: i128) {
        self.parts = (self.parts + nanos * self.speed).min(self.burst);
    }

    /// Whole nanoseconds until there is a token.
    fn wait(&self) -> i128 {
        let missing = (self.token - self.parts).max(0);
        (missing + self.speed - 1) / self.speed
    }
}

/// # Panics
///
/// If the limit decides otherwise than the bucket.
fn quota(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(rate) = Rate::parse_requests(&text) {
        assert_eq!(Rate::parse_requests(&rate.to_string()), Ok(rate), "{text:?}");
    }
    if let Ok(size) = parse_size(&text) {
        assert_eq!(parse_size(&size.to_string()), Ok(size), "{text:?}");
    }

    let mut random = Random::bytes(data);
    let rate = random.pick(&["1/s", "10/s", "600/m", "7/h", "1000000/s"]);
    let requests = Quota::new(rate.parse_as(), NonZeroU64::new(random.below(5)));
    let bytes = Quota::new("1000/s".parse_as(), NonZeroU64::new(500));
    let quotas = Quotas { requests: Some(requests), bytes: Some(bytes) };
    let (mut meter, mut table) = (Meter::default(), AddressTable::new(quotas, 8, random.number().into()));
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)).into();
    let (mut request_bucket, mut byte_bucket) = (Bucket::new(&requests), Bucket::new(&bytes));
    let mut now = Duration::ZERO;
    for _ in 0..random.below(STEPS_MAX) {
        let pause = random.pick(&[0, 1, 999_999_999, 1_000_000_000, 60_000_000_000, 123_456_789, 3_600_000_000_000]);
        now += Duration::from_nanos(pause);
        [&mut request_bucket, &mut byte_bucket].into_iter().for_each(|bucket| bucket.pass(pause.into()));
        let has_body = random.one_in(2);
        let waits = [request_bucket.wait(), if has_body { byte_bucket.wait() } else { 0 }];
        let verdict = meter.admit(&quotas, has_body, now);
        assert_eq!(table.admit(client, has_body, now), verdict, "a table of one client is its meter");
        match verdict.refused {
            None => {
                assert_eq!(waits, [0, 0], "admitted");
                request_bucket.parts -= request_bucket.token;
                let length = random.pick(&[0, 1, 100, 5_000]);
                if has_body {
                    byte_bucket.parts -= i128::from(length) * byte_bucket.token;
                    meter.charge(&quotas, length, now);
                    table.charge(client, length, now);
                }
            }
            Some(refused) => {
                let wait = waits.into_iter().max().expect("there are two");
                assert_eq!(i128::try_from(refused.wait.as_nanos()), Ok(wait), "the time to wait");
                let [of_requests, of_bytes] = waits;
                let named = if refused.unit == Unit::Bytes { of_bytes } else { of_requests };
                assert_eq!(named, wait, "{:?} refuses", refused.unit);
                // Who waits as told is admitted.
                let later = now + refused.wait;
                assert_eq!(meter.clone().admit(&quotas, has_body, later).refused, None, "refused after the wait");
            }
        }
    }
}

trait ParseAs {
    fn parse_as(&self) -> Rate;
}

impl ParseAs for str {
    fn parse_as(&self) -> Rate {
        Rate::parse_requests(self).expect("it is a rate")
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::seeded(8);
    let drawn = (0..6).map(|_| (0..200).map(|_| u8::try_from(random.below(256)).expect("below 256")).collect());
    let texts = ["100/s", "600 / min", "10MiB", "1 GB", "5000/h"].map(|text| text.as_bytes().to_vec());
    drawn.chain(texts).collect()
}
