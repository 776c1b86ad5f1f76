//! What is wrong with a file of keys.

use alloc::string::String;
use core::fmt;

use thiserror::Error;

use super::{KeyNameError, PatternError, Scope};
use crate::limit::RateError;

/// The first error of a file of keys, and where it is. It quotes no value of the file, since a value may be a key that
/// was put into the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct KeyFileError {
    /// The line, from 1.
    pub line: usize,
    /// The name of the entry, if it has a valid one.
    pub name: Option<String>,
    /// The field of the entry.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub fault: KeyFileFault,
}

/// What is wrong with a file of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyFileFault {
    /// It is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A key itself stands there.
    #[error("a key itself does not belong into this file; it takes the SHA-256, as `key new` prints it")]
    Secret,
    /// Something other than keys at the top.
    #[error("the file consists of [[key]] entries; there is no such setting at its top")]
    TopLevel,
    /// No key at all, so that nobody could do anything.
    #[error("there is no [[key]] entry; `key new` prints one")]
    Empty,
    /// A field that keys do not have.
    #[error("unknown field; a key has name, sha256, scopes, types, expires, rate, burst, rate_bytes, burst_bytes")]
    UnknownField,
    /// A required field is missing.
    #[error("this field is required")]
    Missing,
    /// A value of the wrong type.
    #[error("expected {0}")]
    Type(&'static str),
    /// An invalid name.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// A name that an earlier entry has.
    #[error("the key in line {0} has the same name; give each a name of its own")]
    SameName(usize),
    /// An invalid hash.
    #[error("expected 64 hexadecimal digits, the SHA-256 of the key; `printf %s KEY | sha256sum` prints them")]
    Hash,
    /// A hash that an earlier entry has.
    #[error("the key in line {0} has the same sha256; merge the two entries")]
    SameHash(usize),
    /// An unknown scope.
    #[error("unknown scope; the scopes are {}", Listed)]
    Scope,
    /// The same scope or type twice.
    #[error("this is given twice; remove one")]
    Repeated,
    /// An empty list.
    #[error("the list is empty; {0}")]
    NoItems(&'static str),
    /// An invalid pattern of event types.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// An invalid time.
    #[error("expected a date and a time with an offset (RFC 3339), as in 2027-01-31T00:00:00Z")]
    Time,
    /// An invalid rate or burst.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// A burst without its rate.
    #[error("a burst without {0} limits nothing; add {0} or remove this")]
    BurstAlone(&'static str),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, name, field, fault } = self;
        write!(f, "line {line}")?;
        if let Some(name) = name {
            write!(f, ", key '{name}'")?;
        }
        if let Some(field) = field {
            write!(f, ", {field}")?;
        }
        write!(f, ": {fault}")
    }
}

/// All scopes, separated by commas.
struct Listed;

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in Scope::ALL.into_iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{}", scope.as_str())?;
        }
        Ok(())
    }
}
