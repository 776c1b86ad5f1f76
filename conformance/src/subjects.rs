//! The subjects of the suite. Every case runs on every subject of this table, unless `needs.rs` says what the subject
//! does not have.

use argus_servers::MONGO_URL_VARIABLE;

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
    /// Where it stores events.
    pub repository: RepositoryKind,
}

/// What stores the events of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryKind {
    /// The memory of the server.
    Memory,
    /// A folder.
    Disk,
    /// A schema of a `PostgreSQL` database.
    Postgres,
    /// A database of a MongoDB server.
    Mongodb,
}

/// All subjects. Most uses want only [`usual`].
pub const SUBJECTS: &[Subject] = &[
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: RepositoryKind::Memory,
    },
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: RepositoryKind::Disk,
    },
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: RepositoryKind::Postgres,
    },
    Subject {
        runtime: "tokio",
        binary: "argus-tokio",
        package: "argus-tokio",
        wire: "hyper",
        repository: RepositoryKind::Mongodb,
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: RepositoryKind::Memory,
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: RepositoryKind::Disk,
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: RepositoryKind::Postgres,
    },
    Subject {
        runtime: "smol",
        binary: "argus-smol",
        package: "argus-smol",
        wire: "hyper",
        repository: RepositoryKind::Mongodb,
    },
    Subject {
        runtime: "minimal",
        binary: "argus-minimal",
        package: "argus-conformance",
        wire: "httparse",
        repository: RepositoryKind::Memory,
    },
];

/// The subjects that are tested if nobody names a repository.
pub fn usual() -> impl Iterator<Item = &'static Subject> {
    SUBJECTS.iter().filter(|subject| subject.repository.is_usual())
}

/// The subjects that are tests: the usual ones, and those with MongoDB if [`MONGO_URL_VARIABLE`] names a server of it.
pub fn tested() -> impl Iterator<Item = &'static Subject> {
    let has_mongodb = std::env::var_os(MONGO_URL_VARIABLE).is_some_and(|url| !url.is_empty());
    SUBJECTS.iter().filter(move |subject| match subject.repository {
        RepositoryKind::Memory | RepositoryKind::Disk | RepositoryKind::Postgres => true,
        RepositoryKind::Mongodb => has_mongodb,
    })
}

/// The subjects that are compared with each other: the usual ones, and one with a database of MongoDB.
pub fn compared() -> impl Iterator<Item = &'static Subject> {
    let mongodb = SUBJECTS.iter().find(|subject| subject.repository == RepositoryKind::Mongodb);
    usual().chain(mongodb)
}

impl RepositoryKind {
    /// Its name in reports and in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Postgres => "postgres",
            Self::Mongodb => "mongodb",
        }
    }

    /// Whether the events are in the database of another program.
    #[must_use]
    pub const fn is_database(self) -> bool {
        match self {
            Self::Memory | Self::Disk => false,
            Self::Postgres | Self::Mongodb => true,
        }
    }

    /// How many times longer than usual cases wait for it: what stands in for MongoDB reads the whole rest of an index
    /// before it returns a page of it.
    #[must_use]
    pub const fn patience_factor(self) -> u32 {
        match self {
            Self::Memory | Self::Disk | Self::Postgres => 1,
            Self::Mongodb => 10,
        }
    }

    /// Whether it is tested if nobody names it. The server that stands in for MongoDB is slow.
    #[must_use]
    pub const fn is_usual(self) -> bool {
        match self {
            Self::Memory | Self::Disk | Self::Postgres => true,
            Self::Mongodb => false,
        }
    }
}

impl Subject {
    /// The runtime and the repository, as in reports.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}::{}", self.runtime, self.repository.name())
    }
}
