//! JSON texts (RFC 8259) as bytes: validated without building a tree, tokens never changed.
//!
//! Nothing here recurses, so that depth costs a bit a level and no stack. Lone surrogates (`"\ud800"`) are of the
//! grammar and pass; only where a text is needed in UTF-8 are they an error.
//!
//! Bodies are scanned by hand, because one pass gives what `serde_json` does not: the offset of a fault, every token
//! as it was sent, any depth, and whether there is white space to remove. `serde_json` finds where a payload ends, and then
//! that has to be scanned all the same. From a body of a thousand ordinary events to a batch, an event takes 0.7 µs;
//! through `serde_json` it takes 1.5 µs (bench `body` in `core/benches/json.rs`).

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
