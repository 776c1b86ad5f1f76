//! Zstandard frames (RFC 8878).

use alloc::vec::Vec;

use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::DecodeError;
use crate::room::Room;

/// Largest window of a frame, in bytes: the limit of RFC 9659 for this content coding.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much is decoded in one step, in bytes, to the next end of a block. The output can exceed the limit by this much
/// before the decoder stops.
const STEP_BYTES: usize = 256 * 1024;
/// Memory of the decoder in addition to its window, in bytes: tables, a block, and the output of one step.
const DECODER_BYTES: usize = 2 * 1024 * 1024;
/// The first four bytes of a frame.
const MAGIC: u32 = 0xfd2f_b528;
/// The first four bytes of skippable frames, which have data for other programs and no content.
const SKIPPABLE_MAGICS: core::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;

/// Descriptor bits of a frame header (RFC 8878, section 3.1.1.1.1).
mod descriptor {
    pub(super) const CONTENT_SIZE: u8 = 0b1100_0000;
    pub(super) const SINGLE_SEGMENT: u8 = 0b0010_0000;
    pub(super) const RESERVED: u8 = 0b0000_1000;
    pub(super) const DICTIONARY: u8 = 0b0000_0011;
}

/// Decodes all frames of a body.
pub(super) fn decode(body: &[u8], bytes_max: usize, room: &mut Room<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES_MAX);
    let mut out = Vec::new();
    let mut rest = body;
    let mut frames = 0_usize;
    let mut window_max = 0;
    room.keep(DECODER_BYTES);
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        let malformed = |reason| DecodeError::Malformed { coding: "zstd", reason, at };
        let (magic, behind_magic) = rest.split_first_chunk::<4>().ok_or(malformed("no zstd frame"))?;
        let magic = u32::from_le_bytes(*magic);
        if SKIPPABLE_MAGICS.contains(&magic) {
            let (size, content) = behind_magic.split_first_chunk::<4>().ok_or(malformed("the frame ends early"))?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok();
            rest = size.and_then(|size| content.get(size..)).ok_or(malformed("the frame ends early"))?;
            frames += 1;
            continue;
        }
        if magic != MAGIC {
            return Err(malformed(if frames == 0 { "no zstd frame" } else { "garbage behind the last frame" }));
        }
        let bits = *behind_magic.first().ok_or(malformed("the frame ends early"))?;
        if bits & descriptor::RESERVED != 0 {
            return Err(malformed("a reserved bit is set"));
        }
        if bits & descriptor::DICTIONARY != 0 {
            return Err(malformed("the frame needs a dictionary"));
        }
        let window = window_bytes(bits, behind_magic.get(1).copied().unwrap_or_default(), bytes_max);
        if window > window_max {
            // The decoder rounds its buffer up to a power of two, so at most to twice the window, and never shrinks it.
            room.keep(2 * (window - window_max));
            room.need(0)?;
            window_max = window;
        }
        let declares_size = bits & (descriptor::CONTENT_SIZE | descriptor::SINGLE_SEGMENT) != 0;
        decode_frame(&mut decoder, &mut rest, declares_size, &mut out, bytes_max, room, at)?;
        frames += 1;
    }
    if frames == 0 {
        return Err(DecodeError::Malformed { coding: "zstd", reason: "no zstd frame", at: 0 });
    }
    Ok(out)
}

/// The window size of a frame (RFC 8878, section 3.1.1.1.2), in bytes. The window of a single-segment frame is its
/// content.
fn window_bytes(descriptor: u8, window: u8, content_bytes_max: usize) -> usize {
    if descriptor & descriptor::SINGLE_SEGMENT != 0 {
        return content_bytes_max.min(WINDOW_BYTES_MAX as usize);
    }
    let base = 1u64 << (10 + u64::from(window >> 3));
    (base + base / 8 * u64::from(window & 7)).min(WINDOW_BYTES_MAX) as usize
}

/// Decodes the frame at the start of `rest` and appends it to `out`.
fn decode_frame(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    declares_size: bool,
    out: &mut Vec<u8>,
    bytes_max: usize,
    room: &mut Room<'_>,
    at: usize,
) -> Result<(), DecodeError> {
    let malformed = |reason| DecodeError::Malformed { coding: "zstd", reason, at };
    let failed = |error: FrameDecoderError| malformed(reason(&error));
    let start = out.len();
    decoder.reset(&mut *rest).map_err(failed)?;
    let declared = declares_size.then(|| decoder.content_size());
    if declared.is_some_and(|size| size > (bytes_max - start) as u64) {
        return Err(DecodeError::TooLarge);
    }
    while !decoder.is_finished() {
        decoder.decode_blocks(&mut *rest, BlockDecodingStrategy::UptoBytes(STEP_BYTES)).map_err(failed)?;
        // The decoder holds back up to a window until the frame ends. `room` counts that as well as the output.
        if let Some(decoded) = decoder.collect() {
            if decoded.len() > bytes_max - out.len() {
                return Err(DecodeError::TooLarge);
            }
            room.grow(out, out.len() + decoded.len(), bytes_max)?;
            out.extend_from_slice(&decoded);
        }
    }
    if declared.is_some_and(|size| size != (out.len() - start) as u64) {
        return Err(malformed("the content is not as long as declared"));
    }
    if decoder.get_checksum_from_data().is_some_and(|sent| Some(sent) != decoder.get_calculated_checksum()) {
        return Err(malformed("the checksum does not match"));
    }
    Ok(())
}

