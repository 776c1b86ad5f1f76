//! Zstandard frames (RFC 8878).

use alloc::vec::Vec;

use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::DecodeError;

/// Largest window that a frame may ask for, in bytes: what RFC 9659 allows senders of the content coding.
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// How much is decoded at a time, in bytes; a block more may come. Bounds what lies beyond the limit before that is noticed.
const STEP_BYTES: usize = 256 * 1024;
/// The first four bytes of a frame.
const MAGIC: u32 = 0xfd2f_b528;
/// The first four bytes of frames that hold no content but something for other programs.
const SKIPPABLE_MAGICS: core::ops::RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;

/// A frame header's descriptor bits (RFC 8878, section 3.1.1.1.1).
mod descriptor {
    pub(super) const CONTENT_SIZE: u8 = 0b1100_0000;
    pub(super) const SINGLE_SEGMENT: u8 = 0b0010_0000;
    pub(super) const RESERVED: u8 = 0b0000_1000;
    pub(super) const DICTIONARY: u8 = 0b0000_0011;
}

/// Decodes all frames.
pub(super) fn decode(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(WINDOW_BYTES_MAX);
    let mut out = Vec::new();
    let mut rest = body;
    let mut frames = 0_usize;
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
        let declares_size = bits & (descriptor::CONTENT_SIZE | descriptor::SINGLE_SEGMENT) != 0;
        decode_frame(&mut decoder, &mut rest, declares_size, &mut out, bytes_max, at)?;
        frames += 1;
    }
    if frames == 0 {
        return Err(DecodeError::Malformed { coding: "zstd", reason: "no zstd frame", at: 0 });
    }
    Ok(out)
}

/// Decodes one frame from the beginning of `rest` behind what `out` holds.
fn decode_frame(
    decoder: &mut FrameDecoder,
    rest: &mut &[u8],
    declares_size: bool,
    out: &mut Vec<u8>,
    bytes_max: usize,
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
        // The decoder keeps a window's worth back until the frame ends; what it gives out counts, and so does what it keeps.
        if let Some(decoded) = decoder.collect() {
            if decoded.len() > bytes_max - out.len() {
                return Err(DecodeError::TooLarge);
            }
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

/// The decoder's own words speak of its inner workings; these speak of the body.
fn reason(error: &FrameDecoderError) -> &'static str {
    match error {
        FrameDecoderError::WindowSizeTooBig { .. } => "the frame needs a window above 8 MiB (RFC 9659)",
        FrameDecoderError::ReadFrameHeaderError(_) | FrameDecoderError::FrameHeaderError(_) => "invalid frame header",
        FrameDecoderError::FailedToReadBlockHeader(_) => "a block header is invalid or missing",
        FrameDecoderError::FailedToReadBlockBody(_) => "a block is invalid or cut",
        FrameDecoderError::FailedToReadChecksum(_) => "the checksum is missing",
        _ => "invalid frame",
    }
}
