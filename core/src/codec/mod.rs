//! How columns lie in the blocks of a sealed segment: as few bytes as can be had without giving up access to a single
//! row.
//!
//! Encoding is chosen column by column from what the values look like (Kuschewski et al., "`BtrBlocks`", SIGMOD 2023).
//! Whoever decodes has checked the bytes against a checksum before; even so no bytes make a decoder panic or read
//! outside.

mod cursor;
mod dictionary;
mod heap;
mod integers;
mod packed;
mod payload_encoder;
mod payloads;
mod shape;
mod span;
mod strings;
mod template;
mod texts;

pub(crate) use cursor::{Corrupt, Cursor, put_varint};
pub(crate) use packed::{Packed, pack, pack_all};
pub(crate) use payload_encoder::PayloadEncoder;
pub(crate) use payloads::Payloads;
pub(crate) use texts::{Texts, TextsEncoder, encode_texts};
