//! The columns of a file.

use std::collections::HashMap;

use crate::discovery::{Discovery, Path, is_root};
use crate::kinds::{Kind, Kinds};
use crate::walk::{Entry, PathNumber, ROOT, Visitor, walk};

/// The columns that every file has, in this order: the members of an event as it is on the wire.
pub(crate) const EVENT_COLUMNS: [&str; 5] = ["id", "seq", "event_type", "timestamp", "payload"];

/// The columns of the paths of payloads.
#[derive(Debug)]
pub(crate) struct Columns {
    list: Vec<Column>,
    /// The paths that lead to columns, with the payload itself as the first.
    paths: Vec<ColumnPath>,
    omitted: Omitted,
}

/// A column of the values at one path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// `payload.`, and the path as queries write it.
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    /// The kinds of values in it.
    pub(crate) kinds: Kinds,
    /// Whether some integer in it is not exact.
    pub(crate) is_rounded: bool,
}

/// The type of the values in a column. Each may also be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// `i64`.
    Integer,
    /// `f64`.
    Float,
    /// `bool`.
    Boolean,
    /// The text of a string.
    Text,
    /// The JSON text of any value, in the spelling of the payload.
    Json,
}

/// The number of paths that have no column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Paths that are known, but are not among those with the most values.
    pub known: u64,
    /// Whether there are others besides: beyond the number of paths that are told apart, or too long ones.
    pub has_others: bool,
}

#[derive(Debug, Default)]
struct ColumnPath {
    column: Option<usize>,
    members: HashMap<Box<str>, PathNumber>,
    /// The row in which the path was last met, or 0 if what was met there does not count any more.
    row: u64,
    /// The members that were met in that row.
    met: Vec<PathNumber>,
}

/// Takes the values of payloads out of them, row by row.
#[derive(Debug)]
pub(crate) struct Cells {
    columns: Columns,
    row: u64,
}

/// Collects the cells of one row.
struct Collector<'c, 'p> {
    paths: &'c mut [ColumnPath],
    row: u64,
    cells: &'c mut [Option<&'p str>],
}

impl Columns {
    /// The columns for the paths with the most values, in order of appearance. Among paths with the same number of
    /// values, those that appeared first.
    pub(crate) fn choose(discovery: &Discovery, columns_max: usize) -> Self {
        let found = discovery.paths();
        // Whether all objects on the way have members with columns.
        let mut is_reached = Vec::with_capacity(found.len());
        let mut candidates = Vec::new();
        for (number, path) in found.iter().enumerate() {
            if is_root(number) {
                is_reached.push(true);
                continue;
            }
            let is_above_opened = is_root(path.parent) || found.get(path.parent).is_some_and(Path::is_opened);
            let reached = is_above_opened && is_reached.get(path.parent).copied().unwrap_or_default();
            is_reached.push(reached);
            if reached && !path.is_opened() {
                candidates.push(number);
            }
        }
        candidates.sort_by_key(|&number| (std::cmp::Reverse(found.get(number).map_or(0, |path| path.values)), number));
        let known = candidates.len().saturating_sub(columns_max) as u64;
        candidates.truncate(columns_max);
        candidates.sort_unstable();
        let omitted = Omitted { known, has_others: discovery.is_incomplete() };
        let mut columns = Self { list: Vec::new(), paths: vec![ColumnPath::default()], omitted };
        let mut places = HashMap::from([(ROOT, ROOT)]);
        for number in candidates {
            let Some(path) = found.get(number) else { continue };
            let place = columns.place(found, number, &mut places);
            if let Some(place) = columns.paths.get_mut(place) {
                place.column = Some(columns.list.len());
                columns.list.push(Column::of(name_of(found, number), path));
            }
        }
        columns
    }

    pub(crate) fn list(&self) -> &[Column] {
        &self.list
    }

    pub(crate) fn omitted(&self) -> Omitted {
        self.omitted
    }

    /// Begins to take values out of payloads.
    pub(crate) fn into_cells(self) -> Cells {
        Cells { columns: self, row: 0 }
    }

