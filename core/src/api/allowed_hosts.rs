//! The names under which the server may be addressed: protection against DNS rebinding.
//!
//! A page of a foreign site can make its own name point to the address of this server. To the browser, the server is
//! then a part of that site, and the page reads whatever it wants. The browser still sends the foreign name as `Host`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use thiserror::Error;

use super::cors::{is_host, split_port};
use super::fields::{trim, values};
use super::problem_reply::ProblemReply;
use super::text::Excerpt;
use super::{ProblemKind, RequestHead};

/// A name under which the server may be addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// In lower case, without a final dot.
    host: Box<str>,
    /// `None` if any port will do.
    port: Option<u16>,
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected a host with an optional port, as in events.example, events.example:8443 or [::1]")]
pub struct AllowedHostError;

/// The names under which the server may be addressed. Without any, there is no check.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Box<[AllowedHost]>);

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        let (host, port) = split_port(text).ok_or(AllowedHostError)?;
        if is_host(host) { Ok(Self { host: canonical(host).into(), port }) } else { Err(AllowedHostError) }
    }
}

impl AllowedHosts {
    /// Allows these names.
    #[must_use]
    pub fn new(hosts: impl IntoIterator<Item = AllowedHost>) -> Self {
        Self(hosts.into_iter().collect())
    }

    /// Checks `Host`, which is valid. A request without it comes from no browser.
    ///
    /// Addresses and the names of the loopback interface are always allowed, so that probes and local tools need no
    /// entry: no foreign site can make one of them its own name.
    ///
    /// # Errors
    ///
    /// 421 that names the host. The connection stays open.
    pub(super) fn check(&self, head: &RequestHead<'_>) -> Result<(), ProblemReply> {
        if self.0.is_empty() {
            return Ok(());
        }
        let host = values(head, "host").next().map(trim).unwrap_or_default();
        // The guard has checked it, so it is ASCII.
        let text = core::str::from_utf8(host).unwrap_or_default();
        let (host, port) = split_port(text).unwrap_or((text, None));
        let host = canonical(host);
        let is_listed = |allowed: &AllowedHost| {
            *allowed.host == host && allowed.port.is_none_or(|allowed| port.is_none_or(|port| port == allowed))
        };
        if host.is_empty() || is_safe(&host) || self.0.iter().any(is_listed) {
            return Ok(());
        }
        let detail = format!(
            "this server is not {}; the setting --allow-host lists the names under which it may be addressed",
            Excerpt(text)
        );
        Err(ProblemReply::new(ProblemKind::MisdirectedRequest, detail))
    }
}

/// The host in the form in which it is compared: a final dot means the same name, and an address has many spellings.
fn canonical(host: &str) -> String {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        return format!("[{address}]");
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.parse::<Ipv4Addr>().map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string())
}

/// Whether no foreign site can have this name: an address, or a name that browsers never look up (RFC 6761, section
/// 6.3).
fn is_safe(host: &str) -> bool {
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    is_address || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn allowed(hosts: &[&str], host: Option<&str>) -> bool {
        let hosts = AllowedHosts::new(hosts.iter().map(|host| host.parse().unwrap()));
        let field = host.map(|host| ("host", host.as_bytes()));
        let headers = field.as_slice();
        hosts.check(&RequestHead { headers, ..RequestHead::default() }).is_ok()
    }

    #[test]
    fn without_names_there_is_no_check() {
        assert!(allowed(&[], Some("evil.example")));
    }

    #[test]
    fn names_are_compared_without_case_and_port() {
        let hosts = ["Events.Example", "other.example:8443"];
        for host in ["events.example", "EVENTS.example:3000", "events.example.", "other.example:8443", "other.example"]
        {
            assert!(allowed(&hosts, Some(host)), "{host}");
        }
        for host in ["evil.example", "a.events.example", "events.example.evil.example", "other.example:1", "example"] {
            assert!(!allowed(&hosts, Some(host)), "{host}");
        }
    }

    #[test]
    fn addresses_and_names_of_the_loopback_are_safe() {
        for host in ["127.0.0.1:3000", "10.0.0.7", "[::1]:3000", "[::1]", "localhost", "a.LocalHost:80", ""] {
            assert!(allowed(&["events.example"], Some(host)), "{host}");
        }
        assert!(allowed(&["events.example"], None));
        for host in ["localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost", "1.2.3"] {
            assert!(!allowed(&["events.example"], Some(host)), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in ["", "http://a", "a/b", "a:b", "a b", "[::1", "*", "*.example"] {
            assert_eq!(host.parse::<AllowedHost>(), Err(AllowedHostError), "{host}");
        }
        assert_eq!("[0::1]:80".parse::<AllowedHost>().unwrap().host.as_ref(), "[::1]");
    }
}
