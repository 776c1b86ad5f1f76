//! The segments of a snapshot, and the look-up of events by id.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::erasure::{ErasureTest, Erasures};
use crate::event::Uuid;
use crate::identity::IdentityKey;
use crate::repository::ReadError;
use crate::segment::{Block, Part, Sealed, Segment, SortKey, id_hash};

/// Sealed segments, then fresh ones: ascending by sequence number, without overlap.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    sealed: Arc<Vec<Arc<Sealed>>>,
    fresh: Box<[Arc<Segment>]>,
    key: IdentityKey,
    erasures: Erasures,
}

/// An event found by its id. `part` is the index of its segment in [`Parts::iter`].
pub(super) enum Located<'a> {
    Fresh { part: usize, segment: &'a Segment, row: usize },
    Sealed { part: usize, number: usize, block: Arc<Block>, row: usize },
}

impl Located<'_> {
    pub(super) fn sort_key(&self) -> SortKey {
        match self {
            Self::Fresh { segment, row, .. } => segment.sort_key(*row),
            Self::Sealed { block, row, .. } => block.sort_key(*row),
        }
    }

    pub(super) fn part(&self) -> usize {
        match self {
            Self::Fresh { part, .. } | Self::Sealed { part, .. } => *part,
        }
    }

    pub(super) fn block_number(&self) -> Option<usize> {
        match self {
            Self::Fresh { .. } => None,
            Self::Sealed { number, .. } => Some(*number),
        }
    }

    pub(super) fn row(&self) -> usize {
        match self {
            Self::Fresh { row, .. } | Self::Sealed { row, .. } => *row,
        }
    }

    pub(super) fn type_name(&self) -> &[u8] {
        match self {
            Self::Fresh { segment, row, .. } => segment.rows().type_name(segment.rows().row_type(*row)),
            Self::Sealed { block, row, .. } => block.type_name(*row),
        }
    }
}

impl Parts {
    pub(super) fn new(
        sealed: Arc<Vec<Arc<Sealed>>>,
        fresh: Box<[Arc<Segment>]>,
        key: IdentityKey,
        erasures: Erasures,
    ) -> Self {
        Self { sealed, fresh, key, erasures }
    }

    /// A test for erased events.
    pub(super) fn erasure_test(&self) -> ErasureTest {
        ErasureTest::new(&self.erasures, &self.key)
    }

    /// The key of generated ids.
    pub(super) fn key(&self) -> &IdentityKey {
        &self.key
    }

    pub(super) fn sealed(&self) -> impl Iterator<Item = &Arc<Sealed>> {
        self.sealed.iter()
    }

    pub(super) fn fresh(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.fresh.iter()
    }

    /// All segments.
    pub(super) fn iter(&self) -> impl Iterator<Item = Part> {
        let sealed = self.sealed.iter().map(|sealed| Part::Sealed(Arc::clone(sealed)));
        sealed.chain(self.fresh.iter().map(|segment| Part::Fresh(Arc::clone(segment))))
    }

    /// For each id and its hash, the sequence number of the event, if there is one that is not erased. `ids` ascends by
    /// hash.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a sealed segment cannot be read.
    pub(super) fn seqs_of_ids(&self, ids: &[(u64, &str)]) -> Result<Vec<Option<u64>>, ReadError> {
        let mut seqs = vec![None; ids.len()];
        let mut test = self.erasure_test();
        for (&(hash, id), seq) in ids.iter().zip(&mut seqs) {
            *seq = match self.locate_generated(id, &mut test)? {
                Some(located) => Some(located.sort_key().seq),
                None => self.locate_fresh(id, hash, &mut test)?.map(|located| located.sort_key().seq),
            };
        }
        let missing = seqs.iter().enumerate().filter(|(_, seq)| seq.is_none());
        let mut indexes: Vec<usize> = missing.map(|(index, _)| index).collect();
        for sealed in self.sealed.iter().rev().filter(|sealed| sealed.id_count() > 0) {
            let wanted = indexes.iter().filter_map(|&index| ids.get(index));
            let wanted: Vec<(u64, &[u8])> = wanted.map(|&(hash, id)| (hash, id.as_bytes())).collect();
            let mut any = false;
            sealed.find_ids(&wanted, |at, _, block, row| {
                if !test.erases_sealed(sealed.erased_to(), block, row)? {
                    let seq = indexes.get(at).and_then(|&index| seqs.get_mut(index));
                    seq.into_iter().for_each(|seq| *seq = Some(block.sort_key(row).seq));
                    any = true;
                }
                Ok(())
            })?;
            if any {
                indexes.retain(|&index| seqs.get(index).is_some_and(Option::is_none));
            }
        }
        Ok(seqs)
    }

