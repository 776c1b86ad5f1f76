//! The keys that the operator allows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::file;
use super::{Key, KeyFileError, KeyHash, KeyName};
use crate::event::Timestamp;

/// The keys of a file.
#[derive(Clone, Debug)]
pub struct Keys {
    /// In the order of the file.
    keys: Vec<Key>,
    /// The start of each hash and the index of its key, in ascending order.
    by_hash: Vec<(u64, usize)>,
    /// The index of each key.
    by_name: BTreeMap<KeyName, usize>,
}

impl Keys {
    /// Parses the text of a file of keys. `docs/limits-and-keys.md` describes its format.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`] with the line, the key and the field; no text of it is a key.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let keys = file::parse(text)?;
        let mut by_hash: Vec<_> = keys.iter().enumerate().map(|(index, key)| (key.hash.start(), index)).collect();
        by_hash.sort_unstable();
        let by_name = keys.iter().enumerate().map(|(index, key)| (key.name.clone(), index)).collect();
        Ok(Self { keys, by_hash, by_name })
    }

    /// The keys in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Key] {
        &self.keys
    }

    /// The index of the key whose text a caller sends. An expired key is as unknown as any other text.
    ///
    /// The time that this takes depends on hashes, not on keys. Keys are looked up by the first 64 bits of their hash,
    /// and confirmed by a comparison in constant time. Whoever measures how far two hashes agree learns bits of a hash,
    /// and would still have to invert SHA-256 to get a key of 256 bits.
    #[must_use]
    pub fn find(&self, sent: &str, now: Timestamp) -> Option<usize> {
        let hash = KeyHash::of(sent);
        self.with_hash(&hash).find(|(_, key)| !key.is_expired(now)).map(|(index, _)| index)
    }

    /// Whether a key that was found earlier, perhaps in another file, is still valid and unchanged. Answers that last,
    /// such as streams, ask this from time to time.
    #[must_use]
    pub fn still_has(&self, key: &Key, now: Timestamp) -> bool {
        self.with_hash(&key.hash).any(|(_, other)| other == key && !other.is_expired(now))
    }

    /// The keys with this hash, and their indexes.
    fn with_hash<'a>(&'a self, hash: &'a KeyHash) -> impl Iterator<Item = (usize, &'a Key)> {
        let from = self.by_hash.partition_point(|(start, _)| *start < hash.start());
        let same_start = self.by_hash.iter().skip(from).take_while(|(start, _)| *start == hash.start());
        same_start.filter_map(|(_, index)| Some((*index, self.keys.get(*index)?))).filter(|(_, key)| key.hash == *hash)
    }

    /// The index of the key with this name.
    #[must_use]
    pub fn position(&self, name: &KeyName) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::format;
    use std::string::String;

    use super::*;

    /// A file with these keys, each its own name.
    fn keys(names: &[&str]) -> Keys {
        let entry = |name: &&str| {
            let expires = if *name == "old" { "expires = 2020-01-01T00:00:00Z\n" } else { "" };
            format!("[[key]]\nname = '{name}'\nsha256 = '{}'\nscopes = ['read']\n{expires}", KeyHash::of(name))
        };
        Keys::parse(&names.iter().map(entry).collect::<String>()).unwrap()
    }

    #[test]
    fn keys_are_found_by_their_text() {
        let names: Vec<String> = (0..100).map(|number| format!("key-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let keys = keys(&names);
        let now = Timestamp::from_nanos(0);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(keys.find(name, now), Some(index));
            assert_eq!(keys.position(&keys.as_slice()[index].name), Some(index));
        }
        for unknown in ["", "key-", "key-100", "KEY-1", "key-1 "] {
            assert_eq!(keys.find(unknown, now), None, "{unknown}");
        }
    }

    #[test]
    fn an_expired_key_is_unknown() {
        let keys = keys(&["old"]);
        let expires = Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
        assert_eq!(keys.find("old", Timestamp::from_nanos(expires.as_nanos() - 1)), Some(0));
        assert_eq!(keys.find("old", expires), None);
        let key = &keys.as_slice()[0];
        assert!(keys.still_has(key, Timestamp::from_nanos(0)));
        assert!(!keys.still_has(key, expires));
        let changed = format!("[[key]]\nname = 'old'\nsha256 = '{}'\nscopes = ['write']", key.hash);
        assert!(!Keys::parse(&changed).unwrap().still_has(key, Timestamp::from_nanos(0)), "its scopes have changed");
    }
}
