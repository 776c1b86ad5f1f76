//! Chooses how the rows of a scan are found.

use argus_core::query::{Order, Position, Scan, TypeTest};
use argus_core::repository::ReadError;
use tokio_postgres::types::Type;

use crate::candidates::Candidates;
use crate::narrowing::narrowing;
use crate::row::{StoredRow, broken};
use crate::select::{Bounds, Select};
use crate::store::Store;
use crate::values::is_text;
use crate::walk::{Types, Walk};

/// Up to this many types are read by the index of types and times, and their events merged.
const FEW_TYPES: usize = 16;

/// Where the rows of a scan come from, in its order.
#[derive(Debug)]
pub(crate) enum Source {
    /// All events within bounds.
    Walk(Walk),
    /// Few events whose positions are known.
    Candidates(Candidates),
}

impl Source {
    /// The source for a scan within these bounds.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub(crate) fn of(store: &Store, scan: &Scan, bounds: Bounds) -> Result<Self, ReadError> {
        let (filter, order) = (&scan.filter, scan.order);
        if bounds.is_empty() {
            return Ok(Self::Candidates(Candidates::none()));
        }
        if let Some(ids) = &filter.ids {
            let ids = ids.iter().filter(|id| is_text(id)).map(ToString::to_string).collect();
            return Candidates::by_id(store, filter, ids, &bounds, order).map(Self::Candidates);
        }
        let narrowing = narrowing(&filter.payload);
        if let Some(narrowing) = &narrowing
            && let Some(candidates) = Candidates::by_document(store, filter, narrowing, &bounds, order)?
        {
            return Ok(Self::Candidates(candidates));
        }
        let types = types(store, filter.types.as_deref(), order)?;
        Ok(Self::Walk(Walk::new(order, types, narrowing, bounds)))
    }

    /// Whether there are no more rows.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Walk(walk) => walk.is_complete(),
            Self::Candidates(candidates) => candidates.is_complete(),
        }
    }

    /// Memory in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Walk(_) => 0,
            Self::Candidates(candidates) => candidates.bytes(),
        }
    }

    /// Examines up to `rows` more rows. Returns those that may match, and the position up to which all were examined;
    /// `None` if there was none.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be read again.
    pub(crate) fn page(&mut self, store: &Store, rows: u32) -> Result<(Vec<StoredRow>, Option<Position>), ReadError> {
        match self {
            Self::Walk(walk) => walk.page(store, rows),
            Self::Candidates(candidates) => candidates.page(store, rows),
        }
    }
}

/// The types that a walk reads.
fn types(store: &Store, tests: Option<&[TypeTest]>, order: Order) -> Result<Types, ReadError> {
    let Some(tests) = tests else { return Ok(Types::All) };
    let tests: Vec<TypeTest> = tests.iter().filter(|test| is_text(test.text())).cloned().collect();
    let mut names = Vec::new();
    for test in &tests {
        match test {
            TypeTest::Eq(name) => names.push(name.to_string()),
            // In order of sequence numbers, types are tested row by row anyway.
            TypeTest::Prefix(_) if order == Order::Sequence => return Ok(Types::Tested(tests)),
            TypeTest::Prefix(prefix) => names.extend(with_prefix(store, prefix)?),
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(if names.len() <= FEW_TYPES { Types::Few(names) } else { Types::Tested(tests) })
}

/// Types with this prefix, one more than [`FEW_TYPES`] at most. Each is found by one step in the index.
fn with_prefix(store: &Store, prefix: &str) -> Result<Vec<String>, ReadError> {
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
