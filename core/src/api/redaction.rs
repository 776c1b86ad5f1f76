//! Keeps keys in query strings out of logs and errors.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::hex;

/// The query parameter that has a key.
pub(super) const KEY_PARAMETER: &str = "key";

/// What stands in place of a key.
const REDACTED: &str = "key=[redacted]";

/// The request target without the keys in it, for logs. Everything that might be read as the parameter `key` is
/// replaced, however it is encoded, also in targets that are refused: whoever has encoded too much still meant a key.
#[must_use]
pub fn redacted(target: &str) -> Cow<'_, str> {
    let (mut shown, mut rest) = (String::new(), target);
    while let Some((before, key)) = first_key(rest).and_then(|at| rest.split_at_checked(at)) {
        shown.push_str(before);
        shown.push_str(REDACTED);
        // Only these end a parameter. A key may contain all other separators.
        rest = key.find(['&', '#']).and_then(|end| key.get(end..)).unwrap_or_default();
    }
    if shown.is_empty() {
        return Cow::Borrowed(target);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// Where the first key begins: behind anything that separates parameters, or would if it were not encoded.
fn first_key(target: &str) -> Option<usize> {
    (0..target.len()).find_map(|at| {
        let (byte, after) = decoded(target.as_bytes().get(at..)?)?;
        (matches!(byte, b'?' | b'&' | b'#' | b';') && is_key(after)).then(|| target.len() - after.len())
    })
}

/// Whether an undecoded parameter is, or was meant to be, a key.
fn is_key(raw: &[u8]) -> bool {
    let mut rest = raw;
    for expected in KEY_PARAMETER.bytes().chain([b'=']) {
        match decoded(rest) {
            Some((byte, after)) if byte.eq_ignore_ascii_case(&expected) => rest = after,
            Some(_) | None => return false,
        }
    }
    true
}

/// The first byte, percent-decoded, and what follows it. An invalid `%` stands for itself.
fn decoded(raw: &[u8]) -> Option<(u8, &[u8])> {
    match raw {
        [b'%', high, low, after @ ..] if let (Some(high), Some(low)) = (hex::value(*high), hex::value(*low)) => {
            Some((high << 4 | low, after))
        }
        [byte, after @ ..] => Some((*byte, after)),
        [] => None,
    }
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
            ("/events?&&key=SECRET?key=SECRET", "/events?&&key=[redacted]"),
            ("/events?key=SEC;RET&key=SEC?RET&a=1", "/events?key=[redacted]&key=[redacted]&a=1"),
            ("/events?key=SEC%26RET#x", "/events?key=[redacted]#x"),
            ("/a;key=SECRET", "/a;key=[redacted]"),
            ("/events%3Fkey=SECRET", "/events%3Fkey=[redacted]"),
            ("/events%3fk%65y%3dSECRET", "/events%3fkey=[redacted]"),
            ("/events?type=a%26key=SECRET&b=2", "/events?type=a%26key=[redacted]&b=2"),
            ("/events%23key=SECRET", "/events%23key=[redacted]"),
            ("/events?a%3bKEY=SECRET", "/events?a%3bkey=[redacted]"),
        ] {
            assert_eq!(redacted(target), shown, "{target}");
        }
        for target in [
            "/events",
            "/events?type=key",
            "/key=1",
            "/events?keys=1&key",
            "/events?k%6=1&%",
            "/é?é=%3",
            "/%3Fkeys",
            "",
        ] {
            assert_eq!(redacted(target), target);
        }
    }
}
