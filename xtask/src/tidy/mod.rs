//! Tidy: the rules of this repository that no other tool knows, as code.
//!
//! A rule is a pure function from texts to [`Violation`]s, and has a test with input that breaks it. All rules together
//! also run as a unit test of xtask.

mod cycles;
mod documents;
mod hosts;
mod interface;
mod layering;
mod modules;
mod packages;
mod sources;
mod text;

use std::{fmt, path::Path};

use anyhow::Result;

use crate::workspace::{metadata, root};
use modules::ModuleTree;
use packages::Packages;
use sources::Source;

/// A broken rule and its place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// Relative to the root of the workspace, with `/`.
    path: String,
    /// From 1.
    line: usize,
    reason: String,
}

/// A file that a rule does not apply to, and why.
#[derive(Debug)]
struct Exemption {
    /// A file, or a folder if it ends with `/`.
    path: &'static str,
    reason: &'static str,
}

/// Prints the violations; returns whether there are none.
pub(crate) fn run() -> Result<bool> {
    let violations = report()?;
    eprintln!("tidy: {violations} violations");
    Ok(violations == 0)
}

/// Prints the violations; returns their number.
pub(crate) fn report() -> Result<usize> {
    let violations = violations(root())?;
    for violation in &violations {
        println!("{violation}");
    }
    Ok(violations.len())
}

fn violations(root: &Path) -> Result<Vec<Violation>> {
    let sources = sources::read(root)?;
    let packages = Packages::from_metadata(&metadata()?)?;
    let mut found = Vec::new();
    for source in &sources {
        found.extend(text::violations(source));
        found.extend(layering::source_violations(source));
    }
    found.extend(text::stale_exemptions(&sources));
    found.extend(layering::package_violations(&packages));
    found.extend(layering::mirror_violations(&sources));
    for root in packages.members.values().flat_map(|member| &member.roots) {
        let modules = ModuleTree::read(root, &sources)?;
        found.extend(cycles::violations(&modules));
        if root == layering::CORE {
            found.extend(layering::core_violations(&modules));
        }
    }
    found.extend(documents::violations(&sources, &packages));
    found.extend(interface::violations(&sources, &packages));
    found.extend(hosts::violations(&sources));
    found.sort();
    found.dedup();
    Ok(found)
}

impl Violation {
    fn new(path: &str, line: usize, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.reason)
    }
}

impl Exemption {
    fn covers(&self, path: &str) -> bool {
        if self.path.ends_with('/') { path.starts_with(self.path) } else { path == self.path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let violations = violations(root()).expect("the workspace can be read");
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }

    #[test]
    fn a_violation_is_shown_as_place_and_reason() {
        assert_eq!(Violation::new("core/src/lib.rs", 3, "too long").to_string(), "core/src/lib.rs:3: too long");
    }
}
