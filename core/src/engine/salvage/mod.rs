//! A new repository of what is whole in a damaged one.

mod loss;
mod ranges;
mod write;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use self::loss::Losses;
use self::write::{Piece, write};
use super::check::{Found, Report, Survey, check, survey};
use super::manifest::Manifest;
use super::{Seed, Tuning};
use crate::segment::TypeNames;
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// What came of a salvage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvage {
    /// What was found in the damaged repository.
    pub source: Report,
    /// What there is in the new one.
    pub copy: Report,
    /// What of the first is not in the second.
    pub losses: Vec<Loss>,
    /// Whether no copy of the manifest was whole, and with it the seed is lost: events without an id of the caller's
    /// have other ids now. Nobody knows either what retention had given up before: events that had expired may be there
    /// again, and what is given as lost may have expired.
    pub has_other_ids: bool,
}

/// Events that could not be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The name of a blob, or the log.
    pub place: String,
    /// The sequence numbers that are concerned, from the first to the last of each range, ascending.
    pub seqs: Vec<(u64, u64)>,
    /// At most so many events had these numbers; nothing if that is unknown.
    pub events: Option<u64>,
    /// Whether each of these numbers was that of an event. Otherwise some may have been saved elsewhere, given up by
    /// retention, or never been given.
    pub is_exact: bool,
}

/// Why nothing was salvaged. The damaged repository is as it was, and the new one of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SalvageError {
    /// There is something in the medium that the events are to be saved to.
    #[error("there is something already where the events are to be saved")]
    NotEmpty,
    /// There is neither a manifest nor a segment nor a record.
    #[error("there is nothing to be saved")]
    Nothing,
    /// A medium failed: the damaged one where it could be read before, or the new one.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The new one turned out to be damaged, or to have something else than was written.
    #[error("what was saved is not as it was written: {0}")]
    Copy(String),
}

/// Copies what is whole in a repository that nobody works on to an empty medium, and lists what is not.
///
/// What is copied are the events of whole blocks and of whole records, each under its sequence number, with its time
/// and its id. Records are saved behind damaged ones as well, as far as the log says that all before them was durable.
/// The new repository goes on behind all sequence numbers that were ever seen. `seed` is that of the new repository if
/// the manifest is lost, and not used otherwise.
///
/// The manifest is written last, when all else is durable; then everything is read once more.
///
/// # Errors
///
/// [`SalvageError`].
pub fn salvage<E: StorageReader, T: StorageReader + StorageWriter>(
    from: &E,
    to: &mut T,
    seed: Seed,
) -> Result<Salvage, SalvageError> {
    if !to.list()?.is_empty() || !to.log_range()?.is_empty() {
        return Err(SalvageError::NotEmpty);
    }
    let (mut pieces, mut losses) = (Vec::new(), Losses::default());
    let mut types = TypeNames::default();
    let survey = survey(from, &mut |name| types.intern(name), &mut |found| match found {
        Found::Segment(segment) => pieces.extend(losses.take_segment(segment)),
        Found::Record(record) => pieces.extend(losses.take_record(record)),
        Found::Hole(hole) => losses.take_hole(&hole),
    });
    let Survey { report: source, manifest, next_seq, last_millis } = survey;
    if manifest.is_none() && pieces.is_empty() {
        return Err(SalvageError::Nothing);
    }
    let has_other_ids = manifest.is_none();
    let believed_minutes = manifest.as_ref().map_or(0, |manifest| manifest.believed_minutes);
    let seed = manifest.map_or(seed, |manifest| manifest.seed);
    let last_millis = last_millis.max(losses.millis());
    let losses = losses.finish(has_other_ids, source.last_seq);
    let events: u64 = pieces.iter().map(Piece::events).sum();
    let segments = write(pieces, to, Tuning::default())?;
    let next_number = segments.last().map_or(0, |entry| entry.number) + 1;
    Manifest { next_seq, next_number, last_millis, believed_minutes, segments, ..Manifest::new(seed) }.store(to)?;
    let copy = check(to);
    if let Some(finding) = copy.findings.first() {
        return Err(SalvageError::Copy(finding.to_string()));
    }
    // Without a manifest, some events may have been found more than once.
    if copy.events != events && !has_other_ids {
        return Err(SalvageError::Copy(format!("it has {} events, and {events} were found", copy.events)));
    }
    Ok(Salvage { source, copy, losses, has_other_ids })
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
