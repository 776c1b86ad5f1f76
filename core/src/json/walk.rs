//! Walks through a valid JSON text without building a tree.

use super::bits::BitStack;
use super::string::RawString;

/// A value of a JSON text.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    String(RawString<'a>),
    /// A number's token.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// All values that lie at a path in a compact JSON text, in their order.
///
/// A path is a list of member names. Arrays are looked through, on the way and at its end: an array there is given
/// itself, and then its elements, however deep arrays are nested. Of members with the same name all are followed.
///
/// The text has to be valid JSON without insignificant white space. Of another text something is given; nothing panics,
/// and it ends.
#[derive(Clone, Debug)]
pub struct Values<'a, 'p, P> {
    text: &'a str,
    at: usize,
    path: &'p [P],
    /// The containers between the root and this place; objects are set.
    open: BitStack,
    /// How many of them are objects, and thus how many names of the path have been found.
    objects: usize,
    /// Whether a value begins here that lies on the path.
    at_value: bool,
}

const OBJECT: bool = true;
const ARRAY: bool = false;

impl<'a> Value<'a> {
    /// The value that a valid JSON text without white space around it holds.
    #[must_use]
    pub fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::String(RawString::from_validated(raw.get(1..raw.len() - 1).unwrap_or_default())),
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(raw),
        }
    }
}

impl<'a, 'p, P: AsRef<str>> Values<'a, 'p, P> {
    /// The values at `path` in `compact_json`.
    #[must_use]
    pub fn new(compact_json: &'a str, path: &'p [P]) -> Self {
        Self { text: compact_json, at: 0, path, open: BitStack::default(), objects: 0, at_value: true }
    }

    /// At a value on the path: enters it, gives it or skips it.
    fn enter(&mut self) -> Option<Value<'a>> {
        self.at_value = false;
        let at_end = self.objects == self.path.len();
        match self.byte() {
            Some(b'[') => {
                self.at += 1;
                self.open.push(ARRAY);
                self.at_value = self.byte() != Some(b']');
                at_end.then_some(Value::Array)
            }
            Some(b'{') if !at_end => {
                self.at += 1;
                self.open.push(OBJECT);
                self.objects += 1;
                self.find_member();
                None
            }
            _ => {
                let start = self.at;
                self.skip_value();
                at_end.then(|| Value::of(self.text.get(start..self.at).unwrap_or_default()))
            }
        }
    }

    /// Behind a value on the path: goes on to the next one, or closes the container. `None` when the walk is over.
    fn leave(&mut self) -> Option<()> {
        let container = self.open.last()?;
        let next = self.byte()?;
        self.at += 1;
        match (container, next) {
            (OBJECT, b',') => self.find_member(),
            (ARRAY, b',') => self.at_value = true,
            // In a valid text this is the end of the container.
            (_, _) => {
                self.open.pop();
                self.objects -= usize::from(container == OBJECT);
            }
        }
        Some(())
    }

    /// At a member's name or at the end of an object: goes on to the value of the next member that has the name sought,
    /// or else to the end of the object.
    fn find_member(&mut self) {
        let Some(sought) = self.path.get(self.objects.saturating_sub(1)).map(AsRef::as_ref) else { return };
        while self.byte() == Some(b'"') {
            let start = self.at + 1;
            let escaped = self.skip_string();
            let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
            // Over the colon.
            self.at += 1;
            if RawString::from_scanned(raw, escaped).equals(sought) {
                self.at_value = true;
                return;
            }
            self.skip_value();
            if self.byte() != Some(b',') {
                return;
            }
            self.at += 1;
        }
    }

    fn skip_value(&mut self) {
        match self.byte() {
            Some(b'"') => {
                self.skip_string();
            }
            Some(b'{' | b'[') => self.skip_container(),
            _ => {
                let rest = self.rest();
                self.at += memchr::memchr3(b',', b']', b'}', rest).unwrap_or(rest.len());
            }
        }
    }

    fn skip_container(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// From the opening quote to behind the closing one. Says whether there are escapes between them.
    fn skip_string(&mut self) -> bool {
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.rest();
            let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.text.len();
                return escaped;
            };
            self.at += found;
            if self.byte() == Some(b'"') {
                self.at += 1;
                return escaped;
            }
            escaped = true;
            // Over the backslash and what it escapes.
            self.at += 2;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

impl<'a, P: AsRef<str>> Iterator for Values<'a, '_, P> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            if !self.at_value {
                self.leave()?;
            } else if let Some(value) = self.enter() {
                return Some(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn values(text: &str, path: &[&str]) -> Vec<String> {
        Values::new(text, path)
            .map(|value| match value {
                Value::String(string) => format!("'{}'", String::from_utf8_lossy(&string.bytes())),
                Value::Number(token) => token.into(),
                Value::Bool(value) => format!("{value}"),
                Value::Null => "null".into(),
                Value::Object => "{}".into(),
                Value::Array => "[]".into(),
            })
            .collect()
    }

    #[test]
    fn values_are_found_by_name() {
        let text = r#"{"a":{"b":1.0,"c":[{"d":true},{"d":[null,[{}]]},{"e":0,"d":"x\"]}"}]},"b":2,"":{"":3}}"#;
        for (path, expected) in [
            (&["a", "b"][..], &["1.0"][..]),
            (&["b"], &["2"]),
            (&["a"], &["{}"]),
            (&["a", "c", "d"], &["true", "[]", "null", "[]", "{}", "'x\"]}'"]),
            (&["a", "c"], &["[]", "{}", "{}", "{}"]),
            (&["a", "c", "e"], &["0"]),
            (&["", ""], &["3"]),
            (&["b", "x"], &[]),
            (&["x"], &[]),
            (&[], &["{}"]),
        ] {
            assert_eq!(values(text, path), expected, "{path:?}");
        }
    }

    #[test]
    fn all_members_of_a_name_count_however_it_is_written() {
        assert_eq!(values(r#"{"a":1,"b":2,"\u0061":[3],"a":{"a":4}}"#, &["a"]), ["1", "[]", "3", "{}"]);
        assert_eq!(values(r#"{"a":{"b":1},"a":{"b":2}}"#, &["a", "b"]), ["1", "2"]);
    }

    #[test]
    fn empty_containers_and_scalars() {
        assert_eq!(values("[]", &[]), ["[]"]);
        assert_eq!(values("[[],{},1]", &[]), ["[]", "[]", "{}", "1"]);
        assert!(values("[[],{},1]", &["a"]).is_empty());
        assert!(values("{}", &["a"]).is_empty());
        assert_eq!(values("-1.5e3", &[]), ["-1.5e3"]);
        assert_eq!(values(r#"[{"a":[]},{"a":[[]]}]"#, &["a"]), ["[]", "[]", "[]"]);
    }

    #[test]
    fn depth_is_no_matter() {
        let text = "[".repeat(100_000) + r#"{"a":7}"# + &"]".repeat(100_000);
        assert_eq!(values(&text, &["a"]), ["7"]);
        let text = format!(r#"{{"x":{text},"a":8}}"#);
        assert_eq!(values(&text, &["a"]), ["8"]);
    }
}
