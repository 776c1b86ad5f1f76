//! Entity tags (RFC 9110, section 8.8.3), for answers that do not change.

use alloc::format;
use alloc::string::String;
use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::RequestHead;
use super::compress::AnswerCoding;
use super::fields::members;

/// A strong entity tag of these bytes, in this coding. Each coding is a representation of its own, with its own tag.
pub(super) fn entity_tag(content: &[u8], coding: Option<AnswerCoding>) -> String {
    // The keys are arbitrary, and stay: the same content has the same tag on every server.
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    hasher.write(content);
    let hash = hasher.finish();
    match coding {
        None => format!("\"{hash:016x}\""),
        Some(coding) => format!("\"{hash:016x}-{}\"", coding.as_str()),
    }
}

/// Whether the client has this representation already (RFC 9110, section 13.1.2): `If-None-Match` is `*`, or lists the
/// tag. Tags are compared weakly.
pub(super) fn is_known(head: &RequestHead<'_>, tag: &str) -> bool {
    members(head, "if-none-match").any(|member| member == "*" || member.strip_prefix("W/").unwrap_or(&member) == tag)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn tags_are_listed_weak_or_strong() {
        let known = |fields: &[&str]| {
            let headers: Vec<_> = fields.iter().map(|value| ("if-none-match", value.as_bytes())).collect();
            is_known(&RequestHead { headers: &headers, ..RequestHead::default() }, "\"a,b\"")
        };
        for fields in [&["\"a,b\""][..], &["W/\"a,b\""], &["*"], &["\"x\", \"a,b\""], &["\"x\"", "W/\"y\",W/\"a,b\""]] {
            assert!(known(fields), "{fields:?}");
        }
        for fields in [&[][..], &[""], &["\"a\""], &["a,b"], &["\"b\"", "\"a\""], &["w/\"a,b\""], &["\"*\""], &["W/*"]]
        {
            assert!(!known(fields), "{fields:?}");
        }
    }

    #[test]
    fn each_representation_has_its_own_tag() {
        let plain = entity_tag(b"a", None);
        assert_eq!(plain.len(), 18);
        assert_ne!(plain, entity_tag(b"b", None));
        assert_eq!(plain, entity_tag(b"a", None));
    }
}
