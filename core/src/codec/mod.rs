//! Encodings of the columns in a block: as small as possible while any row can be decoded without the others.
//!
//! The values of a column decide which encoding it gets (Kuschewski et al., "`BtrBlocks`", SIGMOD 2023). Callers check
//! a checksum before they decode. Even so, no bytes make a decoder panic or read out of bounds.
//!
//! The table shows what each encoding saves: the bytes per event on the medium, including indexes and ids, if it is
//! left out. Measured on two real streams: 127,000 events of GitHub with ids (14 types, payloads of about 130 bytes)
//! and 39,000 edits of Wikipedia without ids (51 types, payloads of about 430 bytes), in segments of 16,384 events and
//! blocks of 64 KiB.
//!
//! | without | GitHub | Wikipedia |
//! |---|---|---|
//! | nothing: all encodings | 43.40 | 67.91 |
//! | [`Dictionary`](dictionary::Dictionary) | +0.66 | +7.84 |
//! | [`Integers`](integers::Integers) | +0.06 | +0.18 |
//! | [`Template`](template::Template) | +2.15 | +6.21 |
//! | these three: all texts are [`Strings`](strings::Strings) | +9.08 | +13.08 |
//! | quotation marks left out of [`Texts`] | +1.75 | +1.99 |
//! | shapes: [`Payloads`] as whole texts | +11.68 | +20.57 |
//! | LZ4 of the [heap] | +7.95 | +25.16 |
//! | the unit of [`Packed`] | +3.74 | +2.52 |
//! | the smallest value of [`Packed`], and with it most of the unit | +11.82 | +10.48 |

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
pub(crate) use texts::{Texts, TextsEncoder, encode_texts};
pub(crate) use values::ValueSummary;
