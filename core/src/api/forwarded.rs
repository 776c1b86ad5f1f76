//! Which client a request comes from, if proxies pass it on.
//!
//! A proxy names the client in `Forwarded` (RFC 7239) or `X-Forwarded-For`, after what the client itself has written
//! there. So only what trusted proxies have appended is true: the list is read from its end, as long as the address
//! that appended an entry is trusted.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::RequestHead;
use super::fields::{is_token, trim, values};
use crate::limit::Network;

/// The networks of trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl From<Vec<Network>> for Proxies {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

impl Proxies {
    /// Whether the address is that of a trusted proxy.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The address of the client that sent a request over a connection from `peer`.
    ///
    /// It is the last address in the list that is not a trusted proxy. If all are, it is the first. At an entry that is
    /// malformed, `unknown` or a pseudonym (`_x`) the search ends, and the client is the proxy that passed this entry
    /// on: it is answerable for it. The fields of a peer that is not trusted are ignored.
    ///
    /// A proxy writes one of the two fields and passes the other on as the client sent it. So if both are there, they
    /// must agree; otherwise the client is the peer itself.
    #[must_use]
    pub fn client(&self, peer: IpAddr, head: &RequestHead<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let has = |name| values(head, name).next().is_some();
        let forwarded = || self.last_client(peer, head, "forwarded", forwarded_hops);
        let legacy = || self.last_client(peer, head, "x-forwarded-for", legacy_hops);
        match (has("forwarded"), has("x-forwarded-for")) {
            (false, false) => peer,
            (true, false) => forwarded(),
            (false, true) => legacy(),
            (true, true) => {
                let client = forwarded();
                if client == legacy() { client } else { peer }
            }
        }
    }

    /// Reads the fields of this name from the end. `hops` returns the entries of a field in order, each an address if
    /// it names one; `None` if the field is malformed as a whole.
    fn last_client(
        &self,
        peer: IpAddr,
        head: &RequestHead<'_>,
        name: &'static str,
        hops: fn(&[u8]) -> Option<Vec<Option<IpAddr>>>,
    ) -> IpAddr {
        let fields: Vec<&[u8]> = values(head, name).collect();
        let mut client = peer;
        for field in fields.into_iter().rev() {
            let Some(hops) = hops(field) else { return client };
            for hop in hops.into_iter().rev() {
                match hop {
                    Some(address) if self.trust(address) => client = address,
                    Some(address) => return address,
                    None => return client,
                }
            }
        }
        client
    }
}

/// The entries of an `X-Forwarded-For` field: addresses, some with a port. There are no quotes, so whatever a caller
/// writes, the entries that proxies have appended stay what they are.
fn legacy_hops(field: &[u8]) -> Option<Vec<Option<IpAddr>>> {
    let entries = field.split(|byte| *byte == b',').map(trim).filter(|entry| !entry.is_empty());
    let address = |entry: &[u8]| {
        let text = core::str::from_utf8(entry).ok()?;
        text.parse().ok().map(|address: IpAddr| address.to_canonical()).or_else(|| node(text))
    };
    Some(entries.map(address).collect())
}