/// Why the body is invalid. The decoder's own messages describe its internals instead.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum, which may grow")]
fn reason(error: &FrameDecoderError) -> &'static str {
    match error {
        FrameDecoderError::WindowSizeTooBig { .. }
        | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. }) => {
            "the frame needs a window above 8 MiB (RFC 9659)"
        }
        FrameDecoderError::ReadFrameHeaderError(_) | FrameDecoderError::FrameHeaderError(_) => "invalid frame header",
        FrameDecoderError::FailedToReadBlockHeader(_) => "a block header is invalid or missing",
        FrameDecoderError::FailedToReadBlockBody(_) => "a block is invalid or cut",
        FrameDecoderError::FailedToReadChecksum(_) => "the checksum is missing",
        _ => "invalid frame",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::vec;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn decode(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        super::decode(body, bytes_max, &mut Room::unlimited())
    }

    fn frame(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    /// A frame of one raw block, with these descriptor bits and header fields.
    fn raw_frame(bits: u8, fields: &[u8], content: &[u8]) -> Vec<u8> {
        let mut frame = MAGIC.to_le_bytes().to_vec();
        frame.push(bits);
        frame.extend(fields);
        let header = u32::try_from(content.len()).unwrap() << 3 | 1;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(content);
        frame
    }

    fn reason(body: &[u8]) -> (&'static str, usize) {
        match decode(body, 1000) {
            Err(DecodeError::Malformed { reason, at, .. }) => (reason, at),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_are_joined_and_skippable_ones_skipped() {
        let skippable = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let body = [&frame(b"hello "), skippable.as_slice(), &frame(b""), &frame(b"world")].concat();
        assert_eq!(decode(&body, 11).unwrap(), b"hello world");
        assert_eq!(decode(&body, 10), Err(DecodeError::TooLarge));
        assert_eq!(decode(&skippable, 0).unwrap(), b"");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let body = frame(&b"some content, some more content".repeat(20));
        for end in 0..body.len() {
            assert!(matches!(decode(&body[..end], 1000), Err(DecodeError::Malformed { .. })), "cut at {end}");
        }
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        for end in 0..skippable.len() {
            assert!(matches!(decode(&skippable[..end], 1000), Err(DecodeError::Malformed { .. })), "cut at {end}");
        }
    }

    #[test]
    fn errors_have_a_reason_and_the_offset_of_the_frame() {
        let good = frame(b"content");
        assert_eq!(reason(b"{\"a\":1}"), ("no zstd frame", 0));
        assert_eq!(reason(&[good.as_slice(), b"junk"].concat()), ("garbage behind the last frame", good.len()));
        let checksummed = |checksum: u32| [raw_frame(0x24, &[3], b"abc"), checksum.to_le_bytes().to_vec()].concat();
        // XXH64 of "abc" is 44bc2cf5ad770999.
        assert_eq!(decode(&checksummed(0xad77_0999), 3).unwrap(), b"abc");
        assert_eq!(reason(&checksummed(0xad77_0998)).0, "the checksum does not match");
        assert_eq!(decode(&raw_frame(0x20, &[3], b"abc"), 3).unwrap(), b"abc");
        assert_eq!(reason(&raw_frame(0x20, &[4], b"abc")).0, "the content is not as long as declared");
        assert_eq!(reason(&raw_frame(0x28, &[3], b"abc")).0, "a reserved bit is set");
        assert_eq!(reason(&raw_frame(0x21, &[1, 3], b"abc")).0, "the frame needs a dictionary");
    }

    #[test]
    fn a_hostile_header_allocates_nothing() {
        // A window of 2^41 bytes and more.
        assert_eq!(reason(&raw_frame(0, &[0xff], b"abc")).0, "the frame needs a window above 8 MiB (RFC 9659)");
        // A declared length of 2^64 - 1.
        assert_eq!(reason(&raw_frame(0xe0, &[0xff; 8], b"abc")).0, "the frame needs a window above 8 MiB (RFC 9659)");
        let modest_window = [[13 << 3].as_slice(), &[0xff; 8]].concat();
        assert_eq!(decode(&raw_frame(0xc0, &modest_window, b"abc"), 1000), Err(DecodeError::TooLarge));
        // A window of exactly 8 MiB: exponent 13.
        assert_eq!(decode(&raw_frame(0, &[13 << 3], b"abc"), 1000).unwrap(), b"abc");
        assert!(decode(&raw_frame(0, &[13 << 3 | 1], b"abc"), 1000).is_err());
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        // Blocks of one repeated byte: four bytes for 128 KiB.
        let mut bomb = raw_frame(0, &[7 << 3], b"");
        bomb.truncate(6);
        for _ in 0..10_000 {
            bomb.extend(&(((128 * 1024_u32) << 3) | 2).to_le_bytes()[..3]);
            bomb.push(b' ');
        }
        assert_eq!(decode(&bomb, 1 << 20), Err(DecodeError::TooLarge));
        let spaces = vec![b' '; 1 << 20];
        assert_eq!(decode(&frame(&spaces), 1 << 20).unwrap(), spaces);
        assert_eq!(decode(&frame(&spaces), (1 << 20) - 1), Err(DecodeError::TooLarge));
    }
}
