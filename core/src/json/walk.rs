//! Walks through a valid JSON text without building a tree, along any number of paths at once.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::ControlFlow;

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

/// A set of paths, all of which are followed in one pass over a text.
///
/// A path is a list of member names. Arrays are looked through, on the way and at its end: an array at the end is a
/// value of the path itself, and so is each of its elements, however deep arrays are nested. Of members with the same
/// name all are followed.
#[derive(Clone, Debug)]
pub struct Paths {
    /// A trie of names. The first node is the root.
    nodes: Vec<Node>,
    /// How many different paths there are.
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    parent: usize,
    /// The number of the path that ends here.
    path: Option<usize>,
    /// The nodes below, in the order of [`by_length`].
    members: Vec<(Box<str>, usize)>,
}

/// One pass over a text.
struct Walk<'a, 'p> {
    nodes: &'p [Node],
    text: &'a str,
    at: usize,
    /// The containers between the root and this place that were entered; objects are set.
    open: BitStack,
    /// In a container: its node. At a value: the value's node.
    node: usize,
    /// Where names with escapes are unescaped.
    name: Vec<u8>,
}

/// What comes next in a text.
enum Next {
    /// A value that lies on a path.
    Value,
    /// A member's name, or the end of the object.
    Member,
    /// What follows a value that lies on a path.
    Behind,
}

const OBJECT: bool = true;
const ARRAY: bool = false;

impl<'a> Value<'a> {
    /// The value that a valid JSON text without white space around it holds.
    #[must_use]
    pub fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::String(RawString::from_validated(between_quotes(raw))),
            Some(_) | None => Self::unquoted(raw),
        }
    }

    fn unquoted(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(raw),
        }
    }
}

fn between_quotes(raw: &str) -> &str {
    raw.get(1..raw.len() - 1).unwrap_or_default()
}

impl Default for Paths {
    fn default() -> Self {
        Self { nodes: Vec::from([Node::default()]), len: 0 }
    }
}

impl Paths {
    /// Adds a path, and gives its number: they are numbered from 0, in the order in which they came. A path that is
    /// there already keeps its number.
    pub fn add<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> usize {
        let end = names.into_iter().fold(0, |node, name| self.member(node, name));
        let next = self.len;
        let Some(node) = self.nodes.get_mut(end) else { return next };
        let number = *node.path.get_or_insert(next);
        self.len = next.max(number + 1);
        number
    }

    /// The node below `parent` by this name, which is made if it is not there.
    fn member(&mut self, parent: usize, name: &str) -> usize {
        let new = self.nodes.len();
        let Some(Node { members, .. }) = self.nodes.get_mut(parent) else { return new };
        match members.binary_search_by(|(other, _)| by_length(other.as_bytes(), name.as_bytes())) {
            Ok(at) => members.get(at).map_or(new, |(_, node)| *node),
            Err(at) => {
                members.insert(at, (name.into(), new));
                self.nodes.push(Node { parent, ..Node::default() });
                new
            }
        }
    }

