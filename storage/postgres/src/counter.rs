//! Counts events by the indexes of times, without reading them.

use std::num::NonZeroU32;
use std::sync::Arc;

use argus_core::damage::Damage;
use argus_core::event::{EventType, Timestamp};
use argus_core::query::{Order, Position, Scan, TypeTest};
use argus_core::repository::{Count, Counts, EventCounter, Grouping, ReadError};
use argus_database::Bounds;
use tokio_postgres::Row;

use crate::row::broken;
use crate::select::Select;
use crate::source::types;
use crate::store::Store;
use crate::values::{Micros, join, split};
use crate::walk::{Types, push_rows};

/// Where the first cell of time begins: with a day, before all events.
const ORIGIN: &str = "timestamptz '1600-01-01 00:00:00+00'";

/// The nanoseconds beyond the last microsecond of a time.
const NANOS_MAX: i16 = 999;

/// Counts the events of a scan. Each call is one statement, which goes through a bounded number of entries of an index.
/// Between calls the server holds nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    store: Arc<Store>,
    types: Types,
    grouping: Grouping,
    /// Those of the scan.
    bounds: Bounds,
}

impl Counter {
    /// `None` if reading the events of this scan is faster, or if this grouping is not supported.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub(crate) fn new(
        store: Arc<Store>,
        scan: &Scan,
        grouping: Grouping,
        last_seq: u64,
    ) -> Result<Option<Self>, ReadError> {
        let filter = &scan.filter;
        let is_in_order = scan.order == Order::TimeAscending && scan.limit.is_none();
        let is_by_index = filter.payload.is_empty() && filter.ids.is_none();
        if !is_in_order || !is_by_index || grouping.exact_times && !grouping.by_type {
            return Ok(None);
        }
        // The index of times does not have the types. If they are few, the other index has each of them in that order.
        let any = [TypeTest::Prefix("".into())];
        let tests = filter.types.as_deref().or(grouping.by_type.then_some(&any));
        let types = types(&store, tests, scan.order)?;
        Ok(Some(Self { store, types, grouping, bounds: Bounds::of(scan, last_seq) }))
    }

    /// The statement that counts the next events within these bounds.
    fn select(&self, bounds: &Bounds, max: u32, cell_seconds: Option<NonZeroU32>) -> Select {
        let mut select = Select::default();
        if !self.grouping.exact_times {
            self.push_counts(&mut select, bounds, max, cell_seconds);
            return select;
        }
        select.push("WITH counts AS (");
        self.push_counts(&mut select, bounds, max, cell_seconds);
        select.push(") SELECT event_type, events, first, last");
        for (function, time) in [("min", "first"), ("max", "last")] {
            // Two steps in the index for each type.
            select.push(&format!(", (SELECT {function}(nanos) FROM {}.events event ", self.store.address.schema()));
            select.push(&format!("WHERE event.event_type = counts.event_type AND event.time = counts.{time} AND "));
            select.within(bounds).push(&format!(") AS {time}_nanos"));
        }
        select.push(" FROM counts");
        select
    }

    fn push_counts(&self, select: &mut Select, bounds: &Bounds, max: u32, cell_seconds: Option<NonZeroU32>) {
        let names = match &self.types {
            Types::All | Types::Tested(_) => None,
            Types::Few(names) => Some(names.as_slice()),
        };
        let mut keys = Vec::new();
        keys.extend(self.has_types().then(|| "event_type".to_owned()));
        keys.extend(cell_seconds.map(|seconds| format!("date_bin('{seconds} s', time, {ORIGIN})")));
        let name = if self.has_types() { "event_type, " } else { "" };
        select.push(&format!("SELECT {name}count(*) AS events, min(time) AS first, max(time) AS last FROM "));
        // All events of a microsecond, so that the next statement begins after it.
        let end = format!(" ORDER BY time FETCH FIRST {max} ROWS WITH TIES");
        push_rows(select, self.store.address.schema(), &format!("{name}time"), names, bounds, &end);
        select.push(" rows");
        if keys.is_empty() {
            // Without events, this would be one row.
            select.push(" HAVING count(*) > 0");
        } else {
            select.push(&format!(" GROUP BY {}", keys.join(", ")));
        }
    }

    /// Whether the statement tells types apart.
    fn has_types(&self) -> bool {
        match &self.types {
            Types::All | Types::Few(_) => self.grouping.by_type,
            // They are tested afterwards.
            Types::Tested(_) => true,
        }
    }

    /// The group in a row.
    fn group(&self, row: &Row) -> Result<Count, ReadError> {
        let event_type = self.has_types().then(|| row.try_get("event_type").map_err(broken)).transpose()?;
        if let Some(Err(error)) = event_type.map(EventType::parse) {
            return Err(damaged(error.to_string()));
        }
        let events: i64 = row.try_get("events").map_err(broken)?;
        let time = |column: &str| {
            let micros: Micros = row.try_get(column).map_err(broken)?;
            let time = match self.grouping.exact_times {
                true => join(micros, row.try_get(&*format!("{column}_nanos")).map_err(broken)?),
                // Any time of this microsecond will do. Not all of the first and the last one exist.
                false => join(micros, 0).or_else(|| join(micros, NANOS_MAX)),
            };
            time.ok_or_else(|| damaged("a time is out of range"))
        };
        let times = (time("first")?, time("last")?);
        Ok(Count { event_type: event_type.map(Box::from), events: events.cast_unsigned(), times })
    }

    /// Whether the scan wants the events of a group.
    fn wants(&self, group: &Count) -> bool {
        match &self.types {
            Types::All | Types::Few(_) => true,
            Types::Tested(tests) => {
                group.event_type.iter().any(|name| tests.iter().any(|test| test.matches(name.as_bytes())))
            }
        }
    }
}

impl EventCounter for Counter {
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError> {
        let bounds = after.map_or(self.bounds, |after| self.bounds.rest(Order::TimeAscending, after));
        if bounds.is_empty() || matches!(&self.types, Types::Few(names) if names.is_empty()) {
            return Ok(Counts { groups: Vec::new(), reached: None });
        }
        let select = self.select(&bounds, max, cell_seconds);
        let groups = self.store.pool.ask(&async |client| select.read(client, |row| self.group(&row)).await)?;
        let mut groups = groups.into_iter().collect::<Result<Vec<Count>, _>>()?;
        let events: u64 = groups.iter().map(|group| group.events).sum();
        let last = groups.iter().map(|group| split(group.times.1).0).max();
        groups.retain(|group| self.wants(group));
        Ok(Counts { groups, reached: last.filter(|_| events >= u64::from(max)).map(end_of) })
    }
}

/// The position after all events within a microsecond.
fn end_of(micros: Micros) -> Position {
    // Not all of the last microsecond exists.
    let timestamp = join(micros, NANOS_MAX).unwrap_or(Timestamp::from_nanos(i64::MAX));
    Position { timestamp, seq: u64::MAX }
}

fn damaged(reason: impl Into<String>) -> ReadError {
    ReadError::Damaged(Damage::of("a row of the table `events`", reason))
}
