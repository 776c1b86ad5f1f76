//! The collections of the database, and what writes to them wait for.

use mongodb::bson::{Document, RawDocumentBuf};
use mongodb::options::{Acknowledgment, WriteConcern};
use mongodb::{Collection, Database};

/// One document for each event.
pub(crate) fn events(database: &Database) -> Collection<RawDocumentBuf> {
    database.collection("events")
}

/// One document, which every commit continues.
pub(crate) fn head(database: &Database) -> Collection<Document> {
    database.collection("head")
}

/// One document for each session that writes.
pub(crate) fn writers(database: &Database) -> Collection<Document> {
    database.collection("writers")
}

/// A write is acknowledged when the majority of the servers has it in their journals.
pub(crate) fn durable() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build()
}

/// A write is acknowledged when the majority of the servers has it in memory. They write their journals up to 100 ms
/// later.
pub(crate) fn replicated() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(false).build()
}
