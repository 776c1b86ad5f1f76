//! Salvage: copies the intact events of a damaged repository to a new one.

mod loss;
mod ranges;
mod write;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use self::loss::Losses;
use self::write::{SalvagedPart, Written, write};
use super::check::{Report, Survey, SurveyItem, check, survey};
use super::erasure::{Erasure, ErasureTest, Erasures};
use super::manifest::Manifest;
use super::{Seed, Tuning};
use crate::identity::IdentityKey;
use crate::segment::TypeNames;
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// The result of a salvage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// The check of the damaged repository.
    pub source: Report,
    /// The check of the new repository.
    pub copy: Report,
    /// What the new repository lacks.
    pub losses: Vec<Loss>,
    /// Whether no copy of the manifest was intact. Then the seed is lost, and events without a caller's id have new
    /// ids. It is also unknown which events had expired: the new repository may have expired events, and events that
    /// are reported as lost may have expired.
    pub has_other_ids: bool,
    /// How many events were left out because they had been erased.
    pub erased: u64,
    /// Whether erasures may be lost: with all copies of the manifest, or in a damaged part of the log. Then the new
    /// repository may have events that had been erased, and they have to be erased again.
    pub may_miss_erasures: bool,
}

/// Events that could not be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The name of a blob, or the log.
    pub place: String,
    /// The affected sequence numbers: the first and the last of each range, ascending.
    pub seqs: Vec<(u64, u64)>,
    /// The highest possible number of lost events; `None` if unknown.
    pub events: Option<u64>,
    /// Whether each of these numbers is that of a lost event, or was left out by an import whose record is lost, too.
    /// Otherwise some of the events may have been found
    /// elsewhere, have expired, or never existed.
    pub is_exact: bool,
}

/// Why a salvage failed. The damaged repository is unchanged, and the new one is useless.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SalvageError {
    /// The target is not empty.
    #[error("the target is not empty: name an empty one")]
    NotEmpty,
    /// The source has no manifest, no segment and no record.
    #[error("there is nothing to salvage: no manifest, no segment and no record")]
    Nothing,
    /// A medium failed: the source while its intact parts were copied, or the target.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The new repository is damaged, or has other events than were written.
    #[error("the new repository differs from what was written to it: {0}")]
    Copy(String),
}

/// Copies the intact events of a repository to an empty medium, and lists the lost ones. No engine may use the
/// repository meanwhile.
///
/// Copies the events of intact blocks and records, with their sequence numbers, times and ids. Copies records after
/// damage if the log says that everything before them was durable. Leaves out erased events. Later events get higher
/// sequence numbers than any that was found. `seed` is used only if the manifest is lost.
///
/// Writes the manifest last, when everything else is durable, and then checks the new repository.
///
/// # Errors
///
/// [`SalvageError`]. The damaged repository is unchanged, and the new one is useless.
pub fn salvage<E: StorageReader, T: StorageReader + StorageWriter>(
    from: &E,
    to: &mut T,
    seed: Seed,
) -> Result<Salvage, SalvageError> {
    if !to.list()?.is_empty() || !to.log_range()?.is_empty() {
        return Err(SalvageError::NotEmpty);
    }
    let (mut parts, mut losses) = (Vec::new(), Losses::default());
    let mut types = TypeNames::default();
    let survey = survey(from, &mut |name| types.intern(name), &mut |found| match found {
        SurveyItem::Segment(segment) => parts.extend(losses.take_segment(segment)),
        SurveyItem::Record(record) => parts.extend(losses.take_record(record)),
        SurveyItem::DamagedLog(damaged) => losses.take_damaged_log(&damaged),
    });
    let Survey { report: source, manifest, next_seq, last_millis, may_miss_erasures } = survey;
    if manifest.is_none() && parts.is_empty() {
        return Err(SalvageError::Nothing);
    }
    let has_other_ids = manifest.is_none();
    let trusted_minutes = manifest.as_ref().map_or(0, |manifest| manifest.trusted_minutes);
    let mut erasures = manifest.as_ref().map_or(Vec::new(), |manifest| manifest.erasures.clone());
    erasures.extend(losses.take_erasures());
    let next_erasure = manifest.as_ref().map_or(1, |manifest| manifest.next_erasure);
    let next_erasure = erasures.last().map_or(next_erasure, |last| next_erasure.max(last.number + 1));
    let seed = manifest.map_or(seed, |manifest| manifest.seed);
    let key = IdentityKey::new(seed);
    let erasures = Erasures::new(erasures.into_iter().map(|stored| Arc::new(Erasure::new(stored, &key))).collect());
    let last_millis = last_millis.max(losses.millis());
    let losses = losses.finish(has_other_ids, source.last_seq);
    let events: u64 = parts.iter().map(SalvagedPart::events).sum();
    let Written { segments, erased } = write(parts, to, Tuning::default(), &ErasureTest::new(&erasures, &key))?;
    let next_number = segments.last().map_or(0, |entry| entry.number) + 1;
    let manifest = Manifest::new(seed);
    Manifest { next_seq, next_erasure, next_number, last_millis, trusted_minutes, segments, ..manifest }.store(to)?;
    let copy = check(to);
    if let Some(finding) = copy.findings.first() {
        return Err(SalvageError::Copy(finding.to_string()));
    }
    // Without a manifest, the same event may have been found several times.
    let events = events.saturating_sub(erased);
    if copy.events != events && !has_other_ids {
        return Err(SalvageError::Copy(format!("it has {} events, but {events} were found", copy.events)));
    }
    let may_miss_erasures = may_miss_erasures || has_other_ids;
    Ok(Salvage { source, copy, losses, has_other_ids, erased, may_miss_erasures })
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, seqs, events, is_exact } = self;
        write!(f, "lost: {place}: ")?;
        match events {
            Some(1) if *is_exact => f.write_str("event ")?,
            Some(events) if *is_exact => write!(f, "{events} events, ")?,
            Some(events) => write!(f, "at most {events} events, among ")?,
            None => f.write_str("an unknown number of events, among ")?,
        }
        for (index, (first, last)) in seqs.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            match *last {
                last if last == *first => write!(f, "{first}")?,
                u64::MAX => write!(f, "{first} and all that follow")?,
                last => write!(f, "{first} to {last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_loss_is_one_line() {
        let line = |seqs, events, is_exact| Loss { place: "the log".into(), seqs, events, is_exact }.to_string();
        assert_eq!(line(vec![(3, 5), (9, 9)], Some(4), true), "lost: the log: 4 events, 3 to 5, 9");
        assert_eq!(line(vec![(9, 9)], Some(1), true), "lost: the log: event 9");
        assert_eq!(line(vec![(3, 5)], Some(2), false), "lost: the log: at most 2 events, among 3 to 5");
        let unknown = line(vec![(3, u64::MAX)], None, false);
        assert_eq!(unknown, "lost: the log: an unknown number of events, among 3 and all that follow");
    }
}
