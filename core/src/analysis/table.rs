//! The answer to an aggregate: columns and rows.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::accuracy::Accuracy;
use super::key;
use super::measures::Measures;
use super::question::Aggregate;
use super::ranking::highest;
use super::slots::{BucketIndex, Interner, Slots, index};
use crate::calendar::{Bucket, Buckets};
use crate::csv;
use crate::json::write_string;
use crate::sketch::write_f64;

/// The slot of a row without events.
const NO_SLOT: u32 = u32::MAX;

/// A table: rows by time and group, with results.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<String>,
    /// How many columns there are for groups. Before them is one for the time if there are buckets; after them those of
    /// the results.
    group_columns: usize,
    /// For the text of a time; `None` without buckets.
    calendar: Option<Buckets>,
    /// The buckets in the order of rows.
    buckets: Vec<Bucket>,
    groups: Interner,
    /// The groups in the order of rows.
    order: Vec<u32>,
    rows: Vec<Row>,
    measures: Measures,
    outputs: usize,
    is_exact: bool,
    /// For each output, the largest error of a sketch in it.
    errors: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Its place in [`Table::buckets`].
    bucket: u32,
    /// Its place in [`Table::order`].
    group: u32,
    slot: u32,
}

impl Table {
    /// `filled` has all buckets that must have a row for each group; `None` if only those with events have.
    pub(super) fn new(
        question: &Aggregate,
        groups: Interner,
        buckets: Option<&BucketIndex>,
        slots: &Slots,
        measures: Measures,
        filled: Option<&[Bucket]>,
    ) -> Self {
        let (order, is_exact) = match question.top {
            Some(top) => highest(&groups, slots, &measures, index(top.get())),
            None => (in_order(&groups), true),
        };
        let list = buckets.map_or(&[][..], BucketIndex::list);
        let mut sorted = match (filled, buckets) {
            (Some(filled), _) => filled.to_vec(),
            (None, Some(_)) => list.to_vec(),
            (None, None) => Vec::from([Bucket { start: 0, end: 0 }]),
        };
        sorted.sort_unstable_by_key(|bucket| bucket.start);
        let rows = rows(&groups, slots, &order, list, &sorted, filled.is_some() || buckets.is_none());
        let outputs = question.aggregations.len();
        let mut table = Self {
            columns: columns(question),
            group_columns: question.group_by.len(),
            calendar: question
                .periods
                .as_ref()
                .map(|periods| Buckets::new(Some(periods.interval), periods.zone.clone())),
            buckets: sorted,
            groups,
            order,
            rows,
            measures,
            outputs,
            is_exact,
            errors: Vec::new(),
        };
        table.measure_accuracy();
        table
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"columns\":[");
        for (at, column) in self.columns.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            write_string(column, out);
        }
        out.extend_from_slice(b"],\"rows\":[");
    }

    pub(super) fn write_row(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for column in 0..self.columns.len() {
            out.extend_from_slice(if column > 0 { b"," } else { b"" });
            self.write_cell(row, column, out);
        }
        out.push(b']');
    }

    pub(super) fn write_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"],\"exact\":");
        out.extend_from_slice(if self.is_exact { b"true" } else { b"false" });
        let results = self.columns.iter().skip(self.columns.len().saturating_sub(self.outputs));
        let errors = results.zip(&self.errors).filter_map(|(column, error)| Some((column, (*error)?)));
        for (at, (column, error)) in errors.clone().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b",\"error\":{" });
            write_string(column, out);
            out.push(b':');
            write_f64(error, out);
        }
        if errors.count() > 0 {
            out.push(b'}');
        }
        out.push(b'}');
    }

    pub(super) fn write_csv_head(&self, out: &mut Vec<u8>) {
        csv::write_row(self.columns.iter().map(String::as_str), out);
    }

    pub(super) fn write_csv_row(&mut self, row: usize, out: &mut Vec<u8>) {
        let mut cell = Vec::new();
        for column in 0..self.columns.len() {
            cell.clear();
            self.write_cell(row, column, &mut cell);
            out.extend_from_slice(if column > 0 { b"," } else { b"" });
            csv::write_json(core::str::from_utf8(&cell).expect("a cell is JSON"), out);
        }
        out.extend_from_slice(csv::LINE_END);
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.groups.held_bytes()
            + self.measures.held_bytes()
            + self.rows.capacity() * size_of::<Row>()
            + self.order.capacity() * size_of::<u32>()
            + self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Appends the value of a cell as JSON.
    fn write_cell(&mut self, row: usize, column: usize, out: &mut Vec<u8>) {
        let Some(row) = self.rows.get(row) else { return };
        let times = usize::from(self.calendar.is_some());
        match (column.checked_sub(times), &mut self.calendar) {
            (None, Some(calendar)) => {
                let start = self.buckets.get(index(row.bucket)).map_or(0, |bucket| bucket.start);
                out.push(b'"');
                calendar.write_time(start, out);
                out.push(b'"');
            }
            (None, None) => {}
            (Some(column), _) if column < self.group_columns => {
                let group = self.order.get(index(row.group)).copied().unwrap_or_default();
                let mut keys = self.groups.text(group);
                for _ in 0..column {
                    key::decode(&mut keys);
                }
                key::decode(&mut keys).write_json(out);
            }
            (Some(column), _) => {
                let slot = (row.slot != NO_SLOT).then(|| index(row.slot));
                self.measures.write(column - self.group_columns, slot, out);
            }
        }
    }

    /// Finds out which results are exact, over all rows.
    fn measure_accuracy(&mut self) {
        self.errors = alloc::vec![None; self.outputs];
        for row in self.rows.iter().filter(|row| row.slot != NO_SLOT) {
            for (output, error) in self.errors.iter_mut().enumerate() {
                match self.measures.accuracy(output, index(row.slot)) {
                    Accuracy::Exact => {}
                    Accuracy::Rounded => self.is_exact = false,
                    Accuracy::Within(bound) => {
                        self.is_exact = false;
                        *error = Some(bound);
                    }
                }
            }
        }
    }
}