    /// The place of a path, which is added with those above it if it is new. `places` has that of each path so far.
    fn place(
        &mut self,
        found: &[Path],
        number: PathNumber,
        places: &mut HashMap<PathNumber, PathNumber>,
    ) -> PathNumber {
        let mut missing = Vec::new();
        let mut above = number;
        let mut place = loop {
            match (places.get(&above), found.get(above)) {
                (Some(&place), _) => break place,
                (None, Some(path)) => {
                    missing.push((above, &path.name));
                    above = path.parent;
                }
                (None, None) => break ROOT,
            }
        };
        for (number, name) in missing.into_iter().rev() {
            let new = self.paths.len();
            if let Some(above) = self.paths.get_mut(place) {
                above.members.insert(name.clone(), new);
            }
            self.paths.push(ColumnPath::default());
            places.insert(number, new);
            place = new;
        }
        place
    }
}

impl Column {
    fn of(name: String, path: &Path) -> Self {
        let kinds = path.kinds;
        let column_type = if kinds.is_empty() || kinds.are_among(&[Kind::String]) {
            ColumnType::Text
        } else if kinds.are_among(&[Kind::Integer]) {
            ColumnType::Integer
        } else if kinds.are_among(&[Kind::Integer, Kind::Float]) {
            ColumnType::Float
        } else if kinds.are_among(&[Kind::Boolean]) {
            ColumnType::Boolean
        } else {
            ColumnType::Json
        };
        let is_rounded = column_type == ColumnType::Float && path.has_rounded;
        Self { name, column_type, kinds, is_rounded }
    }

    /// Whether its values are of several kinds, so that it has their JSON texts.
    pub(crate) fn is_mixed(&self) -> bool {
        self.column_type == ColumnType::Json && self.kinds.are_several()
    }
}

impl Cells {
    pub(crate) fn list(&self) -> &[Column] {
        self.columns.list()
    }

    /// The JSON texts of the values of a payload, one for each column: `None` where there is no value, or `null`. Of
    /// several members with one name, the last one counts.
    pub(crate) fn take<'p>(&mut self, payload: &'p str) -> Vec<Option<&'p str>> {
        let mut cells = vec![None; self.columns.list.len()];
        self.row += 1;
        walk(payload, &mut Collector { paths: &mut self.columns.paths, row: self.row, cells: &mut cells });
        cells
    }
}

impl Collector<'_, '_> {
    /// Removes the values at a path and below it. Looks only at what was met there, so that a member that comes again
    /// and again costs no more than the text between.
    fn clear(&mut self, path: PathNumber) {
        let mut cleared = vec![path];
        while let Some(path) = cleared.pop().and_then(|path| self.paths.get_mut(path)) {
            if let Some(cell) = path.column.and_then(|column| self.cells.get_mut(column)) {
                *cell = None;
            }
            path.row = 0;
            cleared.append(&mut path.met);
        }
    }
}

impl<'p> Visitor<'p> for Collector<'_, 'p> {
    fn member(&mut self, parent: PathNumber, name: &str) -> Option<PathNumber> {
        let number = *self.paths.get(parent)?.members.get(name)?;
        if self.paths.get(number)?.row == self.row {
            self.clear(number);
        } else if parent != ROOT {
            // The payload itself does not come again.
            self.paths.get_mut(parent)?.met.push(number);
        }
        let path = self.paths.get_mut(number)?;
        path.row = self.row;
        path.met.clear();
        Some(number)
    }

    fn object(&mut self, path: PathNumber) -> Entry {
        let has_column = self.paths.get(path).is_some_and(|path| path.column.is_some());
        if has_column { Entry::Whole } else { Entry::Members }
    }

    fn value(&mut self, path: PathNumber, text: &'p str) {
        let column = self.paths.get(path).and_then(|path| path.column);
        if let Some(cell) = column.and_then(|column| self.cells.get_mut(column)) {
            *cell = Some(text).filter(|&text| text != "null");
        }
    }
}

/// `payload.`, and a path as queries write it.
fn name_of(found: &[Path], number: PathNumber) -> String {
    let mut names = Vec::new();
    let mut above = number;
    while let Some(path) = found.get(above).filter(|_| !is_root(above)) {
        names.push(escaped(&path.name));
        above = path.parent;
    }
    names.push("payload".to_owned());
    names.reverse();
    names.join(".")
}

/// A name as a part of a path in a query: with a backslash before each dot, bracket and backslash.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '.' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests;