    /// The event with this id, if there is one that is not erased.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a sealed segment cannot be read.
    pub(super) fn locate(&self, id: &str, test: &mut ErasureTest) -> Result<Option<Located<'_>>, ReadError> {
        let hash = id_hash(id.as_bytes());
        if let Some(located) = self.locate_generated(id, test)? {
            return Ok(Some(located));
        }
        if let Some(located) = self.locate_fresh(id, hash, test)? {
            return Ok(Some(located));
        }
        for (part, sealed) in self.sealed.iter().enumerate().rev() {
            let mut found = None;
            sealed.find_ids(&[(hash, id.as_bytes())], |_, number, block, row| {
                if !test.erases_sealed(sealed.erased_to(), block, row)? {
                    found = Some(Located::Sealed { part, number, block: Arc::clone(block), row });
                }
                Ok(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Newest first, because most repeats of an id come soon.
    fn locate_fresh(&self, id: &str, hash: u64, test: &mut ErasureTest) -> Result<Option<Located<'_>>, ReadError> {
        for (at, segment) in self.fresh.iter().enumerate().rev() {
            for row in segment.rows().rows_of_id(id.as_bytes(), hash) {
                if !test.erases_fresh(segment, row)? {
                    return Ok(Some(Located::Fresh { part: self.sealed.len() + at, segment, row }));
                }
            }
        }
        Ok(None)
    }

    fn locate_generated(&self, id: &str, test: &mut ErasureTest) -> Result<Option<Located<'_>>, ReadError> {
        let Some(uuid) = Uuid::parse_generated(id) else { return Ok(None) };
        let seq = self.key.seq(uuid);
        if let Some((at, segment)) = find_by_seq(&self.fresh, seq, |segment| (segment.base(), segment.last_seq())) {
            let row = segment.row_of_seq(seq).filter(|&row| segment.is_generated(row, &self.key, uuid));
            let Some(row) = row else { return Ok(None) };
            let is_erased = test.erases_fresh(segment, row)?;
            return Ok((!is_erased).then_some(Located::Fresh { part: self.sealed.len() + at, segment, row }));
        }
        let Some((part, sealed)) = find_by_seq(&self.sealed, seq, Sealed::seqs) else { return Ok(None) };
        let Some((number, block, row)) = sealed.find_seq(seq)? else { return Ok(None) };
        let mut client_id = Vec::new();
        block.append_id(row, &mut client_id)?;
        let is_generated = client_id.is_empty() && self.key.generate(block.millis(row), seq) == uuid;
        let is_found = is_generated && !test.erases_sealed(sealed.erased_to(), &block, row)?;
        Ok(is_found.then_some(Located::Sealed { part, number, block, row }))
    }
}

/// The segment whose range has this sequence number, and its index.
fn find_by_seq<T>(parts: &[Arc<T>], seq: u64, seqs: impl Fn(&T) -> (u64, u64)) -> Option<(usize, &Arc<T>)> {
    let after = parts.partition_point(|part| seqs(part).0 <= seq);
    let index = after.checked_sub(1)?;
    parts.get(index).filter(|part| seq <= seqs(part).1).map(|part| (index, part))
}
