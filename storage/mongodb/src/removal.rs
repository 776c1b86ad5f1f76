//! Removes events, and keeps the head true.

use std::collections::BTreeSet;

use argus_database::{Fault, Removed};
use mongodb::bson::{Bson, Document, RawDocument, doc};
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::{durable, events};
use crate::head::Head;
use crate::session::Session;
use crate::staging::lock;
use crate::types::stored_types;
use crate::values::{count_of, join, number};

/// How many events one transaction removes at most. Commits wait for it.
pub(crate) const EVENTS: u32 = 5_000;

/// A transaction that removes events. Writers wait until it ends: MongoDB does not let a transaction change the head
/// that began before others have changed it.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    session: &'a mut Session,
    head: Head,
    removed: Removed,
}

impl<'a> Removal<'a> {
    /// Begins the transaction.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub(crate) fn begin(session: &'a mut Session) -> Result<Self, Fault> {
        match lock(session, &durable(), None) {
            Ok(head) => Ok(Self { session, head, removed: Removed::default() }),
            Err(fault) => {
                session.roll_back();
                Err(fault)
            }
        }
    }

    /// The head as of now.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Removes events, if they are still there. Returns how many.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; the transaction is of no use any more.
    pub(crate) fn delete(&mut self, seqs: &[u64]) -> Result<u64, Fault> {
        let seqs: Vec<i64> = seqs.iter().map(|seq| number(*seq)).collect();
        let filter = doc! { "_id": { "$in": seqs } };
        let database = self.session.database()?;
        let found = self.session.run(move |session| Box::pin(delete(database, session, filter)))?;
        let before = self.removed.events;
        for of_type in found {
            self.removed.add(of_type);
        }
        Ok(self.removed.events - before)
    }

    /// Writes the head. Nothing is removed before it.
    ///
    /// # Errors
    ///
    /// A [`Fault`]; the transaction is of no use any more.
    pub(crate) fn write(&mut self, is_erasure: bool) -> Result<(), Fault> {
        let (head, database) = (self.head, self.session.database()?);
        let (events, bytes) = (self.removed.events.cast_signed(), self.removed.bytes.cast_signed());
        let names: Vec<String> = self.removed.types.iter().cloned().collect();
        self.session.run(move |session| {
            Box::pin(async move {
                let left = stored_types(&database, session, &names).await?;
                let event_types = count_of(names.len() - left.len());
                let too_few =
                    "the document of the collection `head` counts less than there is: somebody else has changed it";
                if events > head.events || bytes > head.bytes || event_types > head.event_types {
                    return Err(Error::custom(too_few.to_owned()));
                }
                let head = Head {
                    events: head.events - events,
                    bytes: head.bytes - bytes,
                    event_types: head.event_types - event_types,
                    erasures: head.erasures + i64::from(is_erasure),
                    removals: head.removals + 1,
                    ..head
                };
                head.write(&database, session).await
            })
        })
    }

    /// Ends the transaction.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. The events may be removed nevertheless.
    pub(crate) fn commit(self) -> Result<Removed, Fault> {
        self.session.commit()?;
        Ok(self.removed)
    }

    /// Ends the transaction without effect.
    pub(crate) fn roll_back(self) {
        self.session.roll_back();
    }
}

/// Deletes events. Returns what they were.
async fn delete(database: Database, session: &mut ClientSession, filter: Document) -> Result<Vec<Removed>, Error> {
    let events = events(&database);
    let group = doc! { "$group": {
        "_id": "$event_type",
        "events": { "$sum": 1_i64 },
        "bytes": { "$sum": "$bytes" },
        "first": { "$min": "$time" },
        "last": { "$max": "$time" },
    } };
    let pipeline = [doc! { "$match": filter.clone() }, group];
    let mut cursor = events.aggregate(pipeline).session(&mut *session).await?;
    let mut found = Vec::new();
    while cursor.advance(session).await? {
        let changed =
            "documents of the collection `events` lack fields, or have impossible ones: somebody else has changed them";
        found.push(removed(cursor.current()).ok_or_else(|| Error::custom(changed.to_owned()))?);
    }
    events.delete_many(filter).session(session).await?;
    Ok(found)
}

/// The removed events of one type.
fn removed(document: &RawDocument) -> Option<Removed> {
    let document = Document::try_from(document).ok()?;
    let number = |name: &str| {
        let number: &Bson = document.get(name)?;
        number.as_i64().or_else(|| number.as_i32().map(i64::from)).and_then(|number| u64::try_from(number).ok())
    };
    // In whole milliseconds.
    let (first, last) = (document.get_datetime("first").ok()?, document.get_datetime("last").ok()?);
    Some(Removed {
        events: number("events")?,
        bytes: number("bytes")?,
        span: join(*first, 0).zip(join(*last, 0)),
        types: BTreeSet::from([document.get_str("_id").ok()?.to_owned()]),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use mongodb::bson::{DateTime, RawDocumentBuf};

    use super::*;

    #[test]
    fn sizes_that_somebody_else_has_made_negative_are_refused() {
        let group = |bytes: i64| {
            let (first, last) = (DateTime::from_millis(1), DateTime::from_millis(2));
            let group = doc! { "_id": "a", "events": 2_i32, "bytes": bytes, "first": first, "last": last };
            removed(&RawDocumentBuf::try_from(&group).unwrap())
        };
        assert_eq!(group(10).map(|removed| (removed.events, removed.bytes)), Some((2, 10)));
        assert_eq!(group(-10), None);
    }
}
