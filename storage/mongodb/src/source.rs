//! Chooses how the events of a scan are found.

use argus_core::query::{PayloadFilter, Scan};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Candidates, Page, ScanTypes};
use mongodb::bson::{Document, doc};

use crate::candidates;
use crate::collections::events;
use crate::fingerprint::wanted;
use crate::row::StoredRow;
use crate::store::Store;
use crate::walk::Walk;

/// Up to this many conditions on payloads are compared, to find the events by the rarest of their values.
const NARROWING_MAX: usize = 4;

/// Where the events of a scan come from, in its order.
#[derive(Debug)]
pub(crate) enum Source {
    /// All events within bounds.
    Walk(Walk),
    /// Few events whose positions are known.
    Candidates(Candidates),
}

impl argus_database::Source for Source {
    type Store = Store;
    type Row = StoredRow;

    /// The source for a scan within these bounds.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn of(store: &Store, scan: &Scan, bounds: Bounds) -> Result<Self, ReadError> {
        let (filter, order) = (&scan.filter, scan.order);
        if bounds.is_empty() {
            return Ok(Self::Candidates(Candidates::none()));
        }
        if let Some(ids) = &filter.ids {
            let ids = ids.iter().map(ToString::to_string).collect();
            return candidates::by_id(store, filter, ids, &bounds, order).map(Self::Candidates);
        }
        let types = ScanTypes::of(filter.types.as_deref(), order, |prefix| with_prefix(store, prefix))?;
        Ok(Self::Walk(Walk::new(order, types, narrowing(&filter.payload), bounds)))
    }

    /// Whether there are no more events.
    fn is_complete(&self) -> bool {
        match self {
            Self::Walk(walk) => walk.is_complete(),
            Self::Candidates(candidates) => candidates.is_complete(),
        }
    }

    /// Memory in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Walk(_) => 0,
            Self::Candidates(candidates) => candidates.bytes(),
        }
    }

    /// Examines about `rows` more events. Returns those that may match, and the position up to which all were examined;
    /// `None` if there was none.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    fn page(&mut self, store: &Store, rows: u32) -> Result<Page<StoredRow>, ReadError> {
        match self {
            Self::Walk(walk) => walk.page(store, rows),
            Self::Candidates(candidates) => candidates.page(rows, |next, order| candidates::read(store, next, order)),
        }
    }
}

/// The fingerprints of the first conditions that have one: an event that fulfils all conditions has all of them.
fn narrowing(conditions: &[PayloadFilter]) -> Vec<i64> {
    let mut fingerprints = Vec::new();
    for fingerprint in conditions.iter().filter_map(wanted) {
        if fingerprints.len() < NARROWING_MAX && !fingerprints.contains(&fingerprint) {
            fingerprints.push(fingerprint);
        }
    }
    fingerprints
}

/// The types with this prefix, which the index of types and times has.
pub(crate) fn with_prefix(store: &Store, prefix: &str) -> Result<Vec<String>, ReadError> {
    let (database, range) = (store.database()?, range(prefix));
    let found =
        store.wait(async move { events(&database).distinct("event_type", doc! { "event_type": range }).await })?;
    let names = found.iter().filter_map(|name| name.as_str());
    // The range may have a few more.
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}

/// A range of texts with all that have this prefix. MongoDB compares texts by their bytes.
fn range(prefix: &str) -> Document {
    let mut range = doc! { "$gte": prefix };
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // The code points after the surrogates follow those before them.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            end.push(next);
            range.insert("$lt", end.into_iter().collect::<String>());
            break;
        }
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_after_all_texts_with_the_prefix() {
        for (prefix, end) in [
            ("page", Some("pagf")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            let range = range(prefix);
            assert_eq!(range.get_str("$gte").ok(), Some(prefix));
            assert_eq!(range.get_str("$lt").ok(), end, "{prefix:?}");
        }
    }
}
