//! Patterns of event types.

use alloc::boxed::Box;

use thiserror::Error;

use crate::event::{EventType, EventTypeError, TypeTest};

/// Why a text is not a pattern of event types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A star that is not the last character, after a dot.
    #[error("'*' stands alone for all types, or at the end after a dot, as in web.*")]
    Star,
    /// It is no event type.
    #[error(transparent)]
    Type(#[from] EventTypeError),
}

/// Parses a pattern: an event type; `prefix.*` for all types that begin with `prefix.`; or `*` for all types.
///
/// ```
/// use argus_core::auth::{PatternError, parse_pattern};
///
/// assert!(parse_pattern("web.*")?.matches(b"web.click"));
/// assert!(!parse_pattern("web.*")?.matches(b"website"));
/// # Ok::<(), PatternError>(())
/// ```
///
/// # Errors
///
/// [`PatternError`].
pub fn parse_pattern(text: &str) -> Result<TypeTest, PatternError> {
    let (prefix, is_prefix) = match text.strip_suffix('*') {
        Some("") => return Ok(TypeTest::Prefix(Box::from(""))),
        Some(prefix) if prefix.ends_with('.') => (prefix, true),
        Some(_) => return Err(PatternError::Star),
        None => (text, false),
    };
    if prefix.contains('*') {
        return Err(PatternError::Star);
    }
    EventType::parse(prefix)?;
    Ok(if is_prefix { TypeTest::Prefix(prefix.into()) } else { TypeTest::Eq(prefix.into()) })
}

/// The text that [`parse_pattern`] parses to this test.
pub(super) fn write_pattern(test: &TypeTest, out: &mut impl core::fmt::Write) -> core::fmt::Result {
    match test {
        TypeTest::Eq(name) => out.write_str(name),
        TypeTest::Prefix(prefix) => write!(out, "{prefix}*"),
    }
}
