//! The gzip file format (RFC 1952) around deflate (RFC 1951).

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::DecodeError;
use crate::room::Room;

/// Least growth of the output buffer, in bytes.
const GROWTH_BYTES_MIN: usize = 16 * 1024;

/// Flag bits of a member header (RFC 1952, section 2.3.1).
mod flag {
    pub(super) const HEADER_CRC: u8 = 1 << 1;
    pub(super) const EXTRA: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const COMMENT: u8 = 1 << 4;
    pub(super) const RESERVED: u8 = 0b1110_0000;
}

/// Decodes all members of a gzip stream. Trailing bytes are an error.
pub(super) fn decode(body: &[u8], bytes_max: usize, room: &mut Room<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut input = Input { whole: body, rest: body };
    let mut out = Vec::new();
    room.keep(size_of::<DecompressorOxide>());
    // All members share one decompressor: it takes some ten kilobytes, and a hostile body can have millions of members.
    let mut inflater = Box::<DecompressorOxide>::default();
    loop {
        read_header(&mut input)?;
        let member_start = out.len();
        inflater.init();
        inflate(&mut inflater, &mut input, &mut out, member_start, bytes_max, room)?;
        check_trailer(&mut input, out.get(member_start..).unwrap_or_default())?;
        if input.rest.is_empty() {
            return Ok(out);
        }
    }
}

