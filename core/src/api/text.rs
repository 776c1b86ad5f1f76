//! Text on its way out: JSON strings, and callers' words cut to a bearable length.

use alloc::string::String;
use core::fmt::{self, Write as _};

/// Most characters of a caller's text that are repeated back to it.
const EXCERPT_CHARS_MAX: usize = 64;

/// Appends `text` as a JSON string (RFC 8259, section 7) with its quotation marks.
pub(super) fn push_json_string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    // Most texts are plain. 0xc2 begins the C1 controls, among others.
    if !text.bytes().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x7f | 0xc2)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // DEL and the C1 controls are legal in JSON, but a terminal that shows the answer might obey them.
            control if control.is_control() => push_unicode_escape(out, control),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// All control characters lie in the basic plane, so that one escape is enough.
fn push_unicode_escape(out: &mut String, control: char) {
    out.push_str("\\u");
    for shift in [12_u32, 8, 4, 0] {
        out.push(char::from_digit((u32::from(control) >> shift) & 0xf, 16).unwrap_or('0'));
    }
}

/// A caller's text in quotation marks, cut where it gets long.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        f.write_char('\'')?;
        for character in characters.by_ref().take(EXCERPT_CHARS_MAX) {
            f.write_char(character)?;
        }
        if characters.next().is_some() {
            f.write_char('…')?;
        }
        f.write_char('\'')
    }
}

/// `text`, cut at a character boundary so that it has at most `bytes_max` bytes.
pub(super) fn truncated(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    #[test]
    fn every_character_survives_a_json_parser() {
        let all: String = (0..0x300_u32).chain([0x2028, 0xfffd, 0x1f600]).filter_map(char::from_u32).collect();
        let mut json = String::new();
        push_json_string(&mut json, &all);
        assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(all.as_str()));
        assert!(!json.chars().any(char::is_control));
    }

    #[test]
    fn excerpts_are_bounded() {
        assert_eq!(Excerpt("limit").to_string(), "'limit'");
        assert_eq!(Excerpt(&"é".repeat(64)).to_string().chars().count(), 66);
        assert_eq!(Excerpt(&"é".repeat(65)).to_string().chars().count(), 67);
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("aé", 99), "aé");
    }
}
