//! Warns when there are nearly as many event types as there may be: soon events would be refused.

use std::sync::atomic::{AtomicBool, Ordering};

use argus_core::repository::Stats;

/// Whether there are many event types, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct TypesWatch {
    are_many: AtomicBool,
}

impl TypesWatch {
    /// Takes note of the figures, and warns when they reach three quarters of the limit: once, and again after they
    /// fell below.
    pub(super) fn look(&self, stats: &Stats) {
        let Stats { event_types, event_types_max, .. } = *stats;
        if self.becomes_high(event_types, event_types_max) {
            tracing::warn!(
                event_types,
                limit = event_types_max,
                "there are nearly as many event types as there may be (--max-event-types); events of further ones will be \
                 refused. What differs from event to event, such as a URL or an id, belongs in the payload"
            );
        }
    }

    fn becomes_high(&self, types: u64, most: u64) -> bool {
        let are_many = types > 0 && types.saturating_mul(4) >= most.saturating_mul(3);
        are_many != self.are_many.swap(are_many, Ordering::Relaxed) && are_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_once_and_again_after_it_was_better() {
        let watch = TypesWatch::default();
        let told: Vec<bool> =
            [0, 74, 75, 76, 100, 75, 74, 73, 75].into_iter().map(|types| watch.becomes_high(types, 100)).collect();
        assert_eq!(told, [false, false, true, false, false, false, false, false, true]);
    }
}
