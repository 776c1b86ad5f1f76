//! Text in replies: JSON documents, and excerpts of callers' texts.

use alloc::string::String;
use core::fmt::{self, Write as _};

use serde::Serialize;

/// Longest excerpt of a caller's text, in characters.
const EXCERPT_CHARS_MAX: usize = 64;

/// Serializes a document, and ends it with a line end, so that the prompt of a shell does not follow on the same line.
/// All control characters in it are escaped.
pub(super) fn to_json(document: &impl Serialize) -> String {
    let mut json = serde_json::to_string(document)
        .expect("serialization to memory fails only for map keys that are not strings, and no document has such keys");
    // JSON allows DEL and the C1 controls in strings, but a terminal might interpret them. Most texts have none. 0xc2
    // is the first byte of all C1 controls, and of some other characters.
    if json.bytes().any(|byte| matches!(byte, 0x7f | 0xc2)) {
        json = escaped(&json);
    }
    json.push('\n');
    json
}

/// JSON without control characters.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() {
            // All control characters are in the Basic Multilingual Plane, so one escape is enough.
            write!(escaped, "\\u{:04x}", u32::from(character)).expect("a String takes whatever is written to it");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A caller's text, truncated if it is long.
pub(super) struct Start<'a>(pub(super) &'a str);

/// The same in quotation marks.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", Start(self.0))
    }
}

impl fmt::Display for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(EXCERPT_CHARS_MAX) {
            f.write_char(character)?;
        }
        if characters.next().is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    #[test]
    fn every_character_survives_a_json_parser() {
        let all: String = (0..0x300_u32).chain([0x2028, 0xfffd, 0x1f600]).filter_map(char::from_u32).collect();
        let json = to_json(&all);
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(all.as_str()));
        let text = json.strip_suffix('\n').unwrap_or_default();
        assert!(!text.is_empty() && !text.chars().any(char::is_control));
    }

    #[test]
    fn excerpts_are_bounded() {
        assert_eq!(Start("limit").to_string(), "limit");
        assert_eq!(Start(&"é".repeat(65)).to_string().chars().count(), 65);
        assert_eq!(Excerpt("limit").to_string(), "'limit'");
        assert_eq!(Excerpt(&"é".repeat(64)).to_string().chars().count(), 66);
        assert_eq!(Excerpt(&"é".repeat(65)).to_string().chars().count(), 67);
    }
}
