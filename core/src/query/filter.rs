//! Conditions on a payload.

use alloc::boxed::Box;
use alloc::vec::Vec;

use thiserror::Error;

use crate::event::Payload;

/// One condition: a test on whatever lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadFilter {
    /// Where to look.
    pub path: PayloadPath,
    /// What must hold there.
    pub test: Test,
}

/// Member names from the payload's root downward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadPath(Vec<Box<str>>);

/// Why a text is no [`PayloadPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A name between two dots, before the first or after the last is empty.
    #[error("a name in the path is empty")]
    EmptyName,
}

/// What must hold of at least one value at the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Equal to the operand.
    Eq(Operand),
    /// The exact opposite of [`Test::Eq`]: also true where there is nothing at the path.
    Ne(Operand),
    /// Greater.
    Gt(Operand),
    /// Greater or equal.
    Gte(Operand),
    /// Less.
    Lt(Operand),
    /// Less or equal.
    Lte(Operand),
    /// Whether there is any value at the path (`null` is one).
    Exists(bool),
    /// A string that begins so.
    Prefix(Box<str>),
    /// A string that contains this.
    Contains(Box<str>),
}

/// The text that a value is compared with, as the caller wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand(Box<str>);

impl PayloadFilter {
    /// Whether the payload fulfils the condition.
    #[must_use]
    pub fn matches(&self, payload: Payload<'_>) -> bool {
        let _ = payload;
        todo!()
    }
}
