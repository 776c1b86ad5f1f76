//! Pages of other origins (Fetch Standard, "CORS protocol").
//!
//! A browser sends the origin of a page along, and withholds the answer from the page unless it names that origin.
//! Argus never allows credentials mode, in which a browser would add cookies by itself: a page that may write or read
//! has its own key.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use thiserror::Error;

use super::fields::{is_token, members, trim, values};
use super::problem_reply::ProblemReply;
use super::text::Excerpt;
use super::{ProblemKind, Reply, RequestHead, Route};

/// Request fields that pages may set, besides the safelisted ones. Others are allowed when a preflight names them:
/// libraries add fields of their own, and Argus ignores fields that it does not know.
const REQUEST_FIELDS: [&str; 10] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "if-none-match",
    "last-event-id",
    "prefer",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// Most names of a preflight that are looked at: many times what any page sends. The browser refuses the others, since
/// the answer does not allow them.
const PREFLIGHT_NAMES_MAX: usize = 64;

/// Fields of answers that pages may read, besides the safelisted ones.
pub(super) const EXPOSED_FIELDS: &str = "accept, accept-encoding, accept-post, allow, argus-last-seq, \
    argus-scanned-to, argus-warning, content-encoding, date, etag, link, location, preference-applied, ratelimit, \
    ratelimit-policy, retry-after, traceparent, vary, www-authenticate, x-request-id";

/// How long a browser may keep the answer to a preflight, in seconds. No browser keeps it for longer than a day, and
/// Chromium only for this long.
const PREFLIGHT_MAX_AGE: &str = "7200";

/// An origin whose pages may use the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// `*`: every origin.
    Any,
    /// This origin, as browsers write it. May be `null`, which is the origin of sandboxed pages and local files.
    Exact(Box<str>),
}

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{reason}; expected scheme://host or scheme://host:port, as in https://app.example, or *")]
pub struct CorsOriginError {
    reason: &'static str,
}

/// The origins whose pages may use the interface. None by default: then `Origin` has no effect, except that a page of
/// another origin than the server's own cannot open a `WebSocket`.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    any: bool,
    origins: Box<[Box<str>]>,
}

/// What the answers to one request tell the browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nothing: there are no allowed origins.
    #[default]
    Off,
    /// No page may read the answer: its origin is unknown or not listed. The answer to a listed origin would differ.
    Withheld,
    /// Pages of this origin may read it. The answer to another origin would differ.
    With(Box<str>),
    /// Any page may read it.
    WithAll,
}

impl FromStr for CorsOrigin {
    type Err = CorsOriginError;

    /// Reads an origin: `*`, `null`, or a scheme, a host and perhaps a port (RFC 6454, section 6.2). Upper case and a
    /// default port are corrected, since no browser sends them.
    fn from_str(text: &str) -> Result<Self, CorsOriginError> {
        let wrong = |reason| Err(CorsOriginError { reason });
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Exact(text.into())),
            _ => {}
        }
        let Some((scheme, authority)) = text.split_once("://") else { return wrong("there is no scheme") };
        let is_scheme_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme_byte) {
            return wrong("the scheme is not one");
        }
        if authority.contains(['/', '?', '#']) {
            return wrong("an origin has no path, not even a slash");
        }
        if authority.contains('*') {
            return wrong("there is no wildcard for a part of an origin");
        }
        if !authority.is_ascii() {
            return wrong("browsers send the ASCII form of a name (xn--…)");
        }
        let Some((host, port)) = split_port(authority) else { return wrong("the port is not one") };
        if !is_host(host) {
            return wrong("the host is not one");
        }
        let scheme = scheme.to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let origin = match port {
            Some(port) if default_port(&scheme) != Some(port) => format!("{scheme}://{host}:{port}"),
            Some(_) | None => format!("{scheme}://{host}"),
        };
        Ok(Self::Exact(origin.into()))
    }
}

impl Cors {
    /// Allows these origins.
    #[must_use]
    pub fn new(allowed: impl IntoIterator<Item = CorsOrigin>) -> Self {
        let mut any = false;
        let mut origins = Vec::new();
        for origin in allowed {
            match origin {
                CorsOrigin::Any => any = true,
                CorsOrigin::Exact(origin) => origins.push(origin),
            }
        }
        Self { any, origins: origins.into() }
    }

    /// Checks a request to open a `WebSocket`. A browser does so for any page, without asking first, and lets the page
    /// read what comes: only the server can refuse (RFC 6455, section 10.2). Clients other than browsers send no
    /// `Origin`. Pages of the server's own origin are allowed.
    ///
    /// # Errors
    ///
    /// 403 that names the origin.
    pub(super) fn check_upgrade(&self, head: &RequestHead<'_>) -> Result<(), ProblemReply> {
        self.check_sender(head)
    }

    /// Checks who sends a request that browsers send for any page without asking first.
    ///
    /// # Errors
    ///
    /// 403 that names the origin.
    pub(super) fn check_sender(&self, head: &RequestHead<'_>) -> Result<(), ProblemReply> {
        match origin(head) {
            None => Ok(()),
            Some(origin) if self.allows(&origin) || is_same_origin(&origin, head) => Ok(()),
            Some(origin) => Err(not_allowed(&origin)),
        }
    }

