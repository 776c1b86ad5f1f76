//! Chooses how the rows of a scan are found.

use argus_core::query::Scan;
use argus_core::repository::ReadError;
use argus_database::{Bounds, Candidates, FEW_TYPES, Page, ScanTypes};
use tokio_postgres::types::Type;

use crate::candidates;
use crate::narrowing::narrowing;
use crate::row::{StoredRow, broken};
use crate::select::Select;
use crate::store::Store;
use crate::values::is_text;
use crate::walk::Walk;

/// How many rows tell whether the events that conditions narrow to are frequent, and how many of them are.
const SAMPLE: u32 = 256;
const FREQUENT: usize = 16;

/// Where the rows of a scan come from, in its order.
#[derive(Debug)]
pub(crate) enum Source {
    /// All events within bounds. The first page may have been read already.
    Walk(Walk, Option<Page<StoredRow>>),
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
            let ids = ids.iter().filter(|id| is_text(id)).map(ToString::to_string).collect();
            return candidates::by_id(store, filter, ids, &bounds, order).map(Self::Candidates);
        }
        let narrowing = narrowing(&filter.payload);
        let types = ScanTypes::of(filter.types.as_deref(), order, |prefix| with_prefix(store, prefix))?;
        let mut walk = Walk::new(order, types, narrowing.clone(), bounds);
        let Some(narrowing) = narrowing.filter(|_| !walk.is_complete()) else { return Ok(Self::Walk(walk, None)) };
        // To find frequent values by the index, it has to be read for all of them, while the first ones are near.
        let sample = walk.page(store, SAMPLE)?;
        if sample.0.len() >= FREQUENT || walk.is_complete() {
            return Ok(Self::Walk(walk, Some(sample)));
        }
        match candidates::by_document(store, filter, &narrowing, &bounds, order)? {
            Some(candidates) => Ok(Self::Candidates(candidates)),
            None => Ok(Self::Walk(walk, Some(sample))),
        }
    }

    /// Whether there are no more rows.
    fn is_complete(&self) -> bool {
        match self {
            Self::Walk(walk, first) => first.is_none() && walk.is_complete(),
            Self::Candidates(candidates) => candidates.is_complete(),
        }
    }

    /// Memory in bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Walk(_, first) => first.iter().flat_map(|(rows, _)| rows).map(argus_database::Row::bytes).sum(),
            Self::Candidates(candidates) => candidates.bytes(),
        }
    }

    /// Examines up to `rows` more rows.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    fn page(&mut self, store: &Store, rows: u32) -> Result<Page<StoredRow>, ReadError> {
        match self {
            Self::Walk(walk, first) => first.take().map_or_else(|| walk.page(store, rows), Ok),
            Self::Candidates(candidates) => candidates.page(rows, |next, order| candidates::read(store, next, order)),
        }
    }
}

/// Types with this prefix, one more than [`FEW_TYPES`] at most. Each is found by one step in the index.
pub(crate) fn with_prefix(store: &Store, prefix: &str) -> Result<Vec<String>, ReadError> {
    let first = format!("SELECT event_type FROM {}.events WHERE event_type", store.address.schema());
    let mut select = Select::default();
    select.push(&format!("WITH RECURSIVE names (name) AS (({first} >= ")).bind(prefix.to_owned(), Type::TEXT);
    select
        .push(&format!(" ORDER BY event_type LIMIT 1) UNION ALL SELECT ({first} > name ORDER BY event_type LIMIT 1)"));
    select.push(" FROM names WHERE name ^@ ").bind(prefix.to_owned(), Type::TEXT);
    select.push(") SELECT name FROM names WHERE name ^@ ").bind(prefix.to_owned(), Type::TEXT);
    select.push(&format!(" LIMIT {}", FEW_TYPES + 1));
    let rows = store.pool.ask(&async |client| select.rows(client).await)?;
    rows.iter().map(|row| row.try_get(0).map_err(broken)).collect()
}
