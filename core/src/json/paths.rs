//! Finds the values at any number of paths in one pass over a JSON text, without building a tree.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::ControlFlow;

use super::containers::{Container, OpenContainers};
use super::string::RawString;
use super::value::Value;

/// A set of paths. One pass over a text finds the values of all of them.
///
/// A path is a list of member names. It leads through arrays into their elements, at any depth. At the end of a path,
/// an array and each of its elements are values of the path. If several members have the same name, all are followed.
#[derive(Clone, Debug)]
pub struct Paths {
    /// A trie of names. The first node is the root.
    nodes: Vec<Node>,
    /// How many distinct paths there are.
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: usize,
    /// The number of the path that ends here.
    path: Option<usize>,
    /// The child nodes by name, in the order of [`by_length`].
    members: Vec<(Box<str>, usize)>,
}

/// One pass over a text.
struct Walk<'a, 'p> {
    nodes: &'p [Node],
    text: &'a str,
    at: usize,
    /// The containers around the current value.
    open: OpenContainers,
    /// The node of the current value, or of the current container.
    node: usize,
    /// Buffer for unescaped names.
    name: Vec<u8>,
}

/// What to read next.
enum Next {
    /// A value on a path.
    Value,
    /// The name of a member, or the end of an object.
    Member,
    /// What follows a value on a path.
    AfterValue,
}

impl Default for Paths {
    fn default() -> Self {
        Self { nodes: Vec::from([Node::default()]), len: 0 }
    }
}

impl Paths {
    /// Adds a path, and returns its number. Distinct paths are numbered from 0 in the order of their addition.
    pub fn add<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> usize {
        let end = names.into_iter().fold(0, |node, name| self.member(node, name));
        let node = self.nodes.get_mut(end).expect("`member` returns the index of a node");
        let number = *node.path.get_or_insert(self.len);
        self.len = self.len.max(number + 1);
        number
    }

    /// The index of the child of `parent` with this name. Adds the child if it is missing.
    fn member(&mut self, parent: usize, name: &str) -> usize {
        let new = self.nodes.len();
        let Node { members, .. } = self.nodes.get_mut(parent).expect("`parent` is the index of a node");
        match members.binary_search_by(|(other, _)| by_length(other.as_bytes(), name.as_bytes())) {
            Ok(at) => members.get(at).expect("the search found this entry").1,
            Err(at) => {
                members.insert(at, (name.into(), new));
                self.nodes.push(Node { parent, ..Node::default() });
                new
            }
        }
    }

    /// Walks a compact JSON text once. Calls `visit` with the number of a path and a value at its end, in the order of
    /// the text. Ends early if `visit` breaks. Returns how many bytes were read.
    ///
    /// The text must be valid JSON without insignificant white space. For any other text the values are unspecified,
    /// but the walk ends and does not panic.
    pub fn walk<'a>(&self, compact_json: &'a str, mut visit: impl FnMut(usize, Value<'a>) -> ControlFlow<()>) -> usize {
        self.walk_places(compact_json, |path, value, _| visit(path, value))
    }

    /// Like [`walk`](Self::walk), also with the offset of each value in the text.
    pub fn walk_places<'a>(
        &self,
        compact_json: &'a str,
        mut visit: impl FnMut(usize, Value<'a>, usize) -> ControlFlow<()>,
    ) -> usize {
        let mut walk = Walk {
            nodes: &self.nodes,
            text: compact_json,
            at: 0,
            open: OpenContainers::default(),
            node: 0,
            name: Vec::new(),
        };
        let mut next = Next::Value;
        while let ControlFlow::Continue(following) = walk.step(&next, &mut visit) {
            next = following;
        }
        walk.at.min(compact_json.len())
    }
}

