//! Writes the events of a repository to one file, for programs that analyse data: Parquet, Arrow, CSV, or lines of
//! JSON.
//!
//! [`open`] takes a snapshot of a repository on disk, while a server may use it. [`Export`] writes the events of any
//! snapshot.
//!
//! # Columns
//!
//! | column | type | content |
//! |---|---|---|
//! | `id` | text | the id |
//! | `seq` | 64-bit integer | the sequence number |
//! | `event_type` | text | the type |
//! | `timestamp` | nanoseconds, UTC | the time |
//! | `payload` | text | the payload as JSON, byte for byte |
//! | `payload.<path>` | see below | the values at this path, written as in queries |
//!
//! An export passes over the events twice: to find the paths and the kinds of values there, and to write. The kinds
//! decide the type of a column:
//!
//! | kinds | type |
//! |---|---|
//! | integers that fit into `i64` | 64-bit integer |
//! | numbers | 64-bit float |
//! | `true` and `false` | boolean |
//! | strings, or `null` alone | text |
//! | arrays, numbers that no float can have, empty objects, several kinds | JSON text |
//!
//! `null` and a missing member are both null. An object has no column: its members have. If there is another kind of
//! value at its path, the path has one column of JSON texts instead. Arrays are not opened. Of several members with one
//! name, the last one counts. A member whose name is no text (half of a surrogate pair) has no path, and is in
//! `payload` all the same. An object with no other members counts as empty.
//!
//! # Metadata
//!
//! Files in Parquet and Arrow say about themselves, in the metadata of their schema:
//!
//! | key | meaning |
//! |---|---|
//! | `argus.last_seq` | the last sequence number of the repository when it was read |
//! | `argus.omitted_paths` | how many paths have no column, because there are too many; `+` after it: and others |
//! | `argus.json` (of a column) | `true`: its values are JSON texts |
//! | `argus.mixed` (of a column) | the kinds of values, if that is why |
//! | `argus.rounded` (of a column) | `true`: some integers have more digits than a float |

#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "columnar"), expect(dead_code, reason = "files of lines say nothing about themselves"))]

#[cfg(feature = "columnar")]
mod columnar;
mod columns;
mod discovery;
mod error;
mod export;
mod format;
mod kinds;
mod lines;
mod output;
mod scan;
mod source;
mod table;
mod walk;

pub use columns::Omitted;
pub use error::ExportError;
pub use export::{Begun, COLUMNS_DEFAULT, Export, Progress, Written};
pub use format::{Format, FormatError};
pub use source::{SourceError, open};
