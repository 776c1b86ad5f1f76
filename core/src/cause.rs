//! Why the storage did not do something, for operators and for callers.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;

use crate::damage::Damage;

/// Why the storage did not do something.
///
/// There are two texts. The one for operators, which [`Display`](fmt::Display) writes, says where it happened. The one
/// for callers, [`told`](Self::told), names no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    text: String,
    told: String,
    damage: Option<Box<Damage>>,
}

impl Cause {
    /// A cause with a text for operators, and one for callers that names no path, file or offset.
    pub fn new(text: impl Into<String>, told: impl Into<String>) -> Self {
        Self { text: text.into(), told: told.into(), damage: None }
    }

    /// The same cause, and what was being done when it was met.
    #[must_use]
    pub fn during(self, what: &str) -> Self {
        let Self { text, told, damage } = self;
        Self { text: format!("{what}: {text}"), told: format!("{what}: {told}"), damage }
    }

    /// The text for callers.
    #[must_use]
    pub fn told(&self) -> &str {
        &self.told
    }

    /// What is damaged, if that is the cause.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_deref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that names no place: callers are told the same as operators.
impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self { told: text.clone(), text, damage: None }
    }
}

/// A text that names no place: callers are told the same as operators.
impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        text.to_string().into()
    }
}

impl From<Damage> for Cause {
    fn from(damage: Damage) -> Self {
        let Damage { reason, concerned, .. } = &damage;
        let told = format!("part of what is stored is damaged: {reason}; {concerned}");
        Self { text: damage.to_string(), told, damage: Some(Box::new(damage)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::Concerned;

    #[test]
    fn callers_are_told_what_operators_are_but_for_the_place() {
        let cause = Cause::new("cannot sync /data/log/7: EIO", "cannot sync: EIO").during("sync of the log");
        assert_eq!(cause.to_string(), "sync of the log: cannot sync /data/log/7: EIO");
        assert_eq!((cause.told(), cause.damage()), ("sync of the log: cannot sync: EIO", None));

        let (place, reason) = ("segment-1".to_string(), "its checksum is wrong".to_string());
        let damage = Damage { place, offset: Some(7), reason, concerned: Concerned::all(3, 5) };
        let cause = Cause::from(damage.clone()).during("look-up of ids");
        assert_eq!(cause.damage(), Some(&damage));
        assert_eq!(
            cause.to_string(),
            "look-up of ids: segment-1 at offset 7: its checksum is wrong; events 3 to 5 are concerned"
        );
        assert_eq!(
            cause.told(),
            "look-up of ids: part of what is stored is damaged: its checksum is wrong; events 3 to 5 are concerned"
        );
    }
}
