//! `Forwarded` and `X-Forwarded-For`: who the client is.

use std::net::IpAddr;

use argus_core::api::{Proxies, RequestHead};
use argus_core::limit::Network;

use super::super::super::Random;
use super::super::Target;

pub(super) const TARGET: Target = Target {
    name: "forwarded",
    about: "the client is the last address that a trusted proxy names, whatever callers write before it",
    run: forwarded,
    seeds,
    words: &[
        "for=",
        "For=\"[2001:db8::1]:80\"",
        "by=",
        ";proto=https",
        ",",
        "\"",
        "\\",
        "unknown",
        "_hidden",
        "192.0.2.1",
        "10.0.0.1",
        ":4711",
        "::ffff:10.0.0.2",
        "[::1]",
        " ",
        "\t",
        ";",
        "=",
    ],
    smoke_runs: 2_000,
};

/// # Panics
///
/// If the client is another one.
fn forwarded(data: &[u8]) {
    let proxies = proxies();
    let (peer, stranger) = (address("10.0.0.9"), address("198.51.100.7"));
    for name in ["forwarded", "x-forwarded-for"] {
        // Any field: the client is somebody, and the fields of a stranger mean nothing.
        assert_eq!(proxies.client(stranger, &head(&[(name, data)])), stranger);
        let client = proxies.client(peer, &head(&[(name, data)]));
        assert_eq!(client, client.to_canonical());

        // A list by trusted proxies, behind what the caller wrote.
        let mut random = Random::bytes(data);
        let hops: Vec<IpAddr> = (0..1 + random.below(4)).map(|_| hop(&mut random)).collect();
        let texts: Vec<String> = hops.iter().map(|hop| written(name, *hop, &mut random)).collect();
        let list = texts.join(random.pick(&[",", ", ", " ,\t"]));
        let expected = hops.iter().rev().find(|hop| !proxies.trust(**hop)).or(hops.first()).copied();
        let expected = expected.expect("there is at least one hop");
        assert_eq!(proxies.client(peer, &head(&[(name, list.as_bytes())])), expected, "{name}: {list}");
        if !proxies.trust(expected) {
            let fields = [(name, data), (name, list.as_bytes())];
            assert_eq!(proxies.client(peer, &head(&fields)), expected, "{name}: {list} behind what a caller wrote");
            if name == "x-forwarded-for" {
                let line = [data, b",", list.as_bytes()].concat();
                let client = proxies.client(peer, &head(&[(name, &line)]));
                assert_eq!(client, expected, "{name}: {list} on the same line");
            }
        }
    }
}

fn head<'a>(headers: &'a [(&'a str, &'a [u8])]) -> RequestHead<'a> {
    RequestHead { method: "GET", target: "/", headers, ..RequestHead::default() }
}

fn proxies() -> Proxies {
    let networks = ["10.0.0.0/8", "2001:db8:1::/48"];
    Proxies::from(networks.map(|text| text.parse::<Network>().expect("it is a network")).to_vec())
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

fn hop(random: &mut Random<'_>) -> IpAddr {
    address(random.pick(&["192.0.2.1", "10.0.0.1", "2001:db8:1::5", "2001:db8:2::5", "10.255.255.255", "11.0.0.0"]))
}

/// An address as proxies write it.
fn written(name: &str, hop: IpAddr, random: &mut Random<'_>) -> String {
    let port = random.pick(&["", ":80", ":65535"]);
    let node = match hop {
        IpAddr::V4(address) => format!("{address}{port}"),
        IpAddr::V6(address) => format!("[{address}]{port}"),
    };
    if name != "forwarded" {
        return if random.one_in(2) { hop.to_string() } else { node };
    }
    let is_token = node.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = if is_token && !random.one_in(2) { node } else { format!("\"{node}\"") };
    let before = random.pick(&["", "by=_x;", "host=\"a, for=192.0.2.9\";", "proto=https; "]);
    let behind = random.pick(&["", ";by=\"\\\"10.0.0.1, for=1.2.3.4\"", ";secret=_y"]);
    let parameter = random.pick(&["for", "For", "FOR"]);
    format!("{before}{parameter}={value}{behind}")
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "192.0.2.1, 10.0.0.1",
        "for=192.0.2.1;by=10.0.0.2, for=10.0.0.1",
        "for=\"[2001:db8:2::1]:4711\", For=unknown",
        "for=_secret, for=\"10.0.0.1:_port\"",
        "for=192.0.2.1, for=\"",
        "::ffff:192.0.2.1, [2001:db8:1::5]:80",
        "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}\u{b}\u{c}",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
