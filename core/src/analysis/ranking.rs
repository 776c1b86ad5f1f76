//! Ranks the groups of an aggregate.

use alloc::borrow::Cow;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;

use super::accuracy::Accuracy;
use super::key;
use super::measures::Measures;
use super::slots::{Interner, Slots, index};
use crate::json::Value;

/// A group and what decides its rank.
struct Ranked<'m> {
    /// The key of its result.
    result: Cow<'m, [u8]>,
    group: u32,
}

/// The groups with the highest results of the first output over all buckets, highest first, and whether these results
/// are exact. Of groups with equal results, those whose text comes first, as [`key::write_texts`] compares them.
pub(super) fn highest(groups: &Interner, slots: &Slots, measures: &Measures, count: usize) -> (Vec<u32>, bool) {
    let (mut ranked, are_exact) = results(groups, slots, measures);
    ranked.sort_unstable_by(|left, right| right.result.cmp(&left.result));
    let mut highest = Vec::new();
    for equal in ranked.chunk_by(|left, right| left.result == right.result) {
        if highest.len() >= count {
            break;
        }
        if let [Ranked { group, .. }] = equal {
            highest.push(*group);
            continue;
        }
        let wanted = count - highest.len();
        highest.extend(first_by_text(groups, equal.iter().map(|ranked| ranked.group), wanted));
    }
    (highest, are_exact)
}

/// Those of the groups, at most `count`, whose texts come first, in that order. Often nearly all groups have the same
/// result, and few are wanted. So only the texts of these are in memory.
fn first_by_text(groups: &Interner, candidates: impl Iterator<Item = u32>, count: usize) -> Vec<u32> {
    let (mut first, mut texts) = (BinaryHeap::<(Vec<u8>, u32)>::new(), Vec::new());
    for group in candidates {
        texts.clear();
        key::write_texts(groups.text(group), &mut texts);
        if first.len() < count {
            first.push((texts.clone(), group));
        } else if let Some(mut last) = first.peek_mut()
            && texts < last.0
        {
            *last = (texts.clone(), group);
        }
    }
    first.into_sorted_vec().into_iter().map(|(_, group)| group).collect()
}

/// The results of the first output over all buckets, one for each group, and whether all of them are exact.
fn results<'m>(groups: &Interner, slots: &Slots, measures: &'m Measures) -> (Vec<Ranked<'m>>, bool) {
    let mut by_group: Vec<(u32, u32)> = (0..).zip(slots.pairs()).map(|(slot, &(_, group))| (group, slot)).collect();
    by_group.sort_unstable();
    let mut buffers = (Vec::new(), Vec::new());
    let mut are_exact = true;
    let mut results = Vec::with_capacity(groups.len());
    for own in by_group.chunk_by(|(group, _), (next, _)| group == next) {
        let (accuracy, result) = match own {
            [] => continue,
            // Most groups have one slot, and strings may be long.
            [(_, slot)] => {
                let (accuracy, extreme) = (measures.accuracy(0, index(*slot)), measures.extreme(0, index(*slot)));
                let key = || Cow::Owned(key_of_result(measures, index(*slot), &mut buffers));
                (accuracy, extreme.map_or_else(key, Cow::Borrowed))
            }
            several => {
                // One for each group in turn, so that this takes little memory.
                let mut total = measures.only(0);
                total.grow(1);
                several.iter().for_each(|&(_, slot)| total.merge(0, measures, index(slot)));
                (total.accuracy(0, 0), Cow::Owned(key_of_result(&total, 0, &mut buffers)))
            }
        };
        are_exact &= accuracy == Accuracy::Exact;
        results.extend(own.first().map(|&(group, _)| Ranked { result, group }));
    }
    (results, are_exact)
}

/// The key of the result of the first output for a slot.
fn key_of_result(measures: &Measures, slot: usize, (json, text): &mut (Vec<u8>, Vec<u8>)) -> Vec<u8> {
    json.clear();
    measures.write(0, Some(slot), json);
    let raw = core::str::from_utf8(json).expect("a result is JSON");
    let mut key = Vec::new();
    key::write(Value::of(raw), raw, text, &mut key);
    key
}
