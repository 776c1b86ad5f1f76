//! Parses header fields: lists, media types, preferences.

use alloc::borrow::Cow;
use alloc::string::String;

use super::RequestHead;

/// The highest quality value of a media type in `Accept`, in thousandths.
const QUALITY_FULL: u16 = 1000;

/// The values of all fields of this name, in order. `name` is in lower case, as in [`RequestHead`].
pub(super) fn values<'a>(head: &RequestHead<'a>, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    head.headers.iter().filter(move |(other, _)| *other == name).map(|(_, value)| *value)
}

/// The members of a comma-separated list (RFC 9110, section 5.6.1) over all fields of this name. Skips empty members,
/// and does not split at commas in quoted strings. Bytes that are not UTF-8 become U+FFFD, which no grammar here
/// accepts.
pub(super) fn members<'a>(head: &RequestHead<'a>, name: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
    values(head, name).flat_map(|value| split_unquoted(value, b',')).filter(|member| !member.is_empty())
}

/// A media type, as in `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaType {
    /// Type and subtype in lower case: `application/json`.
    pub(super) essence: String,
    /// The `charset` parameter in lower case.
    pub(super) charset: Option<String>,
}

impl MediaType {
    /// Parses a media type (RFC 9110, section 8.3.1); `None` if it is invalid.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = split_unquoted(value, b';');
        let essence = parts.next()?.to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut charset = None;
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let value = unquoted(value)?;
            if name.eq_ignore_ascii_case("charset") {
                charset = Some(value.to_ascii_lowercase());
            } else if !is_token(name) {
                return None;
            }
        }
        Some(Self { essence, charset })
    }
}

/// The quality value of the media type `offered` (in lower case) by the `Accept` fields, in thousandths. The most
/// specific range decides (RFC 9110, section 12.5.1). Invalid ranges are skipped. Without any range, every media type
/// is acceptable.
pub(super) fn quality(head: &RequestHead<'_>, offered: &str) -> u16 {
    let mut any = false;
    let mut best = (0_u8, 0_u16);
    for member in members(head, "accept") {
        let Some((range, quality)) = parse_range(&member) else { continue };
        any = true;
        let kind = offered.split_once('/').map(|(kind, _)| kind);
        let specificity = match range.split_once('/') {
            Some(("*", "*")) => 1,
            Some((range_kind, "*")) if Some(range_kind) == kind => 2,
            Some(_) if range == offered => 3,
            Some(_) | None => continue,
        };
        if specificity > best.0 {
            best = (specificity, quality);
        } else if specificity == best.0 {
            best.1 = best.1.max(quality);
        }
    }
    if any { best.1 } else { QUALITY_FULL }
}

/// The index of the media type that the client prefers; among several, of the first. `None` if it accepts none of them.
pub(super) fn preferred<'o>(head: &RequestHead<'_>, offered: impl IntoIterator<Item = &'o str>) -> Option<usize> {
    let (mut best, mut best_quality) = (None, 0);
    for (index, media_type) in offered.into_iter().enumerate() {
        let quality = quality(head, media_type);
        if quality > best_quality {
            (best, best_quality) = (Some(index), quality);
        }
    }
    best
}

/// Parses a media range, in lower case, and its quality value.
fn parse_range(member: &str) -> Option<(String, u16)> {
    let (range, quality) = parse_member(member)?;
    let (kind, subtype) = range.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some((range, quality))
}

/// Parses a token, in lower case, and its quality value.
pub(super) fn parse_weighted(member: &str) -> Option<(String, u16)> {
    parse_member(member).filter(|(name, _)| is_token(name))
}

/// Parses whatever stands before the parameters of a list member, in lower case, and its quality value.
fn parse_member(member: &str) -> Option<(String, u16)> {
    let mut parts = split_unquoted(member.as_bytes(), b';');
    let name = parts.next()?.to_ascii_lowercase();
    let mut quality = QUALITY_FULL;
    for part in parts {
        if let Some((name, value)) = part.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            quality = parse_quality(value.trim())?;
        }
    }
    Some((name, quality))
}

/// Parses a quality value: from 0 to 1, with up to three decimals (RFC 9110, section 12.4.2).
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut thousandths = match whole {
        "0" => 0,
        "1" => QUALITY_FULL,
        _ => return None,
    };
    let mut place = 100;
    for digit in fraction.bytes() {
        thousandths += u16::from(digit - b'0') * place;
        place /= 10;
    }
    (thousandths <= QUALITY_FULL).then_some(thousandths)
}

