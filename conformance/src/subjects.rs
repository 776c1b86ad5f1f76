//! The subjects of the suite. Every case runs on every subject of this table, unless `needs.rs` says what the subject
//! does not have.

/// A runtime with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The runtime's name.
    pub runtime: &'static str,
    /// The program.
    pub binary: &'static str,
    /// The package that builds the program.
    pub package: &'static str,
    /// Its HTTP implementation.
    pub wire: &'static str,
    /// The repository's name.
    pub repository: &'static str,
    /// The value of `--repository`.
    pub repository_url: &'static str,
}

/// All subjects.
pub const SUBJECTS: &[Subject] = &[
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: "memory",
        repository_url: "memory:",
    },
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: "disk",
        repository_url: "disk:",
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: "memory",
        repository_url: "memory:",
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: "disk",
        repository_url: "disk:",
    },
    Subject {
        runtime: "minimal",
        binary: "argus-minimal",
        package: "argus-conformance",
        wire: "httparse",
        repository: "memory",
        repository_url: "memory:",
    },
];

impl Subject {
    /// The runtime and the repository, as in reports.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}::{}", self.runtime, self.repository)
    }
}
