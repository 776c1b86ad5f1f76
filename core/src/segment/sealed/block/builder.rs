//! Builds and encodes a block.

use alloc::vec::Vec;

use super::head::{HAS_IDS, HAS_WHOLE, encode_head};
use super::{SIGN, Summary};
use crate::codec::{DocumentsEncoder, Pages, TextsEncoder, encode_series, encode_texts, pack, put_varint};
use crate::segment::SortKey;

/// An event to be written to a sealed segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) sort_key: SortKey,
    /// When it was committed.
    pub(crate) millis: i64,
    /// The code of its type in the writer's plan.
    pub(crate) code: u32,
    /// The caller's id; empty if there is none.
    pub(crate) id: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Collects the rows of a block. The buffers are reused for the next one.
#[derive(Debug, Default)]
pub(in crate::segment::sealed) struct BlockBuilder {
    times: Vec<u64>,
    seqs: Vec<u64>,
    millis: Vec<u64>,
    types: Vec<u64>,
    /// The codes of the block's types, in the order of first use.
    codes: Vec<u32>,
    ids: Vec<u8>,
    id_ends: Vec<u32>,
    payloads: Vec<u8>,
    payload_ends: Vec<u32>,
}

/// Encoders of columns, which keep their buffers from block to block.
#[derive(Debug, Default)]
pub(in crate::segment::sealed) struct Encoders {
    ids: TextsEncoder,
    payloads: DocumentsEncoder,
    pages: Pages,
    layout: Vec<u8>,
}

impl BlockBuilder {
    pub(in crate::segment::sealed) fn len(&self) -> usize {
        self.times.len()
    }

    pub(in crate::segment::sealed) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Bytes of ids and payloads so far.
    pub(in crate::segment::sealed) fn text_bytes(&self) -> usize {
        self.ids.len() + self.payloads.len()
    }

    /// Appends a row. Rows must come in order, and the text must stay below 4 GiB.
    pub(in crate::segment::sealed) fn push(&mut self, row: &Row<'_>) {
        self.times.push(row.sort_key.time as u64 ^ SIGN);
        self.seqs.push(row.sort_key.seq);
        self.millis.push(u64::try_from(row.millis).expect("no event is committed before 1970"));
        let known = self.codes.iter().rposition(|&code| code == row.code);
        let local = known.unwrap_or_else(|| {
            self.codes.push(row.code);
            self.codes.len() - 1
        });
        self.types.push(local as u64);
        self.ids.extend_from_slice(row.id);
        self.id_ends.push(self.ids.len() as u32);
        self.payloads.extend_from_slice(row.payload);
        self.payload_ends.push(self.payloads.len() as u32);
    }

    /// The rows' sequence numbers.
    pub(in crate::segment::sealed) fn seqs(&self) -> &[u64] {
        &self.seqs
    }

    /// The callers' ids with their rows.
    pub(in crate::segment::sealed) fn ids(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        let ids = self.id_ends.iter().map(move |&end| {
            let range = core::mem::replace(&mut start, end as usize)..end as usize;
            self.ids.get(range).expect("ends of ids ascend and lie within the buffer")
        });
        ids.enumerate().filter(|(_, id)| !id.is_empty())
    }

    /// Appends the encoded block to `out`, and begins the next one. `name` returns the name of a type. Also returns the
    /// length of the block's head.
    pub(in crate::segment::sealed) fn encode<'a>(
        &mut self,
        name: impl Fn(u32) -> &'a [u8],
        encoders: &mut Encoders,
        out: &mut Vec<u8>,
    ) -> (Summary, usize) {
        let Encoders { ids, payloads, pages, layout } = encoders;
        pages.clear();
        layout.clear();
        pages.add(|page| encode_series(&self.times, page));
        pages.add(|page| encode_series(&self.seqs, page));
        pages.add(|page| self.encode_commits(page));
        if self.codes.len() > 1 {
            pages.add(|page| pack(&self.types, page));
        }
        let has_ids = !self.ids.is_empty();
        if has_ids {
            pages.add(|page| encode_texts(&self.ids, &self.id_ends, ids, page));
        }
        let has_whole = payloads.encode(&self.payloads, &self.payload_ends, layout, pages);
        let names = self.codes.iter().map(|&code| name(code));
        let flags = if has_ids { HAS_IDS } else { 0 } | if has_whole { HAS_WHOLE } else { 0 };
        let head = encode_head(self.len(), names, flags, layout, pages, out);
        out.extend_from_slice(pages.bytes());
        let summary = self.summary();
        self.clear();
        (summary, head)
    }

    /// Appends the times of the commits: see [`Commits`](super::Commits).
    fn encode_commits(&self, out: &mut Vec<u8>) {
        let mut rows: Vec<(u64, u64)> = self.seqs.iter().copied().zip(self.millis.iter().copied()).collect();
        rows.sort_unstable();
        let runs = rows.chunk_by(|(_, millis), (_, next)| millis == next);
        let (starts, millis): (Vec<u64>, Vec<u64>) = runs.filter_map(|run| run.first().copied()).unzip();
        put_varint(starts.len() as u64, out);
        encode_series(&starts, out);
        encode_series(&millis, out);
    }

    fn summary(&self) -> Summary {
        let rows = "a block has rows";
        let key = |time: Option<&u64>, seq: Option<&u64>| SortKey {
            time: (time.expect(rows) ^ SIGN) as i64,
            seq: *seq.expect(rows),
        };
        let seqs = || self.seqs.iter().copied();
        let mut codes = self.codes.clone();
        codes.sort_unstable();
        Summary {
            rows: self.len(),
            text_bytes: self.text_bytes() as u64,
            first: key(self.times.first(), self.seqs.first()),
            last: key(self.times.last(), self.seqs.last()),
            seqs: (seqs().min().expect(rows), seqs().max().expect(rows)),
            codes,
            has_ids: !self.ids.is_empty(),
        }
    }

    fn clear(&mut self) {
        let Self { times, seqs, millis, types, codes, ids, id_ends, payloads, payload_ends } = self;
        [times, seqs, millis, types].into_iter().for_each(Vec::clear);
        [codes, id_ends, payload_ends].into_iter().for_each(Vec::clear);
        [ids, payloads].into_iter().for_each(Vec::clear);
    }
}
