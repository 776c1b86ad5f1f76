//! Damage to data that was durable.

use super::SimStorage;
use super::disk::{Flip, LostTail};

impl SimStorage {
    /// Flips a bit that a reader can know to have been durable, unless one is flipped already or there is none. Returns
    /// where.
    pub fn rot(&self) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let log = disk.log.known_durable();
        let blobs: Vec<(String, usize)> = disk.durable.iter().map(|(name, blob)| (name.clone(), blob.len())).collect();
        let bit = u8::try_from(disk.random.below(8)).expect("below 8");
        let mask = vec![1 << bit];
        let which = disk.random.index(blobs.len() + usize::from(!log.is_empty()));
        let flip = match blobs.get(which) {
            Some((_, 0)) => return None,
            Some((name, len)) => Flip { blob: Some(name.clone()), at: disk.random.index(*len), mask },
            None if log.is_empty() => return None,
            None => Flip { blob: None, at: log.start + disk.random.index(log.len()), mask },
        };
        let place = format!("bit {bit} of byte {} of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// As [`rot`](Self::rot), in the log or in a segment, but flips several bits such that checksums over all of them
    /// stay right.
    pub(in super::super) fn forge(&self, in_log: bool) -> Option<String> {
        let disk = &mut *self.disk();
        if disk.flip.is_some() {
            return None;
        }
        let mask = unnoticed(1 << disk.random.below(8)).to_vec();
        let log = disk.log.known_durable();
        let blobs = disk.durable.iter().filter(|(name, _)| name.starts_with("segment-"));
        let segments: Vec<(String, usize)> = blobs.map(|(name, blob)| (name.clone(), blob.len())).collect();
        let (blob, start, len) = match segments.get(disk.random.index(segments.len())) {
            _ if in_log => (None, log.start, log.len()),
            Some((name, len)) => (Some(name.clone()), 0, *len),
            None => return None,
        };
        let places = (len + 1).checked_sub(mask.len()).filter(|places| *places > 0)?;
        let flip = Flip { blob, at: start + disk.random.index(places), mask };
        let place = format!("bytes from {} on of {}", flip.at, flip.blob.as_deref().unwrap_or("the log"));
        disk.apply(&flip);
        disk.flip = Some(flip);
        Some(place)
    }

    /// Loses the end of the log from some place on: it reads as zeros, or the log ends there. Returns where, unless the
    /// log is empty or its end is lost already.
    pub fn lose_tail(&self) -> Option<u64> {
        let disk = &mut *self.disk();
        let range = disk.log.range();
        if disk.lost.is_some() || range.is_empty() {
            return None;
        }
        let (start, end) = (range.start as usize, range.end as usize);
        let from = start + disk.random.index(end - start);
        let is_cut = disk.random.one_in(2);
        disk.lost = Some(LostTail { from, bytes: disk.log.lose(from, is_cut) });
        Some(from as u64)
    }

    /// Repairs flipped bits, if their blob or log still exists, and restores a lost end of the log. Returns whether
    /// there was any damage.
    pub fn repair(&self) -> bool {
        let disk = &mut *self.disk();
        let (flip, lost) = (disk.flip.take(), disk.lost.take());
        flip.iter().for_each(|flip| disk.apply(flip));
        lost.iter().for_each(|lost| disk.log.put_back(lost.from, &lost.bytes));
        flip.is_some() || lost.is_some()
    }

    /// Whether a bit is flipped or the end of the log is lost.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let disk = self.disk();
        disk.flip.is_some() || disk.lost.is_some()
    }
}

/// A mask that flips one bit in each of some of 33 bytes, which no CRC-32C over all of them notices.
///
/// A change goes unnoticed if its polynomial is a multiple of the generator G(x). Here the coefficients of G are 8 bits
/// apart, which is G(x⁸); over the field of two elements that equals G(x)⁸.
fn unnoticed(bit: u8) -> [u8; 33] {
    const GENERATOR: u64 = 0x1_1EDC_6F41;
    std::array::from_fn(|index| if GENERATOR >> (32 - index) & 1 == 1 { bit } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C bit by bit, straight from the definition.
    fn crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
        })
    }

    #[test]
    fn forged_bytes_have_the_same_checksum() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        let text: Vec<u8> = (0..100).collect();
        for (at, bit) in (0..=text.len() - 33).zip((0..8).map(|bit| 1 << bit).cycle()) {
            let mut forged = text.clone();
            forged.iter_mut().skip(at).zip(unnoticed(bit)).for_each(|(byte, mask)| *byte ^= mask);
            assert_ne!(forged, text);
            assert_eq!(crc32c(&forged), crc32c(&text));
        }
    }
}
