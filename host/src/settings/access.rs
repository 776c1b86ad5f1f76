//! Settings of who may do what, and how often.

use std::num::NonZeroU64;
use std::path::PathBuf;

use argus_core::api::Proxies;
use argus_core::limit::{Network, Quota, Quotas, Rate, parse_amount, parse_size};
use clap::Args;

/// Keys, rate limits and trusted proxies.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Access")]
pub struct AccessOptions {
    /// File of API keys (TOML); with it, every request needs a key, but for health and the description. It is read
    /// again when it changes, and on SIGHUP. `key new` makes a key
    #[arg(long, env = "ARGUS_KEYS", value_name = "FILE")]
    pub keys: Option<PathBuf>,

    /// Most requests from a client address, as in 100/s, 600/m or 5000/h; beyond it, 429. IPv6 addresses count by their
    /// first 64 bits, those of NAT64 as the IPv4 addresses in them
    #[arg(long, env = "ARGUS_RATE_LIMIT", value_name = "RATE", value_parser = Rate::parse_requests)]
    pub rate_limit: Option<Rate>,

    /// Requests from a client address at once [default: the number in --rate-limit]
    #[arg(long, env = "ARGUS_RATE_BURST", value_name = "COUNT", value_parser = parse_amount)]
    pub rate_burst: Option<NonZeroU64>,

    /// Most bytes of request bodies from a client address, as in 10MiB/s; beyond it, 429. A body of any size is
    /// accepted if there is one byte left, and then later ones wait
    #[arg(long, env = "ARGUS_RATE_LIMIT_BYTES", value_name = "RATE", value_parser = Rate::parse_bytes)]
    pub rate_limit_bytes: Option<Rate>,

    /// Bytes of request bodies from a client address at once [default: the size in --rate-limit-bytes]
    #[arg(long, env = "ARGUS_RATE_BURST_BYTES", value_name = "SIZE", value_parser = parse_size)]
    pub rate_burst_bytes: Option<NonZeroU64>,

    /// Networks of proxies whose `Forwarded` or `X-Forwarded-For` names the client; repeatable, or separated by commas.
    /// The proxy must set the field itself
    #[arg(long, env = "ARGUS_TRUST_PROXY", value_name = "CIDR", value_delimiter = ',', value_parser = parse_network)]
    pub trust_proxy: Vec<Network>,
}

impl AccessOptions {
    /// The quotas of each client address.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        Quotas {
            requests: self.rate_limit.map(|rate| Quota::new(rate, self.rate_burst)),
            bytes: self.rate_limit_bytes.map(|rate| Quota::new(rate, self.rate_burst_bytes)),
        }
    }

    /// The trusted proxies.
    #[must_use]
    pub fn proxies(&self) -> Proxies {
        self.trust_proxy.clone().into()
    }

    /// Finds two settings that contradict each other.
    pub(super) fn contradiction(&self) -> Option<String> {
        let bursts = [
            (self.rate_burst.is_some(), "--rate-burst", self.rate_limit.is_some(), "--rate-limit"),
            (
                self.rate_burst_bytes.is_some(),
                "--rate-burst-bytes",
                self.rate_limit_bytes.is_some(),
                "--rate-limit-bytes",
            ),
        ];
        let alone = bursts.into_iter().find(|(has_burst, _, has_rate, _)| *has_burst && !has_rate);
        alone.map(|(_, burst, _, rate)| format!("{burst} limits nothing without {rate}"))
    }
}

fn parse_network(text: &str) -> Result<Network, argus_core::limit::NetworkError> {
    text.trim().parse()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use crate::settings::Settings;

    fn read(flags: &str) -> Result<Settings, String> {
        let arguments = ["test"].into_iter().chain(flags.split_whitespace());
        Settings::read("test", arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_have_a_burst() {
        let quotas =
            read("--rate-limit 600/m --rate-limit-bytes 10MiB/s --rate-burst-bytes 1MiB").unwrap().access.quotas();
        let (requests, bytes) = (quotas.requests.unwrap(), quotas.bytes.unwrap());
        assert_eq!((requests.burst().get(), bytes.burst().get()), (600, 1 << 20));
        assert!(read("").unwrap().access.quotas().is_empty());
        let access = read("--trust-proxy 10.0.0.0/8,::1 --trust-proxy 192.0.2.1").unwrap().access;
        assert_eq!(access.trust_proxy.len(), 3);
    }

    #[test]
    fn wrong_limits_are_bad_arguments() {
        for (flags, expected) in [
            ("--rate-limit 100", "as in 100/s"),
            ("--rate-limit 0/s", "more than zero"),
            ("--rate-limit-bytes 5/d", "as in 10MiB/s"),
            ("--rate-burst 5", "--rate-burst limits nothing without --rate-limit"),
            ("--rate-limit 1/s --rate-burst-bytes 5", "--rate-burst-bytes limits nothing without --rate-limit-bytes"),
            ("--trust-proxy proxy", "expected an address or a network"),
            ("--trust-proxy 10.1.0.0/8", "10.0.0.0/8"),
        ] {
            let error = read(flags).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
