//! Splits a body into its events.

use alloc::format;

use super::collector::{Collector, Last};
use super::{Framing, Handling, IngestError, Line, ParseOptions, Parsed};
use crate::batch::BatchFull;
use crate::event::Timestamp;
use crate::json::{Scanner, SyntaxError};
use crate::room::Room;

/// The character U+FEFF in UTF-8. Some programs write it at the start of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn parse(
    body: &[u8],
    options: &ParseOptions,
    arrival: Timestamp,
    room: Room<'_>,
) -> Result<Parsed, IngestError> {
    if u32::try_from(body.len()).is_err() {
        return Err(BatchFull.into());
    }
    let start = if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let texts = body.get(start..).unwrap_or_default();
    match options.framing {
        Framing::Document => parse_document(texts, start, options, arrival, room),
        Framing::Lines => parse_lines(body, start, options, arrival, room),
    }
}

/// `start` is the offset of the document in the body.
fn parse_document(
    document: &[u8],
    start: usize,
    options: &ParseOptions,
    arrival: Timestamp,
    room: Room<'_>,
) -> Result<Parsed, IngestError> {
    let syntax = |error| syntax(error, start, None);
    let mut scanner = Scanner::new(utf8(document).map_err(syntax)?);
    let is_list = scanner.peek() == Some(b'[');
    let mut collector = Collector::new(options, is_list, document.len(), arrival, room);
    let read = if is_list {
        scanner.array(|scanner| collector.read(scanner, Last::No)).and_then(|()| scanner.end())
    } else {
        collector.read(&mut scanner, Last::Yes)
    };
    read.map_err(syntax)?;
    finish(collector, options)
}

/// `start` is the offset of the first line in the body.
fn parse_lines(
    body: &[u8],
    mut start: usize,
    options: &ParseOptions,
    arrival: Timestamp,
    room: Room<'_>,
) -> Result<Parsed, IngestError> {
    let mut collector = Collector::new(options, true, body.len(), arrival, room);
    let mut number = 0_u32;
    while let Some(rest) = body.get(start..).filter(|rest| !rest.is_empty()) {
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        number += 1;
        collector.place.line = Some(number);
        let (line, _) = rest.split_at(len);
        match (parse_line(line, &mut collector), options.handling) {
            (Ok(()), _) => {}
            (Err(error), Handling::Strict) => {
                return Err(syntax(
                    error,
                    start,
                    Some(Line { index: collector.place.text as usize, number: number as usize }),
                ));
            }
            (Err(SyntaxError { reason, offset }), Handling::Lenient) => {
                collector.reject_line(|| format!("the line is not JSON: {reason} at its byte {offset}"));
            }
        }
        start += len + 1;
    }
    finish(collector, options)
}

fn parse_line(line: &[u8], collector: &mut Collector<'_, '_>) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(utf8(line)?);
    if scanner.peek().is_none() {
        return Ok(());
    }
    collector.read(&mut scanner, Last::Yes)
}

fn finish(collector: Collector<'_, '_>, options: &ParseOptions) -> Result<Parsed, IngestError> {
    let is_strict = collector.is_single || options.handling == Handling::Strict;
    if is_strict && collector.fault_count > 0 {
        return Err(IngestError::Faults { count: collector.fault_count, listed: collector.listed });
    }
    collector.finish()
}

fn utf8(bytes: &[u8]) -> Result<&str, SyntaxError> {
    core::str::from_utf8(bytes)
        .map_err(|error| SyntaxError { reason: "bytes that are not UTF-8", offset: error.valid_up_to() })
}

fn syntax(error: SyntaxError, start: usize, line: Option<Line>) -> IngestError {
    IngestError::Syntax { reason: error.reason, offset: start + error.offset, line }
}

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod tests;
