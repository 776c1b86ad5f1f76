//! Finds the valid blocks of a damaged segment.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::block::Summary;
use super::index::{BlockPlace, IndexBuilder, TypeSummary};
use super::{Block, HEADER_BYTES, Index, Sealed, Version};
use crate::codec::{Corrupt, Cursor};
use crate::segment::{SortKey, TypeName};
use crate::storage::Blob;

/// The valid blocks of a damaged segment.
#[derive(Debug)]
pub(crate) struct RecoveredBlocks {
    /// A segment with only these blocks. It has no sequence index and no index of callers' ids.
    pub(crate) sealed: Sealed,
    /// The sequence numbers of its events, ascending.
    pub(crate) seqs: Vec<u64>,
    /// The latest commit time of its events, in milliseconds since the Unix epoch; 0 if there are none.
    pub(crate) millis: i64,
}

/// Bytes read at a time. If a read fails, the sectors are read one by one, and unreadable ones are replaced by zeros.
const PIECE_BYTES: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;

/// Collects valid blocks and their contents.
#[derive(Default)]
struct Collector {
    /// For each type, its number in the order of first use, and its events.
    types: BTreeMap<Box<[u8]>, (u32, u64)>,
    /// The type partition, the place in the blob, and the summary of each block. The codes in the summary are the
    /// numbers of `types`.
    blocks: Vec<(usize, BlockPlace, Summary)>,
    seqs: Vec<u64>,
    millis: i64,
}

impl RecoveredBlocks {
    /// The valid blocks of a segment that covers these sequence numbers.
    ///
    /// `found` is the segment if it could be [opened](Sealed::open); its index then says where the blocks are.
    /// Otherwise the whole blob is read into memory and searched for bytes with a block's checksum.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if no segment can be built from the blocks.
    pub(crate) fn of(
        name: &str,
        seqs: (u64, u64),
        blob: Arc<dyn Blob>,
        found: Option<&Sealed>,
    ) -> Result<Self, Corrupt> {
        let mut collector = Collector::default();
        let version = match found {
            Some(sealed) => {
                collector.take_listed(sealed);
                sealed.version
            }
            None => {
                let bytes = read_readable(&*blob);
                let header = bytes.get(..HEADER_BYTES).unwrap_or_default();
                // Blocks of one version are not taken for blocks of the other.
                let known = Version::of_header(header).map_or(Version::ALL.to_vec(), |version| alloc::vec![version]);
                let version = known.into_iter().rev().find(|&version| {
                    collector.search(&bytes, version, seqs);
                    !collector.blocks.is_empty()
                });
                version.unwrap_or(Version::CURRENT)
            }
        };
        let index = collector.index(version, blob.len())?;
        let Collector { seqs: mut numbers, millis, .. } = collector;
        numbers.sort_unstable();
        let times = index.times();
        let name = name.to_string();
        let sealed = Sealed {
            name,
            version,
            seqs,
            blob,
            index,
            times,
            erased_to: 0,
            sequence_index: None,
            ids: None,
            values: None,
        };
        Ok(Self { sealed, seqs: numbers, millis })
    }
}

impl Collector {
    /// Takes the valid blocks among those in the segment's index.
    fn take_listed(&mut self, sealed: &Sealed) {
        let index = sealed.index();
        for (partition, numbers) in index.partitions().iter().enumerate() {
            for number in numbers.iter().map(|number| number as usize) {
                let Ok(block) = sealed.block(number) else { continue };
                let is_right = block
                    .summarize(|name| index.code(name), |_, _| {})
                    .is_ok_and(|summary| summary == index.summary(number));
                if is_right {
                    let Range { start, end } = index.range(number);
                    let head = index.head_len(number).unwrap_or_default() as usize;
                    self.take(partition, BlockPlace { offset: start, length: (end - start) as usize, head }, &block);
                }
            }
        }
    }

