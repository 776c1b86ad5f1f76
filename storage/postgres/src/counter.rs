//! Counts events by the indexes of times, without reading them.

use std::num::NonZeroU32;
use std::sync::Arc;

use argus_core::damage::Damage;
use argus_core::event::{EventType, Timestamp};
use argus_core::query::{Position, Scan};
use argus_core::repository::{Count, Counts, EventCounter, Grouping, ReadError};
use argus_database::{Bounds, Counting, ScanTypes};
use tokio_postgres::Row;

use crate::row::broken;
use crate::select::Select;
use crate::source::with_prefix;
use crate::store::Store;
use crate::values::{Micros, join, split};
use crate::walk::push_rows;

/// Where the first cell of time begins: with a day, before all events.
const ORIGIN: &str = "timestamptz '1600-01-01 00:00:00+00'";

/// The nanoseconds beyond the last microsecond of a time.
const NANOS_MAX: i16 = 999;

/// Counts the events of a scan. Each call is one statement, which goes through a bounded number of entries of an index.
/// Between calls the server holds nothing.
#[derive(Debug)]
pub(crate) struct Counter {
    store: Arc<Store>,
    counting: Counting,
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
        if grouping.exact_times && !grouping.by_type {
            return Ok(None);
        }
        let counting = Counting::of(scan, grouping, last_seq, |prefix| with_prefix(&store, prefix))?;
        Ok(counting.map(|counting| Self { store, counting }))
    }

    /// The statement that counts the next events within these bounds.
    fn select(&self, bounds: &Bounds, max: u32, cell_seconds: Option<NonZeroU32>) -> Select {
        let mut select = Select::default();
        if !self.counting.grouping.exact_times {
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
        let names = match &self.counting.types {
            ScanTypes::All | ScanTypes::Tested(_) => None,
            ScanTypes::Few(names) => Some(names.as_slice()),
        };
        let mut keys = Vec::new();
        keys.extend(self.counting.has_types().then(|| "event_type".to_owned()));
        keys.extend(cell_seconds.map(|seconds| format!("date_bin('{seconds} s', time, {ORIGIN})")));
        let name = if self.counting.has_types() { "event_type, " } else { "" };
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

    /// The group in a row.
    fn group(&self, row: &Row) -> Result<Count, ReadError> {
        let event_type = self.counting.has_types().then(|| row.try_get("event_type").map_err(broken)).transpose()?;
        if let Some(Err(error)) = event_type.map(EventType::parse) {
            return Err(damaged(error.to_string()));
        }
        let events: i64 = row.try_get("events").map_err(broken)?;
        let time = |column: &str| {
            let micros: Micros = row.try_get(column).map_err(broken)?;
            let time = match self.counting.grouping.exact_times {
                true => join(micros, row.try_get(&*format!("{column}_nanos")).map_err(broken)?),
                // Any time of this microsecond will do. Not all of the first and the last one exist.
                false => join(micros, 0).or_else(|| join(micros, NANOS_MAX)),
            };
            time.ok_or_else(|| damaged("a time is out of range"))
        };
        let times = (time("first")?, time("last")?);
        Ok(Count { event_type: event_type.map(Box::from), events: events.cast_unsigned(), times })
    }
}

impl EventCounter for Counter {
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError> {
        let Some(bounds) = self.counting.rest(after) else { return Ok(Counts { groups: Vec::new(), reached: None }) };
        let select = self.select(&bounds, max, cell_seconds);
        let groups = self.store.pool.ask(&async |client| select.read(client, |row| self.group(&row)).await)?;
        let mut groups = groups.into_iter().collect::<Result<Vec<Count>, _>>()?;
        let events: u64 = groups.iter().map(|group| group.events).sum();
        let last = groups.iter().map(|group| split(group.times.1).0).max();
        groups.retain(|group| self.counting.wants(group.event_type.as_deref()));
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
