//! gzip (RFC 1952): one member, in pieces.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crc32fast::Hasher;
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output};

/// The level, as zlib counts. At this one, a whole answer takes about as long as `gzip -1` does for the same bytes, and
/// is smaller.
const LEVEL: u8 = 2;

/// The header: no name, no time, the fastest level, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// What the trailer of a member is about.
#[derive(Debug, Default)]
pub(in super::super) struct GzipEncoder {
    is_begun: bool,
    checksum: Hasher,
    /// The length of all pieces, modulo 2^32.
    bytes: u32,
}

impl GzipEncoder {
    pub(super) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.compress(piece, TDEFLFlush::Sync, out);
    }

    pub(super) fn encode_last(mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.compress(piece, TDEFLFlush::Finish, out);
        out.extend_from_slice(&self.checksum.finalize().to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }

    /// After [`TDEFLFlush::Sync`] the compressed data ends at a byte, and all of it is out. So another compressor can
    /// continue the member.
    fn compress(&mut self, piece: &[u8], flush: TDEFLFlush, out: &mut Vec<u8>) {
        if !self.is_begun {
            self.is_begun = true;
            out.extend_from_slice(&HEADER);
        }
        self.checksum.update(piece);
        // The format wants the length modulo 2^32.
        self.bytes = self.bytes.wrapping_add(piece.len() as u32);
        let mut compressor = Box::<CompressorOxide>::default();
        compressor.set_format_and_level(DataFormat::Raw, LEVEL);
        let (status, consumed) = compress_to_output(&mut compressor, piece, flush, |bytes| {
            out.extend_from_slice(bytes);
            true
        });
        assert!(
            matches!(status, TDEFLStatus::Okay | TDEFLStatus::Done) && consumed == piece.len(),
            "a sink that takes everything lets the whole piece be compressed"
        );
    }
}
