//! Makes a key.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::pattern::write_pattern;
use super::secret::{RANDOM_BYTES, Secret};
use super::{KeyName, Scopes};
use crate::event::{Timestamp, TypeTest};

/// A key to make: what its entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The name.
    pub name: KeyName,
    /// What it is for. There must be at least one scope.
    pub scopes: Scopes,
    /// The event types that it may see and write; all if empty.
    pub types: Vec<TypeTest>,
    /// From when on it is not valid.
    pub expires: Option<Timestamp>,
}

impl NewKey {
    /// Makes the key of these random bits, which must be unpredictable. Returns it with its entry for the file of keys,
    /// which begins with an empty line and ends with a line end, so that entries can be appended to each other.
    #[must_use]
    pub fn make(&self, random: [u8; RANDOM_BYTES]) -> (Secret, String) {
        let secret = Secret::from_random(random);
        let mut entry = String::new();
        self.write_entry(&secret, &mut entry).expect("a String takes whatever is written to it");
        (secret, entry)
    }

    fn write_entry(&self, secret: &Secret, out: &mut String) -> core::fmt::Result {
        let Self { name, scopes, types, expires } = self;
        writeln!(out, "\n[[key]]\nname = \"{name}\"\nsha256 = \"{}\"", secret.hash())?;
        write_list(out, "scopes", scopes.iter().map(|scope| scope.as_str().to_string()))?;
        if !types.is_empty() {
            let texts = types.iter().map(|test| {
                let mut text = String::new();
                write_pattern(test, &mut text).expect("a String takes whatever is written to it");
                text
            });
            write_list(out, "types", texts)?;
        }
        if let Some(expires) = expires {
            writeln!(out, "expires = {expires}")?;
        }
        Ok(())
    }
}

/// A list of basic strings. Event types have no control characters, so only two characters need an escape.
fn write_list(out: &mut String, name: &str, texts: impl Iterator<Item = String>) -> core::fmt::Result {
    write!(out, "{name} = [")?;
    for (index, text) in texts.enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        write!(out, "{separator}\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))?;
    }
    writeln!(out, "]")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::auth::{Access, Keys, Scope, parse_pattern};

    #[test]
    fn the_entry_is_that_of_the_key() {
        let mut scopes = Scopes::default();
        let _ = (scopes.insert(Scope::Write), scopes.insert(Scope::Read));
        let types: Vec<_> =
            ["web.*", "a \"quoted\" \\ type", "größe"].iter().map(|text| parse_pattern(text).unwrap()).collect();
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let new = NewKey {
            name: KeyName::parse("web").unwrap(),
            scopes,
            types: types.clone(),
            expires: Some(Timestamp::parse("2027-01-01T00:00:00.5Z").unwrap()),
        };
        let (secret, entry) = new.make([7; 32]);
        let (other, plain) =
            NewKey { name: KeyName::parse("b").unwrap(), types: vec![], expires: None, ..new.clone() }.make([8; 32]);
        assert!(!entry.contains(secret.expose()));
        let keys = Keys::parse(&[entry, plain].concat()).unwrap();
        let (web, b) = (&keys.as_slice()[0], &keys.as_slice()[1]);
        assert_eq!(keys.find(secret.expose(), now), Some(0));
        assert_eq!(keys.find(other.expose(), now), Some(1));
        assert_eq!((web.scopes, web.expires), (new.scopes, new.expires));
        assert_eq!(web.access.types().unwrap()[..], types[..]);
        assert_eq!((&b.access, b.expires), (&Access::default(), None));
    }
}
