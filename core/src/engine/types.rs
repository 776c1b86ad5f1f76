//! Which event types the repository holds, and how many more it takes.

use alloc::boxed::Box;

use crate::segment::{Rows, Sealed, TypeName, TypeNames};

/// The event types of all parts of a repository, each once.
///
/// A type is here for as long as any part, fresh or sealed, has an event of it. The names are what memory has to be
/// bounded for: they are callers' text. Everything else that lies in memory for a type, in each segment that has it, is
/// of a fixed size.
#[derive(Debug, Default)]
pub(super) struct TypeRegistry {
    names: TypeNames,
    most: usize,
}

impl TypeRegistry {
    /// No types yet, and at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { names: TypeNames::default(), most }
    }

    /// How many different types there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How many more there may be.
    pub(super) fn room(&self) -> usize {
        self.most.saturating_sub(self.names.len())
    }

    /// Whether any event has this type.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    /// The name that all who have the type share.
    pub(super) fn intern(&mut self, name: &[u8]) -> TypeName {
        self.names.intern(name)
    }

    /// Counts the types of fresh rows in; the names are to be given to [`release`](Self::release) when the rows go.
    pub(super) fn hold_rows(&mut self, rows: &Rows) -> Box<[TypeName]> {
        let names: Box<[TypeName]> =
            (0..rows.type_count()).map(|code| self.names.intern(rows.type_name(code))).collect();
        names.iter().for_each(TypeName::hold);
        names
    }

    /// Counts the types of a sealed segment in, whose names were given by [`intern`](Self::intern).
    pub(super) fn hold_sealed(&self, sealed: &Sealed) {
        names(sealed).for_each(TypeName::hold);
    }

    /// Takes back what [`hold_rows`](Self::hold_rows) has counted. Types that no part has any more are forgotten.
    pub(super) fn release(&mut self, names: &[TypeName]) {
        names.iter().for_each(|name| self.release_one(name));
    }

    /// Takes back what [`hold_sealed`](Self::hold_sealed) has counted. Types that no part has any more are forgotten.
    pub(super) fn release_sealed(&mut self, sealed: &Sealed) {
        names(sealed).for_each(|name| self.release_one(name));
    }

    fn release_one(&mut self, name: &TypeName) {
        if name.release() {
            self.names.remove(name);
        }
    }
}

fn names(sealed: &Sealed) -> impl Iterator<Item = &TypeName> {
    sealed.index().types().iter().map(|summary| &summary.name)
}
