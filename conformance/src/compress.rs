//! Compressed bodies, valid and hostile.

use std::io::Write;

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// The largest block of a zstd frame, in bytes (RFC 8878, section 3.1.1.2).
const ZSTD_BLOCK_BYTES_MAX: usize = 128 * 1024;

/// One gzip member.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

/// One zstd frame.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// A gzip member that expands to about `bytes` spaces and has no end.
#[must_use]
pub fn gzip_bomb(bytes: usize) -> Vec<u8> {
    // After a full flush nothing refers to earlier data, so the same compressed piece can be repeated.
    let spaces = vec![b' '; 1 << 20];
    let mut piece = Vec::with_capacity(1 << 16);
    Compress::new(Compression::best(), false)
        .compress_vec(&spaces, &mut piece, FlushCompress::Full)
        .expect("the capacity exceeds the size of a compressed mebibyte of spaces");
    // Magic number, deflate, no flags, no time, unknown system (RFC 1952, section 2.3).
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..bytes.div_ceil(spaces.len()) {
        member.extend_from_slice(&piece);
    }
    member
}

/// A zstd frame that expands to about `bytes` spaces, with four bytes for each 128 KiB.
#[must_use]
pub fn zstd_bomb(bytes: usize) -> Vec<u8> {
    // Magic number, a frame header without size or checksum, and a window of 128 KiB (RFC 8878, section 3.1.1.1).
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = bytes.div_ceil(ZSTD_BLOCK_BYTES_MAX).max(1);
    for index in 1..=blocks {
        let last = u32::from(index == blocks);
        // A run of one byte: type 1 in bits 1 and 2, the length above them.
        let header = last | 1 << 1 | (ZSTD_BLOCK_BYTES_MAX as u32) << 3;
        frame.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
        frame.push(b' ');
    }
    frame
}
