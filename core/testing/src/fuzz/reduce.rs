//! Shortens inputs that fail.

/// The shortest input that was found to fail as well: without parts that do not matter, and with `0` for bytes whose
/// value does not. `fails` runs an input; `input` itself fails.
pub fn reduce(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut best = input.to_vec();
    let mut size = best.len();
    while size > 0 {
        let mut at = 0;
        while at < best.len() {
            let mut shorter = best.clone();
            drop(shorter.drain(at..(at + size).min(best.len())));
            if fails(&shorter) {
                best = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    for at in 0..best.len() {
        let mut simpler = best.clone();
        if let Some(byte) = simpler.get_mut(at).filter(|byte| **byte != b'0') {
            *byte = b'0';
            if fails(&simpler) {
                best = simpler;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let input = b"a long text with two x of which only one matters, and an x";
        assert_eq!(reduce(input, |bytes| bytes.contains(&b'x')), b"x");
        assert_eq!(reduce(input, |bytes| bytes.len() >= 3), b"000");
        assert_eq!(reduce(input, |_| false), input);
        assert_eq!(reduce(input, |_| true), b"");
    }
}
