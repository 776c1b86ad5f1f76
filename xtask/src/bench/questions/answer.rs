//! Answers as rows that can be compared, whoever gave them.

use std::{cmp::Ordering, time::UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::super::report::as_f64;

/// The length of the lists of events.
pub(super) const LIMIT: usize = 100;

/// What an answer of the subject looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A list of events in this order of time: time and session.
    Events(Direction),
    /// Columns and rows.
    Table,
    /// A funnel: type and count of each step.
    Steps,
    /// Types: name, count, first and last time.
    Types,
    /// Retention: time, size, and how many returned in each period.
    Cohorts,
    /// Fields: path, kind, and how many values.
    Fields,
}

/// The order of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    EarliestFirst,
    LatestFirst,
}

/// A value in a row. Times are numbers: milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(super) enum Cell {
    Null,
    Number(f64),
    Text(String),
}

/// An answer, in an order of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows(Vec<Vec<Cell>>);

impl Rows {
    /// The answer of the subject.
    ///
    /// # Errors
    ///
    /// It does not have this shape.
    pub(super) fn of_subject(shape: Shape, answer: &Value) -> Result<Self> {
        let rows: Vec<Vec<Cell>> = match shape {
            Shape::Events(_) => of_each(answer, |event| {
                let session = event.pointer("/payload/session").context("an event without a session")?;
                Ok(vec![time(member(event, "timestamp")?)?, cell(session)?])
            })?,
            Shape::Table => {
                let is_timed = answer.pointer("/columns/0").and_then(Value::as_str) == Some("time");
                of_each(member(answer, "rows")?, |row| {
                    let mut cells = of_each(row, cell)?;
                    if let Some(first) = cells.first_mut().filter(|_| is_timed) {
                        *first = time(row.get(0).context("an empty row")?)?;
                    }
                    Ok(cells)
                })?
            }
            Shape::Steps => of_each(member(answer, "steps")?, |step| {
                Ok(vec![cell(member(step, "type")?)?, cell(member(step, "count")?)?])
            })?,
            Shape::Types => of_each(answer, |entry| {
                let counted = [cell(member(entry, "type")?)?, cell(member(entry, "count")?)?];
                let times = [time(member(entry, "first")?)?, time(member(entry, "last")?)?];
                Ok(counted.into_iter().chain(times).collect())
            })?,
            Shape::Cohorts => of_each(member(answer, "cohorts")?, |cohort| {
                let first = [time(member(cohort, "time")?)?, cell(member(cohort, "size")?)?];
                Ok(first.into_iter().chain(of_each(member(cohort, "returned")?, cell)?).collect())
            })?,
            Shape::Fields => {
                let kinds = of_each(answer, |field| {
                    let path = cell(member(field, "path")?)?;
                    let kinds = member(field, "kinds")?.as_object().context("kinds that are no object")?;
                    kinds
                        .iter()
                        .map(|(kind, count)| Ok(vec![path.clone(), Cell::Text(kind.clone()), cell(count)?]))
                        .collect::<Result<Vec<_>>>()
                })?;
                kinds.into_iter().flatten().collect()
            }
        };
        Self::ordered(shape, rows)
    }

    /// The answer of a database: an array of rows, with the same columns and times as numbers.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub(super) fn of_rival(shape: Shape, answer: &Value) -> Result<Self> {
        // Of a list of events, time and session are compared.
        let columns = if matches!(shape, Shape::Events(_)) { 2 } else { usize::MAX };
        let rows = of_each(answer, |row| {
            let cells = row.as_array().with_context(|| format!("no row: {row}"))?;
            cells.iter().take(columns).map(cell).collect()
        })?;
        Self::ordered(shape, rows)
    }

    fn ordered(shape: Shape, mut rows: Vec<Vec<Cell>>) -> Result<Self> {
        if let Shape::Events(direction) = shape {
            let is_ordered = rows.is_sorted_by(|a, b| match direction {
                Direction::EarliestFirst => a.first() <= b.first(),
                Direction::LatestFirst => a.first() >= b.first(),
            });
            ensure!(is_ordered, "a list in another order of time than {direction:?}");
            // Of several events at the time at which the list is cut off, any may be in it.
            let cut = rows.get(LIMIT - 1).and_then(|row| row.first()).cloned();
            for row in rows.iter_mut().filter(|row| cut.is_some() && row.first() == cut.as_ref()) {
                row.truncate(1);
            }
        }
        // No cell is NaN, so all can be ordered.
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        Ok(Self(rows))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number in this column of the row that begins with this text.
    pub(super) fn number(&self, text: &str, column: usize) -> Option<f64> {
        let row = self.0.iter().find(|row| matches!(row.first(), Some(Cell::Text(first)) if first == text))?;
        match row.get(column)? {
            Cell::Number(number) => Some(*number),
            Cell::Null | Cell::Text(_) => None,
        }
    }

    /// Fails, with both rows, if an answer differs from the exact one.
    ///
    /// # Errors
    ///
    /// The numbers of rows or columns differ, or a cell by more than the relative tolerance of its column.
    pub(super) fn expect(&self, exact: &Self, tolerances: &[f64]) -> Result<()> {
        ensure!(self.0.len() == exact.0.len(), "{} rows instead of {}", self.0.len(), exact.0.len());
        for (found, expected) in self.0.iter().zip(&exact.0) {
            let tolerances = tolerances.iter().copied().chain(std::iter::repeat(0.0));
            let is_same = found.len() == expected.len()
                && found.iter().zip(expected).zip(tolerances).all(|((a, b), tolerance)| a.is_near(b, tolerance));
            ensure!(is_same, "{found:?} instead of {expected:?}");
        }
        Ok(())
    }
}

