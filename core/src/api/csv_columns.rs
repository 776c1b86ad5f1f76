//! Events as comma-separated values (RFC 4180).

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::params::{invalid, parse_path};
use super::problem_reply::ProblemReply;
use super::text::Excerpt;
use crate::csv;
use crate::event::Event;
use crate::json::{Paths, value_at, write_u64};

/// The media type, with its character encoding and the presence of a header line (RFC 7111).
pub(super) const CSV_MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";
/// The media type in `Accept`.
pub(super) const CSV_ESSENCE: &str = "text/csv";

/// The columns if none are asked for.
const DEFAULT_FIELDS: &str = "id,seq,timestamp,event_type,payload";

/// Most columns.
const COLUMNS_MAX: usize = 256;

/// The columns of events. Keeps its buffers from one event to the next.
#[derive(Debug)]
pub(super) struct CsvColumns {
    names: Vec<String>,
    columns: Vec<Column>,
    paths: Paths,
    /// The places of the values in the last payload, by the number of the path.
    places: Vec<Vec<(usize, usize)>>,
    cell: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Column {
    Id,
    Seq,
    Timestamp,
    EventType,
    Payload,
    /// The values at the path with this number.
    At(usize),
}

impl CsvColumns {
    /// Parses the parameter `fields`: names between commas. A comma in a name has a backslash before it.
    pub(super) fn parse(fields: Option<&str>) -> Result<Self, ProblemReply> {
        let (names, columns) = (Vec::new(), Vec::new());
        let mut parsed = Self { names, columns, paths: Paths::default(), places: Vec::new(), cell: Vec::new() };
        for name in split(fields.unwrap_or(DEFAULT_FIELDS)) {
            let column = match name.as_str() {
                "id" => Column::Id,
                "seq" => Column::Seq,
                "timestamp" => Column::Timestamp,
                "event_type" => Column::EventType,
                "payload" => Column::Payload,
                other => match other.strip_prefix("payload.") {
                    Some(path) => Column::At(parsed.paths.add(parse_path("fields", path)?.names())),
                    None => {
                        let known = "id, seq, timestamp, event_type, payload or payload.<path>";
                        return Err(invalid(format!("fields: {} is none of {known}", Excerpt(other))));
                    }
                },
            };
            if parsed.names.contains(&name) {
                return Err(invalid(format!("fields: {} is given more than once", Excerpt(&name))));
            }
            if parsed.names.len() == COLUMNS_MAX {
                return Err(invalid(format!("fields: more than {COLUMNS_MAX} columns")));
            }
            parsed.names.push(name);
            parsed.columns.push(column);
        }
        parsed.places = alloc::vec![Vec::new(); parsed.columns.len()];
        Ok(parsed)
    }

    /// Appends the line with the names of the columns.
    pub(super) fn write_head(&self, out: &mut Vec<u8>) {
        csv::write_row(self.names.iter().map(String::as_str), out);
    }

    /// Appends the line of an event.
    pub(super) fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let payload = event.payload.as_str();
        let Self { columns, paths, places, cell, .. } = self;
        places.iter_mut().for_each(Vec::clear);
        paths.walk_places(payload, |path, _, start| {
            if let Some(places) = places.get_mut(path)
                // The elements of an array are part of its text.
                && places.last().is_none_or(|(_, end)| *end <= start)
            {
                places.push((start, start + value_at(payload, start).len()));
            }
            ControlFlow::Continue(())
        });
        for (at, column) in columns.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            match column {
                Column::Id => csv::write_text(&event.id.to_string(), out),
                Column::Seq => write_u64(event.seq, out),
                Column::Timestamp => event.timestamp.write(out),
                Column::EventType => csv::write_text(event.event_type.as_str(), out),
                Column::Payload => csv::write_json(payload, out),
                Column::At(path) => {
                    let places = places.get(*path).map_or(&[][..], Vec::as_slice);
                    write_values(payload, places, cell, out);
                }
            }
        }
        out.extend_from_slice(csv::LINE_END);
    }
}

/// Appends the values at these places as one cell: nothing without a value, and a JSON array of several.
fn write_values(payload: &str, places: &[(usize, usize)], cell: &mut Vec<u8>, out: &mut Vec<u8>) {
    let text = |&(start, end): &(usize, usize)| payload.get(start..end).unwrap_or_default();
    match places {
        [] => {}
        [one] => csv::write_json(text(one), out),
        several => {
            cell.clear();
            for (at, place) in several.iter().enumerate() {
                cell.push(if at > 0 { b',' } else { b'[' });
                cell.extend_from_slice(text(place).as_bytes());
            }
            cell.push(b']');
            csv::write_json(core::str::from_utf8(cell).expect("values of a payload are UTF-8"), out);
        }
    }
}

/// Splits at commas without a backslash before them.
fn split(fields: &str) -> Vec<String> {
    let mut names = Vec::from([String::new()]);
    let mut characters = fields.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' {
            names.push(String::new());
            continue;
        }
        let Some(name) = names.last_mut() else { continue };
        match (character, characters.peek()) {
            ('\\', Some(',')) => name.extend(characters.next()),
            ('\\', Some('\\')) => {
                name.push('\\');
                name.extend(characters.next());
            }
            (_, _) => name.push(character),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::event::{ClientId, EventId, EventType, Payload, Timestamp};

    fn line(fields: &str, payload: &str) -> String {
        let mut out = Vec::new();
        let event = Event {
            id: EventId::Given(ClientId::parse("a,b").unwrap()),
            seq: 7,
            event_type: EventType::parse("x").unwrap(),
            timestamp: Timestamp::from_nanos(1_500_000_000),
            payload: Payload::parse(payload).unwrap(),
            stored_at: Timestamp::from_nanos(1_600_000_000),
        };
        CsvColumns::parse(Some(fields).filter(|fields| !fields.is_empty())).unwrap().write(&event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_cells_that_are_asked_for() {
        let payload = r#"{"a":{"b":[1,"x"]},"c":[{"d":1},{"d":[2]},{}],"e":null,"f":"a\"b","g":""}"#;
        for (fields, expected) in [
            ("id,seq,event_type", "\"a,b\",7,x\r\n"),
            ("timestamp", "1970-01-01T00:00:01.500Z\r\n"),
            ("payload.a.b", "\"[1,\"\"x\"\"]\"\r\n"),
            ("payload.c.d", "\"[1,[2]]\"\r\n"),
            ("payload.e,payload.x,payload.g", ",,\"\"\r\n"),
            ("payload.f,payload.a", "\"a\"\"b\",\"{\"\"b\"\":[1,\"\"x\"\"]}\"\r\n"),
        ] {
            assert_eq!(line(fields, payload), expected, "{fields}");
        }
        assert_eq!(line("", "true"), "\"a,b\",7,1970-01-01T00:00:01.500Z,x,true\r\n");
        assert_eq!(line(r"payload.a\,b", r#"{"a,b":1}"#), "1\r\n");
    }

    #[test]
    fn other_columns_are_refused() {
        for (fields, reason) in [
            ("", "'' is none of"),
            ("id,", "'' is none of"),
            ("type", "'type' is none of"),
            ("id,seq,id", "'id' is given more than once"),
            (r"payload.\x", "must be followed by"),
        ] {
            let error = CsvColumns::parse(Some(fields)).unwrap_err().problem.detail;
            assert!(error.starts_with("fields: ") || error.contains("fields"), "{error}");
            assert!(error.contains(reason), "{fields}: {error}");
        }
    }
}
