//! CRC-32C (Castagnoli; RFC 3720, appendix B.4), the checksum of log records and blobs.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

static CASTAGNOLI: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// An incremental checksum.
pub(crate) struct Crc32c(Digest<'static, u32, Table<16>>);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(CASTAGNOLI.digest())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> u32 {
        self.0.finalize()
    }

    /// The checksum of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        CASTAGNOLI.checksum(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // RFC 3720, appendix B.4.
        assert_eq!(Crc32c::of(&[0; 32]), 0x8a91_36aa);
        assert_eq!(Crc32c::of(&[0xff; 32]), 0x62a8_ab43);
        let mut pieces = Crc32c::new();
        pieces.update(&[0; 10]);
        pieces.update(&[0; 22]);
        assert_eq!(pieces.finish(), 0x8a91_36aa);
    }
}
