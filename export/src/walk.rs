//! Walks over the members of a payload, object by object.

use argus_core::json::{Value, value_at};

/// The number of a path in the [`Visitor`]'s own list.
pub(crate) type PathNumber = usize;

/// The payload itself.
pub(crate) const ROOT: PathNumber = 0;

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Visit its members.
    Members,
    /// Visit it as a value.
    Whole,
}

/// What [`walk`] calls, in the order of the text.
pub(crate) trait Visitor<'p> {
    /// A member of this name in the object at `parent`. `None` if its value is of no interest.
    fn member(&mut self, parent: PathNumber, name: &str) -> Option<PathNumber>;

    /// The value at a path is an object.
    fn object(&mut self, path: PathNumber) -> Entry;

    /// The text of a value that is no object, or of an object that is to be visited as a value.
    fn value(&mut self, path: PathNumber, text: &'p str);
}

/// Visits the values of the members of a payload, and of objects in it. Arrays are values as a whole. A payload that is
/// no object has no members, and a member whose name is no text (half of a surrogate pair) is left out. Any depth takes
/// no space on the stack.
///
/// `payload` must be valid JSON without insignificant white space.
pub(crate) fn walk<'p>(payload: &'p str, visitor: &mut impl Visitor<'p>) {
    let byte = |at: usize| payload.as_bytes().get(at).copied();
    if byte(0) != Some(b'{') {
        return;
    }
    let mut open = vec![ROOT];
    let mut scratch = Vec::new();
    let mut at = 1;
    while let Some(&parent) = open.last() {
        match byte(at) {
            Some(b'}') => {
                open.pop();
                at += 1;
            }
            Some(b',') => at += 1,
            Some(b'"') => {
                let name = value_at(payload, at);
                // The name and the colon.
                at += name.len() + 1;
                let path = match Value::of(name) {
                    Value::String(name) => name.text(&mut scratch).ok().and_then(|name| visitor.member(parent, name)),
                    Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => None,
                };
                if let Some(path) = path
                    && byte(at) == Some(b'{')
                    && visitor.object(path) == Entry::Members
                {
                    open.push(path);
                    at += 1;
                    continue;
                }
                let text = value_at(payload, at);
                at += text.len();
                if let Some(path) = path {
                    visitor.value(path, text);
                }
            }
            Some(_) | None => return,
        }
    }
}

/// The unescaped text of a JSON string. A lone surrogate, which no text can have, becomes three U+FFFD: one for each of
/// the bytes that it would have.
pub(crate) fn text_of(json: &str) -> std::borrow::Cow<'_, str> {
    match Value::of(json) {
        Value::String(string) => match string.bytes() {
            std::borrow::Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            std::borrow::Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => text.into(),
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into(),
            },
        },
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => json.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down the calls. Objects of the name `whole` are visited as values, and `skipped` is of no interest.
    #[derive(Default)]
    struct Log {
        paths: Vec<String>,
        seen: Vec<String>,
    }

    impl Log {
        fn name(&self, path: PathNumber) -> &str {
            path.checked_sub(1).and_then(|at| self.paths.get(at)).map_or("", String::as_str)
        }
    }

    impl<'p> Visitor<'p> for Log {
        fn member(&mut self, parent: PathNumber, name: &str) -> Option<PathNumber> {
            if name == "skipped" {
                return None;
            }
            self.paths.push(format!("{}/{name}", self.name(parent)));
            Some(self.paths.len())
        }

        fn object(&mut self, path: PathNumber) -> Entry {
            if self.name(path).ends_with("whole") { Entry::Whole } else { Entry::Members }
        }

        fn value(&mut self, path: PathNumber, text: &'p str) {
            self.seen.push(format!("{}={text}", self.name(path)));
        }
    }

    fn seen(payload: &str) -> Vec<String> {
        let mut log = Log::default();
        walk(payload, &mut log);
        log.seen
    }

    #[test]
    fn members_are_visited_with_their_texts() {
        let payload = concat!(
            r#"{"a":{"b":-1.50,"c":{},"d":[{"x":"]}"},2]},"\u0065\"":"}\\","#,
            r#""whole":{"a":{}},"skipped":{"a":1},"n":null}"#
        );
        let expected = ["/a/b=-1.50", r#"/a/d=[{"x":"]}"},2]"#, r#"/e"="}\\""#, r#"/whole={"a":{}}"#, "/n=null"];
        assert_eq!(seen(payload), expected);
        for payload in ["{}", "[]", "7", r#""{}""#, "null", r#"[{"a":1}]"#] {
            assert_eq!(seen(payload), [""; 0], "{payload}");
        }
        assert_eq!(seen(r#"{"":1,"a":2,"a":3}"#), ["/=1", "/a=2", "/a=3"]);
        let lone = r#"{"\ud800":1,"a\udc00":{"b":2},"\ud83d\ude00":3,"c":{"\ud800":4}}"#;
        assert_eq!(seen(lone), ["/😀=3"], "names that are no text");
    }

    #[test]
    fn any_depth_is_walked() {
        let payload = r#"{"a":"#.repeat(50_000) + "1" + &"}".repeat(50_000);
        struct Depth(usize);
        impl<'p> Visitor<'p> for Depth {
            fn member(&mut self, _: PathNumber, _: &str) -> Option<PathNumber> {
                self.0 += 1;
                Some(ROOT)
            }
            fn object(&mut self, _: PathNumber) -> Entry {
                Entry::Members
            }
            fn value(&mut self, _: PathNumber, text: &'p str) {
                assert_eq!(text, "1");
            }
        }
        let mut depth = Depth(0);
        walk(&payload, &mut depth);
        assert_eq!(depth.0, 50_000);
    }

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(text_of(r#""a\n\u00fc""#), "a\nü");
        assert_eq!(text_of(r#""x\ud800y""#), "x\u{fffd}\u{fffd}\u{fffd}y");
    }
}
