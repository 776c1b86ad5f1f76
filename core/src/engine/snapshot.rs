//! Snapshots: an immutable view of what is stored.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::event::{Event, Uuid};
use crate::identity::IdentityKey;
use crate::query::{Query, Run};
use crate::repository::{Find, ReadError, Snapshot, Stats};
use crate::segment::{Block, Part, RowText, Sealed, SealedError, Segment, id_hash};

/// What an [`Engine`](super::Engine) held when it was taken.
#[derive(Clone, Debug)]
pub struct EngineSnapshot {
    sealed: Arc<Vec<Arc<Sealed>>>,
    fresh: Box<[Arc<Segment>]>,
    key: IdentityKey,
    stats: Stats,
}

/// Where an event lies.
enum Located<'a> {
    Fresh(&'a Segment, usize),
    Sealed(Arc<Block>, usize),
}

impl Located<'_> {
    fn seq(&self) -> u64 {
        match self {
            Self::Fresh(segment, row) => segment.seq(*row),
            Self::Sealed(block, row) => block.place(*row).seq,
        }
    }
}

impl EngineSnapshot {
    pub(super) fn new(
        sealed: Arc<Vec<Arc<Sealed>>>,
        fresh: Box<[Arc<Segment>]>,
        key: IdentityKey,
        stats: Stats,
    ) -> Self {
        Self { sealed, fresh, key, stats }
    }

    /// The sequence number of the event with each of these ids, if there is one. The ids ascend by their hashes.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when what is sealed cannot be read.
    pub(super) fn seqs_of_ids(&self, ids: &[(u64, &str)]) -> Result<Vec<Option<u64>>, ReadError> {
        let mut seqs = vec![None; ids.len()];
        for (&(hash, id), seq) in ids.iter().zip(&mut seqs) {
            *seq = match self.locate_generated(id)? {
                Some(located) => Some(located.seq()),
                None => self.locate_fresh(id, hash).map(|located| located.seq()),
            };
        }
        let missing = seqs.iter().enumerate().filter(|(_, seq)| seq.is_none());
        let mut indexes: Vec<usize> = missing.map(|(index, _)| index).collect();
        for sealed in self.sealed.iter().rev().filter(|sealed| sealed.id_count() > 0) {
            let wanted = indexes.iter().filter_map(|&index| ids.get(index));
            let wanted: Vec<(u64, &[u8])> = wanted.map(|&(hash, id)| (hash, id.as_bytes())).collect();
            let mut any = false;
            sealed.find_ids(&wanted, |at, block, row| {
                let seq = indexes.get(at).and_then(|&index| seqs.get_mut(index));
                seq.into_iter().for_each(|seq| *seq = Some(block.place(row).seq));
                any = true;
            })?;
            if any {
                indexes.retain(|&index| seqs.get(index).is_some_and(Option::is_none));
            }
        }
        Ok(seqs)
    }

    fn locate(&self, id: &str, hash: u64) -> Result<Option<Located<'_>>, ReadError> {
        if let Some(located) = self.locate_generated(id)? {
            return Ok(Some(located));
        }
        if let Some(located) = self.locate_fresh(id, hash) {
            return Ok(Some(located));
        }
        for sealed in self.sealed.iter().rev() {
            if let Some((block, row)) = sealed.find_id(id.as_bytes(), hash)? {
                return Ok(Some(Located::Sealed(block, row)));
            }
        }
        Ok(None)
    }

    /// Newest first: an id is repeated soon, if ever.
    fn locate_fresh(&self, id: &str, hash: u64) -> Option<Located<'_>> {
        self.fresh.iter().rev().find_map(|segment| {
            let row = segment.rows().row_of_id(id.as_bytes(), hash)?;
            Some(Located::Fresh(segment, row))
        })
    }

    fn locate_generated(&self, id: &str) -> Result<Option<Located<'_>>, ReadError> {
        // Only the canonical form is an id that was given out.
        let canonical = Uuid::parse(id).ok().filter(|_| !id.bytes().any(|byte| byte.is_ascii_uppercase()));
        let Some(uuid) = canonical else { return Ok(None) };
        let seq = self.key.seq(uuid);
        if let Some(segment) = find_by_seq(&self.fresh, seq, |segment| (segment.base(), segment.last_seq())) {
            let row = segment.row_of_seq(seq).filter(|&row| segment.is_generated(row, &self.key, uuid));
            return Ok(row.map(|row| Located::Fresh(segment, row)));
        }
        let Some(sealed) = find_by_seq(&self.sealed, seq, Sealed::seqs) else { return Ok(None) };
        let Some((block, row)) = sealed.find_seq(seq)? else { return Ok(None) };
        let mut given = Vec::new();
        block.append_id(row, &mut given);
        let is_generated = given.is_empty() && self.key.generate(block.millis(row), seq) == uuid;
        Ok(is_generated.then_some(Located::Sealed(block, row)))
    }
}

/// The part that answers for a sequence number, if one does.
fn find_by_seq<T>(parts: &[Arc<T>], seq: u64, seqs: impl Fn(&T) -> (u64, u64)) -> Option<&Arc<T>> {
    let after = parts.partition_point(|part| seqs(part).0 <= seq);
    after.checked_sub(1).and_then(|index| parts.get(index)).filter(|part| seq <= seqs(part).1)
}

impl Snapshot for EngineSnapshot {
    fn stats(&self) -> Stats {
        self.stats
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        match self.locate(id, id_hash(id.as_bytes()))? {
            None => return Ok(false),
            Some(Located::Fresh(segment, row)) => sink(segment.event(row, &self.key)?),
            Some(Located::Sealed(block, row)) => {
                let mut text = RowText::default();
                text.load(&block, row);
                sink(text.event(&block, row, &self.key)?);
            }
        }
        Ok(true)
    }

    fn find(self: Arc<Self>, query: &Query) -> Box<dyn Find> {
        let sealed = self.sealed.iter().map(|sealed| Part::Sealed(Arc::clone(sealed)));
        let fresh = self.fresh.iter().map(|segment| Part::Fresh(Arc::clone(segment)));
        Box::new(Run::new(sealed.chain(fresh).collect(), self.key, query))
    }
}

impl From<SealedError> for ReadError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Storage(error) => Self::Storage(error.into_cause()),
            SealedError::Damaged(damage) => Self::Damaged(damage),
        }
    }
}
