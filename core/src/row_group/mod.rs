//! Events in columns: how questions take many events at once.
//!
//! Blocks of sealed segments have their events in columns already. A [`RowGroup`] passes some rows of them on, without
//! putting events together that a question would take apart again.

mod column;
mod numbered;
mod row_set;
mod tokens;
mod value_test;

pub(crate) use column::{MANTISSA_END, ValueColumn};
pub(crate) use numbered::Numbered;
pub(crate) use row_set::{ROWS_MAX, RowSet};
pub(crate) use tokens::{NONE, Tokens};
pub(crate) use value_test::ValueTest;

/// Some events, in columns. Each column has a value for each row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowGroup<'a> {
    /// How many events there are.
    pub(crate) rows: usize,
    /// Their times in nanoseconds since the Unix epoch, ascending. Empty if nobody asked for them.
    pub(crate) times: &'a [i64],
    /// Their sequence numbers. Empty if nobody asked for them.
    pub(crate) seqs: &'a [u64],
    pub(crate) types: Types<'a>,
    /// The values at each path that was asked for.
    pub(crate) columns: &'a [ValueColumn],
}

impl<'a> RowGroup<'a> {
    /// The values at the path with this number, which was asked for.
    pub(crate) fn column(&self, path: usize) -> &'a ValueColumn {
        self.columns.get(path).expect("a row group has the columns that were asked for")
    }
}

/// The types of the events of a row group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Types<'a> {
    /// All have this type.
    One(&'a str),
    /// For each row an index into the names.
    Coded { names: &'a [&'a str], codes: &'a [u32] },
}
