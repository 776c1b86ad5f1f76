//! Rate limits against a naive token bucket, and clients behind proxies against what proxies promise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::time::Duration;

use argus_core::api::{Proxies, RequestHead};
use argus_core::auth::Keys;
use argus_core::limit::{AddressTable, ClientNetwork, Gcra, Meter, Quota, Quotas, Rate};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A bucket of tokens, in parts so small that every nanosecond adds a whole number of them. It is filled step by step,
/// and may be in debt.
struct Bucket {
    /// Parts that a nanosecond adds.
    amount: i128,
    /// Parts of a token.
    token: i128,
    burst: i128,
    level: i128,
    last: u64,
}

impl Bucket {
    fn new(quota: &Quota) -> Self {
        let token = quota.rate().period().as_nanos() as i128;
        let burst = i128::from(quota.burst().get()) * token;
        Self { amount: i128::from(quota.rate().amount().get()), token, burst, level: burst, last: 0 }
    }

    fn wait_until(&mut self, now: u64) {
        self.level = self.burst.min(self.level + i128::from(now - self.last) * self.amount);
        self.last = now;
    }

    fn has_one(&self) -> bool {
        self.level >= self.token
    }

    fn take(&mut self, amount: u64) {
        self.level -= i128::from(amount) * self.token;
    }

    fn left(&self) -> u64 {
        (self.level / self.token).max(0).try_into().unwrap()
    }
}

fn quotas_of_requests() -> impl Strategy<Value = Quota> {
    let rate = (1_u64..2000, prop::sample::select(vec!["s", "m", "h"]));
    (rate, option::of(1_u64..50)).prop_map(|((amount, period), burst)| {
        Quota::new(Rate::parse_requests(&format!("{amount}/{period}")).unwrap(), burst.and_then(NonZeroU64::new))
    })
}

/// The time to the next call, and how much it takes.
fn calls() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let wait = prop_oneof![Just(0), 0_u64..1_000, 0_u64..20_000_000, 0_u64..5_000_000_000, 0_u64..4_000_000_000_000];
    let amount = prop_oneof![4 => Just(1), 1 => 0_u64..5000];
    vec((wait, amount), 1..200)
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        (0_u32..4).prop_map(|host| Ipv4Addr::from_bits(0x0a00_0000 | host).into()),
        any::<u128>().prop_map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
    ]
}

/// What clients write into the fields, true or not.
fn garbage() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "(for=|,|;|=|\"|\\\\|\\[|\\]|:|_|unknown|proto|1\\.1\\.1\\.1|10\\.0\\.0\\.2| ){0,12}",
        vec(addresses(), 0..3).prop_map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    ]
}

