//! Keeps keys in query strings out of logs and errors.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::hex;

/// The query parameter that has a key.
pub(super) const KEY_PARAMETER: &str = "key";

/// What stands in place of a key.
const REDACTED: &str = "key=[redacted]";

/// The request target without the keys in it, for logs. Everything that might be read as the parameter `key` is
/// replaced, however it is encoded, also in targets that are refused.
#[must_use]
pub fn redacted(target: &str) -> Cow<'_, str> {
    let is_separator = |character: char| matches!(character, '?' | '&' | '#' | ';');
    if !target.split(is_separator).skip(1).any(is_key) {
        return Cow::Borrowed(target);
    }
    let mut shown = String::with_capacity(target.len());
    for (index, part) in target.split_inclusive(is_separator).enumerate() {
        let text = part.trim_end_matches(is_separator);
        if index > 0 && is_key(text) {
            shown.push_str(REDACTED);
            shown.push_str(part.get(text.len()..).unwrap_or_default());
        } else {
            shown.push_str(part);
        }
    }
    Cow::Owned(shown)
}

/// What an error shows in place of an undecoded parameter, if that is a key.
pub(super) fn redacted_key(raw: &str) -> Option<&'static str> {
    is_key(raw).then_some(REDACTED)
}

/// Whether an undecoded parameter is, or was meant to be, a key. An invalid `%` stands for itself.
fn is_key(raw: &str) -> bool {
    let mut rest = raw.as_bytes();
    for expected in KEY_PARAMETER.bytes().chain([b'=']) {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] if let (Some(high), Some(low)) = (hex::value(*high), hex::value(*low)) => {
                (high << 4 | low, after)
            }
            [byte, after @ ..] => (*byte, after),
            [] => return false,
        };
        if !byte.eq_ignore_ascii_case(&expected) {
            return false;
        }
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_redacted_however_they_are_written() {
        for (target, shown) in [
            ("/events?key=SECRET", "/events?key=[redacted]"),
            ("/events?a=1&key=SECRET&b=2", "/events?a=1&key=[redacted]&b=2"),
            ("/events?k%65y=SECRET", "/events?key=[redacted]"),
            ("/events?%6B%65%79=SECRET&key%3dSECRET", "/events?key=[redacted]&key=[redacted]"),
            ("/events?KEY=SECRET", "/events?key=[redacted]"),
            ("/events?key=SECRET%zz", "/events?key=[redacted]"),
            ("http://host/events?key=SECRET#key=SECRET", "http://host/events?key=[redacted]#key=[redacted]"),
            ("/events?&&key=SECRET?key=SECRET", "/events?&&key=[redacted]?key=[redacted]"),
            ("/a;key=SECRET", "/a;key=[redacted]"),
        ] {
            assert_eq!(redacted(target), shown, "{target}");
        }
        for target in ["/events", "/events?type=key", "/key=1", "/events?keys=1&key", "/events?k%6=1&%", ""] {
            assert_eq!(redacted(target), target);
        }
    }
}
