//! Names of event types, each in memory once for all segments.

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
    /// How many segments have the type. The count lies here and not in a map, so that dropping a segment with many
    /// types needs no lookups. Only the engine changes it.
    holders: AtomicU32,
}

/// The set of shared names.
#[derive(Debug, Default)]
pub(crate) struct TypeNames(BTreeSet<TypeName>);

impl TypeName {
    /// A new name that is not shared.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Shared { bytes: bytes.into(), holders: AtomicU32::new(0) }))
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// An `intern` function for opening a segment that must have only these types. The names must ascend, and so must
    /// the names that it is called with.
    pub(crate) fn among(names: impl IntoIterator<Item = Self>) -> impl FnMut(&[u8]) -> Result<Self, Corrupt> {
        let mut names = names.into_iter();
        move |bytes| names.find(|name| name.as_bytes() == bytes).ok_or(Corrupt("it has a type that was not written"))
    }

    /// Counts one more segment that has the type; returns the count before.
    pub(crate) fn hold(&self) -> u32 {
        self.0.holders.fetch_add(1, Relaxed)
    }

    /// Counts one segment less; returns how many are left. `None` if the count is 0 already.
    pub(crate) fn release(&self) -> Option<u32> {
        let before = self.0.holders.fetch_update(Relaxed, Relaxed, |holders| holders.checked_sub(1)).ok()?;
        before.checked_sub(1)
    }
}

impl TypeNames {
    /// Number of names.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set has this name.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        self.0.contains(bytes)
    }

    /// The shared name, which is added if it is new.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> TypeName {
        if let Some(known) = self.0.get(bytes) {
            return known.clone();
        }
        let name = TypeName::new(bytes);
        self.0.insert(name.clone());
        name
    }

    /// Whether this name is the shared one, and not a separate one of the same bytes.
    pub(crate) fn shares(&self, name: &TypeName) -> bool {
        self.0.get(name).is_some_and(|known| Arc::ptr_eq(&known.0, &name.0))
    }

    /// Removes a name from the set. Existing clones stay valid.
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
        // Most comparisons are of a name with itself.
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.as_bytes().cmp(other.as_bytes()) }
    }
}

impl Borrow<[u8]> for TypeName {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}
