use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::IdentityKey;
use crate::event::{Event, Uuid};
use crate::query::{Query, Run};
use crate::repository::{Find, ReadError, Snapshot, Stats};
use crate::segment::{Segment, id_hash};

/// What an [`Engine`](super::Engine) held when it was taken.
#[derive(Clone, Debug)]
pub struct EngineSnapshot {
    sealed: Arc<Vec<Arc<Segment>>>,
    fresh: Box<[Arc<Segment>]>,
    key: IdentityKey,
    stats: Stats,
}

impl EngineSnapshot {
    pub(super) fn new(
        sealed: Arc<Vec<Arc<Segment>>>,
        fresh: Box<[Arc<Segment>]>,
        key: IdentityKey,
        stats: Stats,
    ) -> Self {
        Self { sealed, fresh, key, stats }
    }

    /// Gives up what is sealed.
    pub(super) fn forget_sealed(&mut self) {
        self.sealed = Arc::default();
    }

    /// All segments, ascending by sequence number.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.sealed.iter().chain(&self.fresh)
    }

    pub(crate) fn key(&self) -> &IdentityKey {
        &self.key
    }

    /// The sequence number of the event with this id.
    pub(super) fn seq_of_id(&self, id: &str, hash: u64) -> Option<u64> {
        self.locate(id, hash).map(|(segment, row)| segment.seq(row))
    }

    fn locate(&self, id: &str, hash: u64) -> Option<(&Arc<Segment>, usize)> {
        self.locate_generated(id).or_else(|| {
            self.segments().find_map(|segment| Some((segment, segment.rows().row_of_id(id.as_bytes(), hash)?)))
        })
    }

    fn locate_generated(&self, id: &str) -> Option<(&Arc<Segment>, usize)> {
        // Only the canonical form is an id that was given out.
        let uuid = Uuid::parse(id).ok().filter(|_| !id.bytes().any(|byte| byte.is_ascii_uppercase()))?;
        let seq = self.key.seq(uuid);
        let segment = find_by_seq(&self.sealed, seq).or_else(|| find_by_seq(&self.fresh, seq))?;
        let row = segment.row_of_seq(seq)?;
        segment.is_generated(row, &self.key, uuid).then_some((segment, row))
    }
}

fn find_by_seq(segments: &[Arc<Segment>], seq: u64) -> Option<&Arc<Segment>> {
    let after = segments.partition_point(|segment| segment.base() <= seq);
    after.checked_sub(1).and_then(|index| segments.get(index)).filter(|segment| seq <= segment.last_seq())
}

impl Snapshot for EngineSnapshot {
    fn stats(&self) -> Stats {
        self.stats
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        let Some((segment, row)) = self.locate(id, id_hash(id.as_bytes())) else { return Ok(false) };
        sink(segment.event(row, &self.key)?);
        Ok(true)
    }

    fn find(self: Arc<Self>, query: &Query) -> Box<dyn Find> {
        let segments: Vec<Arc<Segment>> = self.segments().cloned().collect();
        Box::new(Run::new(segments, *self.key(), query))
    }
}
