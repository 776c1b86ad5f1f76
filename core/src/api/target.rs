//! Parses and decodes request targets (RFC 9112, section 3.2).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use super::redaction::redacted;
use super::text::Excerpt;
use crate::hex;

/// A target in origin-form or absolute-form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The decoded segments of the path.
    pub(super) segments: Vec<Cow<'a, str>>,
    /// The query, not decoded.
    pub(super) raw_query: &'a str,
    /// The parameters of the query in order, decoded as `application/x-www-form-urlencoded` (WHATWG URL).
    pub(super) params: Vec<Param<'a>>,
}

/// A query parameter. It may be a key, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Param<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

/// Why a text is not a valid [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum TargetError {
    #[error("the request target is neither a path nor an http URI")]
    Form,
    #[error("the request target names no host, or names a user")]
    Authority,
    #[error("the request target has a character at byte {at} that must be percent-encoded")]
    Character { at: usize },
    #[error("the {part} has '%' without two hexadecimal digits in {}; '%' itself is written '%25'", Excerpt(.text))]
    Percent { part: &'static str, text: String },
    #[error("the {part} is not UTF-8 after percent-decoding of {}", Excerpt(.text))]
    Utf8 { part: &'static str, text: String },
}

impl TargetError {
    /// Quotes the whole target without its keys, if it has one: a part of the target may be a part of a key.
    fn without_key(self, target: &str) -> Self {
        let Cow::Owned(shown) = redacted(target) else { return self };
        match self {
            Self::Percent { part, .. } => Self::Percent { part, text: shown },
            Self::Utf8 { part, .. } => Self::Utf8 { part, text: shown },
            Self::Form | Self::Authority | Self::Character { .. } => self,
        }
    }
}

impl fmt::Debug for Target<'_> {
    /// Without the query, which may have a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl<'a> Target<'a> {
    /// Parses a target. An error does not quote a key, wherever in the target it is.
    pub(super) fn parse(target: &'a str) -> Result<Self, TargetError> {
        Self::parse_parts(target).map_err(|error| error.without_key(target))
    }

    fn parse_parts(target: &'a str) -> Result<Self, TargetError> {
        if let Some(at) = target.bytes().position(|byte| !is_allowed(byte)) {
            return Err(TargetError::Character { at });
        }
        // Clients must not send a fragment (RFC 9110, section 4.2.5). Some do, and HTTP libraries drop it.
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        let origin = origin_form(target)?;
        let (path, raw_query) = origin.split_once('?').unwrap_or((origin, ""));
        let segments = path
            .strip_prefix('/')
            .unwrap_or(path)
            .split('/')
            .map(|segment| decode("path", segment))
            .collect::<Result<_, _>>()?;
        let params = raw_query.split('&').filter(|raw| !raw.is_empty()).map(param).collect::<Result<_, _>>()?;
        Ok(Self { segments, raw_query, params })
    }

    /// The undecoded query without the parameters of this name.
    pub(super) fn raw_query_without(&self, name: &str) -> String {
        let mut kept = String::new();
        for (raw, param) in self.raw_query.split('&').filter(|raw| !raw.is_empty()).zip(&self.params) {
            if param.name != name {
                if !kept.is_empty() {
                    kept.push('&');
                }
                kept.push_str(raw);
            }
        }
        kept
    }
}

/// Whether a target may have this byte. RFC 3986 allows square brackets only in a host, and no quotation mark, angle
/// bracket, backslash, caret, backtick, brace or bar at all. Clients send square brackets, braces, bars, carets and
/// backslashes nevertheless, and they do no harm. The others are refused, since some HTTP libraries refuse them and
/// replies must not depend on the library.
const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// The path and query of a target in origin-form or absolute-form.
fn origin_form(target: &str) -> Result<&str, TargetError> {
    if target.starts_with('/') {
        return Ok(target);
    }
    let (scheme, rest) = target.split_once("://").ok_or(TargetError::Form)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(TargetError::Form);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, origin) = rest.split_at_checked(end).ok_or(TargetError::Form)?;
    // An http URI must have a host (RFC 9110, section 4.2.1). User information in it can mislead people (section
    // 4.2.4).
    if authority.is_empty() || authority.starts_with(':') || authority.contains('@') {
        return Err(TargetError::Authority);
    }
    Ok(origin)
}

/// Decodes a parameter. One without `=` has an empty value.
fn param(raw: &str) -> Result<Param<'_>, TargetError> {
    let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
    Ok(Param { name: decode_form(name)?, value: decode_form(value)? })
}

