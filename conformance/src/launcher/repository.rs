//! The repositories of servers under test: which one each server gets, and how it is removed.

use std::sync::Arc;

use argus_servers::{MongoDatabase, Schema, TestMongo, TestPostgres};
use tempfile::TempDir;

use super::folder;
use crate::failure::Failure;

/// What a launcher gives to its servers as a repository.
#[derive(Clone, Debug)]
pub enum Repository {
    /// This value of `--repository` for each: the memory of the server, or a folder that outlasts it.
    Same(String),
    /// An empty temporary folder for each.
    Folders,
    /// An empty schema of this database for each.
    Schemas(Arc<TestPostgres>),
    /// An empty database of this server for each.
    Databases(Arc<TestMongo>),
}

/// The repository of one server. One that was made for it is removed when this value is dropped, which must be after
/// the server has ended.
#[derive(Debug)]
pub(super) enum Place {
    /// Not made for it.
    Given(String),
    Folder(TempDir),
    Schema(Schema),
    Database(MongoDatabase),
}

impl Repository {
    /// An empty one.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        match self {
            Self::Same(url) => Ok(Place::Given(url.clone())),
            Self::Folders => match folder::temporary() {
                Ok(folder) => Ok(Place::Folder(folder)),
                Err(error) => Err(Failure::unmet(format!("a temporary folder for the server: {error}"))),
            },
            Self::Schemas(database) => Ok(Place::Schema(database.schema("case"))),
            Self::Databases(server) => Ok(Place::Database(server.database("case"))),
        }
    }
}

impl Place {
    /// The value of `--repository`.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Folder(folder) => format!("disk:{}", folder.path().display()),
            Self::Schema(schema) => schema.url(),
            Self::Database(database) => database.url(),
        }
    }

    /// The same if it was made for the server and keeps events beyond its end.
    pub(super) fn kept_url(&self) -> Option<String> {
        match self {
            Self::Given(_) => None,
            Self::Folder(_) | Self::Schema(_) | Self::Database(_) => Some(self.url()),
        }
    }

    /// Its folder, if it was made for the server.
    pub(super) fn folder(&self) -> Option<&std::path::Path> {
        match self {
            Self::Given(_) | Self::Schema(_) | Self::Database(_) => None,
            Self::Folder(folder) => Some(folder.path()),
        }
    }
}
