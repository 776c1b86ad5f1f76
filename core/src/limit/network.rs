//! Client addresses, and networks of them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use thiserror::Error;

/// The first 96 bits of `64:ff9b::/96`, in whose addresses an IPv4 address follows (RFC 6052, section 2.1).
const NAT64_PREFIX: u128 = 0x0064_ff9b << 64;

/// Whom a limit by address counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is what one
/// subscriber gets at least (RFC 6177). An IPv4-mapped IPv6 address is the IPv4 address. So is one that a translator
/// between the two has made (NAT64, RFC 6052), because otherwise all IPv4 clients behind it would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientNetwork {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The upper 64 bits of IPv6 addresses.
    V6(u64),
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) if address.to_bits() >> 32 == NAT64_PREFIX => {
                Self::V4(Ipv4Addr::from_bits(address.to_bits() as u32))
            }
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// A range of addresses in CIDR notation (RFC 4632): `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// With all bits after the prefix zero.
    address: IpAddr,
    bits: u8,
}

/// Why a text is not a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// It is no address, or not followed by a length.
    #[error("expected an address or a network, as in 127.0.0.1, 10.0.0.0/8 or 2001:db8::/32")]
    Malformed,
    /// The length is more than the address has bits.
    #[error("an IPv4 network has a length of at most 32, an IPv6 network of at most 128")]
    TooLong,
    /// Bits after the prefix are set, so it is unclear what is meant.
    #[error("the address has bits after the first {bits}; the network of that length is {network}")]
    HostBits {
        /// The length of the prefix.
        bits: u8,
        /// The network without those bits.
        network: Network,
    },
}

impl Network {
    /// Whether the address is in the network. An IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Malformed)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => bits_max,
            // `str::parse` would accept a sign.
            Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(NetworkError::Malformed);
            }
            Some(digits) => digits.parse::<u8>().ok().filter(|bits| *bits <= bits_max).ok_or(NetworkError::TooLong)?,
        };
        let network = Self { address: masked(address, bits), bits };
        if network.address != address {
            return Err(NetworkError::HostBits { bits, network });
        }
        // An IPv4-mapped network is the IPv4 network, as addresses are.
        match (address.to_canonical(), bits.checked_sub(96)) {
            (IpAddr::V4(mapped), Some(bits)) if address.is_ipv6() => Ok(Self { address: mapped.into(), bits }),
            (_, _) => Ok(network),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// The address with all bits after the first `bits` zero.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString as _;

    use super::*;

    #[test]
    fn clients_are_ipv4_addresses_and_ipv6_networks() {
        let client = |text: &str| ClientNetwork::from(text.parse::<IpAddr>().unwrap());
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(client("64:ff9b::192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        assert_eq!(client("64:ff9b:0:0:1::1"), client("64:ff9b:0:0:2::1"), "another prefix is not translated");
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(client("::"), client("0.0.0.0"));
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", &["10.1.2.3", "::ffff:10.0.0.1"][..], &["11.0.0.0", "::a00:1", "9.255.255.255"][..]),
            ("192.0.2.1", &["192.0.2.1"], &["192.0.2.2"]),
            ("0.0.0.0/0", &["1.2.3.4"], &["::1"]),
            ("2001:db8::/32", &["2001:db8::1"], &["2001:db9::", "10.0.0.1"]),
            ("::1", &["::1"], &["::2", "127.0.0.1"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9"], &["11.0.0.1"]),
            ("::/0", &["::1"], &["10.0.0.1"]),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(inside.iter().all(|address| parsed.contains(address.parse().unwrap())), "{network}");
            assert!(!outside.iter().any(|address| parsed.contains(address.parse().unwrap())), "{network}");
        }
        for text in ["", "10", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "localhost", "10.0.0.0/8/8", "[::1]"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Malformed), "{text}");
        }
        for text in ["10.0.0.0/33", "::/129", "::/999"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::TooLong), "{text}");
        }
        let error = "10.1.0.0/8".parse::<Network>().unwrap_err().to_string();
        assert!(error.ends_with("the network of that length is 10.0.0.0/8"), "{error}");
    }
}
