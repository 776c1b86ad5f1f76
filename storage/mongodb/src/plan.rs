//! What a commit stores, in parts that fit into a transaction each.

use std::borrow::Cow;
use std::collections::HashSet;

use argus_core::batch::{Batch, NewEvent};
use argus_core::event::{Timestamp, Uuid};
use argus_core::proposal::{Proposal, ProposedBatch};
use argus_core::repository::Receipt;
use argus_database::{GeneratedIds, TypeCache};
use mongodb::bson::RawDocumentBuf;

use crate::head::{Head, Staged};
use crate::row::{NewRow, counted_bytes, new_row};
use crate::values::count_of;

/// The most weight of the events that one transaction inserts, unless there is only one: about as many bytes.
const PART_WEIGHT: i64 = 4 * 1024 * 1024;

/// The ids of the events of a group that came without one.
#[derive(Debug)]
pub(crate) struct GroupIds {
    ids: GeneratedIds,
    /// The number within the group of the first event of each batch.
    firsts: Vec<u64>,
}

/// What is stored of a group, and how many of its events are staged.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    proposal: Proposal<'a>,
    /// The types of which no event is stored yet.
    new_types: HashSet<&'a str>,
    /// The bytes that the head counts.
    bytes: i64,
    /// How many events are staged.
    staged: usize,
}

/// The events that the next transaction inserts.
pub(crate) struct Part {
    pub(crate) documents: Vec<RawDocumentBuf>,
    /// Whether these are the last ones.
    pub(crate) is_last: bool,
}

impl GroupIds {
    /// The ids for a commit at this time.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn new(group: &[Batch], now: Timestamp) -> Result<Self, getrandom::Error> {
        let mut count = 0;
        let first = |batch: &Batch| {
            let first = count;
            count += batch.len() as u64;
            first
        };
        Ok(Self { firsts: group.iter().map(first).collect(), ids: GeneratedIds::new(now)? })
    }

    /// The id of an event that came without one, from the index of its batch and its index in the batch.
    pub(crate) fn id(&self, batch: usize, index: u32) -> Uuid {
        let first = self.firsts.get(batch).expect("each batch of the group has a number");
        self.ids.id(first + u64::from(index))
    }

    /// The id of an event.
    pub(crate) fn of<'a>(&self, batch: usize, index: u32, event: &NewEvent<'a>) -> Cow<'a, str> {
        event.id.map_or_else(|| Cow::Owned(self.id(batch, index).to_string()), |id| Cow::Borrowed(id.as_str()))
    }

    /// The ids of all events of the group that came without one.
    pub(crate) fn generated(&self, group: &[Batch]) -> Vec<String> {
        let ids = group.iter().enumerate().flat_map(|(batch, events)| {
            let without = (0..).zip(events.events()).filter(|(_, event)| event.id.is_none());
            without.map(move |(index, _)| self.id(batch, index).to_string())
        });
        ids.collect()
    }
}

impl Part {
    /// The first of these events that fit into a transaction: at most so many, and at least one.
    pub(crate) fn of(rows: impl Iterator<Item = NewRow>, events_max: usize) -> Self {
        let (mut documents, mut total) = (Vec::new(), 0);
        for NewRow { document, weight } in rows {
            total += weight;
            if !documents.is_empty() && (documents.len() >= events_max || total > PART_WEIGHT) {
                return Self { documents, is_last: false };
            }
            documents.push(document);
        }
        Self { documents, is_last: true }
    }
}

impl<'a> Plan<'a> {
    /// A plan of which nothing is stored yet.
    pub(crate) fn new(proposal: Proposal<'a>, ids: &GroupIds, types: &TypeCache) -> Self {
        let (mut new_types, mut bytes) = (HashSet::new(), 0);
        for (batch, index, _, event) in numbered(proposal.batches()) {
            let name = event.event_type.as_str();
            if !types.contains(name) {
                new_types.insert(name);
            }
            bytes += counted_bytes(&event, &ids.of(batch, index, &event));
        }
        Self { proposal, new_types, bytes, staged: 0 }
    }

    /// What the head says about staged events, if this session has staged those of this plan.
    pub(crate) fn staged(&self, by: mongodb::bson::Uuid) -> Option<Staged> {
        (self.staged > 0).then(|| Staged { by, events: count_of(self.staged) })
    }

    /// The events after those that are staged: at most so many, and at least one.
    pub(crate) fn part(&self, ids: &GroupIds, now: Timestamp, events_max: usize) -> Part {
        let rows = numbered(self.proposal.batches()).skip(self.staged);
        let rows = rows.map(|(batch, index, seq, event)| new_row(seq, &event, &ids.of(batch, index, &event), now));
        Part::of(rows, events_max)
    }

    /// Notes that so many more events are staged.
    pub(crate) fn add_staged(&mut self, events: usize) {
        self.staged += events;
    }

    /// The head once all events are stored.
    pub(crate) fn head(&self, head: Head) -> Head {
        let stored = self.proposal.stored().cast_signed();
        Head {
            last_seq: head.last_seq + stored,
            events: head.events + stored,
            bytes: head.bytes + self.bytes,
            event_types: head.event_types + count_of(self.new_types.len()),
            staged: None,
            ..head
        }
    }

    /// The types that are new, and the receipts, once all events are stored.
    pub(crate) fn into_outcome(self) -> (HashSet<&'a str>, Vec<Receipt>) {
        (self.new_types, self.proposal.into_receipts())
    }
}

/// The events that are stored: the index of the batch, the index in the batch, the sequence number, the event.
pub(crate) fn numbered<'p, 'a>(
    batches: &'p [ProposedBatch<'a>],
) -> impl Iterator<Item = (usize, u32, u64, NewEvent<'a>)> + use<'p, 'a> {
    let batches = batches.iter().enumerate();
    batches.flat_map(|(batch, proposed)| proposed.events().map(move |(index, seq, event)| (batch, index, seq, event)))
}
