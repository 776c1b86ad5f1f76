//! JSON pointers (RFC 6901).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::json::{RawString, Scanner, Span};

/// The characters to percent-encode in a token: those that a fragment may not contain (RFC 3986, section 3.5), and the
/// slash, which separates tokens.
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

/// A JSON pointer (RFC 6901) as its unescaped reference tokens. Without tokens, it is the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<[Box<str>]>);

/// Why a text is not a valid [`Pointer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PointerError {
    /// Neither empty nor starting with a slash.
    #[error("a JSON pointer must start with '/'")]
    NoSlash,
    /// A tilde that is not `~0` or `~1`.
    #[error("'~' must be followed by 0 or 1")]
    Tilde,
}

/// The result of following a pointer in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution<'a> {
    Missing,
    Found(&'a str),
    /// Two members have the same name.
    Ambiguous,
}

impl Pointer {
    /// Parses a pointer in its string form, not the form for URI fragments.
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

    /// Follows the pointer in an object with these members, whose values are valid JSON.
    pub(super) fn resolve<'a>(&self, members: &[(RawString<'a>, Span<'a>)]) -> Resolution<'a> {
        let Some((first, rest)) = self.0.split_first() else { return Resolution::Missing };
        let mut resolution = pick(members.iter().filter(|(name, _)| name.equals(first)).map(|(_, value)| value.raw));
        for token in rest {
            let Resolution::Found(raw) = resolution else { return resolution };
            resolution = step(raw, token);
        }
        resolution
    }

    /// Appends the pointer in the form for URI fragments, without the `#`.
    pub(super) fn write_fragment(&self, out: &mut String) {
        for token in &self.0 {
            write_token(token, out);
        }
    }
}

impl fmt::Display for Pointer {
    /// The text that [`Pointer::parse`] parses to this pointer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", escape(token))?;
        }
        Ok(())
    }
}

/// Appends a slash and a reference token, escaped by RFC 6901 and then percent-encoded for a URI fragment.
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

/// Follows one reference token of a pointer in a valid JSON value.
fn step<'a>(raw: &'a str, token: &str) -> Resolution<'a> {
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
        Err(_) => Resolution::Missing,
    }
}

/// An array index: digits without leading zeros (RFC 6901, section 4).
fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    if plain { token.parse().ok() } else { None }
}

/// The only one of the values with a name.
fn pick<'a>(mut found: impl Iterator<Item = &'a str>) -> Resolution<'a> {
    match (found.next(), found.next()) {
        (None, _) => Resolution::Missing,
        (Some(raw), None) => Resolution::Found(raw),
        (Some(_), Some(_)) => Resolution::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    fn resolve<'a>(pointer: &str, record: &'a str) -> Resolution<'a> {
        let mut members = Vec::new();
        Scanner::new(record)
            .object(|name, scanner| {
                members.push((name, scanner.value()?));
                Ok(())
            })
            .unwrap();
        Pointer::parse(pointer).unwrap().resolve(&members)
    }

    #[test]
    fn pointers_round_trip_through_text() {
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
    fn pointers_are_followed_into_objects_and_arrays() {
        let record = r#"{"a": {"b": [10, {"c/d": "x"}], "\u0065": 1}, "": 5, "0": {"1": 2},
            "t": 1, "t": 2, "u": {"v": 1, "v": 2}}"#;
        for (pointer, target) in [
            ("/a/b/0", Resolution::Found("10")),
            ("/a/b/1/c~1d", Resolution::Found("\"x\"")),
            ("/a/e", Resolution::Found("1")),
            ("/", Resolution::Found("5")),
            ("/0/1", Resolution::Found("2")),
            ("/t", Resolution::Ambiguous),
            ("/u/v", Resolution::Ambiguous),
            ("", Resolution::Missing),
            ("/x", Resolution::Missing),
            ("/a/b/2", Resolution::Missing),
            ("/a/b/00", Resolution::Missing),
            ("/a/b/+0", Resolution::Missing),
            ("/a/b/-", Resolution::Missing),
            ("/a/b/99999999999999999999999", Resolution::Missing),
            ("/a/b/0/x", Resolution::Missing),
        ] {
            assert_eq!(resolve(pointer, record), target, "{pointer}");
        }
    }
}
