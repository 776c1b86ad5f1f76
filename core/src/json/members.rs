//! Visits every value of a JSON text, without building a tree.

use super::containers::{Container, OpenContainers};
use super::string::RawString;
use super::value::Value;

/// What [`visit_members`] calls, in the order of the text.
pub(crate) trait MemberVisitor<'a> {
    /// The values up to the matching [`leave`](Self::leave) belong to the member of this name.
    fn enter(&mut self, name: RawString<'a>);

    /// The member ends that was entered last.
    fn leave(&mut self);

    /// A value: that of the member, or an element of an array.
    fn value(&mut self, value: Value<'a>, raw: &'a str);
}

/// Visits every value of a compact JSON text: each object and array before what it contains. `raw` is the text of a
/// value, except for objects and arrays.
///
/// The text must be valid JSON without insignificant white space. For any other text the calls are unspecified, but
/// they end.
pub(crate) fn visit_members<'a>(compact_json: &'a str, visitor: &mut impl MemberVisitor<'a>) {
    let mut reader = Reader { text: compact_json, at: 0 };
    let mut open = OpenContainers::default();
    loop {
        match reader.byte() {
            Some(b'[') => {
                visitor.value(Value::Array, "");
                reader.at += 1;
                if reader.byte() == Some(b']') {
                    reader.at += 1;
                } else {
                    open.push(Container::Array);
                    continue;
                }
            }
            Some(b'{') => {
                visitor.value(Value::Object, "");
                reader.at += 1;
                if reader.byte() == Some(b'}') {
                    reader.at += 1;
                } else {
                    open.push(Container::Object);
                    visitor.enter(reader.name());
                    continue;
                }
            }
            Some(_) => {
                let raw = reader.scalar();
                visitor.value(Value::of(raw), raw);
            }
            None => return,
        }
        // A value has ended, and perhaps containers with it.
        while let Some(container) = open.last() {
            if container == Container::Object {
                visitor.leave();
            }
            let byte = reader.byte();
            reader.at += 1;
            match (container, byte) {
                (Container::Object, Some(b',')) => {
                    visitor.enter(reader.name());
                    break;
                }
                (Container::Array, Some(b',')) => break,
                (Container::Object | Container::Array, Some(_)) => open.pop(),
                (Container::Object | Container::Array, None) => return,
            }
        }
        if open.len() == 0 {
            return;
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads the name of a member and the colon.
    fn name(&mut self) -> RawString<'a> {
        let raw = self.scalar();
        self.at += 1;
        RawString::from_validated(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default())
    }

    /// Reads a string, a number or a literal.
    fn scalar(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at += if rest.first() == Some(&b'"') {
            string_len(rest)
        } else {
            memchr::memchr3(b',', b']', b'}', rest).unwrap_or(rest.len())
        };
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// The length of the string that the text begins with, with its quotes.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        // The backslash, and the character after it.
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[derive(Default)]
    struct Log {
        path: Vec<String>,
        seen: Vec<String>,
    }

    impl<'a> MemberVisitor<'a> for Log {
        fn enter(&mut self, name: RawString<'a>) {
            self.path.push(String::from_utf8_lossy(&name.bytes()).into());
        }

        fn leave(&mut self) {
            self.path.pop();
        }

        fn value(&mut self, value: Value<'a>, raw: &'a str) {
            let shown = match value {
                Value::Object => "{}",
                Value::Array => "[]",
                Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => raw,
            };
            self.seen.push(format!("{}={shown}", self.path.join(".")));
        }
    }

    fn seen(text: &str) -> Vec<String> {
        let mut log = Log::default();
        visit_members(text, &mut log);
        log.seen
    }

    #[test]
    fn every_value_is_visited_with_its_names() {
        assert_eq!(
            seen(r#"{"a":[1,{"b":"]}\\","\u0063":{}},[],[[null]]],"d":{"e":-1.5},"a":true}"#),
            [
                "={}",
                "a=[]",
                "a=1",
                "a={}",
                r#"a.b="]}\\""#,
                "a.c={}",
                "a=[]",
                "a=[]",
                "a=[]",
                "a=null",
                "d={}",
                "d.e=-1.5",
                "a=true"
            ]
        );
        assert_eq!(seen("[]"), ["=[]"]);
        assert_eq!(seen("7"), ["=7"]);
        assert_eq!(seen("[[1],2]"), ["=[]", "=[]", "=1", "=2"]);
    }

    #[test]
    fn broken_texts_end() {
        for text in ["", "{", "[", "{\"a", "{\"a\"", "{\"a\":", "[1", "[1,", "{\"a\":1,", "\"", "\"\\", "}", "]]"] {
            seen(text);
        }
    }
}
