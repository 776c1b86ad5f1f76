//! Names of event types, each in memory once however many segments have events of the type.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::codec::Corrupt;

/// The name of an event type. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct TypeName(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: Box<[u8]>,
    /// How many parts of the repository have the type. The count lies here and not in a map, so that letting go of a
    /// segment with many types needs no look-ups. Only the engine changes it.
    holders: AtomicU32,
}

/// Names by their bytes, so that equal ones are shared.
#[derive(Debug, Default)]
pub(crate) struct TypeNames(BTreeSet<TypeName>);

impl TypeName {
    /// A name that nobody shares yet.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Shared { bytes: bytes.into(), holders: AtomicU32::new(0) }))
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Gives the names of a segment that has these types and no others. Both ascend.
    pub(crate) fn among(names: impl IntoIterator<Item = Self>) -> impl FnMut(&[u8]) -> Result<Self, Corrupt> {
        let mut names = names.into_iter();
        move |bytes| names.find(|name| name.as_bytes() == bytes).ok_or(Corrupt("it has a type that was not put there"))
    }

    /// Counts one more part that has the type.
    pub(crate) fn hold(&self) {
        self.0.holders.fetch_add(1, Relaxed);
    }

    /// Counts one part less; `true` if it was the last.
    pub(crate) fn release(&self) -> bool {
        let before = self.0.holders.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a type is released as often as it is held");
        before == 1
    }
}

impl TypeNames {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this one is among them.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        self.0.contains(bytes)
    }

    /// The name of these bytes, which is new or known.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> TypeName {
        if let Some(known) = self.0.get(bytes) {
            return known.clone();
        }
        let name = TypeName::new(bytes);
        self.0.insert(name.clone());
        name
    }

    /// Forgets a name. Whoever has it keeps it.
    pub(crate) fn remove(&mut self, name: &TypeName) {
        self.0.remove(name);
    }
}

impl PartialEq for TypeName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for TypeName {}

impl PartialOrd for TypeName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TypeName {
    fn cmp(&self, other: &Self) -> Ordering {
        // Most comparisons are of a name with itself, and then the bytes need not be looked at.
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.as_bytes().cmp(other.as_bytes()) }
    }
}

impl Borrow<[u8]> for TypeName {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