/// The entries of a `Forwarded` field (RFC 7239, section 4): lists of pairs, of which `for` names the client.
fn forwarded_hops(field: &[u8]) -> Option<Vec<Option<IpAddr>>> {
    let mut rest = core::str::from_utf8(trim(field)).ok()?;
    let mut hops = Vec::new();
    // Each round reads one element up to its comma.
    while !rest.is_empty() {
        let (mut hop, mut is_empty) = (None, true);
        loop {
            rest = rest.trim_start_matches([' ', '\t']);
            if let Some((name, value, after)) = pair(rest)? {
                is_empty = false;
                if name.eq_ignore_ascii_case("for") && hop.replace(node(&value)).is_some() {
                    return None;
                }
                rest = after.trim_start_matches([' ', '\t']);
            }
            match rest.strip_prefix(';') {
                Some(after) => rest = after,
                None => break,
            }
        }
        if !is_empty {
            hops.push(hop.flatten());
        }
        rest = match rest.strip_prefix(',') {
            Some(after) => after.trim_start_matches([' ', '\t']),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(hops)
}

/// Reads a pair, `token "=" (token / quoted-string)`, at the start of the text. `Some(None)` if there is none, `None`
/// if it is malformed.
fn pair(text: &str) -> Option<Option<(&str, String, &str)>> {
    let end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let Some(rest) = rest.strip_prefix('=') else {
        return name.trim_matches([' ', '\t']).is_empty().then_some(None);
    };
    if !is_token(name) {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
        let (value, rest) = rest.split_at_checked(end)?;
        return is_token(value).then(|| Some((name, value.into(), rest)));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some(Some((name, value, quoted.get(at + 1..)?))),
            (_, '\\') => value.push(characters.next()?.1),
            (_, character) => value.push(character),
        }
    }
}

/// The address of a node (RFC 7239, section 6): `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:_port`.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.into(), port)
        }
        None => {
            let (address, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (address.parse::<core::net::Ipv4Addr>().ok().map(IpAddr::from)?, port)
        }
    };
    let is_port = |port: &str| {
        let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        is_number || port.strip_prefix('_').is_some_and(is_token)
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Some(address.to_canonical()),
        Some(port) if is_port(port) => Some(address.to_canonical()),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The client of a request from a proxy at 10.0.0.1, where 10.0.0.0/8 and `fd00::/8` are trusted.
    fn client(fields: &[(&str, &str)]) -> IpAddr {
        client_from("10.0.0.1", fields)
    }

    fn client_from(peer: &str, fields: &[(&str, &str)]) -> IpAddr {
        let proxies = Proxies(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).into());
        let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        proxies.client(peer.parse().unwrap(), &RequestHead { headers: &headers, ..RequestHead::default() })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_rightmost_address_that_is_not_trusted_is_the_client() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1 ,10.0.0.2,\t10.0.0.3", "192.0.2.1"),
            ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
            ("192.0.2.1:1234", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            (", 192.0.2.1,,", "192.0.2.1"),
            ("", "10.0.0.1"),
            ("nonsense", "10.0.0.1"),
            ("192.0.2.1, nonsense, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("192.0.2.1:99999999", "10.0.0.1"),
            ("é", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", value)]), address(expected), "{value}");
        }
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_says() {
        for (value, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:80\";proto=http;by=10.0.0.1", "192.0.2.1"),
            ("for=1.1.1.1, for=192.0.2.1, proto=https; for=10.0.0.2", "192.0.2.1"),
            ("for=\"[2001:db8::17]:4711\"", "2001:db8::17"),
            ("for=\"[2001:db8::17]:_obf\"", "2001:db8::17"),
            ("for=\"192.0.2.\\1\"", "192.0.2.1"),
            ("host=\"a,b;for=1.1.1.1\";for=192.0.2.1", "192.0.2.1"),
            (" for=192.0.2.1 ; proto=http , ", "192.0.2.1"),
            (",,for=192.0.2.1;;", "192.0.2.1"),
            // Without an address: whoever passed the entry on.
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=192.0.2.1, proto=http", "10.0.0.1"),
            ("for=192.0.2.1, for=unknown, for=10.0.0.2", "10.0.0.2"),
            ("for=2001:db8::1", "10.0.0.1"),
            ("for=\"2001:db8::1\"", "10.0.0.1"),
            // Malformed as a whole, so that no part of it is believed.
            ("for=\"192.0.2.1, for=192.0.2.2", "10.0.0.1"),
            ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
            ("192.0.2.1", "10.0.0.1"),
            ("for=192.0.2.1 x", "10.0.0.1"),
            ("for =192.0.2.1", "10.0.0.1"),
            ("for=", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("forwarded", value)]), address(expected), "{value}");
        }
    }

    #[test]
    fn fields_continue_each_other_and_a_broken_one_ends_the_search() {
        let lists = |first, second| client(&[("forwarded", first), ("forwarded", second)]);
        assert_eq!(lists("for=192.0.2.1", "for=10.0.0.2"), address("192.0.2.1"));
        assert_eq!(lists("for=\"", "for=192.0.2.1"), address("192.0.2.1"));
        assert_eq!(lists("for=\"", "for=10.0.0.2"), address("10.0.0.2"));
    }

    #[test]
    fn a_caller_cannot_void_what_a_proxy_appends() {
        let fields: [(&str, &[u8]); 1] = [("x-forwarded-for", b"\xff\"\\, 192.0.2.1")];
        let proxies = Proxies(["10.0.0.0/8".parse().unwrap()].into());
        let head = RequestHead { headers: &fields, ..RequestHead::default() };
        assert_eq!(proxies.client(address("10.0.0.1"), &head), address("192.0.2.1"));
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        let fields = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client_from("203.0.113.9", &fields), address("203.0.113.9"));
        assert_eq!(client_from("::ffff:10.0.0.1", &fields), address("192.0.2.1"));
        assert_eq!(client_from("fd00::1", &fields), address("192.0.2.1"));
        assert_eq!(client_from("fe80::1", &fields), address("fe80::1"));
        assert_eq!(client(&[]), address("10.0.0.1"));
    }

    #[test]
    fn both_fields_must_agree() {
        let both = |forwarded, legacy| client(&[("forwarded", forwarded), ("x-forwarded-for", legacy)]);
        assert_eq!(both("for=192.0.2.1", "1.1.1.1, 192.0.2.1"), address("192.0.2.1"));
        assert_eq!(both("for=192.0.2.1", "192.0.2.2"), address("10.0.0.1"));
        assert_eq!(both("nonsense", "192.0.2.2"), address("10.0.0.1"));
    }
}
