//! Decodes content codings of request bodies (RFC 9110, section 8.4), up to a size limit.

mod gzip;
mod zstd;

use alloc::borrow::Cow;

use thiserror::Error;

use super::RequestHead;
use super::fields::members;
use crate::room::{NoRoom, Room};

/// The supported content codings, as the value of `Accept-Encoding`.
pub(super) const ACCEPTED: &str = "gzip, zstd";

/// A supported content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    /// The decoded body would exceed the limit.
    #[error("longer than the limit after decompression")]
    TooLarge,
    /// There is not enough memory to decode it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The body is not valid in its coding.
    #[error("damaged {coding} body: {reason} at byte {at}")]
    Malformed {
        coding: &'static str,
        reason: &'static str,
        /// Offset of the invalid frame, member or field in the encoded body.
        at: usize,
    },
}

impl Coding {
    /// The coding of a request body; `None` if it is unknown or if there are several. `identity` is not a coding (RFC
    /// 9110, section 12.5.3), however often it is listed, and neither is an empty list element (section 5.6.1).
    pub(super) fn of(head: &RequestHead<'_>) -> Option<Self> {
        let mut coding = Self::Identity;
        for member in members(head, "content-encoding") {
            let next = match member.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "zstd" => Self::Zstd,
                _ => return None,
            };
            if coding != Self::Identity {
                return None;
            }
            coding = next;
        }
        Some(coding)
    }

    /// The name of the coding whose first bytes a body has: those of a gzip member (RFC 1952, section 2.3.1) or a zstd
    /// frame (RFC 8878, section 3.1.1).
    pub(super) fn detect(body: &[u8]) -> Option<&'static str> {
        if body.starts_with(b"\x1f\x8b") {
            Some("gzip")
        } else if body.starts_with(b"\x28\xb5\x2f\xfd") {
            Some("zstd")
        } else {
            None
        }
    }

    /// Decodes a body to at most `bytes_max` bytes, and counts the result against `room`.
    ///
    /// A compressed body must have at least one member or frame. An empty one was lost on the way: it does not mean an
    /// empty list.
    pub(super) fn decode<'a>(
        self,
        body: &'a [u8],
        bytes_max: usize,
        room: &mut Room<'_>,
    ) -> Result<Cow<'a, [u8]>, DecodeError> {
        let decoded = match self {
            Self::Identity if body.len() > bytes_max => return Err(DecodeError::TooLarge),
            Self::Identity => return Ok(Cow::Borrowed(body)),
            Self::Gzip => gzip::decode(body, bytes_max, room)?,
            Self::Zstd => zstd::decode(body, bytes_max, room)?,
        };
        room.keep(decoded.capacity());
        Ok(Cow::Owned(decoded))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn of(fields: &[&str]) -> Option<Coding> {
        let headers: Vec<_> = fields.iter().map(|value| ("content-encoding", value.as_bytes())).collect();
        Coding::of(&RequestHead { headers: &headers, ..RequestHead::default() })
    }

    #[test]
    fn at_most_one_coding_is_accepted() {
        assert_eq!(of(&[]), Some(Coding::Identity));
        assert_eq!(of(&["identity", ""]), Some(Coding::Identity));
        assert_eq!(of(&["GZip"]), Some(Coding::Gzip));
        assert_eq!(of(&["x-gzip, identity"]), Some(Coding::Gzip));
        assert_eq!(of(&["zstd"]), Some(Coding::Zstd));
        for none in [["", ""], [",", ""], ["identity, identity", ""], ["identity", "identity"]] {
            assert_eq!(of(&none), Some(Coding::Identity), "{none:?}");
        }
        for gzip in [["gzip,", ""], [", gzip", ","], ["identity", "gzip, identity"]] {
            assert_eq!(of(&gzip), Some(Coding::Gzip), "{gzip:?}");
        }
        for fields in [["br", ""], ["gzip, gzip", ""], ["gzip", "zstd"], ["deflate", ""], ["gzip;q=1", ""], ["*", ""]] {
            assert_eq!(of(&fields), None, "{fields:?}");
        }
    }

    #[test]
    fn plain_bodies_are_not_copied() {
        let room = &mut Room::unlimited();
        assert!(matches!(Coding::Identity.decode(b"abc", 3, room), Ok(Cow::Borrowed(b"abc"))));
        assert_eq!(Coding::Identity.decode(b"abc", 2, room), Err(DecodeError::TooLarge));
    }

    #[test]
    fn an_empty_compressed_body_is_damaged() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert!(
                matches!(coding.decode(b"", 100, &mut Room::unlimited()), Err(DecodeError::Malformed { at: 0, .. })),
                "{coding:?}"
            );
        }
    }
}
