//! Which paths the payloads have, and which kinds of values are there: what the first pass over the events finds.

use std::collections::HashMap;

use argus_core::query::PAYLOAD_PATH_BYTES_MAX;

use crate::kinds::{Kind, Kinds, is_rounded_integer};
use crate::walk::{Entry, PathNumber, ROOT, Visitor, walk};

/// The paths of many payloads. Its memory is bounded by the number of paths.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// In order of appearance, and so each after the object that it is in. The first is the payload itself.
    paths: Vec<Path>,
    paths_max: usize,
    is_incomplete: bool,
}

/// What was found at a path.
#[derive(Debug, Default)]
pub(crate) struct Path {
    /// The object that it is in.
    pub(crate) parent: PathNumber,
    /// The name in that object.
    pub(crate) name: Box<str>,
    pub(crate) kinds: Kinds,
    /// The number of values other than `null`.
    pub(crate) values: u64,
    /// Whether some integer is not exact in a `f64`.
    pub(crate) has_rounded: bool,
    /// The members of the objects at this path.
    pub(crate) members: HashMap<Box<str>, PathNumber>,
    /// The length of all names from the root to here, in bytes.
    bytes: usize,
}

impl Discovery {
    /// Knows nothing yet, and will know this many paths at most.
    pub(crate) fn new(paths_max: usize) -> Self {
        Self { paths: vec![Path::default()], paths_max, is_incomplete: false }
    }

    /// Takes a payload into account.
    pub(crate) fn add(&mut self, payload: &str) {
        walk(payload, self);
    }

    /// The paths, in order of appearance. The first is the payload itself.
    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Whether there are more paths than it may know, or longer ones.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    fn note(&mut self, path: PathNumber, kind: Kind) -> Option<&mut Path> {
        let path = self.paths.get_mut(path)?;
        path.kinds.add(kind);
        path.values += 1;
        Some(path)
    }
}

impl<'p> Visitor<'p> for Discovery {
    fn member(&mut self, parent: PathNumber, name: &str) -> Option<PathNumber> {
        let number = self.paths.len();
        let above = self.paths.get_mut(parent)?;
        if let Some(&known) = above.members.get(name) {
            return Some(known);
        }
        let bytes = above.bytes + name.len() + 1;
        if number > self.paths_max || bytes > PAYLOAD_PATH_BYTES_MAX {
            self.is_incomplete = true;
            return None;
        }
        above.members.insert(name.into(), number);
        self.paths.push(Path { parent, name: name.into(), bytes, ..Path::default() });
        Some(number)
    }

    fn object(&mut self, path: PathNumber) -> Entry {
        self.note(path, Kind::Object);
        Entry::Members
    }

    fn value(&mut self, path: PathNumber, text: &'p str) {
        let Some(kind) = Kind::of(text) else { return };
        let Some(path) = self.note(path, kind) else { return };
        path.has_rounded |= is_rounded_integer(text);
    }
}

impl Path {
    /// Whether the values are objects whose members have columns, so that it has none itself.
    pub(crate) fn is_opened(&self) -> bool {
        !self.kinds.is_empty() && self.kinds.are_among(&[Kind::Object]) && !self.members.is_empty()
    }
}

/// Whether a path is that of the payload itself.
pub(crate) fn is_root(path: PathNumber) -> bool {
    path == ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths with the names of their kinds.
    fn found(discovery: &Discovery) -> Vec<(String, String, u64)> {
        let mut names: Vec<String> = vec![String::new()];
        for path in discovery.paths().iter().skip(1) {
            let above = names.get(path.parent).expect("the object above comes first");
            names.push(format!("{above}/{}", path.name));
        }
        let found = names.into_iter().zip(discovery.paths()).skip(1);
        found.map(|(name, path)| (name, path.kinds.names(), path.values)).collect()
    }

    #[test]
    fn paths_are_found_with_their_kinds() {
        let mut discovery = Discovery::new(100);
        for payload in
            [r#"{"a":{"b":1,"c":null},"d":[{"e":1}]}"#, r#"{"a":{"b":"x"},"d":1.5}"#, r#"{"a":{}}"#, "[1]", "null"]
        {
            discovery.add(payload);
        }
        let expected = [("/a", "object", 3), ("/a/b", "integer,string", 2), ("/a/c", "", 0), ("/d", "float,array", 2)];
        assert_eq!(found(&discovery), expected.map(|(path, kinds, values)| (path.into(), kinds.into(), values)));
        assert!(!discovery.is_incomplete());
    }

    #[test]
    fn paths_beyond_the_limit_are_left_out_and_the_others_go_on() {
        let mut discovery = Discovery::new(2);
        discovery.add(r#"{"a":1,"b":2,"c":3}"#);
        assert!(discovery.is_incomplete());
        discovery.add(r#"{"c":1,"b":true}"#);
        let expected = [("/a", "integer", 1), ("/b", "integer,boolean", 2)];
        assert_eq!(found(&discovery), expected.map(|(path, kinds, values)| (path.into(), kinds.into(), values)));
        let mut discovery = Discovery::new(100);
        discovery.add(&format!(r#"{{"{}":1}}"#, "x".repeat(PAYLOAD_PATH_BYTES_MAX)));
        assert!(discovery.is_incomplete() && found(&discovery).is_empty());
    }
}
