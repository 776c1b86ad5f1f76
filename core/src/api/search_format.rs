//! The format of the events that a search finds.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::csv_columns::{CSV_ESSENCE, CSV_MEDIA_TYPE, CsvColumns};
use super::fields::preferred;
use super::format::Format;
use super::params::invalid;
use super::problem_reply::ProblemReply;
use super::{ProblemKind, RequestHead};
use crate::event::Event;

/// The format of the events that a search finds.
#[derive(Debug)]
pub(super) enum SearchFormat {
    /// JSON, as in requests.
    Json(Format),
    /// Comma-separated values.
    Csv(Box<CsvColumns>),
}

impl SearchFormat {
    /// The format that the client prefers (RFC 9110, section 12.5.1); among several, the first of [`Format::ALL`], and
    /// comma-separated values last. `fields` is the parameter of this name.
    pub(super) fn negotiate(head: &RequestHead<'_>, fields: Option<&str>) -> Result<Self, ProblemReply> {
        let offered = Format::ALL.into_iter().map(Format::media_type).chain([CSV_ESSENCE]);
        let best = preferred(head, offered).ok_or_else(|| {
            let detail = format!("events come as {}, {CSV_ESSENCE}", Format::media_types());
            ProblemReply::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept")
        })?;
        match (Format::ALL.get(best), fields) {
            (Some(_), Some(_)) => Err(invalid(format!(
                "fields: chooses the columns of comma-separated values; ask for them with 'accept: {CSV_ESSENCE}'"
            ))),
            (Some(format), None) => Ok(Self::Json(*format)),
            (None, fields) => Ok(Self::Csv(Box::new(CsvColumns::parse(fields)?))),
        }
    }

    pub(super) fn media_type(&self) -> &'static str {
        match self {
            Self::Json(format) => format.media_type(),
            Self::Csv(_) => CSV_MEDIA_TYPE,
        }
    }

    /// Appends what comes before the first event.
    pub(super) fn open(&self, out: &mut Vec<u8>) {
        match self {
            Self::Json(format) => out.extend_from_slice(format.opening()),
            Self::Csv(columns) => columns.write_head(out),
        }
    }

    /// Appends an event. `has_previous`: whether another event precedes it.
    pub(super) fn write(&mut self, event: &Event<'_>, has_previous: bool, out: &mut Vec<u8>) {
        match self {
            Self::Json(format) => {
                out.extend_from_slice(format.before(has_previous));
                event.write_json(out);
                out.extend_from_slice(format.after());
            }
            Self::Csv(columns) => columns.write(event, out),
        }
    }

    /// Appends what comes after the last event.
    pub(super) fn close(&self, out: &mut Vec<u8>) {
        match self {
            Self::Json(format) => out.extend_from_slice(format.closing()),
            Self::Csv(_) => {}
        }
    }
}