    /// Searches for all blocks of this version with sequence numbers in this range.
    fn search(&mut self, bytes: &Bytes, version: Version, seqs: (u64, u64)) {
        // The last sort key of each partition. A block goes to the first partition whose rows all precede it.
        let mut partitions: Vec<SortKey> = Vec::new();
        let mut taken = BTreeSet::new();
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            let Some((block, place)) = block_at(bytes, at, version, seqs) else {
                at += 1;
                continue;
            };
            // If part of the blob is repeated, the same block may be found twice.
            let seqs = || (0..block.len()).map(|row| block.sort_key(row).seq);
            if seqs().any(|seq| taken.contains(&seq)) {
                at += place.length;
                continue;
            }
            taken.extend(seqs());
            let (first, last) = (block.sort_key(0), block.sort_key(block.len().saturating_sub(1)));
            let partition = partitions.iter().position(|&before| before < first).unwrap_or(partitions.len());
            match partitions.get_mut(partition) {
                Some(before) => *before = last,
                None => partitions.push(last),
            }
            self.take(partition, place, &block);
            at += place.length;
        }
    }

    fn take(&mut self, partition: usize, place: BlockPlace, block: &Block) {
        let next = self.types.len() as u32;
        let mut next = next..;
        for name in block.names() {
            if !self.types.contains_key(name) {
                self.types.insert(name.into(), (next.next().expect("a blob has fewer than 2³² types"), 0));
            }
        }
        let summary = block.summarize(|name| self.types.get(name).map(|&(code, _)| code), |_, _| {});
        let summary = summary.expect("only blocks that were summarized before are taken");
        for row in 0..block.len() {
            let (_, events) = self.types.get_mut(block.type_name(row)).expect("all types of the block are here");
            *events += 1;
            self.seqs.push(block.sort_key(row).seq);
            self.millis = self.millis.max(block.millis(row));
        }
        self.blocks.push((partition, place, summary));
    }

    /// The index of a segment with these blocks, which end at or before `end`.
    fn index(&mut self, version: Version, end: u64) -> Result<Index, Corrupt> {
        // For each number of a type, its code in the order of names.
        let mut codes: Vec<(u32, u32)> =
            self.types.values().zip(0u32..).map(|(&(number, _), code)| (number, code)).collect();
        codes.sort_unstable();
        let partitions = self.blocks.iter().map(|&(partition, ..)| partition + 1).max().unwrap_or_default();
        let mut builder = IndexBuilder::new(partitions);
        for (partition, place, summary) in &mut self.blocks {
            let code = |number: &u32| codes.get(*number as usize).expect("each type has a code").1;
            summary.codes = summary.codes.iter().map(code).collect();
            summary.codes.sort_unstable();
            builder.push(*partition, *place, summary);
        }
        let text_bytes: u64 = self.blocks.iter().map(|(_, _, summary)| summary.text_bytes).sum();
        let average = text_bytes / (self.seqs.len().max(1) as u64);
        let types: Vec<TypeSummary> = core::mem::take(&mut self.types)
            .into_iter()
            .map(|(name, (_, events))| TypeSummary { name: TypeName::new(&name), events, bytes: events * average })
            .collect();
        let mut bytes = Vec::new();
        builder.finish(&types, version, &mut bytes);
        let names = types.into_iter().map(|summary| summary.name);
        Index::decode(&mut Cursor::new(bytes.into()), version, end, &mut TypeName::among(names))
    }
}

/// The valid block of this version at an offset, if there is one, and its place.
fn block_at(bytes: &Bytes, at: usize, version: Version, (first, last): (u64, u64)) -> Option<(Block, BlockPlace)> {
    let rest = bytes.slice(at..);
    let (block, length) = Block::decode_front(&rest, version).ok()?;
    let summary = block.summarize(|_| Some(0), |_, _| {}).ok()?;
    let head = Block::head_len(&rest, version).ok()?;
    let place = BlockPlace { offset: at as u64, length, head };
    (first <= summary.seqs.0 && summary.seqs.1 <= last).then_some((block, place))
}

/// All bytes of a blob, with zeros for unreadable sectors.
fn read_readable(blob: &dyn Blob) -> Bytes {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < blob.len() {
        let end = blob.len().min(at + PIECE_BYTES);
        match blob.read(at..end) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => {
                for start in (at..end).step_by(SECTOR_BYTES as usize) {
                    let end = end.min(start + SECTOR_BYTES);
                    match blob.read(start..end) {
                        Ok(piece) => bytes.extend_from_slice(&piece),
                        Err(_) => bytes.resize(bytes.len() + (end - start) as usize, 0),
                    }
                }
            }
        }
        at = end;
    }
    bytes.into()
}
