//! Checks the heads of requests to all routes. HTTP libraries accept some heads that are ambiguous or invalid.
//!
//! If the end of a request is uncertain, the connection closes after the reply. Otherwise a body could smuggle in
//! another request (RFC 9112, section 11.2).

use super::fields::{is_token, members, trim, values};
use super::problem_reply::ProblemReply;
use super::target::{Target, TargetError};
use super::text::Excerpt;
use super::{ProblemKind, RequestHead};

/// Methods as RFC 9110 and RFC 5789 spell them.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// A valid head.
#[derive(Debug)]
pub(super) struct CheckedHead<'a> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    /// The value of `Content-Length`.
    pub(super) content_length: Option<u64>,
}

impl CheckedHead<'_> {
    /// Whether the request has a body that is not known to be empty.
    pub(super) fn has_body(&self, head: &RequestHead<'_>) -> bool {
        match self.content_length {
            Some(length) => length > 0,
            None => values(head, "transfer-encoding").next().is_some(),
        }
    }
}

/// A method: one that a route supports, or any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Delete,
    Other,
}

/// Checks a head. Framing comes first, since it decides whether the connection stays open.
pub(super) fn check<'a>(head: &RequestHead<'a>) -> Result<CheckedHead<'a>, ProblemReply> {
    let content_length = check_framing(head)?;
    check_host(head)?;
    let method = check_method(head)?;
    let target = check_target(head)?;
    check_expect(head)?;
    Ok(CheckedHead { method, target, content_length })
}

/// 400
fn bad(detail: impl Into<alloc::string::String>) -> ProblemReply {
    ProblemReply::new(ProblemKind::BadRequest, detail)
}

/// Checks how the body is delimited (RFC 9112, section 6), and returns its declared length.
fn check_framing(head: &RequestHead<'_>) -> Result<Option<u64>, ProblemReply> {
    let mut length = None;
    for value in values(head, "content-length") {
        let number = parse_length(trim(value))?;
        if length.replace(number).is_some_and(|earlier| earlier != number) {
            return Err(bad("there are two different values of Content-Length").closing());
        }
    }
    if values(head, "transfer-encoding").next().is_none() {
        return Ok(length);
    }
    if length.is_some() {
        return Err(bad("Content-Length and Transfer-Encoding exclude each other").closing());
    }
    if head.http_10 {
        return Err(bad("HTTP/1.0 has no Transfer-Encoding").closing());
    }
    // Not parsed as a list, since intermediaries parse lists with empty elements differently.
    let mut fields = values(head, "transfer-encoding");
    match (fields.next(), fields.next()) {
        (Some(coding), None) if trim(coding).eq_ignore_ascii_case(b"chunked") => Ok(None),
        (_, _) => {
            let detail = "the only supported transfer coding is 'chunked', given once";
            Err(ProblemReply::new(ProblemKind::NotImplemented, detail).closing())
        }
    }
}

/// Parses the digits of a `Content-Length`. A list of equal numbers in one field is refused, as RFC 9110, section 8.6,
/// allows: not every intermediary understands such a list, and all must agree on where a body ends.
fn parse_length(digits: &[u8]) -> Result<u64, ProblemReply> {
    let malformed = || bad("Content-Length is not a number of bytes").closing();
    // `str::parse` would accept a sign.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let text = core::str::from_utf8(digits).map_err(|_| malformed())?;
    // The text has only digits, so the only possible error is overflow.
    text.parse().map_err(|_| ProblemReply::new(ProblemKind::ContentTooLarge, "Content-Length is too large").closing())
}

/// Checks `Host` (RFC 9112, section 3.2). An empty value is valid: clients must send it if the target has no authority.
fn check_host(head: &RequestHead<'_>) -> Result<(), ProblemReply> {
    let mut hosts = values(head, "host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(trim(host)) => Ok(()),
        (Some(_), None) => Err(bad("Host is not a valid host with an optional port").closing()),
        (Some(_), Some(_)) => Err(bad("there is more than one Host field").closing()),
        (None, _) if head.http_10 => Ok(()),
        (None, _) => Err(bad("there is no Host field").closing()),
    }
}

