//! Takes values from payloads.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::key;
use crate::json::{Paths, Value, value_at};
use crate::query::PayloadPath;

/// Finds the values at a set of paths, in one pass over a payload. Keeps its buffers from one payload to the next.
#[derive(Debug, Default)]
pub(super) struct Values {
    paths: Paths,
    /// The places of the values in the payload that was read last, by the number of the path. Elements of arrays are
    /// among them, arrays are not.
    places: Vec<Vec<Place>>,
    /// Buffer for unescaped strings.
    text: Vec<u8>,
}

/// Where the text of a value is.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    end: usize,
}

/// The keys of several values.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    /// Where each key begins and ends.
    places: Vec<Place>,
}

impl Values {
    /// Adds a path, and returns its number. Equal paths have the same number.
    pub(super) fn add(&mut self, path: &PayloadPath) -> usize {
        let number = self.paths.add(path.names());
        if number == self.places.len() {
            self.places.push(Vec::new());
        }
        number
    }

    /// The paths, and how many there are.
    pub(super) fn paths(&self) -> (&Paths, usize) {
        (&self.paths, self.places.len())
    }

    /// Finds the values in a payload. Returns how many bytes it read.
    pub(super) fn read(&mut self, payload: &str) -> usize {
        let Self { paths, places, .. } = self;
        if places.is_empty() {
            return 0;
        }
        places.iter_mut().for_each(Vec::clear);
        paths.walk_places(payload, |path, value, start| {
            let length = match value {
                Value::Array => return ControlFlow::Continue(()),
                Value::String(string) => string.raw_len() + 2,
                Value::Number(token) => token.len(),
                Value::Bool(_) | Value::Null | Value::Object => value_at(payload, start).len(),
            };
            let end = start + length;
            places.get_mut(path).expect("each path has a list of places").push(Place { start, end });
            ControlFlow::Continue(())
        })
    }

    /// The texts of the values at a path of the payload that was read last.
    pub(super) fn texts<'p>(&self, path: usize, payload: &'p str) -> impl Iterator<Item = &'p str> {
        let places = self.places.get(path).expect("the number of a path comes from `add`");
        places.iter().map(|place| payload.get(place.start..place.end).unwrap_or_default())
    }

    /// How many values there are at a path.
    pub(super) fn count(&self, path: usize) -> usize {
        self.places.get(path).expect("the number of a path comes from `add`").len()
    }

    /// Replaces `keys` by the distinct keys of the values at a path. Without a value, that is the key of null.
    pub(super) fn distinct(&mut self, path: usize, payload: &str, keys: &mut Keys) {
        keys.clear();
        let places = self.places.get(path).expect("the number of a path comes from `add`");
        for place in places {
            let raw = payload.get(place.start..place.end).unwrap_or_default();
            keys.push(|out| key::write(Value::of(raw), raw, &mut self.text, out));
        }
        if places.is_empty() {
            keys.push(|out| out.push(key::NULL));
        }
        keys.make_distinct();
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let places: usize = self.places.iter().map(Vec::capacity).sum();
        places * size_of::<Place>() + self.text.capacity()
    }
}

impl Keys {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// Adds the key that `write` appends.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.places.push(Place { start, end: self.bytes.len() });
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let place = self.places.get(index)?;
        self.bytes.get(place.start..place.end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    fn make_distinct(&mut self) {
        if self.places.len() > 1 {
            let Self { bytes, places } = self;
            let text = |place: &Place| bytes.get(place.start..place.end).unwrap_or_default();
            places.sort_unstable_by(|left, right| text(left).cmp(text(right)));
            places.dedup_by(|left, right| text(left) == text(right));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::String;

    use super::*;

    /// The distinct values at the path `a`, and all of them.
    fn values(payload: &str) -> (Vec<String>, Vec<String>) {
        let mut values = Values::default();
        let path = values.add(&PayloadPath::parse("a").unwrap());
        values.read(payload);
        let mut keys = Keys::default();
        values.distinct(path, payload, &mut keys);
        let shown = |mut key: &[u8]| {
            let mut out = Vec::new();
            key::decode(&mut key).write_json(&mut out);
            String::from_utf8(out).unwrap()
        };
        (keys.iter().map(shown).collect(), values.texts(path, payload).map(String::from).collect())
    }

    #[test]
    fn each_distinct_element_of_an_array_is_one_value() {
        for (payload, distinct, all) in [
            (r#"{"a":1}"#, &["1"][..], &["1"][..]),
            (r#"{"a":[2,"x",2.0,[1,null]]}"#, &["null", "1", "2", "\"x\""], &["2", "\"x\"", "2.0", "1", "null"]),
            (r#"{"a":{"b":[1]},"a":true}"#, &["true", r#"{"b":[1]}"#], &[r#"{"b":[1]}"#, "true"]),
        ] {
            let (found_distinct, found_all) = values(payload);
            assert_eq!(found_distinct, distinct, "{payload}");
            assert_eq!(found_all, all, "{payload}");
        }
    }

    #[test]
    fn what_has_no_value_counts_as_null() {
        for payload in ["{}", r#"{"a":[]}"#, r#"{"a":[[],[]]}"#, "7", "[]"] {
            assert_eq!(values(payload), (Vec::from(["null".into()]), Vec::new()), "{payload}");
        }
    }
}