/// The body, and its part that has not been read.
struct Input<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn at(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    fn malformed(&self, reason: &'static str) -> DecodeError {
        DecodeError::Malformed { coding: "gzip", reason, at: self.at() }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or_else(|| self.malformed("the stream ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.rest = self.rest.get(count..).ok_or_else(|| self.malformed("the stream ends early"))?;
        Ok(())
    }

    /// Skips a text that a zero byte ends.
    fn skip_text(&mut self) -> Result<(), DecodeError> {
        let end = self.rest.iter().position(|&byte| byte == 0);
        let end = end.ok_or_else(|| self.malformed("a text in the header does not end"))?;
        self.skip(end + 1)
    }

    /// The bytes read since offset `start`.
    fn since(&self, start: usize) -> &'a [u8] {
        self.whole.get(start..self.at()).unwrap_or_default()
    }
}

fn read_header(input: &mut Input<'_>) -> Result<(), DecodeError> {
    let start = input.at();
    if !input.rest.starts_with(&[0x1f, 0x8b]) {
        let reason = if start == 0 { "no gzip header" } else { "garbage behind the last member" };
        return Err(input.malformed(reason));
    }
    let [_, _, method, flags] = input.take()?;
    if method != 8 {
        return Err(input.malformed("a compression method other than deflate"));
    }
    if flags & flag::RESERVED != 0 {
        return Err(input.malformed("a reserved flag is set"));
    }
    // Skip the modification time, the extra flags and the operating system.
    let [_, _, _, _, _, _] = input.take()?;
    if flags & flag::EXTRA != 0 {
        let length = u16::from_le_bytes(input.take()?);
        input.skip(usize::from(length))?;
    }
    if flags & flag::NAME != 0 {
        input.skip_text()?;
    }
    if flags & flag::COMMENT != 0 {
        input.skip_text()?;
    }
    if flags & flag::HEADER_CRC != 0 {
        let computed = crc32fast::hash(input.since(start));
        if (computed & 0xffff) as u16 != u16::from_le_bytes(input.take()?) {
            return Err(input.malformed("the header's CRC does not match"));
        }
    }
    Ok(())
}

/// Inflates one member and appends it to `out`. Back references cannot reach into earlier members.
fn inflate(
    inflater: &mut DecompressorOxide,
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    member_start: usize,
    bytes_max: usize,
    room: &mut Room<'_>,
) -> Result<(), DecodeError> {
    // One byte more than the limit, to tell a body that exceeds the limit from one that just fits.
    let capacity_max = bytes_max.saturating_add(1);
    let mut written = 0;
    loop {
        let grown = out.len().max(input.rest.len().saturating_mul(2)).saturating_add(GROWTH_BYTES_MIN);
        let grown = grown.min(capacity_max);
        room.grow(out, grown, capacity_max)?;
        out.resize(grown, 0);
        let window = out.get_mut(member_start..).unwrap_or_default();
        let (status, consumed, produced) =
            decompress(inflater, input.rest, window, written, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        input.skip(consumed)?;
        written += produced;
        if member_start + written > bytes_max {
            return Err(DecodeError::TooLarge);
        }
        match status {
            TINFLStatus::Done => {
                out.truncate(member_start + written);
                return Ok(());
            }
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
                return Err(input.malformed("the stream ends early"));
            }
            TINFLStatus::BadParam | TINFLStatus::Adler32Mismatch | TINFLStatus::Failed => {
                return Err(input.malformed("invalid deflate data"));
            }
            _ => return Err(input.malformed("unknown deflate failure")),
        }
    }
}

fn check_trailer(input: &mut Input<'_>, member: &[u8]) -> Result<(), DecodeError> {
    if u32::from_le_bytes(input.take()?) != crc32fast::hash(member) {
        return Err(input.malformed("the CRC-32 does not match"));
    }
    // The trailer has the length modulo 2^32.
    if u32::from_le_bytes(input.take()?) != (member.len() as u64 & 0xffff_ffff) as u32 {
        return Err(input.malformed("the length does not match"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::vec;

    use miniz_oxide::deflate::compress_to_vec;

    use super::*;

    fn decode(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        super::decode(body, bytes_max, &mut Room::unlimited())
    }

    fn member(flags: u8, fields: &[u8], content: &[u8]) -> Vec<u8> {
        let mut member = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        member.extend(fields);
        member.extend(compress_to_vec(content, 6));
        member.extend(crc32fast::hash(content).to_le_bytes());
        member.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        member
    }

    fn reason(body: &[u8]) -> (&'static str, usize) {
        match decode(body, 1000) {
            Err(DecodeError::Malformed { reason, at, .. }) => (reason, at),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_are_joined() {
        let mut body = member(0, b"", b"hello ");
        body.extend(member(0, b"", b""));
        body.extend(member(0, b"", b"world"));
        assert_eq!(decode(&body, 11).unwrap(), b"hello world");
        assert_eq!(decode(&body, 10), Err(DecodeError::TooLarge));
        assert_eq!(decode(&member(0, b"", b""), 0).unwrap(), b"");
    }

    #[test]
    fn windows_do_not_reach_across_members() {
        let long = b"abcdefgh".repeat(10_000);
        let body = [member(0, b"", &long), member(0, b"", &long)].concat();
        assert_eq!(decode(&body, 160_000).unwrap(), [long.clone(), long].concat());
        assert_eq!(decode(&body, 159_999), Err(DecodeError::TooLarge));
    }

    #[test]
    fn every_header_field_is_understood() {
        let all = flag::EXTRA | flag::NAME | flag::COMMENT;
        assert_eq!(decode(&member(all, b"\x03\x00xyzname\0comment\0", b"a"), 1).unwrap(), b"a");
        let start = [0x1f, 0x8b, 8, flag::HEADER_CRC, 1, 2, 3, 4, 0, 255];
        let crc = (crc32fast::hash(&start) & 0xffff) as u16;
        assert_eq!(decode(&member(flag::HEADER_CRC, &crc.to_le_bytes(), b"a"), 1).unwrap(), b"a");
        let wrong = member(flag::HEADER_CRC, &crc.wrapping_add(1).to_le_bytes(), b"a");
        assert_eq!(reason(&wrong).0, "the header's CRC does not match");
    }

    #[test]
    fn every_truncation_is_an_error() {
        let all = flag::EXTRA | flag::NAME | flag::COMMENT;
        let body = member(all, b"\x03\x00xyzname\0comment\0", b"some content, some content");
        for end in 0..body.len() {
            assert!(matches!(decode(&body[..end], 1000), Err(DecodeError::Malformed { .. })), "cut at {end}");
        }
    }

    #[test]
    fn errors_have_a_reason_and_an_offset() {
        let good = member(0, b"", b"content");
        let end = good.len();
        assert_eq!(reason(b"{}"), ("no gzip header", 0));
        assert_eq!(reason(&[good.as_slice(), b"\0"].concat()), ("garbage behind the last member", end));
        let with = |at: usize, byte: u8| {
            let mut body = good.clone();
            body[at] = byte;
            reason(&body)
        };
        assert_eq!(with(2, 7).0, "a compression method other than deflate");
        assert_eq!(with(3, 0x80).0, "a reserved flag is set");
        assert_eq!(with(10, 0x07).0, "invalid deflate data");
        assert_eq!(with(end - 8, good[end - 8] ^ 1), ("the CRC-32 does not match", end - 4));
        assert_eq!(with(end - 1, 9), ("the length does not match", end));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = member(0, b"", &vec![0; 1 << 20]);
        assert!(bomb.len() < 2000);
        assert_eq!(decode(&bomb, (1 << 20) - 1), Err(DecodeError::TooLarge));
        assert_eq!(decode(&bomb, 1 << 20).unwrap().len(), 1 << 20);
    }
}
