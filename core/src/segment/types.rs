//! The types of a fresh segment that is being built.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// The types of pushed rows, each with a provisional code: its index in the order of first use.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// The type with code 0. Most batches are a single event and need no tree.
    first: Option<Box<[u8]>>,
    others: BTreeMap<Box<[u8]>, u32>,
    name_bytes: usize,
}

impl Types {
    /// Number of types.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Total bytes of all names.
    pub(super) fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// Whether any row so far has this type.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.first.as_deref() == Some(name) || self.others.contains_key(name)
    }

    /// The code of a type, which is added if it is new.
    pub(super) fn intern(&mut self, name: &[u8]) -> u32 {
        match &self.first {
            Some(first) if **first == *name => return 0,
            Some(_) => {}
            None => {
                self.first = Some(name.into());
                self.name_bytes = name.len();
                return 0;
            }
        }
        if let Some(&code) = self.others.get(name) {
            return code;
        }
        let code = self.len() as u32;
        self.others.insert(name.into(), code);
        self.name_bytes += name.len();
        code
    }

    /// Names and provisional codes in the order of names.
    pub(super) fn by_name(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let mut first = self.first.as_deref();
        let mut others = self.others.iter().map(|(name, &code)| (&**name, code)).peekable();
        core::iter::from_fn(move || {
            let others_precede = others.peek().is_some_and(|&(name, _)| first.is_none_or(|first| name < first));
            if others_precede { others.next() } else { first.take().map(|name| (name, 0)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn codes_follow_first_use_and_iteration_follows_names() {
        let names: [&[u8]; 4] = [b"b", b"", b"c", b"a"];
        for rotation in 0..names.len() {
            let mut types = Types::default();
            assert_eq!((types.len(), types.by_name().count()), (0, 0));
            let mut used = names;
            used.rotate_left(rotation);
            let codes: Vec<_> = used.iter().chain(&used).map(|name| types.intern(name)).collect();
            assert_eq!(codes, [0, 1, 2, 3, 0, 1, 2, 3]);
            assert_eq!((types.len(), types.name_bytes()), (names.len(), 3));
            let mut expected: Vec<_> = used.into_iter().zip(0..).collect();
            expected.sort_unstable();
            assert_eq!(types.by_name().collect::<Vec<_>>(), expected);
        }
    }
}
