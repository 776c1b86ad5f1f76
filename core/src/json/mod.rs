//! JSON texts (RFC 8259) as bytes: validated without building a tree, tokens never changed.
//!
//! Nothing here recurses, so that depth costs a bit a level and no stack. Lone surrogates (`"\ud800"`) are of the
//! grammar and pass; only where a text is needed in UTF-8 are they an error.

mod bits;
mod compact;
mod number;
mod scan;
mod string;
mod walk;

pub use compact::compact;
pub use number::Decimal;
pub(crate) use scan::ordinary_len;
pub use scan::{Scanner, Span, SyntaxError};
pub use string::{LoneSurrogate, RawString, write_string, write_u64};
pub use walk::{Paths, Value};
