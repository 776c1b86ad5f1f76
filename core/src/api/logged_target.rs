//! The request target as logs show it.

use alloc::borrow::Cow;
use alloc::string::String;

use percent_encoding::percent_decode_str;

/// The target without the values of `key` parameters: a key must appear in no log.
///
/// ```
/// use argus_core::api::logged_target;
///
/// assert_eq!(logged_target("/events?type=a&key=argus_x"), "/events?type=a&key=-");
/// assert_eq!(logged_target("/events?type=a"), "/events?type=a");
/// ```
#[must_use]
pub fn logged_target(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return target.into() };
    if !query.split('&').any(is_key) {
        return target.into();
    }
    let mut shown = String::from(path);
    for (index, param) in query.split('&').enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        shown.push_str(if is_key(param) { "key=-" } else { param });
    }
    shown.into()
}

/// Whether a parameter is a key, however its name is encoded.
fn is_key(param: &str) -> bool {
    let name = param.split_once('=').map_or(param, |(name, _)| name);
    percent_decode_str(name).eq(*b"key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown_however_they_are_written() {
        for target in ["/events?key=secret", "/events?%6bey=secret", "/events?%6B%65%79=secret", "/x?a=1&key=secret&b"]
        {
            assert!(!logged_target(target).contains("secret"), "{target}");
        }
        assert_eq!(logged_target("/x?a=1&%6bey=s&&b"), "/x?a=1&key=-&&b");
        for target in ["/events", "/events?", "/events?keys=1&type=key", "*", "", "/key=1"] {
            assert_eq!(logged_target(target), target);
        }
    }
}