/// Decodes a name or a value of `application/x-www-form-urlencoded`.
fn decode_form(text: &str) -> Result<Cow<'_, str>, TargetError> {
    // Replace each plus before decoding, since `%2B` decodes to a plus.
    if !text.contains('+') {
        return decode("query", text);
    }
    let spaced = text.replace('+', " ");
    decode("query", &spaced).map(|decoded| Cow::Owned(decoded.into_owned()))
}

/// Percent-decodes a text. By hand, since the crate `percent_encoding` lets an invalid `%` pass. `part` is for errors.
fn decode<'a>(part: &'static str, text: &'a str) -> Result<Cow<'a, str>, TargetError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = (bytes.next().and_then(hex::value), bytes.next().and_then(hex::value));
            let (Some(high), Some(low)) = digits else {
                return Err(TargetError::Percent { part, text: text.into() });
            };
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| TargetError::Utf8 { part, text: text.into() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::ToString as _;

    use super::*;

    fn params(query: &str) -> Vec<(String, String)> {
        let target = alloc::format!("/events?{query}");
        let target = Target::parse(&target).unwrap();
        target.params.iter().map(|param| (param.name.to_string(), param.value.to_string())).collect()
    }

    #[test]
    fn origin_form_and_absolute_form_are_equivalent() {
        let origin = Target::parse("/events?a=1").unwrap();
        assert_eq!(origin, Target::parse("http://localhost:3000/events?a=1").unwrap());
        assert_eq!(origin, Target::parse("HTTPS://[::1]/events?a=1").unwrap());
        assert_eq!(Target::parse("http://localhost").unwrap().segments, [""]);
        assert_eq!(Target::parse("http://localhost?a=1").unwrap().raw_query, "a=1");
    }

    #[test]
    fn other_forms_are_refused() {
        for target in ["", "*", "events", "localhost:443", "ftp://localhost/events", "://", "http:/events"] {
            assert_eq!(Target::parse(target), Err(TargetError::Form), "{target}");
        }
        for target in ["http:///events", "http://:80/", "http://user@localhost/"] {
            assert_eq!(Target::parse(target), Err(TargetError::Authority), "{target}");
        }
        assert_eq!(Target::parse("/events?a=b#top?c"), Target::parse("/events?a=b"));
        assert_eq!(Target::parse("/a b"), Err(TargetError::Character { at: 2 }));
        assert_eq!(Target::parse("/é"), Err(TargetError::Character { at: 1 }));
        assert_eq!(Target::parse("/\0"), Err(TargetError::Character { at: 1 }));
        for byte in ['"', '<', '>', '`'] {
            assert_eq!(Target::parse(&alloc::format!("/{byte}")), Err(TargetError::Character { at: 1 }), "{byte}");
            assert_eq!(Target::parse(&alloc::format!("/a?{byte}")), Err(TargetError::Character { at: 3 }), "{byte}");
        }
        assert!(Target::parse("/{a}[]|^\\?{a}[]|^\\").is_ok());
    }

    #[test]
    fn forms_are_decoded() {
        let expected = [("type", "a b"), ("payload.a[gte]", "1+1=2"), ("type", ""), ("x", "")];
        let expected: Vec<_> = expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        assert_eq!(params("type=a+b&&payload.a%5Bgte%5D=1%2B1=2&type=&x&"), expected);
        assert_eq!(params(""), []);
    }

    #[test]
    fn bad_encoding_is_refused() {
        for target in ["/%", "/%4", "/%zz", "/a?x=%", "/a?%e=1", "/a?x=%+1"] {
            assert!(matches!(Target::parse(target), Err(TargetError::Percent { .. })), "{target}");
        }
        for target in ["/%ff", "/a?x=%C3", "/a?x=%C0%80", "/a?x=%ED%A0%80"] {
            assert!(matches!(Target::parse(target), Err(TargetError::Utf8 { .. })), "{target}");
        }
        for target in ["/events?key=SECRET%", "/events?k%65y=SECRET%ff", "/events?key%3DSECRET%"] {
            let error = Target::parse(target).unwrap_err().to_string();
            assert!(error.contains("key=[redacted]") && !error.contains("SECRET"), "{error}");
        }
        let error = Target::parse("/events?type=100%").unwrap_err().to_string();
        assert_eq!(error, "the query has '%' without two hexadecimal digits in '100%'; '%' itself is written '%25'");
    }

    #[test]
    fn a_parameter_can_be_removed() {
        let target = Target::parse("/events?a=%20&cursor=x&&b&%63ursor=y").unwrap();
        assert_eq!(target.raw_query_without("cursor"), "a=%20&b");
        assert_eq!(Target::parse("/events?cursor=x").unwrap().raw_query_without("cursor"), "");
    }
}