fn proxies() -> Proxies {
    Proxies::from(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
}

fn client(peer: IpAddr, fields: &[(&str, &str)]) -> IpAddr {
    let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    proxies().client(peer, &RequestHead { headers: &headers, ..RequestHead::default() })
}

proptest! {
    #[test]
    fn gcra_is_a_token_bucket(quota in quotas_of_requests(), calls in calls()) {
        let (mut gcra, mut bucket, mut now) = (Gcra::default(), Bucket::new(&quota), 0);
        for (wait, amount) in calls {
            now += wait;
            let uptime = Duration::from_nanos(now);
            bucket.wait_until(now);
            let standing = gcra.standing(&quota, uptime);
            prop_assert_eq!(gcra.conforms(&quota, uptime), bucket.has_one());
            prop_assert_eq!(standing.left(), bucket.left());
            prop_assert_eq!(standing.next_in().is_zero(), bucket.has_one());
            if bucket.has_one() {
                gcra.charge(&quota, uptime, amount);
                bucket.take(amount);
            } else {
                // The time to wait is enough, and a nanosecond less is not.
                let at = uptime + standing.next_in();
                prop_assert!(gcra.conforms(&quota, at));
                prop_assert!(!gcra.conforms(&quota, at - Duration::from_nanos(1)));
            }
            let full = gcra.standing(&quota, uptime).full_in();
            prop_assert_eq!(gcra.standing(&quota, uptime + full).left(), quota.burst().get());
        }
    }

    /// A table that forgets refuses nothing that one without bounds admits, and forgets nobody while it has room.
    #[test]
    fn to_be_forgotten_is_to_be_forgiven(
        quota in quotas_of_requests(),
        calls in vec((0_u64..12, 0_u64..200_000_000, any::<bool>(), 0_u64..100), 1..300),
        seed: u128,
        ample: bool,
    ) {
        let quotas = Quotas { requests: Some(quota), bytes: Some(quota) };
        // One set of eight, or room for all twelve even if they share a set by chance with seven others.
        let mut table = AddressTable::new(quotas, if ample { 1 << 16 } else { 8 }, seed);
        let mut meters: HashMap<u64, Meter> = HashMap::new();
        let mut counted: HashMap<u64, (Gcra, Gcra)> = HashMap::new();
        let mut now = Duration::ZERO;
        for (client, wait, has_body, bytes) in calls {
            now += Duration::from_nanos(wait);
            let network = ClientNetwork::V6(client);
            let verdict = table.admit(network, has_body, now);
            let is_admitted = verdict.refused.is_none();
            let (requests, content) = counted.entry(client).or_default();
            if requests.conforms(&quota, now) && (!has_body || content.conforms(&quota, now)) {
                prop_assert_eq!(verdict.refused, None);
            }
            // Also what is admitted only because its client was forgotten.
            if is_admitted {
                requests.charge(&quota, now, 1);
            }
            if is_admitted && has_body {
                table.charge(network, bytes, now);
                content.charge(&quota, now, bytes);
            }
            if ample {
                let meter = meters.entry(client).or_default();
                prop_assert_eq!(verdict, meter.admit(&quotas, has_body, now));
                if is_admitted && has_body {
                    meter.charge(&quotas, bytes, now);
                }
            }
        }
    }

    #[test]
    fn what_a_client_writes_does_not_change_who_it_is(
        written in garbage(),
        real in addresses(),
        chain in vec(0_u32..256, 0..3),
        legacy: bool,
        split: bool,
    ) {
        prop_assume!(!proxies().trust(real));
        // The first proxy appends the client, each further one the proxy before it.
        let hops: Vec<IpAddr> = std::iter::once(real)
            .chain(chain.iter().map(|host| Ipv4Addr::from_bits(0x0a01_0000 | host).into()))
            .collect();
        let entry = |address: &IpAddr| match (legacy, address) {
            (true, _) => address.to_string(),
            (false, IpAddr::V4(_)) => format!("for={address}"),
            (false, IpAddr::V6(_)) => format!("for=\"[{address}]\""),
        };
        let name = if legacy { "x-forwarded-for" } else { "forwarded" };
        let appended = hops.iter().map(entry).collect::<Vec<_>>().join(", ");
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let found = if split {
            client(peer, &[(name, &written), (name, &appended)])
        } else {
            client(peer, &[(name, &format!("{written}, {appended}"))])
        };
        // In one field, an open quotation mark makes the whole malformed; then nothing of it is believed.
        let is_malformed = !split && !legacy && found == peer;
        prop_assert!(found == real.to_canonical() || is_malformed, "{} is not {}", found, real);
    }

    /// The client is the peer, or an address that stands in the fields; and a peer that is not trusted is the client.
    #[test]
    fn the_client_is_somebody(
        peer in addresses(),
        forwarded in option::of(garbage()),
        legacy in option::of(garbage()),
    ) {
        let fields: Vec<_> = [("forwarded", &forwarded), ("x-forwarded-for", &legacy)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect();
        let found = client(peer, &fields);
        if !proxies().trust(peer) {
            prop_assert_eq!(found, peer.to_canonical());
        }
        prop_assert!(found == peer.to_canonical() || !fields.is_empty());
    }

    #[test]
    fn any_file_of_keys_is_read_or_refused_with_its_line(
        text in "(\\[\\[key\\]\\]|name|sha256|scopes|=|'|\"|\\n|[0-9-]{0,8}|\\[|\\]|,|argus_SECRET|[ -~]{0,8}){0,20}",
    ) {
        if let Err(error) = Keys::parse(&text) {
            prop_assert!(error.line <= text.split('\n').count().max(1));
            prop_assert!(!error.to_string().contains("argus_SECRET"), "{}", error);
        }
    }
}
