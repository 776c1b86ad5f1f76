//! JSON pointers (RFC 6901).

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use crate::json::{RawString, Scanner, Span, SyntaxError};

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

/// Most reference tokens of a pointer. Following one takes stack for each token.
const TOKENS_MAX: usize = 64;

/// A JSON pointer (RFC 6901) as its unescaped reference tokens: at most 64. Without tokens, it is the whole document.
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
    /// More tokens than are followed.
    #[error("a JSON pointer has at most {TOKENS_MAX} tokens")]
    TooLong,
}

/// The result of following a pointer in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution<'a> {
    Missing,
    Found(Span<'a>),
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
        if tokens.split('/').count() > TOKENS_MAX {
            return Err(PointerError::TooLong);
        }
        tokens.split('/').map(unescape).collect::<Result<Box<[_]>, _>>().map(Self)
    }

    /// Whether the pointer has no tokens.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The unescaped reference tokens.
    pub(super) fn tokens(&self) -> &[Box<str>] {
        &self.0
    }

    /// Follows the pointer into a member of a record. `slot` has the result of the earlier members, if any of them had
    /// the name that the pointer begins with. `value` is valid JSON.
    pub(super) fn follow<'a>(&self, name: RawString<'a>, value: Span<'a>, slot: &mut Option<Resolution<'a>>) {
        if let Some((first, rest)) = self.0.split_first()
            && name.equals(first)
        {
            *slot = Some(match slot {
                None => find(value, rest),
                Some(_) => Resolution::Ambiguous,
            });
        }
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

/// Follows tokens in a valid JSON value.
fn find<'a>(value: Span<'a>, tokens: &[Box<str>]) -> Resolution<'a> {
    match tokens {
        [] => Resolution::Found(value),
        tokens => descend(&mut Scanner::new(value.raw), tokens).unwrap_or(Resolution::Missing),
    }
}

/// Reads the next value, and follows tokens in it: one pass, and one level of the stack for each token.
fn descend<'a>(scanner: &mut Scanner<'a>, tokens: &[Box<str>]) -> Result<Resolution<'a>, SyntaxError> {
    let Some((token, rest)) = tokens.split_first() else { return scanner.value().map(Resolution::Found) };
    let mut found = None;
    match scanner.peek() {
        Some(b'{') => scanner.object(|name, scanner| {
            if !name.equals(token) {
                return scanner.value().map(drop);
            }
            let value = descend(scanner, rest)?;
            found = Some(if found.is_none() { value } else { Resolution::Ambiguous });
            Ok(())
        })?,
        Some(b'[') => {
            let wanted = array_index(token);
            let mut index = 0_usize;
            scanner.array(|scanner| {
                if wanted == Some(index) {
                    found = Some(descend(scanner, rest)?);
                } else {
                    scanner.value()?;
                }
                index += 1;
                Ok(())
            })?;
        }
        _ => {
            scanner.value()?;
        }
    }
    Ok(found.unwrap_or(Resolution::Missing))
}

/// An array index: digits without leading zeros (RFC 6901, section 4).
pub(super) fn array_index(token: &str) -> Option<usize> {
    let plain = token == "0" || !token.starts_with(['0', '+']);
    if plain { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    /// The text that a pointer locates in a record, `Err` if there are two.
    fn resolve<'a>(pointer: &str, record: &'a str) -> Result<Option<&'a str>, ()> {
        let pointer = Pointer::parse(pointer).unwrap();
        let mut slot = None;
        Scanner::new(record)
            .object(|name, scanner| {
                pointer.follow(name, scanner.value()?, &mut slot);
                Ok(())
            })
            .unwrap();
        match slot {
            None | Some(Resolution::Missing) => Ok(None),
            Some(Resolution::Found(span)) => Ok(Some(span.raw)),
            Some(Resolution::Ambiguous) => Err(()),
        }
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
            "t": 1, "t": 2, "u": {"v": 1, "v": 2}, "w": {}, "w": {"x": 1}}"#;
        for (pointer, target) in [
            ("/a/b/0", Ok(Some("10"))),
            ("/a/b/1/c~1d", Ok(Some("\"x\""))),
            ("/a/e", Ok(Some("1"))),
            ("/", Ok(Some("5"))),
            ("/0/1", Ok(Some("2"))),
            ("/t", Err(())),
            ("/u/v", Err(())),
            ("/w/x", Err(())),
            ("", Ok(None)),
            ("/x", Ok(None)),
            ("/a/b/2", Ok(None)),
            ("/a/b/00", Ok(None)),
            ("/a/b/+0", Ok(None)),
            ("/a/b/-", Ok(None)),
            ("/a/b/99999999999999999999999", Ok(None)),
            ("/a/b/0/x", Ok(None)),
        ] {
            assert_eq!(resolve(pointer, record), target, "{pointer}");
        }
    }

    #[test]
    fn the_number_of_tokens_is_limited() {
        let pointer = |tokens: usize| Pointer::parse(&"/a".repeat(tokens)).map(drop);
        assert_eq!((pointer(TOKENS_MAX), pointer(TOKENS_MAX + 1)), (Ok(()), Err(PointerError::TooLong)));
        let record = "{\"a\":".repeat(TOKENS_MAX) + "1" + &"}".repeat(TOKENS_MAX);
        assert_eq!(resolve(&"/a".repeat(TOKENS_MAX), &record), Ok(Some("1")));
    }
}
