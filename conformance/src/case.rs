//! A case: its name, its check, and how it is run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::launcher::Launcher;

/// One promise of the wire contract.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name of its file, which is a heading in reports.
    pub group: &'static str,
    /// Its name within the group.
    pub name: &'static str,
    /// The section of the wire contract that makes the promise.
    pub section: &'static str,
    /// The check itself.
    pub run: fn(&Context<'_>) -> Outcome,
}

impl Case {
    /// Group and name, unique among all cases.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}::{}", self.group, self.name)
    }

    /// Runs the case against servers from `launcher`. A panic within it counts as a failure.
    ///
    /// # Errors
    ///
    /// [`Failure`], with the last messages and the servers' logs in its text.
    pub fn check(&self, launcher: &dyn Launcher) -> Outcome {
        let context = Context::new(launcher);
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.run)(&context)));
        match outcome.unwrap_or_else(|_| Err(Failure::unmet("the case itself not to panic"))) {
            Ok(()) => Ok(()),
            Err(Failure::Skipped(reason)) => Err(Failure::Skipped(reason)),
            Err(Failure::Unmet(text)) => Err(Failure::Unmet(format!(
                "{} (contract: {})\n  expected {text}\n{}",
                self.path(),
                self.section,
                context.report()
            ))),
        }
    }
}

/// The cases of a group, from the functions with their names: `cases!["group"; "Section": [name, name], …]`.
macro_rules! cases {
    ($group:literal; $($section:literal: [$($name:ident),+ $(,)?]),+ $(,)?) => {
        &[$($($crate::case::Case {
            group: $group,
            name: stringify!($name),
            section: $section,
            run: $name,
        }),+),+]
    };
}
pub(crate) use cases;