fn columns(question: &Aggregate) -> Vec<String> {
    let time = question.periods.iter().map(|_| "time".to_string());
    let groups = question.group_by.iter().map(ToString::to_string);
    time.chain(groups).chain(question.aggregations.iter().map(ToString::to_string)).collect()
}

/// All groups in the order of their values.
fn in_order(groups: &Interner) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(groups.len()).collect();
    order.sort_unstable_by(|left, right| groups.text(*left).cmp(groups.text(*right)));
    order
}

/// The rows in their order. `all`: each group has one in each bucket.
fn rows(groups: &Interner, slots: &Slots, order: &[u32], list: &[Bucket], sorted: &[Bucket], all: bool) -> Vec<Row> {
    let mut places = alloc::vec![None; groups.len()];
    for (place, group) in (0..).zip(order) {
        if let Some(entry) = places.get_mut(index(*group)) {
            *entry = Some(place);
        }
    }
    let bucket_place = |bucket: u32| {
        let start = list.get(index(bucket)).map_or(0, |bucket| bucket.start);
        sorted.binary_search_by_key(&start, |bucket| bucket.start).ok()
    };
    let with_events = (0..).zip(slots.pairs()).filter_map(|(slot, &(bucket, group))| {
        let group = places.get(index(group)).copied().flatten()?;
        Some(Row { bucket: u32::try_from(bucket_place(bucket)?).ok()?, group, slot })
    });
    let mut rows: Vec<Row> = with_events.collect();
    rows.sort_unstable();
    if !all {
        return rows;
    }
    let mut found = rows.into_iter().peekable();
    let every = (0..).take(sorted.len()).flat_map(|bucket| (0..).take(order.len()).map(move |group| (bucket, group)));
    let row = |(bucket, group)| {
        let with_events = found.next_if(|row| (row.bucket, row.group) == (bucket, group));
        with_events.unwrap_or(Row { bucket, group, slot: NO_SLOT })
    };
    every.map(row).collect()
}
