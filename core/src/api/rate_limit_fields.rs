//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): how much of its limits a client has
//! left.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::json;
use crate::limit::{Unit, Verdict};

/// Room for four quotas in a field, in bytes. A field with very large numbers grows.
const FIELD_BYTES_RESERVED: usize = 192;
/// The largest Integer of structured fields (RFC 9651, section 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payer {
    /// All clients with one address.
    Address,
    /// All with one key.
    Key,
}

/// The two fields, as lists with one item for each quota. ASCII.
#[derive(Debug)]
pub(super) struct RateLimitFields {
    policies: Vec<u8>,
    standings: Vec<u8>,
}

impl Default for RateLimitFields {
    fn default() -> Self {
        let [policies, standings] = [(); 2].map(|()| Vec::with_capacity(FIELD_BYTES_RESERVED));
        Self { policies, standings }
    }
}

impl RateLimitFields {
    /// Adds the quotas of one payer. `q` is the burst and `w` the seconds in which it is granted anew. So `r`, what is
    /// left, is never more than `q`. `t` is the time until all of it can be used.
    pub(super) fn push(&mut self, payer: Payer, verdict: &Verdict) {
        let Self { policies, standings } = self;
        for (unit, standing) in [(Unit::Requests, verdict.requests), (Unit::Bytes, verdict.bytes)] {
            let Some(standing) = standing else { continue };
            let quota = standing.quota();
            if !policies.is_empty() {
                policies.extend_from_slice(b", ");
                standings.extend_from_slice(b", ");
            }
            // Whole texts, which are fast: most answers have these fields if there are limits.
            let (policy, left): (&[u8], &[u8]) = match (payer, unit) {
                (Payer::Address, Unit::Requests) => (b"\"default\";q=", b"\"default\";r="),
                (Payer::Address, Unit::Bytes) => (b"\"default-bytes\";q=", b"\"default-bytes\";r="),
                (Payer::Key, Unit::Requests) => (b"\"key\";q=", b"\"key\";r="),
                (Payer::Key, Unit::Bytes) => (b"\"key-bytes\";q=", b"\"key-bytes\";r="),
            };
            write_item(policies, policy, quota.burst().get(), *b";w=", quota.window_seconds());
            match unit {
                Unit::Requests => {}
                Unit::Bytes => policies.extend_from_slice(b";qu=\"content-bytes\""),
            }
            write_item(standings, left, standing.left(), *b";t=", seconds(standing.full_in()));
        }
    }

    /// Adds the fields to an answer, unless there is no quota.
    pub(super) fn add_to(self, headers: &mut Vec<(&'static str, Cow<'static, str>)>) {
        if !self.policies.is_empty() {
            for (name, value) in [("ratelimit-policy", self.policies), ("ratelimit", self.standings)] {
                let value = String::from_utf8(value).expect("names, parameters and digits are ASCII");
                headers.push((name, value.into()));
            }
        }
    }
}

/// Appends an item with two parameters: `"name";q=100;w=1`.
fn write_item(out: &mut Vec<u8>, before: &[u8], first: u64, between: [u8; 3], second: u64) {
    out.extend_from_slice(before);
    json::write_u64(first.min(INTEGER_MAX), out);
    out.extend_from_slice(&between);
    json::write_u64(second.min(INTEGER_MAX), out);
}

/// Whole seconds, rounded up.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use core::num::NonZeroU64;

    use super::*;
    use crate::limit::{Meter, Quota, Quotas, Rate};

    /// The fields of a client that has sent this many bytes at once.
    fn fields(rate: &str, burst: u64, bytes: u64) -> Vec<(&'static str, Cow<'static, str>)> {
        let quota = Quota::new(Rate::parse_bytes(rate).unwrap(), NonZeroU64::new(burst));
        let quotas = Quotas { requests: None, bytes: Some(quota) };
        let mut meter = Meter::default();
        meter.charge(&quotas, bytes, Duration::ZERO);
        let mut fields = RateLimitFields::default();
        fields.push(Payer::Address, &meter.admit(&quotas, true, Duration::ZERO));
        let mut headers = Vec::new();
        fields.add_to(&mut headers);
        headers
    }

    #[test]
    fn numbers_are_whole_and_no_larger_than_integers_of_structured_fields() {
        for (rate, burst, bytes, policy, standing) in [
            ("1/h", 1, 0, "q=1;w=3600", "r=1;t=0"),
            ("3/s", 10, 1, "q=10;w=4", "r=9;t=1"),
            ("1/h", u64::MAX, u64::MAX, "q=999999999999999;w=999999999999999", "r=0;t=18446744074"),
            ("18446744073709551615/s", u64::MAX, 0, "q=999999999999999;w=1", "r=999999999999999;t=0"),
        ] {
            let expected = [
                ("ratelimit-policy", alloc::format!("\"default-bytes\";{policy};qu=\"content-bytes\"").into()),
                ("ratelimit", alloc::format!("\"default-bytes\";{standing}").into()),
            ];
            assert_eq!(fields(rate, burst, bytes), expected, "{rate}");
        }
    }

    #[test]
    fn without_quotas_there_are_no_fields() {
        let mut fields = RateLimitFields::default();
        fields.push(Payer::Address, &Verdict::default());
        let mut headers = Vec::new();
        fields.add_to(&mut headers);
        assert_eq!(headers, []);
    }
}
