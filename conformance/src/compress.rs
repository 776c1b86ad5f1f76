//! Compressed bodies: valid and hostile ones to send, and those that come back.

use std::borrow::Cow;
use std::io::{Read as _, Write};

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use ruzstd::io::Read as _;

use crate::failure::Failure;

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

/// A body without its content coding, which `Content-Encoding` names.
///
/// # Errors
///
/// [`Failure`] if the coding is unknown, or the body is not valid in it.
pub fn decoded<'a>(coding: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Failure> {
    let mut content = Vec::new();
    let damaged = |error: &dyn std::fmt::Display| Failure::unmet(format!("a body that can be decompressed: {error}"));
    match coding {
        None => return Ok(Cow::Borrowed(body)),
        Some("gzip") => {
            MultiGzDecoder::new(body).read_to_end(&mut content).map_err(|error| damaged(&error))?;
        }
        Some("zstd") => {
            let mut frames = body;
            while !frames.is_empty() {
                let mut frame = StreamingDecoder::new(&mut frames).map_err(|error| damaged(&error))?;
                frame.read_to_end(&mut content).map_err(|error| damaged(&error))?;
            }
        }
        Some(other) => return Err(Failure::unmet(format!("a content coding that was offered, not {other:?}"))),
    }
    Ok(Cow::Owned(content))
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
