//! How a case fails.

use std::fmt;

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An expectation that was not met, and the actual result.
    Unmet(String),
    /// The case cannot run: it needs control of the subject's process, or a file or program that is missing.
    Skipped(String),
}

/// How a case ends.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// An expectation that was not met.
    pub fn unmet(text: impl Into<String>) -> Self {
        Self::Unmet(text.into())
    }

    /// A case that cannot run here.
    pub fn skipped(text: impl Into<String>) -> Self {
        Self::Skipped(text.into())
    }

    /// Adds which row of a table or round of a loop has failed.
    #[must_use]
    pub fn within(self, place: &dyn fmt::Display) -> Self {
        match self {
            Self::Unmet(text) => Self::Unmet(format!("{place}: {text}")),
            Self::Skipped(text) => Self::Skipped(text),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmet(text) => write!(f, "{text}"),
            Self::Skipped(text) => write!(f, "skipped: {text}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Fails the case unless the condition holds; the other arguments say what was expected.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::failure::Failure::unmet(format!($($text)+)));
        }
    };
}

/// Fails the case unless both are equal; the other arguments say what is compared.
#[macro_export]
macro_rules! check_eq {
    ($actual:expr, $expected:expr, $($text:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) => {
                if *actual != *expected {
                    return Err($crate::failure::Failure::unmet(format!(
                        "{}\n    expected: {expected:?}\n    received: {actual:?}",
                        format!($($text)+)
                    )));
                }
            }
        }
    };
}