/// `uri-host [ ":" port ]` (RFC 3986, section 3.2.2).
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(value) else { return false };
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let is_literal = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v' | b'V');
            if address.is_empty() || !address.bytes().all(is_literal) {
                return false;
            }
            match (rest, rest.strip_prefix(':')) {
                ("", _) => return true,
                (_, Some(port)) => ("", port),
                (_, None) => return false,
            }
        }
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    host.bytes().all(is_name) && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Checks the method. Names are case-sensitive (RFC 9110, section 9.1), so `get` is an unknown method. Since it is
/// probably a mistake, the error says so.
fn check_method(head: &RequestHead<'_>) -> Result<Method, ProblemReply> {
    match head.method {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "POST" => Ok(Method::Post),
        "DELETE" => Ok(Method::Delete),
        method if !is_token(method) => Err(bad("the method is not a token")),
        method if METHODS.contains(&method) => Ok(Method::Other),
        method if METHODS.iter().any(|known| known.eq_ignore_ascii_case(method)) => {
            Err(bad(alloc::format!("methods are written in upper case, unlike {}", Excerpt(method))))
        }
        _ => Ok(Method::Other),
    }
}

/// Checks the target. The method decides which form it has (RFC 9112, section 3.2).
fn check_target<'a>(head: &RequestHead<'a>) -> Result<Target<'a>, ProblemReply> {
    let detail = match (head.method, head.target) {
        ("OPTIONS", "*") => "OPTIONS is not supported",
        ("CONNECT", target) if !target.starts_with('/') => "CONNECT is not supported; this server is not a proxy",
        ("CONNECT", _) => return Err(bad("CONNECT takes a host and a port, not a path")),
        (_, target) => {
            return Target::parse(target).map_err(|error| {
                let problem = bad(alloc::format!("{error}"));
                // Some HTTP libraries reject the whole head, so that the start of the next request is uncertain.
                if matches!(error, TargetError::Character { .. }) { problem.closing() } else { problem }
            });
        }
    };
    Err(ProblemReply::new(ProblemKind::MethodNotAllowed, detail).with_header("allow", "GET, HEAD, POST, DELETE"))
}