/// The value of a preference (RFC 7240, section 2) in lower case. The first preference of this name counts, over all
/// fields.
pub(super) fn preference(head: &RequestHead<'_>, name: &str) -> Option<String> {
    members(head, "prefer").find_map(|member| {
        // Parameters after a semicolon are extensions of the preference.
        let first = split_unquoted(member.as_bytes(), b';').next()?;
        let (other, value) = first.split_once('=').unwrap_or((&first, ""));
        if !other.trim().eq_ignore_ascii_case(name) {
            return None;
        }
        Some(unquoted(value.trim()).map(|value| value.to_ascii_lowercase()).unwrap_or_default())
    })
}

/// Whether the text is a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Trims the white space of header fields: spaces and tabs.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// The text of a token or a quoted string; `None` for anything else.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    if is_token(text) {
        return Some(Cow::Borrowed(text));
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters.next()?,
            '"' => return None,
            other => other,
        });
    }
    Some(Cow::Owned(plain))
}

/// Splits at separators outside quoted strings, and trims the parts.
fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = Cow<'_, str>> {
    let mut quoted = false;
    let mut escaped = false;
    value
        .split(move |&byte| {
            if escaped {
                escaped = false;
            } else if quoted && byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                quoted = !quoted;
            }
            !quoted && byte == separator
        })
        .map(|part| String::from_utf8_lossy(trim(part)))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn with<T>(fields: &[(&str, &str)], test: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        test(&RequestHead { method: "GET", target: "/", headers: &headers, ..RequestHead::default() })
    }

    #[test]
    fn lists_span_fields_and_keep_quoted_commas() {
        let fields = [("prefer", "a=\"1,2\", ,b"), ("other", "x"), ("prefer", " c ")];
        let found = with(&fields, |head| members(head, "prefer").map(Cow::into_owned).collect::<Vec<_>>());
        assert_eq!(found, ["a=\"1,2\"", "b", "c"]);
    }

    #[test]
    fn media_types_have_an_essence_and_a_charset() {
        let parse = |text: &str| MediaType::parse(text.as_bytes()).map(|media| (media.essence, media.charset));
        assert_eq!(parse("Application/JSON"), Some(("application/json".into(), None)));
        for text in [
            "application/json;charset=UTF-8",
            "application/json ; Charset=\"utf-8\" ;",
            "application/json; profile=\"a;b=c\"; charset=\"ut\\f-8\"",
        ] {
            assert_eq!(parse(text), Some(("application/json".into(), Some("utf-8".into()))), "{text}");
        }
        for text in
            ["", "json", "application/", "/json", "a b/c", "application/json; charset", "application/json; a=b c"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_most_specific_media_range_decides() {
        let quality_of = |accept: &str, offered: &str| with(&[("accept", accept)], |head| quality(head, offered));
        let json = "application/json";
        assert_eq!(with(&[], |head| quality(head, json)), 1000);
        assert_eq!(quality_of("", json), 1000);
        assert_eq!(quality_of("*/*", json), 1000);
        assert_eq!(quality_of("text/html", json), 0);
        assert_eq!(quality_of("application/*;q=0.25, */*", json), 250);
        assert_eq!(quality_of("Application/JSON; Q=0.5, application/*", json), 500);
        assert_eq!(quality_of("application/json;q=0, */*", json), 0);
        assert_eq!(quality_of("application/json;q=7", json), 1000, "an invalid range is skipped");
        assert_eq!(quality_of("text/html, application/json;q=0.001", json), 1);
        assert_eq!(quality_of("*/json", json), 0);
        for (text, thousandths) in [("1", 1000), ("1.000", 1000), ("0.5", 500), ("0.", 0), ("0.123", 123)] {
            assert_eq!(parse_quality(text), Some(thousandths), "{text}");
        }
        for text in ["1.001", "2", "-1", "0.1234", "", ".5", "0.x"] {
            assert_eq!(parse_quality(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_preference_counts() {
        let handling = |fields: &[(&str, &str)]| with(fields, |head| preference(head, "handling"));
        assert_eq!(handling(&[]), None);
        assert_eq!(handling(&[("prefer", "respond-async, Handling=\"Lenient\"; x=1")]).as_deref(), Some("lenient"));
        let fields = [("prefer", "wait=10"), ("prefer", "handling = strict"), ("prefer", "handling=lenient")];
        assert_eq!(handling(&fields).as_deref(), Some("strict"));
        assert_eq!(handling(&[("prefer", "handling")]).as_deref(), Some(""));
        assert_eq!(handling(&[("prefer", "x=\"handling=lenient\"")]), None);
    }

    #[test]
    fn only_spaces_and_tabs_are_trimmed() {
        assert_eq!(trim(b" \t a b\t"), b"a b");
        assert_eq!(trim(b"  "), b"");
    }
}
