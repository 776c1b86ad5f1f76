//! Chooses segments to merge, by tiers of similar size.

use core::ops::Range;

/// The last run of at least `fan_in` neighbouring segments of similar size that fit into one segment.
pub(super) fn neighbours(sizes: &[u64], fan_in: usize, fit: impl Fn(Range<usize>) -> bool) -> Option<Range<usize>> {
    let fan_in = fan_in.max(2);
    let tier = |size: u64| size.max(1).ilog(fan_in as u64);
    let mut end = sizes.len();
    while let Some(&last) = end.checked_sub(1).and_then(|last| sizes.get(last)) {
        let joins = |&(index, &size): &(usize, &u64)| tier(size) <= tier(last) && fit(index..end);
        let run = sizes.iter().enumerate().take(end).rev().take_while(joins).count();
        if run >= fan_in {
            return Some(end - run..end);
        }
        end -= run.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Tuning;

    /// Batches stay whole, so a sealed segment has a few more events than the limit.
    #[test]
    fn segments_of_the_usual_size_reach_the_last_tier() {
        let tuning = Tuning::default();
        let mut size = (tuning.seal_events + 5_000) as u64;
        for _ in 0..2 {
            let sizes = [size; 8];
            let fit = |range: Range<usize>| range.len() as u64 * size <= tuning.segment_events_max as u64;
            assert_eq!(neighbours(&sizes, tuning.fan_in, fit), Some(0..8), "{size} events each");
            size *= 8;
        }
    }
}
