//! What keys look like.

/// What every key begins with, so that people and scanners of secrets recognize one.
pub(super) const PREFIX: &str = "argus_";

/// How many letters and digits after the prefix make a text look like a key. With fewer, half of the bits are missing.
const SUSPECT_DIGITS: usize = 20;

/// Whether a text has something that looks like a key, or like a large part of one. Such a text is not repeated in
/// errors, and is no name.
pub(super) fn looks_like_key(text: &str) -> bool {
    text.split(PREFIX).skip(1).any(|rest| {
        let digits = rest.bytes().take(SUSPECT_DIGITS).take_while(u8::is_ascii_alphanumeric);
        digits.count() == SUSPECT_DIGITS
    })
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn keys_and_large_parts_of_them_look_like_keys() {
        let digits = "0123456789abcdefghijABCDEFGHIJ0123456789abc";
        for text in [
            format!("argus_{digits}"),
            format!("x = 'argus_{digits}'"),
            "argus_0123456789abcdefghij".into(),
            "argus_backup argus_argus_0123456789abcdefghij-".into(),
        ] {
            assert!(looks_like_key(&text), "{text}");
        }
        for text in ["", "argus_", "argus_backup", "argus_0123456789abcdefghi", "argus_0123456789_abcdefghij", digits] {
            assert!(!looks_like_key(text), "{text}");
        }
    }
}
