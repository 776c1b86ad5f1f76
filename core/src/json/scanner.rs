//! The JSON scanner: validates a text and yields its tokens.

use thiserror::Error;

use super::containers::{Container, OpenContainers};
use super::string::RawString;

/// Reads a JSON text once from start to end, and accepts exactly the grammar of RFC 8259.
///
/// The caller asks for what it expects next. Each call skips the white space before it.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    first_white_space: Option<usize>,
}

/// Where a text violates the grammar, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{reason} at byte {offset}")]
pub struct SyntaxError {
    /// What was found or is missing.
    pub reason: &'static str,
    /// Offset in bytes.
    pub offset: usize,
}

/// A valid value, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// The text of the value.
    pub raw: &'a str,
    /// Whether it contains insignificant white space.
    pub has_white_space: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, first_white_space: None }
    }

    /// How many bytes were read.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// The offset of the first insignificant white space so far.
    #[must_use]
    pub const fn first_white_space(&self) -> Option<usize> {
        self.first_white_space
    }

    /// The first byte of the next token, without reading it.
    pub fn peek(&mut self) -> Option<u8> {
        self.skip_white_space();
        self.byte()
    }

    /// Checks that only white space is left.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if there is anything else.
    pub fn end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("expected the end")),
        }
    }

    /// Reads one value of any kind.
    ///
    /// ```
    /// use argus_core::json::{Scanner, SyntaxError};
    ///
    /// let mut scanner = Scanner::new(r#"{"a":[1,2]}"#);
    /// scanner.value()?;
    /// scanner.end()?;
    /// assert!(Scanner::new("[1,").value().is_err());
    /// # Ok::<(), SyntaxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SyntaxError`]; the scanner must not be used any more.
    pub fn value(&mut self) -> Result<Span<'a>, SyntaxError> {
        self.span(Self::skip_value)
    }

    /// Calls `read`, and returns what it read as one span.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn span(&mut self, read: impl FnOnce(&mut Self) -> Result<(), SyntaxError>) -> Result<Span<'a>, SyntaxError> {
        self.skip_white_space();
        let start = self.at;
        let outer = self.first_white_space.take();
        read(self)?;
        let has_white_space = self.first_white_space.is_some();
        self.first_white_space = outer.or(self.first_white_space);
        Ok(Span { raw: self.slice(start, self.at), has_white_space })
    }

    /// Reads an object. Calls `member` with each name; `member` must read exactly one value.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`], also if the next value is not an object; the scanner must not be used any more.
    pub fn object(
        &mut self,
        mut member: impl FnMut(RawString<'a>, &mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        if self.peek() != Some(b'{') {
            return Err(self.error("expected '{'"));
        }
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            member(name, self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("expected ',' or '}'")),
            }
        }
    }

    /// Reads an array. Calls `element` before each element; `element` must read exactly one value.
    ///
    /// # Errors
    ///
    /// [`SyntaxError`], also if the next value is not an array; the scanner must not be used any more.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), SyntaxError>) -> Result<(), SyntaxError> {
        if self.peek() != Some(b'[') {
            return Err(self.error("expected '['"));
        }
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.error("expected ',' or ']'")),
            }
        }
    }

    /// Whether the whole `text` is a number token.
    pub(super) fn is_number(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.number().is_ok() && scanner.at == text.len()
    }

    fn skip_value(&mut self) -> Result<(), SyntaxError> {
        let mut open = OpenContainers::default();
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                    } else {
                        open.push(Container::Object);
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.peek() == Some(b']') {
                        self.at += 1;
                    } else {
                        open.push(Container::Array);
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(0xef) if self.rest().starts_with(b"\xef\xbb\xbf") => {
                    return Err(self.error("a byte order mark, which JSON does not allow,"));
                }
                Some(_) => return Err(self.error("expected a value")),
                None => return Err(self.error("expected a value, found the end")),
            }
            // A value has ended, and perhaps containers with it.
            loop {
                let Some(kind) = open.last() else { return Ok(()) };
                match (kind, self.peek()) {
                    (Container::Object, Some(b',')) => {
                        self.at += 1;
                        self.name()?;
                        break;
                    }
                    (Container::Array, Some(b',')) => {
                        self.at += 1;
                        break;
                    }
                    (Container::Object, Some(b'}')) | (Container::Array, Some(b']')) => {
                        self.at += 1;
                        open.pop();
                    }
                    (Container::Object, _) => return Err(self.error("expected ',' or '}'")),
                    (Container::Array, _) => return Err(self.error("expected ',' or ']'")),
                }
            }
        }
    }

    /// Reads the name of a member and the colon.
    fn name(&mut self) -> Result<RawString<'a>, SyntaxError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a member name"));
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.error("expected ':'"));
        }
        self.at += 1;
        Ok(name)
    }

    /// Reads a string from its opening quote.
    fn string(&mut self) -> Result<RawString<'a>, SyntaxError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += ordinary_len(self.rest());
            match self.byte() {
                Some(b'"') => {
                    let string = RawString::from_scanned(self.slice(start, self.at), escaped);
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("control character in a string")),
                None => return Err(self.error("a string without its closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                        return Err(self.error("expected four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.error("an escape that JSON does not have")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
            if self.byte().is_some_and(|digit| digit.is_ascii_digit()) {
                return Err(self.error("a number with a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while self.byte().is_some_and(|digit| digit.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), SyntaxError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_white_space(&mut self) {
        if let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.first_white_space = self.first_white_space.or(Some(self.at));
            while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
                self.at += 1;
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).expect("tokens begin and end with ASCII, so both ends are character boundaries")
    }

    fn error(&self, reason: &'static str) -> SyntaxError {
        SyntaxError { reason, offset: self.at }
    }
}

/// How many bytes precede the first quote, backslash or control character: bytes that need no escape in a string.
///
/// Tests eight bytes at a time: `(word - LOW) & !word & HIGH` marks zero bytes. A false mark can occur only above a
/// true one, so the lowest mark is always true (Henry S. Warren, "Hacker's Delight", section 6-1).
pub(crate) fn ordinary_len(bytes: &[u8]) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (LOW * 0x22);
        let backslash = word ^ (LOW * 0x5c);
        let marks = (word.wrapping_sub(LOW * 0x20) & !word)
            | (quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash);
        let marks = marks & HIGH;
        if marks != 0 {
            return bytes.len() - rest.len() + marks.trailing_zeros() as usize / 8;
        }
        rest = tail;
    }
    let plain = rest.iter().take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\').count();
    bytes.len() - rest.len() + plain
}

#[cfg(test)]
mod tests;
