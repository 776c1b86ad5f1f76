//! Decodes values from the front of a buffer.

use alloc::vec::Vec;

use bytes::Bytes;
use thiserror::Error;

/// The bytes are invalid: no encoder writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid bytes: {0}")]
pub(crate) struct Corrupt(pub(crate) &'static str);

/// A buffer that is decoded from its front. Slices that are taken share it.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    rest: Bytes,
}

impl Cursor {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, Corrupt> {
        if len > self.rest.len() { Err(Corrupt("it ends too early")) } else { Ok(self.rest.split_to(len)) }
    }

    /// Copies the remaining bytes to a new buffer, so that they do not keep the whole buffer alive.
    pub(crate) fn detach(&mut self) {
        self.rest = Bytes::copy_from_slice(&self.rest);
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Corrupt> {
        self.take(1)?.first().copied().ok_or(Corrupt("it ends too early"))
    }

    /// The next integer in LEB128, as [`put_varint`] writes it.
    pub(crate) fn varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Corrupt("an integer has more than 64 bits"))
    }

    /// The next integer in LEB128 as a length or count of at most `max`.
    pub(crate) fn length(&mut self, max: usize) -> Result<usize, Corrupt> {
        let length = usize::try_from(self.varint()?).map_err(|_| Corrupt("a length is invalid"))?;
        if length > max { Err(Corrupt("a length is invalid")) } else { Ok(length) }
    }

    /// Number of bytes left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether no bytes are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Appends an integer in LEB128: seven bits per byte, lowest first, the highest bit set on all bytes but the last.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn integers_round_trip_and_too_long_ones_are_refused() {
        let mut bytes = Vec::new();
        let values = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        for value in values {
            put_varint(value, &mut bytes);
        }
        let mut cursor = Cursor::new(bytes.into());
        for value in values {
            assert_eq!(cursor.varint(), Ok(value));
        }
        assert!(cursor.is_empty());
        assert!(cursor.varint().is_err());
        for bytes in [&[0x80][..], &[0xff; 10], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]] {
            assert!(Cursor::new(Bytes::copy_from_slice(bytes)).varint().is_err(), "{bytes:?}");
        }
        assert_eq!(Cursor::new(Bytes::from_static(&[7])).length(7).unwrap(), 7);
        assert!(Cursor::new(Bytes::from_static(&[7])).length(6).is_err());
    }
}