impl Cell {
    fn is_near(&self, expected: &Self, tolerance: f64) -> bool {
        match (self, expected) {
            (Self::Number(found), Self::Number(expected)) => (found - expected).abs() <= tolerance * expected.abs(),
            (Self::Null | Self::Number(_) | Self::Text(_), _) => self == expected,
        }
    }
}

fn of_each<T>(array: &Value, convert: impl Fn(&Value) -> Result<T>) -> Result<Vec<T>> {
    array.as_array().with_context(|| format!("no array: {array}"))?.iter().map(convert).collect()
}

fn member<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    value.get(name).with_context(|| format!("no member `{name}` in {value}"))
}

fn cell(value: &Value) -> Result<Cell> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Number(number) => Cell::Number(number.as_f64().context("a number beyond those of 64 bits")?),
        Value::String(text) => Cell::Text(text.clone()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => bail!("neither a number nor a text: {value}"),
    })
}

fn time(value: &Value) -> Result<Cell> {
    let text = value.as_str().with_context(|| format!("no time: {value}"))?;
    let time = humantime::parse_rfc3339(text).with_context(|| format!("no time: {text}"))?;
    let since = time.duration_since(UNIX_EPOCH).with_context(|| format!("before 1970: {text}"))?;
    Ok(Cell::Number(as_f64(u64::try_from(since.as_millis())?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(rows: &Value) -> Rows {
        Rows::of_rival(Shape::Table, rows).expect("rows")
    }

    #[test]
    fn rows_are_compared_in_any_order_and_within_the_tolerance_of_each_column() {
        let exact = table(&json!([["a", 100, 10.0], ["b", 200, 20.0]]));
        let near = table(&json!([["b", 200, 20.1], ["a", 100, 9.9]]));
        assert!(near.expect(&exact, &[0.0, 0.0, 0.011]).is_ok());
        assert!(near.expect(&exact, &[0.0, 0.0, 0.001]).is_err());
        assert!(near.expect(&exact, &[]).is_err(), "without a tolerance");
        for other in [json!([["a", 100, 10.0]]), json!([["a", 100, 10.0], ["b", 201, 20.0]]), json!([["a"], ["b"]])] {
            assert!(table(&other).expect(&exact, &[0.0, 0.0, 0.1]).is_err(), "{other}");
        }
        assert_eq!(exact.number("b", 1), Some(200.0));
    }

    #[test]
    fn answers_of_the_subject_have_the_rows_of_a_database() {
        let first_ms = 1_772_409_600_000_u64;
        let time = "2026-03-02T00:00:00Z";
        for (shape, subject, rival) in [
            (
                Shape::Events(Direction::EarliestFirst),
                json!([{"timestamp": "2026-03-02T00:00:00.001Z", "payload": {"session": "00ff"}}]),
                json!([[first_ms + 1, "00ff", "page.viewed"]]),
            ),
            (
                Shape::Table,
                json!({"columns": ["time", "payload.country", "count"], "rows": [[time, null, 3]]}),
                json!([[first_ms, null, 3]]),
            ),
            (Shape::Steps, json!({"steps": [{"type": "a", "count": 3, "conversion": 1}]}), json!([["a", 3]])),
            (
                Shape::Types,
                json!([{"type": "a", "count": 3, "first": time, "last": time}]),
                json!([["a", 3, first_ms, first_ms]]),
            ),
            (
                Shape::Cohorts,
                json!({"cohorts": [{"time": time, "size": 5, "returned": [2, 1]}]}),
                json!([[first_ms, 5, 2, 1]]),
            ),
            (
                Shape::Fields,
                json!([{"path": "a", "kinds": {"number": 1, "string": 2}}]),
                json!([["a", "string", 2], ["a", "number", 1]]),
            ),
        ] {
            let subject = Rows::of_subject(shape, &subject).expect("an answer of this shape");
            let rival = Rows::of_rival(shape, &rival).expect("rows");
            assert_eq!(subject, rival, "{shape:?}");
        }
    }

    #[test]
    fn a_list_must_be_in_order_and_may_be_cut_off_among_events_of_one_time() {
        let list = |sessions: &[(u64, &str)]| json!(sessions);
        let full = |last: &'static str| -> Vec<(u64, &str)> {
            (0..98).map(|time| (time, "x")).chain([(98, "y"), (98, last)]).collect()
        };
        let rows = |list: &Value| Rows::of_rival(Shape::Events(Direction::EarliestFirst), list);
        let [one, other] = [list(&full("a")), list(&full("b"))].map(|list| rows(&list).expect("a list in order"));
        assert!(one.expect(&other, &[]).is_ok());
        let [one, other] = [list(&[(1, "a")]), list(&[(1, "b")])].map(|list| rows(&list).expect("a list in order"));
        assert!(one.expect(&other, &[]).is_err());
        assert!(rows(&list(&[(1, "a"), (3, "b"), (2, "c")])).is_err());
        for (times, direction) in [([1, 2], Direction::EarliestFirst), ([2, 1], Direction::LatestFirst)] {
            for shown in [Direction::EarliestFirst, Direction::LatestFirst] {
                let rows = Rows::of_rival(Shape::Events(shown), &list(&times.map(|time| (time, "a"))));
                assert_eq!(rows.is_ok(), shown == direction, "{times:?} {shown:?}");
            }
        }
    }
}
