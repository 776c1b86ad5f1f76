//! The body of a request: counted, or in chunks (RFC 9112, section 7.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use argus_core::api::Refusal;

use crate::head::Framing;
use crate::stream::{Received, Stream};

/// Longest line with a chunk's size or a trailer field.
const LINE_BYTES_MAX: usize = 4096;
/// Longest trailer section.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// The memory that all bodies may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    bytes: AtomicUsize,
}

/// A body's share of a [`Budget`], given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

/// A body and its share of the budget.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    share: Share,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicUsize::new(0) })
    }
}

impl Share {
    fn grow(&mut self, more: usize) -> Result<(), Refusal> {
        let within = |held: usize| held.checked_add(more).filter(|sum| *sum <= self.budget.bytes_max);
        let grown = self.budget.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        grown.map_err(|_| Refusal::Overloaded)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Body {
    /// Reads a whole body. After a refusal it is unknown where the next request begins.
    pub(crate) fn read(
        stream: &mut Stream,
        framing: Framing,
        bytes_max: usize,
        budget: &Arc<Budget>,
        deadline: Instant,
    ) -> Result<Self, Refusal> {
        let mut body = Self { bytes: Vec::new(), share: Share { budget: Arc::clone(budget), bytes: 0 } };
        match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| Refusal::BodyTooLarge)?;
                body.append(stream, length, bytes_max, deadline)?;
            }
            Framing::Chunked => body.append_chunks(stream, bytes_max, deadline)?,
        }
        Ok(body)
    }

    fn append_chunks(&mut self, stream: &mut Stream, bytes_max: usize, deadline: Instant) -> Result<(), Refusal> {
        loop {
            let size = parse_size(&read_line(stream, deadline)?)?;
            if size == 0 {
                break;
            }
            self.append(stream, size, bytes_max, deadline)?;
            if !read_line(stream, deadline)?.is_empty() {
                return Err(Refusal::BodyBroken);
            }
        }
        let mut trailer_bytes = 0;
        loop {
            let line = read_line(stream, deadline)?;
            if line.is_empty() {
                return Ok(());
            }
            trailer_bytes += line.len();
            if trailer_bytes > TRAILER_BYTES_MAX {
                return Err(Refusal::BodyBroken);
            }
        }
    }

    fn append(
        &mut self,
        stream: &mut Stream,
        count: usize,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let end = self.bytes.len().checked_add(count).filter(|end| *end <= bytes_max).ok_or(Refusal::BodyTooLarge)?;
        while self.bytes.len() < end {
            if stream.unread().is_empty() {
                receive(stream, deadline)?;
            }
            let taken = stream.unread().len().min(end - self.bytes.len());
            self.share.grow(taken)?;
            self.bytes.extend(stream.take(taken));
        }
        Ok(())
    }
}

/// A line that ends in CR LF, without them.
fn read_line(stream: &mut Stream, deadline: Instant) -> Result<Vec<u8>, Refusal> {
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
            None => receive(stream, deadline)?,
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

fn receive(stream: &mut Stream, deadline: Instant) -> Result<(), Refusal> {
    match stream.receive(deadline) {
        Ok(Received::Bytes) => Ok(()),
        Ok(Received::TimedOut) => Err(Refusal::BodyTimeout),
        Ok(Received::End) | Err(_) => Err(Refusal::BodyBroken),
    }
}
