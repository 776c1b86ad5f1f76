//! Encodings of the columns in a block: as small as possible while any text can be decoded without the others.
//!
//! The values of a column decide which encoding it gets (Kuschewski et al., "`BtrBlocks`", SIGMOD 2023). Callers check
//! a checksum before they decode. Even so, no bytes make a decoder panic or read out of bounds.
//!
//! The table shows the bytes per event on the medium, including indexes and ids. Measured on two real streams: 127,000
//! events of GitHub with ids (14 types, payloads of about 130 bytes) and 39,000 edits of Wikipedia without ids (51
//! types, payloads of about 430 bytes); and on 500,000 generated events of a shop (216 bytes as JSON), whose random
//! parts take about 16 bytes each.
//!
//! | | GitHub | Wikipedia | generated |
//! |---|---|---|---|
//! | version 2: blocks of some hundred events | 43.7 | 67.0 | 29.3 |
//! | version 3: pages of up to 4,096 events | 37.1 | 65.3 | 20.8 |
//! | version 3 with the index of values | 41.9 | 66.9 | – |
//!
//! 5,000,000 events of the bench about questions (222 bytes as JSON) take 21.6 bytes each with it.
//!
//! What single encodings save is given with each of them. It was measured in version 2 on the real streams.

mod affixed;
mod cursor;
mod decimals;
mod dictionary;
mod documents;
mod documents_encoder;
mod heap;
mod integers;
mod layout;
mod packed;
mod pages;
#[cfg(test)]
mod payload_encoder;
mod payloads;
mod series;
mod shape;
mod skeleton;
mod span;
mod strings;
mod template;
mod texts;
mod values;

pub(crate) use cursor::{Corrupt, Cursor, put_varint};
pub(crate) use documents::{Documents, Places};
pub(crate) use documents_encoder::DocumentsEncoder;
pub(crate) use layout::{Layout, Path};
pub(crate) use packed::{Packed, pack, pack_all};
pub(crate) use pages::Pages;
#[cfg(test)]
pub(crate) use payload_encoder::PayloadEncoder;
pub(crate) use payloads::Payloads;
pub(crate) use series::{decode_series, encode_series};
pub(crate) use skeleton::ShapeValues;
pub(crate) use texts::{Texts, TextsEncoder, encode_texts};
pub(crate) use values::ValueSummary;
