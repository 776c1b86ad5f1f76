//! Checks every byte of a sealed segment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::ids::{IdEntry, IdIndex};
use super::sequence_index::SequenceIndex;
use super::values::{ValueIndex, content};
use super::values_builder::ValueIndexBuilder;
use super::{Sealed, SealedError, id_hash};
use crate::codec::Corrupt;

/// The result of checking every byte of a sealed segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Number of events in valid blocks.
    pub(crate) events: u64,
    /// All damaged parts.
    pub(crate) damage: Vec<DamagedPart>,
}

/// A part that cannot be read or is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DamagedPart {
    /// Its offset in the blob.
    pub(crate) offset: u64,
    /// What is wrong.
    pub(crate) reason: String,
    /// The number of the block. `None` for a part that only serves lookups; then no event is lost.
    pub(crate) block: Option<usize>,
}

impl Sealed {
    /// Reads all blocks and indexes, and compares them with each other.
    pub(crate) fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        let (mut ids, mut seqs) = (Vec::new(), BTreeMap::new());
        for number in 0..self.index.blocks() {
            let offset = self.index.range(number).start;
            match self.verify_block(number, &mut ids, &mut seqs) {
                Ok(are_found) => {
                    verified.events += self.index.rows(number) as u64;
                    if !are_found {
                        verified.damage.push(lookup_damage(offset, "the filter of ids lacks an id of this block"));
                    }
                }
                Err(reason) => verified.damage.push(DamagedPart { offset, reason, block: Some(number) }),
            }
        }
        verified.damage.extend(self.verify_partitions().err().map(|reason| lookup_damage(self.blob.len(), reason)));
        let damaged_blocks: BTreeSet<usize> = verified.damage.iter().filter_map(|damage| damage.block).collect();
        if let Some(sequence_index) = &self.sequence_index {
            self.verify_sequence_index(sequence_index, &seqs, &damaged_blocks, &mut verified.damage);
        }
        ids.sort_unstable();
        match &self.ids {
            Some(table) => self.verify_ids(table, &ids, &damaged_blocks, &mut verified.damage),
            None if ids.is_empty() => {}
            None => verified.damage.push(lookup_damage(self.blob.len(), "it has callers' ids but no index of them")),
        }
        if let Some(values) = &self.values {
            self.verify_values(values, damaged_blocks.is_empty(), &mut verified.damage);
        }
        verified
    }

    /// Compares the index of values with one that is built anew from the blocks, unless some of them are damaged.
    fn verify_values(&self, values: &ValueIndex, can_compare: bool, damage: &mut Vec<DamagedPart>) {
        let mut builder = ValueIndexBuilder::default();
        let mut blocks = (0..self.index.blocks()).filter(|_| can_compare);
        let is_built = blocks.all(|number| self.block(number).is_ok_and(|block| builder.add(&block, id_hash).is_ok()));
        let (mut expected, mut directory) = (Vec::new(), Vec::new());
        builder.finish(values.page(0).start, &mut expected, &mut directory);
        let mut rest = expected.as_slice();
        for page in 0..values.pages() {
            let range = values.page(page);
            let at = range.start;
            let (expected, after) = rest.split_at_checked((range.end - at) as usize).unwrap_or((rest, &[]));
            rest = after;
            let read = self.blob.read(range).map_err(|error| error.to_string());
            match read.and_then(|bytes| content(&bytes).map(|_| bytes).map_err(|Corrupt(reason)| reason.to_string())) {
                Err(reason) => damage.push(DamagedPart { offset: at, reason, block: None }),
                Ok(bytes) if can_compare && is_built && bytes != expected => {
                    damage.push(lookup_damage(at, "a page of the index of values differs from the blocks"));
                }
                Ok(_) => {}
            }
        }
    }

    /// Compares a block with its index entry, and collects its callers' ids and sequence numbers. Returns whether the
    /// filter of ids has all its ids.
    fn verify_block(
        &self,
        number: usize,
        ids: &mut Vec<IdEntry>,
        seqs: &mut BTreeMap<u64, u32>,
    ) -> Result<bool, String> {
        let before = ids.len();
        let block = self.block(number).map_err(reason)?;
        let mut are_found = true;
        let found = block.summarize(
            |name| self.index.code(name),
            |row, id| {
                let hash = id_hash(id);
                are_found &= self.ids.as_ref().is_none_or(|ids| ids.may_contain(hash));
                ids.push(IdEntry::new(hash, number as u32, row as u16));
            },
        );
        let wrong = match found {
            Ok(found) if found == self.index.summary(number) => {
                seqs.extend((0..block.len()).map(|row| (block.sort_key(row).seq, number as u32)));
                return Ok(are_found);
            }
            Ok(_) => "it differs from its index entry",
            Err(Corrupt(reason)) => reason,
        };
        ids.truncate(before);
        Err(wrong.to_string())
    }

    /// Checks that the blocks of each partition are in order, and each block is in one partition.
    fn verify_partitions(&self) -> Result<(), &'static str> {
        let mut seen = BTreeSet::new();
        for partition in self.index.partitions() {
            let numbers = || partition.iter().map(|number| number as usize);
            if !numbers().zip(numbers().skip(1)).all(|(block, next)| self.index.last(block) < self.index.first(next)) {
                return Err("the blocks of a partition are out of order");
            }
            if !numbers().all(|number| seen.insert(number)) {
                return Err("a block is in two partitions");
            }
        }
        Ok(())
    }

    /// Checks that the sequence index has exactly the events of the blocks, apart from damaged blocks, whose events are
    /// unknown.
    fn verify_sequence_index(
        &self,
        sequence_index: &SequenceIndex,
        expected: &BTreeMap<u64, u32>,
        damaged_blocks: &BTreeSet<usize>,
        damage: &mut Vec<DamagedPart>,
    ) {
        let mut count = 0;
        let before = damage.len();
        for page in 0..sequence_index.pages() {
            let range = sequence_index.page(page);
            let at = range.start;
            let read = self.blob.read(range).map_err(|error| error.to_string());
            let blocks = read.and_then(|bytes| {
                let blocks = sequence_index.blocks(page, &bytes).map_err(|Corrupt(reason)| reason.to_string())?;
                Ok(blocks.filter_map(|(seq, block)| Some((seq, block?))).collect::<Vec<(u64, u32)>>())
            });
            match blocks {
                Err(reason) => damage.push(DamagedPart { offset: at, reason, block: None }),
                Ok(blocks) => {
                    let mut known = blocks.iter().filter(|(_, block)| !damaged_blocks.contains(&(*block as usize)));
                    count += known.clone().count();
                    if !known.all(|(seq, block)| expected.get(seq) == Some(block)) {
                        damage.push(lookup_damage(at, "a page of the sequence index has other events than the blocks"));
                    }
                }
            }
        }
        if damage.len() == before && count != expected.len() {
            damage.push(lookup_damage(sequence_index.page(0).start, "the sequence index lacks an event"));
        }
    }

    /// Checks that the index of ids has exactly the ids of the blocks, apart from damaged blocks, whose ids are
    /// unknown.
    fn verify_ids(
        &self,
        table: &IdIndex,
        expected: &[IdEntry],
        damaged_blocks: &BTreeSet<usize>,
        damage: &mut Vec<DamagedPart>,
    ) {
        let before = damage.len();
        let mut last = None;
        let mut count = 0;
        for number in 0..table.pages() {
            let range = table.page(number);
            let at = range.start;
            let read = self.blob.read(range).map_err(|error| error.to_string());
            let page = read.and_then(|page| table.entries(number, &page).map_err(|Corrupt(reason)| reason.to_string()));
            let page = match page {
                Ok(page) => page,
                Err(reason) => {
                    damage.push(DamagedPart { offset: at, reason, block: None });
                    continue;
                }
            };
            let begins = page.first().is_some_and(|entry| u64::from(entry.hash()) == table.first_hash(number));
            let is_ascending = page.iter().all(|&entry| last.replace(entry).is_none_or(|last| last < entry));
            let others = page.iter().filter(|entry| !damaged_blocks.contains(&(entry.block as usize)));
            let are_known = others.clone().all(|entry| expected.binary_search(entry).is_ok());
            count += others.count();
            if !begins || !is_ascending || !are_known {
                damage.push(lookup_damage(at, "a page of ids has other ids than the blocks"));
            }
        }
        if damage.len() == before && count != expected.len() {
            damage.push(lookup_damage(table.at(), "the pages of ids lack an id"));
        }
    }
}

fn lookup_damage(offset: u64, reason: &str) -> DamagedPart {
    DamagedPart { offset, reason: reason.to_string(), block: None }
}

fn reason(error: SealedError) -> String {
    match error {
        SealedError::Storage(error) => format!("it cannot be read: {error}"),
        SealedError::Damaged(damage) => damage.reason,
    }
}
