//! The body of a request: with a length, or chunked (RFC 9112, section 7.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_core::api::Refusal;

use crate::budget::{Budget, Pace, Share};
use crate::head::Framing;
use crate::stream::{Received, Stream};

/// The longest line with a chunk's size or a trailer field.
const LINE_BYTES_MAX: usize = 4096;
/// The longest trailer section.
const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// How often a waiting body checks whether others need its memory.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A body and its share of the budget.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    share: Share,
    pace: Pace,
}

impl Body {
    /// Reads a whole body. After a refusal the connection cannot be reused: the end of the body is unknown. `arrived` is
    /// set to the bytes that have arrived.
    pub(crate) fn read(
        stream: &mut Stream,
        framing: Framing,
        bytes_max: usize,
        budget: &Arc<Budget>,
        pace: Pace,
        arrived: &mut u64,
    ) -> Result<Self, Refusal> {
        let mut body = Self { bytes: Vec::new(), share: budget.share(pace), pace };
        let read = match framing {
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) => body.append(stream, length, bytes_max),
                Err(_) => Err(Refusal::BodyTooLarge),
            },
            Framing::Chunked => body.append_chunks(stream, bytes_max),
        };
        *arrived = body.bytes.len() as u64;
        read?;
        body.share.keep();
        Ok(body)
    }

    fn append_chunks(&mut self, stream: &mut Stream, bytes_max: usize) -> Result<(), Refusal> {
        loop {
            let size = parse_size(&self.read_line(stream)?)?;
            if size == 0 {
                break;
            }
            self.append(stream, size, bytes_max)?;
            if !self.read_line(stream)?.is_empty() {
                return Err(Refusal::BodyBroken);
            }
        }
        let mut trailer_bytes = 0;
        loop {
            let line = self.read_line(stream)?;
            if line.is_empty() {
                return Ok(());
            }
            trailer_bytes += line.len();
            if trailer_bytes > TRAILER_BYTES_MAX {
                return Err(Refusal::BodyBroken);
            }
        }
    }

    fn append(&mut self, stream: &mut Stream, count: usize, bytes_max: usize) -> Result<(), Refusal> {
        let end = self.bytes.len().checked_add(count).filter(|end| *end <= bytes_max).ok_or(Refusal::BodyTooLarge)?;
        while self.bytes.len() < end {
            if stream.unread().is_empty() {
                self.receive(stream)?;
            }
            let taken = stream.unread().len().min(end - self.bytes.len());
            self.share.grow(taken, self.pace)?;
            self.bytes.extend(stream.take(taken));
        }
        Ok(())
    }

    /// Reads a line; returns it without CR LF.
    fn read_line(&mut self, stream: &mut Stream) -> Result<Vec<u8>, Refusal> {
        loop {
            let end = stream.unread().iter().position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    let mut line: Vec<u8> = stream.take(end + 1).collect();
                    line.pop();
                    let ended = line.pop() == Some(b'\r') && !line.contains(&b'\r');
                    return if ended { Ok(line) } else { Err(Refusal::BodyBroken) };
                }
                None if stream.unread().len() > LINE_BYTES_MAX => return Err(Refusal::BodyBroken),
                None => self.receive(stream)?,
            }
        }
    }

    /// Waits for more bytes, while the body keeps its pace and nobody else needs its memory.
    fn receive(&mut self, stream: &mut Stream) -> Result<(), Refusal> {
        loop {
            let before = stream.unread().len();
            let deadline = self.pace.deadline();
            match stream.receive(deadline.min(Instant::now() + LOOK_INTERVAL)) {
                Ok(Received::Bytes) => {
                    self.pace.advance(stream.unread().len() - before);
                    return Ok(());
                }
                Ok(Received::TimedOut) if Instant::now() >= deadline => return Err(Refusal::BodyTimeout),
                Ok(Received::TimedOut) if self.share.is_reclaimed() => return Err(Refusal::Overloaded),
                Ok(Received::TimedOut) => {}
                Ok(Received::End) | Err(_) => return Err(Refusal::BodyBroken),
            }
        }
    }
}

/// `1*HEXDIG [ chunk-ext ]`
fn parse_size(line: &[u8]) -> Result<usize, Refusal> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Refusal::BodyBroken);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Refusal::BodyBroken)?;
    usize::from_str_radix(text, 16).map_err(|_| Refusal::BodyBroken)
}
