//! Content codings (RFC 9110, section 8.4): a body as sent becomes the body that was meant, never beyond a limit.

mod gzip;
mod zstd;

use alloc::borrow::Cow;

use thiserror::Error;

use super::RequestHead;
use super::fields::members;
use crate::room::{NoRoom, Room};

/// The value of `Accept-Encoding` that tells callers what they may send.
pub(super) const ACCEPTED: &str = "gzip, zstd";

/// A coding that we decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum DecodeError {
    /// There is more than the limit in it.
    #[error("longer than the limit after decompression")]
    TooLarge,
    /// There is not the memory to decode it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Not what the coding says it is.
    #[error("damaged {coding} body: {reason} at byte {at}")]
    Malformed {
        coding: &'static str,
        reason: &'static str,
        /// Offset in the body as sent: of the frame, member or field at fault.
        at: usize,
    },
}

impl Coding {
    /// The coding of a request's body; `None` for one that we do not know, or for several on top of each other.
    /// `identity` is no coding (RFC 9110, section 12.5.3), however often it is said, and neither is an empty element of
    /// the list (section 5.6.1).
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

    /// Decodes a body of at most `bytes_max` bytes. What is decoded is kept in the room.
    ///
    /// A compressed body must hold at least one member or frame: an empty one is a body that got lost, not an empty
    /// list.
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
    fn one_coding_at_most() {
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
