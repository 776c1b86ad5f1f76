//! Ranks the groups of an aggregate.

use alloc::vec::Vec;

use super::accuracy::Accuracy;
use super::key;
use super::measures::Measures;
use super::slots::{Interner, Slots, index};
use crate::json::Value;

/// The groups with the highest results of the first output over all buckets, highest first, and whether these results
/// are exact. Of groups with equal results, those whose text comes first, as [`key::write_texts`] compares them.
pub(super) fn highest(groups: &Interner, slots: &Slots, measures: &Measures, count: usize) -> (Vec<u32>, bool) {
    let (mut ranked, are_exact) = results(groups, slots, measures);
    ranked.sort_unstable_by(|(left, _), (right, _)| right.cmp(left));
    let mut highest = Vec::new();
    for equal in ranked.chunk_by(|(left, _), (right, _)| left == right) {
        if highest.len() >= count {
            break;
        }
        let mut equal: Vec<u32> = equal.iter().map(|(_, group)| *group).collect();
        equal.sort_by_cached_key(|group| {
            let mut texts = Vec::new();
            key::write_texts(groups.text(*group), &mut texts);
            texts
        });
        highest.extend(equal);
    }
    highest.truncate(count);
    (highest, are_exact)
}

/// For each group the key of its result of the first output over all buckets, and whether all of them are exact.
fn results(groups: &Interner, slots: &Slots, measures: &Measures) -> (Vec<(Vec<u8>, u32)>, bool) {
    // The slots of each group are merged into one that is used for all groups, so that this takes little memory.
    let mut by_group: Vec<(u32, u32)> = (0..).zip(slots.pairs()).map(|(slot, &(_, group))| (group, slot)).collect();
    by_group.sort_unstable();
    let (mut json, mut text) = (Vec::new(), Vec::new());
    let mut are_exact = true;
    let mut results = Vec::with_capacity(groups.len());
    for own in by_group.chunk_by(|(group, _), (next, _)| group == next) {
        let mut total = measures.only(0);
        total.grow(1);
        own.iter().for_each(|&(_, slot)| total.merge(0, measures, index(slot)));
        are_exact &= total.accuracy(0, 0) == Accuracy::Exact;
        json.clear();
        total.write(0, Some(0), &mut json);
        let raw = core::str::from_utf8(&json).expect("a result is JSON");
        let mut result = Vec::new();
        key::write(Value::of(raw), raw, &mut text, &mut result);
        results.extend(own.first().map(|&(group, _)| (result, group)));
    }
    (results, are_exact)
}