    /// Goes through a compact JSON text once. `visit` is given each value that lies at the end of a path, with the
    /// number of the path, in the order of the text; the walk ends early if it breaks. Returns how many bytes of the
    /// text were looked at.
    ///
    /// The text has to be valid JSON without insignificant white space. Of another text something is given; nothing
    /// panics, and it ends.
    pub fn walk<'a>(&self, compact_json: &'a str, mut visit: impl FnMut(usize, Value<'a>) -> ControlFlow<()>) -> usize {
        let mut walk = Walk {
            nodes: &self.nodes,
            text: compact_json,
            at: 0,
            open: BitStack::default(),
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

/// Orders names by length first, so that most comparisons are of two numbers.
fn by_length(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

impl<'a> Walk<'a, '_> {
    /// Goes on to what follows `next`. Breaks at the end, or if `visit` does.
    fn step(
        &mut self,
        next: &Next,
        visit: &mut impl FnMut(usize, Value<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<(), Next> {
        match next {
            Next::Value => self.enter(visit),
            Next::Member => ControlFlow::Continue(self.find_member()),
            Next::Behind => self.leave(),
        }
    }

    /// At a value on a path: gives it if the path ends here, and enters or skips it.
    fn enter(&mut self, visit: &mut impl FnMut(usize, Value<'a>) -> ControlFlow<()>) -> ControlFlow<(), Next> {
        let Some(node) = self.nodes.get(self.node) else { return ControlFlow::Break(()) };
        let mut give = |value| node.path.map_or(ControlFlow::Continue(()), |path| visit(path, value));
        match self.byte() {
            Some(b'[') => {
                give(Value::Array)?;
                self.at += 1;
                self.open.push(ARRAY);
                ControlFlow::Continue(if self.byte() == Some(b']') { Next::Behind } else { Next::Value })
            }
            Some(b'{') => {
                give(Value::Object)?;
                if node.members.is_empty() {
                    self.skip_container();
                    return ControlFlow::Continue(Next::Behind);
                }
                self.at += 1;
                self.open.push(OBJECT);
                ControlFlow::Continue(Next::Member)
            }
            Some(b'"') => {
                let start = self.at + 1;
                let escaped = self.skip_string();
                let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
                give(Value::String(RawString::from_scanned(raw, escaped)))?;
                ControlFlow::Continue(Next::Behind)
            }
            Some(_) | None => {
                let start = self.at;
                self.skip_value();
                give(Value::unquoted(self.text.get(start..self.at).unwrap_or_default()))?;
                ControlFlow::Continue(Next::Behind)
            }
        }
    }

    /// Behind a value on a path: goes on to the next one, or closes the container.
    fn leave(&mut self) -> ControlFlow<(), Next> {
        let (Some(container), Some(next)) = (self.open.last(), self.byte()) else { return ControlFlow::Break(()) };
        self.at += 1;
        if container == OBJECT {
            self.node = self.nodes.get(self.node).map_or(0, |node| node.parent);
        }
        ControlFlow::Continue(match (container, next) {
            (OBJECT, b',') => Next::Member,
            (ARRAY, b',') => Next::Value,
            // In a valid text this is the end of the container.
            (_, _) => {
                self.open.pop();
                Next::Behind
            }
        })
    }

    /// At a member's name or at the end of an object: goes on to the value of the next member that has a name sought,
    /// or else behind the object.
    fn find_member(&mut self) -> Next {
        let members = self.nodes.get(self.node).map_or(&[][..], |node| &node.members);
        while self.byte() == Some(b'"') {
            let start = self.at + 1;
            let escaped = self.skip_string();
            let raw = self.text.get(start..self.at.saturating_sub(1)).unwrap_or_default();
            // Over the colon.
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
        // Over the end of the object.
        self.at += 1;
        self.open.pop();
        Next::Behind
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
            values.push(picture(value));
            ControlFlow::Continue(())
        });
        values
    }

    fn picture(value: Value<'_>) -> String {
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
    fn several_paths_are_followed_in_one_pass() {
        let mut paths = Paths::default();
        let numbers = ["a.b", "a", "a.b", "c", "a.bb"].map(|path| paths.add(path.split('.')));
        assert_eq!(numbers, [0, 1, 0, 2, 3]);
        let text = r#"{"x":{"a":0},"a":{"bb":4,"b":[1,{"a":2}]},"c":true,"a":3}"#;
        let mut found = Vec::new();
        let walked = paths.walk(text, |path, value| {
            found.push(format!("{path} {}", picture(value)));
            ControlFlow::Continue(())
        });
        assert_eq!(found, ["1 {}", "3 4", "0 []", "0 1", "0 {}", "2 true", "1 3"]);
        assert_eq!(walked, text.len());
        let walked =
            paths.walk(text, |path, _| if path == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
        assert_eq!(text.get(..walked), Some(r#"{"x":{"a":0},"a":{"bb":4"#));
    }

    #[test]
    fn depth_is_no_matter() {
        let text = "[".repeat(100_000) + r#"{"a":7}"# + &"]".repeat(100_000);
        assert_eq!(values(&text, &["a"]), ["7"]);
        let text = format!(r#"{{"x":{text},"a":8}}"#);
        assert_eq!(values(&text, &["a"]), ["8"]);
    }
}
