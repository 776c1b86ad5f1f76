//! Warns when the number of event types gets close to its limit, beyond which events are refused.

use std::sync::atomic::{AtomicBool, Ordering};

use argus_core::repository::Stats;

/// Whether the number of event types was high when last checked.
#[derive(Debug, Default)]
pub(super) struct TypesWatch {
    is_high: AtomicBool,
}

impl TypesWatch {
    /// Warns when the number reaches three quarters of the limit: once, and again after it fell below.
    pub(super) fn check(&self, stats: &Stats) {
        let Stats { event_types, event_types_max, .. } = *stats;
        if self.becomes_high(event_types, event_types_max) {
            tracing::warn!(
                event_types,
                limit = event_types_max,
                "the number of event types is close to its limit (--max-event-types); beyond it, events of new types \
                 are refused. Texts that differ from event to event (a URL, an id) belong in the payload"
            );
        }
    }

    fn becomes_high(&self, types: u64, most: u64) -> bool {
        let is_high = types > 0 && types.saturating_mul(4) >= most.saturating_mul(3);
        is_high != self.is_high.swap(is_high, Ordering::Relaxed) && is_high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_once_and_again_after_the_number_fell() {
        let watch = TypesWatch::default();
        let warned: Vec<bool> =
            [0, 74, 75, 76, 100, 75, 74, 73, 75].into_iter().map(|types| watch.becomes_high(types, 100)).collect();
        assert_eq!(warned, [false, false, true, false, false, false, false, false, true]);
    }
}
