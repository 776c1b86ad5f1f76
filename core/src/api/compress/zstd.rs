//! zstd (RFC 8878), in pieces. Each piece is a frame: a decoder takes any number of frames for one body (section 3).

use alloc::vec::Vec;

use structured_zstd::encoding::{CompressionContext, CompressionLevel};

/// The end of a frame: an empty last block (RFC 8878, section 3.1.1.2), without a checksum.
const FRAME_END: [u8; 3] = [1, 0, 0];

/// Why the calls below do not fail.
const INFALLIBLE: &str = "a Vec takes everything, settings come before the first piece, and no length was pledged";

#[derive(Debug, Default)]
pub(in super::super) struct ZstdEncoder {
    /// Whether the last frame still lacks its end.
    ///
    /// It is sent with the next piece. The decoders of some clients (httpx 0.28, urllib3 2.5) begin another frame only
    /// if it follows in the same bytes, and take bytes that come later for an error.
    is_open: bool,
}

impl ZstdEncoder {
    pub(super) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        // A frame of nothing would not begin before its end is written.
        if piece.is_empty() {
            return;
        }
        if self.is_open {
            out.extend_from_slice(&FRAME_END);
        }
        self.is_open = true;
        begin(piece, out).flush(out).expect(INFALLIBLE);
    }

    pub(super) fn encode_last(self, piece: &[u8], out: &mut Vec<u8>) {
        if self.is_open {
            out.extend_from_slice(&FRAME_END);
            if piece.is_empty() {
                return;
            }
        }
        begin(piece, out).finish_frame(out).expect(INFALLIBLE);
    }
}

/// A new frame with this piece.
fn begin(mut piece: &[u8], out: &mut Vec<u8>) -> CompressionContext {
    let mut context = CompressionContext::new(CompressionLevel::Fastest);
    // So that its tables are not larger than the piece needs.
    context.set_source_size_hint(piece.len() as u64).expect(INFALLIBLE);
    while !piece.is_empty() {
        let taken = context.write(out, piece).expect(INFALLIBLE);
        piece = piece.get(taken..).expect("a write takes at most what there is");
    }
    context
}
