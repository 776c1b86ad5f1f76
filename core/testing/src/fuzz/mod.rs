//! Fuzz targets: each takes any bytes, and panics if the core breaks a promise about them.
//!
//! A target is a file in `core/testing/src/fuzz/targets/` and a line in its table, [`TARGETS`]. From there on,
//! everything runs it: `cargo xtask fuzz`, the program of libFuzzer in `core/fuzz/`, and a test on every build.
//!
//! A target should know the right result, from a naive model or from another way to it: a target that only waits for
//! panics finds little in code that has none.

mod ingest_check;
mod ingest_model;
mod mapping_model;
mod mutator;
mod reduce;
mod replies;
mod store;
mod targets;
mod time_model;

pub use mutator::Mutator;
pub use reduce::reduce;
pub use targets::TARGETS;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its file.
    pub name: &'static str,
    /// What it checks, in half a sentence.
    pub about: &'static str,
    /// Panics if the core breaks a promise about these bytes.
    pub run: fn(&[u8]),
    /// Small inputs to start from, and inputs that once failed. The same in every run.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Texts that the input may have, which random changes would hardly ever hit.
    pub words: &'static [&'static str],
    /// How many changed inputs a smoke test runs: fewer for a slow target.
    pub smoke_runs: u32,
}

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

#[cfg(test)]
mod tests;