/// The text of the value that begins at this offset of a compact JSON text, such as one that [`Paths::walk_places`]
/// found. For any other offset or text, the result is unspecified.
#[must_use]
pub fn value_at(compact_json: &str, at: usize) -> &str {
    let mut walk =
        Walk { nodes: &[], text: compact_json, at, open: OpenContainers::default(), node: 0, name: Vec::new() };
    walk.skip_value();
    compact_json.get(at..walk.at).unwrap_or_default()
}

/// Orders names by length first, so that most comparisons compare only the lengths.
fn by_length(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl<'a> Walk<'a, '_> {
    /// Reads `next`, and returns what follows it. Breaks at the end of the text, or if `visit` breaks.
    fn step(
        &mut self,
        next: &Next,
        visit: &mut impl FnMut(usize, Value<'a>, usize) -> ControlFlow<()>,
    ) -> ControlFlow<(), Next> {
        match next {
            Next::Value => self.enter(visit),
            Next::Member => ControlFlow::Continue(self.find_member()),
            Next::AfterValue => self.leave(),
        }
    }

    /// Reads the start of a value on a path: visits the value if a path ends here, then enters or skips it.
    fn enter(&mut self, visit: &mut impl FnMut(usize, Value<'a>, usize) -> ControlFlow<()>) -> ControlFlow<(), Next> {
        let Some(node) = self.nodes.get(self.node) else { return ControlFlow::Break(()) };
        let place = self.at;
        let mut visit_end = |value| node.path.map_or(ControlFlow::Continue(()), |path| visit(path, value, place));
        match self.byte() {
            Some(b'[') => {
                visit_end(Value::Array)?;
                self.at += 1;
                self.open.push(Container::Array);
                ControlFlow::Continue(if self.byte() == Some(b']') { Next::AfterValue } else { Next::Value })
            }
            Some(b'{') => {
                visit_end(Value::Object)?;
                if node.members.is_empty() {
                    self.skip_container();
                    return ControlFlow::Continue(Next::AfterValue);
                }
                self.at += 1;
                self.open.push(Container::Object);
                ControlFlow::Continue(Next::Member)
            }
            Some(b'"') => {
                let start = self.at + 1;
                let escaped = self.skip_string();
                let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
                visit_end(Value::String(RawString::from_scanned(raw, escaped)))?;
                ControlFlow::Continue(Next::AfterValue)
            }
            Some(_) | None => {
                let start = self.at;
                self.skip_value();
                visit_end(Value::unquoted(self.text.get(start..self.at).unwrap_or_default()))?;
                ControlFlow::Continue(Next::AfterValue)
            }
        }
    }

    /// Reads what follows a value on a path: a comma, the end of its container, or the end of the text.
    fn leave(&mut self) -> ControlFlow<(), Next> {
        let (Some(container), Some(next)) = (self.open.last(), self.byte()) else { return ControlFlow::Break(()) };
        self.at += 1;
        if container == Container::Object {
            self.node = self.nodes.get(self.node).map_or(0, |node| node.parent);
        }
        ControlFlow::Continue(match (container, next) {
            (Container::Object, b',') => Next::Member,
            (Container::Array, b',') => Next::Value,
            // In a valid text, this byte ends the container.
            (Container::Object | Container::Array, _) => {
                self.open.pop();
                Next::AfterValue
            }
        })
    }

    /// Skips the members of an object that are on no path. Stops at the value of a member on a path, or after the
    /// object.
    fn find_member(&mut self) -> Next {
        let members = self.nodes.get(self.node).map_or(&[][..], |node| &node.members);
        while self.byte() == Some(b'"') {
            let start = self.at + 1;
            let escaped = self.skip_string();
            let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
            // Skip the colon.
            self.at += 1;
            let name = RawString::from_scanned(raw, escaped).bytes_in(&mut self.name);
            if let Ok(found) = members.binary_search_by(|(other, _)| by_length(other.as_bytes(), name))
                && let Some((_, node)) = members.get(found)
            {
                self.node = *node;
                return Next::Value;
            }
            self.skip_value();
            if self.byte() != Some(b',') {
                break;
            }
            self.at += 1;
        }
        // Skip the closing brace.
        self.at += 1;
        self.open.pop();
        Next::AfterValue
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

    /// Skips a string with its quotes. Returns whether it has escapes.
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
            // Skip the backslash and the character after it.
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

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn values(text: &str, path: &[&str]) -> Vec<String> {
        let mut paths = Paths::default();
        paths.add(path.iter().copied());
        let mut values = Vec::new();
        paths.walk(text, |_, value| {
            values.push(shown(value));
            ControlFlow::Continue(())
        });
        values
    }

    fn shown(value: Value<'_>) -> String {
        match value {
            Value::String(string) => format!("'{}'", String::from_utf8_lossy(&string.bytes())),
            Value::Number(token) => token.into(),
            Value::Bool(value) => format!("{value}"),
            Value::Null => "null".into(),
            Value::Object => "{}".into(),
            Value::Array => "[]".into(),
        }
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
    fn all_members_with_the_same_unescaped_name_are_followed() {
        assert_eq!(values(r#"{"a":1,"b":2,"\u0061":[3],"a":{"a":4}}"#, &["a"]), ["1", "[]", "3", "{}"]);
        assert_eq!(values(r#"{"a":{"b":1},"a":{"b":2}}"#, &["a", "b"]), ["1", "2"]);
    }

    #[test]
    fn empty_containers_and_scalars_are_values() {
        assert_eq!(values("[]", &[]), ["[]"]);
        assert_eq!(values("[[],{},1]", &[]), ["[]", "[]", "{}", "1"]);
        assert!(values("[[],{},1]", &["a"]).is_empty());
        assert!(values("{}", &["a"]).is_empty());
        assert_eq!(values("-1.5e3", &[]), ["-1.5e3"]);
        assert_eq!(values(r#"[{"a":[]},{"a":[[]]}]"#, &["a"]), ["[]", "[]", "[]"]);
    }

    #[test]
    fn all_paths_are_followed_in_one_pass() {
        let mut paths = Paths::default();
        let numbers = ["a.b", "a", "a.b", "c", "a.bb"].map(|path| paths.add(path.split('.')));
        assert_eq!(numbers, [0, 1, 0, 2, 3]);
        let text = r#"{"x":{"a":0},"a":{"bb":4,"b":[1,{"a":2}]},"c":true,"a":3}"#;
        let mut found = Vec::new();
        let walked = paths.walk(text, |path, value| {
            found.push(format!("{path} {}", shown(value)));
            ControlFlow::Continue(())
        });
        assert_eq!(found, ["1 {}", "3 4", "0 []", "0 1", "0 {}", "2 true", "1 3"]);
        assert_eq!(walked, text.len());
        let walked =
            paths.walk(text, |path, _| if path == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        assert_eq!(text.get(..walked), Some(r#"{"x":{"a":0},"a":{"bb":4"#));
    }

    #[test]
    fn the_text_of_a_value_is_found_at_its_place() {
        let text = r#"{"a":[{"b":"]}\""},-1.5,[],"x",null]}"#;
        let mut paths = Paths::default();
        paths.add(["a"]);
        let mut texts = Vec::new();
        paths.walk_places(text, |_, _, at| {
            texts.push(value_at(text, at));
            ControlFlow::Continue(())
        });
        let array = r#"[{"b":"]}\""},-1.5,[],"x",null]"#;
        assert_eq!(texts, [array, r#"{"b":"]}\""}"#, "-1.5", "[]", r#""x""#, "null"]);
    }

    #[test]
    fn any_depth_is_walked() {
        let text = "[".repeat(100_000) + r#"{"a":7}"# + &"]".repeat(100_000);
        assert_eq!(values(&text, &["a"]), ["7"]);
        let text = format!(r#"{{"x":{text},"a":8}}"#);
        assert_eq!(values(&text, &["a"]), ["8"]);
    }
}