    /// Whether pages of any other origin may use the interface.
    pub(super) fn is_on(&self) -> bool {
        self.any || !self.origins.is_empty()
    }

    /// What the answers to this request tell the browser.
    pub(super) fn sharing(&self, head: &RequestHead<'_>) -> Sharing {
        if self.any {
            return Sharing::WithAll;
        }
        if !self.is_on() {
            return Sharing::Off;
        }
        match origin(head) {
            Some(origin) if self.allows(&origin) => Sharing::With(origin.into()),
            Some(_) | None => Sharing::Withheld,
        }
    }

    /// The answer to a preflight; `None` if the request is not one, or if no origin is allowed.
    ///
    /// # Errors
    ///
    /// 403 if the origin is not allowed. The browser would refuse anyway; this says why.
    pub(super) fn preflight(&self, head: &RequestHead<'_>, route: Route) -> Option<Result<Reply, ProblemReply>> {
        if !self.is_on() || head.method != "OPTIONS" {
            return None;
        }
        let origin = origin(head)?;
        values(head, "access-control-request-method").next()?;
        Some(if self.allows(&origin) { Ok(self.allow(head, route, &origin)) } else { Err(not_allowed(&origin)) })
    }

    /// 204 for a preflight.
    fn allow(&self, head: &RequestHead<'_>, route: Route, origin: &str) -> Reply {
        let mut fields = REQUEST_FIELDS.map(Cow::Borrowed).to_vec();
        for name in members(head, "access-control-request-headers").take(PREFLIGHT_NAMES_MAX) {
            if is_token(&name) && !fields.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                fields.push(name.into_owned().to_ascii_lowercase().into());
            }
        }
        let mut reply = Reply::empty(route, 204)
            .with_header("access-control-allow-methods", route.allow())
            .with_header("access-control-allow-headers", fields.join(", "))
            .with_header("access-control-max-age", PREFLIGHT_MAX_AGE)
            .with_header("vary", "access-control-request-headers");
        // Private Network Access, from a page of the Internet to a server in a private network. `*` may not have been
        // meant for that.
        let asks = values(head, "access-control-request-private-network").any(|value| trim(value) == b"true");
        if asks && self.is_listed(origin) {
            reply = reply.with_header("access-control-allow-private-network", "true");
        }
        reply
    }

    fn allows(&self, origin: &str) -> bool {
        self.any || self.is_listed(origin)
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| **allowed == *origin)
    }
}

impl Sharing {
    /// Adds the fields of an answer that a browser looks at.
    pub(super) fn add_to(&self, headers: &mut Vec<(&'static str, Cow<'static, str>)>) {
        let allowed = match self {
            Self::Off | Self::Withheld => return,
            Self::With(origin) => String::from(&**origin).into(),
            Self::WithAll => Cow::Borrowed("*"),
        };
        headers.push(("access-control-allow-origin", allowed));
        headers.push(("access-control-expose-headers", EXPOSED_FIELDS.into()));
    }

    /// Whether the answer to another origin would differ.
    pub(super) fn depends_on_origin(&self) -> bool {
        match self {
            Self::Off | Self::WithAll => false,
            Self::Withheld | Self::With(_) => true,
        }
    }
}

/// The value of `Origin`. Two of them, or one that is not visible ASCII, come from no browser and are no origin that
/// could be allowed: they count as one text.
fn origin(head: &RequestHead<'_>) -> Option<String> {
    let origins: Vec<_> = values(head, "origin").map(|value| String::from_utf8_lossy(trim(value))).collect();
    if origins.is_empty() { None } else { Some(origins.join(", ")) }
}

/// 403: pages of this origin may not use the interface.
fn not_allowed(origin: &str) -> ProblemReply {
    let detail = format!(
        "pages of the origin {} may not do this; the setting --cors-origin lists those that may",
        Excerpt(origin)
    );
    ProblemReply::new(ProblemKind::OriginNotAllowed, detail)
}

/// Whether the origin is the one that the request was sent to. The scheme is not compared: a proxy may have ended TLS.
fn is_same_origin(origin: &str, head: &RequestHead<'_>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let Some(host) = values(head, "host").next().and_then(|host| core::str::from_utf8(trim(host)).ok()) else {
        return false;
    };
    match (split_port(authority), split_port(host)) {
        (Some((origin_host, origin_port)), Some((host, port))) => {
            let default = default_port(scheme);
            !host.is_empty() && origin_host.eq_ignore_ascii_case(host) && origin_port.or(default) == port.or(default)
        }
        (_, _) => false,
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Splits a host from its port. An empty port is none (RFC 3986, section 6.2.3).
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (authority, ""),
    };
    match port {
        "" => Some((host, None)),
        // `str::parse` would accept a sign.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some((host, Some(digits.parse().ok()?))),
        _ => None,
    }
}

/// Whether this is a name or an address, an IPv6 address in brackets (RFC 3986, section 3.2.2).
pub(super) fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
        None => {
            let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            !host.is_empty() && host.bytes().all(is_name_byte)
        }
    }
}

#[cfg(test)]
mod tests;
