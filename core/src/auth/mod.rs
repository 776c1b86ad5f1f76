//! API keys: who may do what.
//!
//! [`Keys`] is the set of keys that an operator allows, parsed from the text of a file. It has the SHA-256 of each key
//! and never the key itself. [`Keys::find`] tells whose key a request brings, and [`Access`] what its caller may see
//! and write. [`NewKey`] makes a key and its entry for the file.

mod access;
mod file;
mod file_error;
mod key;
mod keys;
mod likeness;
mod new_key;
mod pattern;
mod scope;
mod secret;

pub use access::Access;
pub use file_error::{KeyFileError, KeyFileFault};
pub use key::{Key, KeyHash, KeyName, KeyNameError};
pub use keys::Keys;
pub use new_key::NewKey;
pub use pattern::{PatternError, parse_pattern};
pub use scope::{Scope, Scopes};
pub use secret::Secret;
