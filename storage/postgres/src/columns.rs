//! Events in columns, as an INSERT takes them.

use std::borrow::Cow;

use argus_core::batch::NewEvent;
use argus_core::event::EventId;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};

use crate::document::document;
use crate::values::{Micros, split};

/// The most text in one statement, in bytes. A larger group takes several.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// Events in columns, for as many statements as needed.
#[derive(Debug, Default)]
pub(crate) struct ColumnSet<'a> {
    full: Vec<Columns<'a>>,
    last: Columns<'a>,
}

/// The columns of one statement.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    seqs: Vec<i64>,
    times: Vec<Micros>,
    nanos: Vec<i16>,
    is_generated: Vec<bool>,
    ids: Vec<Cow<'a, str>>,
    types: Vec<&'a str>,
    payloads: Vec<&'a str>,
    has_document: Vec<bool>,
    text_bytes: usize,
}

impl<'a> ColumnSet<'a> {
    /// Appends an event, of which `id` is the id. Returns the bytes that the head counts for it.
    pub(crate) fn push(&mut self, seq: u64, event: &NewEvent<'a>, id: EventId<'a>) -> i64 {
        if self.last.text_bytes >= STATEMENT_BYTES {
            self.full.push(std::mem::take(&mut self.last));
        }
        self.last.push(seq, event, id)
    }

    /// The columns of each statement.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Columns<'a>> {
        self.full.iter().chain([&self.last])
    }
}

impl<'a> Columns<'a> {
    fn push(&mut self, seq: u64, event: &NewEvent<'a>, id: EventId<'a>) -> i64 {
        let (time, nanos) = split(event.timestamp);
        let (event_type, payload) = (event.event_type.as_str(), event.payload.as_str());
        let (is_generated, id) = match id {
            EventId::Given(id) => (false, Cow::Borrowed(id.as_str())),
            EventId::Generated(uuid) => (true, Cow::Owned(uuid.to_string())),
        };
        let bytes = count_of(payload.len() + event_type.len() + id.len());
        self.text_bytes += payload.len() + id.len();
        self.seqs.push(seq.cast_signed());
        self.times.push(time);
        self.nanos.push(nanos);
        self.is_generated.push(is_generated);
        self.ids.push(id);
        self.types.push(event_type);
        self.payloads.push(payload);
        self.has_document.push(document(event.payload).is_some());
        bytes
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> usize {
        self.seqs.len()
    }

    /// Inserts the events. `stored_at` is what the statement takes: one time for all, or one for each.
    pub(crate) async fn insert(
        &self,
        client: &Client,
        statement: &Statement,
        stored_at: &(dyn ToSql + Sync),
    ) -> Result<(), Error> {
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &self.seqs,
            &self.times,
            &self.nanos,
            &self.is_generated,
            &self.ids,
            &self.types,
            &self.payloads,
            &self.has_document,
            stored_at,
        ];
        client.execute(statement, &parameters).await.map(drop)
    }
}

/// A number of PostgreSQL as a number of things in memory.
pub(crate) fn count(number: i64) -> usize {
    usize::try_from(number).expect("the table checks that it is not negative, and places begin at 1")
}

/// A number of things in memory as a number of PostgreSQL.
pub(crate) fn count_of(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
