//! Finds the positions of few events by their ids, and reads them.

use argus_core::query::{Filter, Order, Position};
use argus_core::repository::ReadError;
use argus_database::{Bounds, Candidates};
use mongodb::bson::doc;

use crate::pieces::sort;
use crate::row::{StoredRow, position, position_fields};
use crate::store::{Find, Store};
use crate::values::number;
use crate::walk::PAGE_BYTES_MAX;

/// The events with the ids of a filter.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn by_id(
    store: &Store,
    filter: &Filter,
    ids: Vec<String>,
    bounds: &Bounds,
    order: Order,
) -> Result<Candidates, ReadError> {
    let mut fields = position_fields();
    fields.insert("event_type", 1);
    // No limit: an id has one event.
    let find = Find { filter: doc! { "id": { "$in": ids } }, fields, ..Find::default() };
    let (mut found, _) = store.find(find, usize::MAX)?;
    if let Some(tests) = &filter.types {
        found.retain(|document| {
            // One without a type is damaged, which is reported when it is read.
            let name = document.get_str("event_type").ok();
            name.is_none_or(|name| tests.iter().any(|test| test.matches(name.as_bytes())))
        });
    }
    let positions = found.iter().map(|document| position(document)).collect::<Result<Vec<Position>, _>>();
    let mut positions = positions?;
    positions.retain(|position| bounds.contain(*position));
    Ok(Candidates::new(positions, order))
}

/// The events at these positions, if they are still there. Also returns whether the last ones are left out, since they
/// are too large for one page.
///
/// # Errors
///
/// [`ReadError`].
pub(crate) fn read(store: &Store, at: &[Position], order: Order) -> Result<(Vec<StoredRow>, bool), ReadError> {
    let seqs: Vec<i64> = at.iter().map(|position| number(position.seq)).collect();
    let limit = u32::try_from(at.len()).unwrap_or(u32::MAX);
    let find = Find { filter: doc! { "_id": { "$in": seqs } }, sort: sort(order), limit, ..Find::default() };
    let (found, is_cut) = store.find(find, PAGE_BYTES_MAX)?;
    Ok((found.into_iter().map(StoredRow::of).collect::<Result<_, _>>()?, is_cut))
}
