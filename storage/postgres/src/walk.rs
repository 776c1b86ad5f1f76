//! Reads events in order, page by page.
//!
//! Each page is a statement of its own that examines a bounded number of rows, which an index finds in order. Between
//! pages the server holds nothing for the reader.

use argus_core::query::{Order, TypeTest};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Page, ScanTypes};
use tokio_postgres::types::Type;

use crate::row::{COLUMNS, StoredRow, broken, position};
use crate::schema::SchemaName;
use crate::select::{Select, keys};
use crate::store::Store;

/// A page ends before it has many more bytes.
pub(crate) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A walk through the events within bounds, in an order.
#[derive(Debug)]
pub(crate) struct Walk {
    order: Order,
    types: ScanTypes,
    /// What a document must fulfil, if conditions on payloads narrow it.
    narrowing: Option<String>,
    /// What remains.
    bounds: Bounds,
    is_complete: bool,
}

impl Walk {
    pub(crate) fn new(order: Order, types: ScanTypes, narrowing: Option<String>, bounds: Bounds) -> Self {
        let is_empty = bounds.is_empty() || types.are_none();
        Self { order, types, narrowing, bounds, is_complete: is_empty }
    }

    /// Whether there are no more events.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Examines up to `rows` rows. Returns those that the server has not excluded, and the position up to which all
    /// were examined; `None` if there was none.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the walk is as before.
    pub(crate) fn page(&mut self, store: &Store, rows: u32) -> Result<Page<StoredRow>, ReadError> {
        let select = self.select(store.address.schema(), rows);
        let (found, is_cut) = store.pool.first_rows(&select, PAGE_BYTES_MAX)?;
        let reached = found.last().map(position).transpose()?;
        let mut examined = 0;
        let mut page = Vec::with_capacity(found.len());
        for row in found {
            examined = row.try_get::<_, i64>("examined").map_err(broken)?;
            if row.try_get("is_wanted").map_err(broken)? {
                page.push(StoredRow::of(row)?);
            }
        }
        self.is_complete = examined < i64::from(rows) && !is_cut;
        if let Some(reached) = reached {
            self.bounds = self.bounds.rest(self.order, reached);
        }
        Ok((page, reached))
    }

    /// The statement for the next page. Its rows are the wanted ones, and the last of those that were examined.
    fn select(&self, schema: &SchemaName, rows: u32) -> Select {
        let mut select = Select::default();
        let keys = keys(self.order);
        select.push(&format!("SELECT {COLUMNS}, is_wanted, examined FROM (SELECT *, "));
        self.push_test(&mut select);
        select.push(&format!(
            " AS is_wanted, count(*) OVER () AS examined, lead(seq) OVER (ORDER BY {keys}) IS NULL AS is_last FROM ("
        ));
        self.push_rows(&mut select, schema, rows);
        select.push(&format!(") rows) rows WHERE is_wanted OR is_last ORDER BY {keys}"));
        select
    }

    /// The rows to examine, found by an index.
    fn push_rows(&self, select: &mut Select, schema: &SchemaName, rows: u32) {
        let document = if self.narrowing.is_some() { ", document" } else { "" };
        let columns = format!("{COLUMNS}{document}");
        let by_type = match (&self.types, self.order) {
            (ScanTypes::Few(names), Order::TimeAscending | Order::TimeDescending) => Some(names),
            (ScanTypes::All | ScanTypes::Tested(_), _) | (ScanTypes::Few(_), Order::Sequence) => None,
        };
        let end = format!(" ORDER BY {} LIMIT {rows}", keys(self.order));
        push_rows(select, schema, &columns, by_type.map(Vec::as_slice), &self.bounds, &end);
    }

    /// What the index does not decide.
    fn push_test(&self, select: &mut Select) {
        select.push("true");
        match (&self.types, self.order) {
            (ScanTypes::All, _) | (ScanTypes::Few(_), Order::TimeAscending | Order::TimeDescending) => {}
            (ScanTypes::Few(names), Order::Sequence) => {
                select.push(" AND event_type = ANY(").bind(names.clone(), Type::TEXT_ARRAY).push(")");
            }
            (ScanTypes::Tested(tests), _) => push_types(select, tests),
        }
        if let Some(narrowing) = &self.narrowing {
            select.push(" AND (document IS NULL OR coalesce(document @@ ").bind(narrowing.clone(), Type::TEXT);
            select.push("::jsonpath, false))");
        }
    }
}

/// Appends the first rows within bounds, in parentheses: those of all types, or those of these, merged. `end` is their
/// order and their number.
pub(crate) fn push_rows(
    select: &mut Select,
    schema: &SchemaName,
    columns: &str,
    names: Option<&[String]>,
    bounds: &Bounds,
    end: &str,
) {
    let part = |select: &mut Select, name: Option<&String>| {
        select.push(&format!("(SELECT {columns} FROM {schema}.events WHERE "));
        if let Some(name) = name {
            select.push("event_type = ").bind(name.clone(), Type::TEXT).push(" AND ");
        }
        select.within(bounds).push(end).push(")");
    };
    match names {
        None => part(select, None),
        Some([name]) => part(select, Some(name)),
        Some(names) => {
            select.push("(");
            for (index, name) in names.iter().enumerate() {
                select.push(if index == 0 { "" } else { " UNION ALL " });
                part(select, Some(name));
            }
            select.push(end).push(")");
        }
    }
}

/// Appends the condition that one of the tests holds for the type.
pub(crate) fn push_types<'t>(select: &mut Select, tests: impl IntoIterator<Item = &'t TypeTest>) {
    select.push(" AND (false");
    for test in tests {
        match test {
            TypeTest::Eq(name) => select.push(" OR event_type = ").bind(name.to_string(), Type::TEXT),
            TypeTest::Prefix(prefix) => select.push(" OR event_type ^@ ").bind(prefix.to_string(), Type::TEXT),
        };
    }
    select.push(")");
}