/// Checks `Expect` (RFC 9110, section 10.1.1). After a refusal the connection closes, since a client may or may not
/// send the body.
fn check_expect(head: &RequestHead<'_>) -> Result<(), ProblemReply> {
    match members(head, "expect").find(|member| !member.eq_ignore_ascii_case("100-continue")) {
        // HTTP/1.0 has no expectations, so the field is ignored.
        Some(member) if !head.http_10 => {
            let detail = alloc::format!("the only supported expectation is '100-continue', not {}", Excerpt(&member));
            Err(ProblemReply::new(ProblemKind::ExpectationFailed, detail).closing())
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec::Vec;

    use super::*;

    const HOST: (&str, &str) = ("host", "localhost:3000");

    fn checked(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<(Method, Option<u64>), (u16, bool)> {
        checked_as(false, method, target, fields)
    }

    fn checked_as(
        http_10: bool,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<(Method, Option<u64>), (u16, bool)> {
        let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        check(&RequestHead { method, target, headers: &headers, http_10, peer: None })
            .map(|checked| (checked.method, checked.content_length))
            .map_err(|error| (error.problem.kind.status(), error.close))
    }

    #[test]
    fn host_is_a_host_with_an_optional_port() {
        for host in ["localhost", "localhost:3000", "127.0.0.1:80", "[::1]", "[::1]:3000", "", "ex%41mple.org", "a:"] {
            assert!(checked("GET", "/", &[("host", host)]).is_ok(), "{host}");
        }
        for host in ["a b", "a/b", "a@b", "a:b", "[::1", "[]", "[::1]x", "[g]", "a:123456", "a,b:c", "é"] {
            assert_eq!(checked("GET", "/", &[("host", host)]), Err((400, true)), "{host}");
        }
        assert_eq!(checked("GET", "/", &[]), Err((400, true)));
        assert_eq!(checked("GET", "/", &[HOST, HOST]), Err((400, true)));
        assert!(checked_as(true, "GET", "/", &[]).is_ok());
        assert_eq!(checked_as(true, "GET", "/", &[HOST, HOST]), Err((400, true)));
    }

    #[test]
    fn methods_are_case_sensitive_tokens() {
        assert_eq!(checked("GET", "/", &[HOST]).unwrap().0, Method::Get);
        for method in ["PUT", "BREW", "brew", "OPTIONS"] {
            assert_eq!(checked(method, "/", &[HOST]).unwrap().0, Method::Other, "{method}");
        }
        for method in ["get", "Post", "hEAD", "options", "", "A B", "GET\0"] {
            assert_eq!(checked(method, "/", &[HOST]), Err((400, false)), "{method}");
        }
    }

    #[test]
    fn targets_that_are_not_paths_or_uris_are_refused() {
        assert_eq!(checked("OPTIONS", "*", &[HOST]), Err((405, false)));
        assert_eq!(checked("CONNECT", "localhost:443", &[HOST]), Err((405, false)));
        assert_eq!(checked("CONNECT", "/events", &[HOST]), Err((400, false)));
        for (method, target) in
            [("GET", "*"), ("GET", "localhost:443"), ("GET", ""), ("POST", "/%f"), ("GET", "/?a=%ff")]
        {
            assert_eq!(checked(method, target, &[HOST]), Err((400, false)), "{method} {target}");
        }
        for target in ["/\"", "/<", "/>", "/`", "/?a=\"", "/a b"] {
            assert_eq!(checked("GET", target, &[HOST]), Err((400, true)), "{target}");
        }
    }

    #[test]
    fn the_length_of_a_body_is_unambiguous() {
        let length = |fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().copied().chain([HOST]).collect();
            checked("POST", "/", &fields).map(|(_, length)| length)
        };
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&[("content-length", "42")]), Ok(Some(42)));
        assert_eq!(length(&[("content-length", "42"), ("content-length", "42")]), Ok(Some(42)));
        assert_eq!(length(&[("content-length", "18446744073709551615")]), Ok(Some(u64::MAX)));
        assert_eq!(length(&[("transfer-encoding", " Chunked ")]), Ok(None));
        for value in ["", "-1", "+1", "0x10", "1 2", "42,", "42, 42", "42, 43", "99999999999999999999 1"] {
            assert_eq!(length(&[("content-length", value)]), Err((400, true)), "{value}");
        }
        for value in ["18446744073709551616", "99999999999999999999", &"9".repeat(1000)] {
            assert_eq!(length(&[("content-length", value)]), Err((413, true)), "{value}");
        }
        assert_eq!(length(&[("content-length", "1"), ("content-length", "2")]), Err((400, true)));
        assert_eq!(length(&[("content-length", "1"), ("transfer-encoding", "chunked")]), Err((400, true)));
        for value in [
            "xchunked",
            "chunked,",
            ", chunked",
            "chunked, chunked",
            "gzip, chunked",
            "identity",
            "",
            "\"chunked\"",
            "chunked;q=1",
        ] {
            assert_eq!(length(&[("transfer-encoding", value)]), Err((501, true)), "{value}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(length(&twice), Err((501, true)));
        assert_eq!(checked_as(true, "POST", "/", &[("transfer-encoding", "chunked")]), Err((400, true)));
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        assert!(checked("POST", "/", &[HOST, ("expect", "100-Continue")]).is_ok());
        assert_eq!(checked("POST", "/", &[HOST, ("expect", "a cup of tea")]), Err((417, true)));
        assert_eq!(checked("POST", "/", &[HOST, ("expect", "100-continue, tea")]), Err((417, true)));
        assert!(checked_as(true, "POST", "/", &[("expect", "tea")]).is_ok());
    }
}
