//! Splits a body into its events.

use alloc::format;

use super::collector::{Collector, Last};
use super::{Framing, Handling, IngestError, ParseOptions, Parsed};
use crate::json::{Scanner, SyntaxError};
use crate::room::Room;

pub(super) fn parse(body: &[u8], options: &ParseOptions, room: Room<'_>) -> Result<Parsed, IngestError> {
    match options.framing {
        Framing::Document => parse_document(body, options, room),
        Framing::Lines => parse_lines(body, options, room),
    }
}

fn parse_document(body: &[u8], options: &ParseOptions, room: Room<'_>) -> Result<Parsed, IngestError> {
    let mut scanner = Scanner::new(utf8(body).map_err(|error| syntax(error, 0, None))?);
    let many = scanner.peek() == Some(b'[');
    let mut collector = Collector::new(options, !many, body.len(), room);
    let read = if many {
        scanner.array(|scanner| collector.read(scanner, Last::No)).and_then(|()| scanner.end())
    } else {
        collector.read(&mut scanner, Last::Yes)
    };
    read.map_err(|error| syntax(error, 0, None))?;
    finish(collector, if many { options.handling } else { Handling::Strict })
}

fn parse_lines(body: &[u8], options: &ParseOptions, room: Room<'_>) -> Result<Parsed, IngestError> {
    let mut collector = Collector::new(options, false, body.len(), room);
    let mut start = 0;
    let mut number = 0_usize;
    while let Some(rest) = body.get(start..).filter(|rest| !rest.is_empty()) {
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        number += 1;
        let (line, _) = rest.split_at(len);
        match (parse_line(line, &mut collector), options.handling) {
            (Ok(()), _) => {}
            (Err(error), Handling::Strict) => return Err(syntax(error, start, Some(collector.index))),
            (Err(SyntaxError { reason, offset }), Handling::Lenient) => {
                collector.reject(|| {
                    format!(
                        "line {number} is not JSON: {reason} at its byte {offset}, byte {} of the body",
                        start + offset
                    )
                });
            }
        }
        start += len + 1;
    }
    finish(collector, options.handling)
}

fn parse_line(line: &[u8], collector: &mut Collector<'_, '_>) -> Result<(), SyntaxError> {
    let mut scanner = Scanner::new(utf8(line)?);
    if scanner.peek().is_none() {
        return Ok(());
    }
    collector.read(&mut scanner, Last::Yes)
}

fn finish(collector: Collector<'_, '_>, handling: Handling) -> Result<Parsed, IngestError> {
    if handling == Handling::Strict && collector.fault_count > 0 {
        return Err(IngestError::Faults { count: collector.fault_count, listed: collector.listed });
    }
    collector.finish()
}

fn utf8(bytes: &[u8]) -> Result<&str, SyntaxError> {
    core::str::from_utf8(bytes)
        .map_err(|error| SyntaxError { reason: "bytes that are not UTF-8", offset: error.valid_up_to() })
}

fn syntax(error: SyntaxError, start: usize, index: Option<usize>) -> IngestError {
    IngestError::Syntax { reason: error.reason, offset: start + error.offset, index }
}

#[cfg(test)]
mod tests;
