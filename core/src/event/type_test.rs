//! Conditions on the type of an event.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

/// What must hold for the type of an event. A text that no type can have matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TypeTest {
    /// It is this text.
    Eq(Box<str>),
    /// It starts with this text. All types start with the empty text.
    Prefix(Box<str>),
}

impl TypeTest {
    /// Whether a type matches.
    #[must_use]
    pub fn matches(&self, event_type: &[u8]) -> bool {
        match self {
            Self::Eq(name) => event_type == name.as_bytes(),
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_bytes()),
        }
    }

    /// The text to compare with. Among all types in ascending order of their bytes, those that match follow each other,
    /// and the first is the first that is not less than this text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Eq(text) | Self::Prefix(text) => text,
        }
    }
}
