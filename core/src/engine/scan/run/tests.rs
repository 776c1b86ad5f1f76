//! Which parts and blocks a scan looks at.

use alloc::sync::Arc;

use super::*;
use crate::engine::Seed;
use crate::event::Timestamp;
use crate::query::Filter;
use crate::segment::{Epoch, RowsBuilder, Segment};

fn segment(seq: u64, event_type: &str, time: i64) -> Arc<Segment> {
    let mut rows = RowsBuilder::default();
    let code = rows.intern(event_type.as_bytes());
    rows.push(time, 0, code, b"", b"{}");
    Arc::new(Segment::new(seq, rows.finish_sorted(), [Epoch { ordinal: 0, millis: 0 }].into()))
}

#[test]
fn only_parts_with_rows_that_can_match_are_held() {
    let fresh = [segment(1, "a", 10), segment(2, "b", 20), segment(3, "a", 30)];
    let parts = Parts::new(Arc::default(), fresh.into(), IdentityKey::new(Seed(1)));
    let since = |time| Some(Timestamp::from_nanos(time));
    for (filter, held) in [
        (Filter::default(), 3),
        (Filter { types: Some(alloc::vec!["a".into()]), ..Filter::default() }, 2),
        (Filter { start: since(20), ..Filter::default() }, 2),
        (Filter { types: Some(alloc::vec!["b".into()]), start: since(21), ..Filter::default() }, 0),
        (Filter { after_seq: Some(2), ..Filter::default() }, 1),
    ] {
        let mut run = Run::new(&parts, &Scan::from(filter.clone()));
        assert_eq!(run.parts.len(), held, "{filter:?}");
        let mut found = 0;
        let mut count = |_: Event<'_>| {
            found += 1;
            Flow::More
        };
        while run.poll_events(100, &mut count).expect("all is in memory").is_pending() {}
        assert_eq!(found, held, "{filter:?}");
    }
}
