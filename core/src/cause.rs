//! Causes of failed operations, with one text for operators and one for callers.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::damage::Damage;

/// Why an operation failed: the operation, the place, and the error that stopped it.
///
/// There are two texts. [`Display`](fmt::Display) writes the text for operators, which names the exact place.
/// [`public_text`](Self::public_text) is for callers and names no place. Code uses the [`source`](Error::source) or the
/// [`damage`](Self::damage) and never parses a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The operations that were running, outermost first.
    during: Vec<&'static str>,
    /// Shared, because each of many waiting callers gets a copy of the error.
    reason: Arc<Reason>,
}

/// The names of a place: one for operators, one for callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPlace {
    /// For operators: the path, address or name.
    exact: String,
    /// For callers: the kind of place.
    general: &'static str,
}

#[derive(Clone, Debug)]
enum Reason {
    /// A message of our own.
    Message { place: Option<NamedPlace>, text: Cow<'static, str> },
    /// A call that returned an error.
    Call { operation: &'static str, place: NamedPlace, source: Arc<dyn Error + Send + Sync> },
    /// Stored data is damaged.
    Damage(Box<Damage>),
}

/// The readers of a text.
#[derive(Clone, Copy)]
enum Audience {
    Operator,
    Caller,
}

impl Cause {
    /// An operation on a place failed: "cannot `operation` `place`: `source`". Callers see the text of `source`, so it
    /// must not name the place.
    pub fn call(operation: &'static str, place: NamedPlace, source: impl Error + Send + Sync + 'static) -> Self {
        Self::of(Reason::Call { operation, place, source: Arc::new(source) })
    }

    /// Something is wrong at a place.
    pub fn at(place: NamedPlace, text: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Reason::Message { place: Some(place), text: text.into() })
    }

    fn of(reason: Reason) -> Self {
        Self { during: Vec::new(), reason: Arc::new(reason) }
    }

    /// The same cause, within an outer operation.
    #[must_use]
    pub fn during(mut self, what: &'static str) -> Self {
        self.during.insert(0, what);
        self
    }

    /// The text for callers, which names no place.
    #[must_use]
    pub fn public_text(&self) -> String {
        Text { cause: self, audience: Audience::Caller }.to_string()
    }

    /// The damage, if damage is the cause.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        match &*self.reason {
            Reason::Damage(damage) => Some(damage),
            Reason::Message { .. } | Reason::Call { .. } => None,
        }
    }
}

impl NamedPlace {
    /// A place by its exact name, for operators, and by its kind, for callers.
    pub fn new(exact: impl Into<String>, general: &'static str) -> Self {
        Self { exact: exact.into(), general }
    }

    fn name(&self, audience: Audience) -> &str {
        match audience {
            Audience::Operator => &self.exact,
            Audience::Caller => self.general,
        }
    }
}

/// Displays a cause for one audience.
struct Text<'a> {
    cause: &'a Cause,
    audience: Audience,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause: Cause { during, reason }, audience } = *self;
        during.iter().try_for_each(|what| write!(f, "{what}: "))?;
        match (&**reason, audience) {
            (Reason::Message { place: None, text }, _) => f.write_str(text),
            (Reason::Message { place: Some(place), text }, _) => write!(f, "{}: {text}", place.name(audience)),
            (Reason::Call { operation, place, source }, _) => {
                write!(f, "cannot {operation} {}: {source}", place.name(audience))
            }
            (Reason::Damage(damage), Audience::Operator) => damage.fmt(f),
            (Reason::Damage(damage), Audience::Caller) => {
                let Damage { reason, affected, .. } = &**damage;
                write!(f, "part of what is stored is damaged: {reason}; {affected}")
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text { cause: self, audience: Audience::Operator }.fmt(f)
    }
}

impl Error for Cause {
    /// The error of the call that failed, or the [`Damage`].
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.reason {
            Reason::Message { .. } => None,
            Reason::Call { source, .. } => Some(&**source),
            Reason::Damage(damage) => Some(&**damage),
        }
    }
}

/// Errors of calls are equal if their texts are.
impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message { place, text }, Self::Message { place: other_place, text: other_text }) => {
                place == other_place && text == other_text
            }
            (
                Self::Call { operation, place, source },
                Self::Call { operation: other_operation, place: other_place, source: other_source },
            ) => operation == other_operation && place == other_place && source.to_string() == other_source.to_string(),
            (Self::Damage(damage), Self::Damage(other)) => damage == other,
            (Self::Message { .. } | Self::Call { .. } | Self::Damage(_), _) => false,
        }
    }
}

impl Eq for Reason {}

/// Callers see the text too, so it must not name a place.
impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::of(Reason::Message { place: None, text: text.into() })
    }
}

/// Callers see the text too, so it must not name a place.
impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<Damage> for Cause {
    fn from(damage: Damage) -> Self {
        Self::of(Reason::Damage(Box::new(damage)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::damage::Affected;

    #[derive(Debug, PartialEq, Eq, thiserror::Error)]
    #[error("EIO")]
    struct Eio(u8);

    fn sync(path: &str) -> Cause {
        Cause::call("sync", NamedPlace::new(path, "one of its files"), Eio(5)).during("sync of the log")
    }

    #[test]
    fn both_texts_say_the_same_except_for_the_place() {
        let cause = sync("/data/log/7");
        assert_eq!(cause.to_string(), "sync of the log: cannot sync /data/log/7: EIO");
        assert_eq!(cause.public_text(), "sync of the log: cannot sync one of its files: EIO");

        let cause =
            Cause::at(NamedPlace::new("/data/x", "one of its files"), "it is empty").during("read").during("start");
        assert_eq!(cause.to_string(), "start: read: /data/x: it is empty");
        assert_eq!(cause.public_text(), "start: read: one of its files: it is empty");

        let (place, reason) = ("segment-1".to_string(), "its checksum is wrong".to_string());
        let damage = Damage { place, offset: Some(7), reason, affected: Affected::all(3, 5) };
        let cause = Cause::from(damage).during("look-up of ids");
        assert_eq!(
            cause.to_string(),
            "look-up of ids: segment-1 at offset 7: its checksum is wrong; events 3 to 5 are affected"
        );
        assert_eq!(
            cause.public_text(),
            "look-up of ids: part of what is stored is damaged: its checksum is wrong; events 3 to 5 are affected"
        );
    }

    #[test]
    fn the_source_is_the_error_of_the_call_or_the_damage() {
        let cause = sync("/data/log/7");
        assert_eq!(cause.source().unwrap().downcast_ref(), Some(&Eio(5)));
        assert_eq!(cause.damage(), None);

        let damage = Damage::of("segment-1", "it is missing");
        let cause = Cause::from(damage.clone());
        assert_eq!(cause.source().unwrap().downcast_ref(), Some(&damage));
        assert_eq!(cause.damage(), Some(&damage));

        assert!(Cause::from("a message").source().is_none());
    }

    #[test]
    fn causes_with_equal_texts_about_the_same_place_are_equal() {
        assert_eq!(sync("/data/log/7"), sync("/data/log/7"));
        assert_ne!(sync("/data/log/7"), sync("/data/log/8"));
        assert_ne!(sync("/data/log/7"), sync("/data/log/7").during("a flush"));
        assert_ne!(sync("/data/log/7"), sync("/data/log/7").to_string().into());
    }
}
