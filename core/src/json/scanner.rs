//! The JSON scanner: validates a text and yields its tokens.

use core::mem::take;

use thiserror::Error;

use super::containers::{Container, OpenContainers};
use super::span::{LONG_NUMBER_DIGITS, Span};
use super::string::{RawString, ordinary_len};

/// Reads a JSON text once from start to end, and accepts exactly the grammar of RFC 8259.
///
/// The caller asks for what it expects next. Each call skips the white space before it.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    first_white_space: Option<usize>,
    has_long_number: bool,
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

impl<'a> Scanner<'a> {
    /// A scanner at the start of `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0, first_white_space: None, has_long_number: false }
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
        match self.byte() {
            // Nearly always. No white space is above the space.
            Some(byte) if byte > b' ' => Some(byte),
            Some(_) | None => {
                self.skip_white_space();
                self.byte()
            }
        }
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

    /// Reads an object like [`object`](Self::object), with its values. Calls `member` with each name and value.
    ///
    /// # Errors
    ///
    /// Those of `object`.
    pub fn members(&mut self, mut member: impl FnMut(RawString<'a>, Span<'a>)) -> Result<Span<'a>, SyntaxError> {
        self.span(|scanner| {
            let mut depth = 1;
            scanner.object(|name, scanner| {
                let value = scanner.value()?;
                depth = depth.max(value.depth() + 1);
                member(name, value);
                Ok(())
            })?;
            Ok(depth)
        })
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

    /// Calls `read`, and returns what it read as one span. `read` returns its depth.
    fn span(&mut self, read: impl FnOnce(&mut Self) -> Result<usize, SyntaxError>) -> Result<Span<'a>, SyntaxError> {
        self.skip_white_space();
        let start = self.at;
        let outer_white_space = self.first_white_space.take();
        let outer_long_number = take(&mut self.has_long_number);
        let depth = read(self)?;
        let has_white_space = self.first_white_space.is_some();
        let span = Span::new(self.slice(start, self.at), depth, has_white_space, self.has_long_number);
        self.first_white_space = outer_white_space.or(self.first_white_space);
        self.has_long_number |= outer_long_number;
        Ok(span)
    }

    /// Reads a value, and returns its depth.
    fn skip_value(&mut self) -> Result<usize, SyntaxError> {
        let mut open = OpenContainers::default();
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    depth = depth.max(open.len() + 1);
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
                    depth = depth.max(open.len() + 1);
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
                Some(b'-' | b'0'..=b'9') => {
                    let start = self.at;
                    self.number()?;
                    if self.at - start > LONG_NUMBER_DIGITS {
                        self.note_number(start);
                    }
                }
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
                let Some(kind) = open.last() else {
                    return Ok(depth);
                };
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

    /// Remembers that the number from `start` on is long, if it is.
    #[cold]
    fn note_number(&mut self, start: usize) {
        let digits = self.slice(start, self.at).bytes().filter(u8::is_ascii_digit).count();
        self.has_long_number |= digits > LONG_NUMBER_DIGITS;
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

#[cfg(test)]
mod tests;
