//! JSON pointers (RFC 6901).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::json::{RawString, Scanner, Span};

/// What a fragment does not have as it is (RFC 3986, section 3.5), and the slash, which parts tokens.
const ENCODED_IN_FRAGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'?');

/// A JSON pointer (RFC 6901), unescaped into its reference tokens. Empty for the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<[Box<str>]>);

/// Why a text is no [`Pointer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PointerError {
    /// Not empty and not beginning with a slash.
    #[error("a JSON pointer begins with '/'")]
    NoSlash,
    /// A tilde that is not `~0` or `~1`.
    #[error("'~' stands for nothing but in ~0 and ~1")]
    Tilde,
}

/// What a pointer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Missing,
    Found(&'a str),
    /// Two members have the name, and nothing says which is meant.
    Ambiguous,
}

impl Pointer {
    /// Reads a pointer in its plain form (not the one for URI fragments).
    ///
    /// # Errors
    ///
    /// [`PointerError`].
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Box::default()));
        }
        let tokens = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        tokens.split('/').map(unescape).collect::<Result<Box<[_]>, _>>().map(Self)
    }

    /// What lies there in an object whose members are given: valid JSON each.
    pub(super) fn find<'a>(&self, members: &[(RawString<'a>, Span<'a>)]) -> Target<'a> {
        let Some((first, rest)) = self.0.split_first() else { return Target::Missing };
        let mut target = pick(members.iter().filter(|(name, _)| name.equals(first)).map(|(_, value)| value.raw));
        for token in rest {
            let Target::Found(raw) = target else { return target };
            target = step(raw, token);
        }
        target
    }

    /// Appends the form for URI fragments, without the `#`.
    pub(super) fn write_fragment(&self, out: &mut String) {
        for token in &self.0 {
            write_token(token, out);
        }
    }
}

impl fmt::Display for Pointer {
    /// The text that [`Pointer::parse`] reads as this pointer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", escape(token))?;
        }
        Ok(())
    }
}

/// Appends a slash and a reference token, escaped as in RFC 6901 and then percent-encoded as in a fragment of RFC 3986.
pub(super) fn write_token(token: &str, out: &mut String) {
    out.push('/');
    out.extend(utf8_percent_encode(&escape(token), ENCODED_IN_FRAGMENT));
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

fn unescape(token: &str) -> Result<Box<str>, PointerError> {
    let mut text = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                Some(_) | None => return Err(PointerError::Tilde),
            },
            other => other,
        });
    }
    Ok(text.into())
}

/// The value that a token leads to within a valid value.
fn step<'a>(raw: &'a str, token: &str) -> Target<'a> {
    let mut scanner = Scanner::new(raw);
    let mut found = Vec::new();
    let scanned = match scanner.peek() {
        Some(b'{') => scanner.object(|name, scanner| {
            let value = scanner.value()?;
            if name.equals(token) {
                found.push(value.raw);
            }
            Ok(())
        }),
        Some(b'[') => {
            let mut index = 0_usize;
            let wanted = array_index(token);
            scanner.array(|scanner| {
                let value = scanner.value()?;
                if wanted == Some(index) {
                    found.push(value.raw);
                }
                index += 1;
                Ok(())
            })
        }
        _ => Ok(()),
    };
    match scanned {
        Ok(()) => pick(found.into_iter()),
        Err(_) => Target::Missing,
    }
}

/// RFC 6901, section 4: digits without leading zeros.
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    if plain { token.parse().ok() } else { None }
}

fn pick<'a>(mut found: impl Iterator<Item = &'a str>) -> Target<'a> {
    match (found.next(), found.next()) {
        (None, _) => Target::Missing,
        (Some(raw), None) => Target::Found(raw),
        (Some(_), Some(_)) => Target::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    fn find<'a>(pointer: &str, record: &'a str) -> Target<'a> {
        let mut members = Vec::new();
        Scanner::new(record)
            .object(|name, scanner| {
                members.push((name, scanner.value()?));
                Ok(())
            })
            .unwrap();
        Pointer::parse(pointer).unwrap().find(&members)
    }

    #[test]
    fn pointers_survive_their_text() {
        for text in ["", "/", "/a/b", "/a~1b/m~0n", "/ü//0"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(*Pointer::parse("/a~1b/~01").unwrap().0, ["a/b".into(), "~1".into()]);
        assert_eq!(Pointer::parse("a"), Err(PointerError::NoSlash));
        assert_eq!(Pointer::parse("#/a"), Err(PointerError::NoSlash));
        for text in ["/~", "/~2", "/a~/b"] {
            assert_eq!(Pointer::parse(text), Err(PointerError::Tilde), "{text}");
        }
    }

    #[test]
    fn fragments_are_percent_encoded() {
        let mut out = String::new();
        write_token("a/b~c d%\"ü#?", &mut out);
        assert_eq!(out, "/a~1b~0c%20d%25%22%C3%BC%23?");
        out.clear();
        Pointer::parse("/a b/c~1d").unwrap().write_fragment(&mut out);
        assert_eq!(out, "/a%20b/c~1d");
    }

    #[test]
    fn objects_and_arrays_are_descended() {
        let record = r#"{"a": {"b": [10, {"c/d": "x"}], "\u0065": 1}, "": 5, "0": {"1": 2}, "t": 1, "t": 2, "u": {"v": 1, "v": 2}}"#;
        for (pointer, target) in [
            ("/a/b/0", Target::Found("10")),
            ("/a/b/1/c~1d", Target::Found("\"x\"")),
            ("/a/e", Target::Found("1")),
            ("/", Target::Found("5")),
            ("/0/1", Target::Found("2")),
            ("/t", Target::Ambiguous),
            ("/u/v", Target::Ambiguous),
            ("", Target::Missing),
            ("/x", Target::Missing),
            ("/a/b/2", Target::Missing),
            ("/a/b/00", Target::Missing),
            ("/a/b/+0", Target::Missing),
            ("/a/b/-", Target::Missing),
            ("/a/b/99999999999999999999999", Target::Missing),
            ("/a/b/0/x", Target::Missing),
        ] {
            assert_eq!(find(pointer, record), target, "{pointer}");
        }
    }
}
