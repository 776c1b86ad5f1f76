//! Decides which events of a group are stored, and numbers them: the first step of a commit, the same for all
//! repositories.
//!
//! An event is left out if a stored event has its id, or an earlier one of the group, or if its type would exceed the
//! limit of event types. The others get the next sequence numbers.

mod ids;
mod verdict;

use alloc::boxed::Box;
use alloc::vec::Vec;

use ids::Holder;
pub use ids::IdLookups;
use verdict::{Verdict, judge};

use crate::batch::{Batch, NewEvent};
use crate::event::{Timestamp, Uuid};
use crate::repository::{Duplicate, Receipt, Surplus};

/// The event types that a repository has, and the limit on their number.
pub trait KnownTypes {
    /// Whether a stored event has this type.
    fn contains(&self, name: &[u8]) -> bool;

    /// How many more types may be added.
    fn remaining(&self) -> usize;

    /// The limit on the number of types.
    fn limit(&self) -> usize;
}

/// What a proposal needs to know of its repository, beside ids and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The sequence number of the first event that is stored.
    pub next_seq: u64,
    /// Earlier events have expired on arrival.
    pub keep_from: Timestamp,
    /// Whether events are durable once they are committed.
    pub durable: bool,
}

/// Which events of a group are stored, under which numbers.
#[derive(Debug)]
pub struct Proposal<'a> {
    /// One for each batch of the group, in order.
    batches: Vec<ProposedBatch<'a>>,
    receipts: Vec<Receipt>,
}

/// Which events of a batch are stored, under which numbers.
#[derive(Debug)]
pub struct ProposedBatch<'a> {
    batch: &'a Batch,
    verdict: Verdict,
    first_seq: u64,
}

impl<'a> Proposal<'a> {
    /// Decides about a group as if its batches were committed one after the other. `generate` returns the id of an
    /// event that came without one, from the index of its batch, its index in the batch, and its sequence number; it is
    /// called for the first stored event of each batch.
    pub fn of(
        group: &'a [Batch],
        lookups: &IdLookups<'_>,
        types: &dyn KnownTypes,
        terms: &Terms,
        mut generate: impl FnMut(usize, u32, u64) -> Uuid,
    ) -> Self {
        let verdicts = judge(group, lookups, types);
        assert_eq!(verdicts.len(), group.len(), "each batch has a verdict");
        let mut next_seq = terms.next_seq;
        let number = |(batch, verdict): (&'a Batch, Verdict)| {
            let first_seq = next_seq;
            next_seq += verdict.stored(batch) as u64;
            ProposedBatch { batch, verdict, first_seq }
        };
        let batches: Vec<ProposedBatch<'a>> = group.iter().zip(verdicts).map(number).collect();
        let receipt = |(index, proposed): (usize, &ProposedBatch<'a>)| {
            let duplicates = proposed.verdict.duplicates.iter().map(|&(index, holder)| {
                let seq = match holder {
                    Holder::Stored(seq) => seq,
                    Holder::InGroup(batch, event) => {
                        batches.get(batch).expect("the holder of an id is in the same group").seq(event)
                    }
                };
                Duplicate { index, seq }
            });
            let first = proposed.events().next().filter(|(_, _, event)| event.id.is_none());
            let indexes = proposed.verdict.surplus.as_slice();
            Receipt {
                first_seq: proposed.first_seq,
                stored: proposed.len() as u32,
                duplicates: duplicates.collect(),
                surplus: (!indexes.is_empty())
                    .then(|| Box::new(Surplus { indexes: indexes.into(), types_max: types.limit() as u64 })),
                generated_id: first.map(|(event, seq, _)| generate(index, event, seq)),
                expired: proposed.count_before(terms.keep_from),
                durable: terms.durable,
            }
        };
        let receipts = batches.iter().enumerate().map(receipt).collect();
        Self { batches, receipts }
    }

    /// One for each batch of the group, in order. Some may store nothing.
    #[must_use]
    pub fn batches(&self) -> &[ProposedBatch<'a>] {
        &self.batches
    }

    /// How many events are stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.batches.iter().map(|proposed| proposed.len() as u64).sum()
    }

    /// The receipts, once the events are stored.
    #[must_use]
    pub fn into_receipts(self) -> Vec<Receipt> {
        self.receipts
    }
}

impl<'a> ProposedBatch<'a> {
    /// How many of its events are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verdict.stored(self.batch)
    }

    /// Whether none of its events is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence number of the first event that is stored; the others follow without gaps.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The events that are stored, with their indexes in the batch and their sequence numbers.
    pub fn events(&self) -> impl Iterator<Item = (u32, u64, NewEvent<'a>)> {
        let events = if self.verdict.is_refused { 0 } else { self.batch.len() };
        let kept = (0_u32..).zip(self.batch.events().take(events)).filter(|(index, _)| self.verdict.keeps(*index));
        kept.zip(self.first_seq..).map(|((index, event), seq)| (index, seq, event))
    }

    /// The batch, if all of its events are stored.
    pub(crate) fn whole(&self) -> Option<&'a Batch> {
        (self.len() == self.batch.len()).then_some(self.batch)
    }

    /// The number of a stored event of the batch.
    fn seq(&self, index: u32) -> u64 {
        self.first_seq + u64::from(index) - self.verdict.left_out_before(index) as u64
    }

    /// How many stored events are earlier than this.
    fn count_before(&self, time: Timestamp) -> u32 {
        match self.whole() {
            Some(batch) => batch.rows().count_before(time.as_nanos()) as u32,
            None => self.events().filter(|(_, _, event)| event.timestamp < time).count() as u32,
        }
    }
}
