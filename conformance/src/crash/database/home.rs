//! The database of a run: a server of PostgreSQL or of MongoDB.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use argus_conformance::subjects::RepositoryKind;
use argus_servers::{Durability, MongoServer, PostgresServer, PostgresVersion};
use bson::{Document, doc};

/// What the row of the table `head` says, and what is in the table `events`.
const COUNTS: &str = "SELECT h.last_seq, h.events, h.event_types, h.bytes, coalesce(max(e.seq), 0), count(e.seq), \
                      count(DISTINCT e.event_type), coalesce(sum(octet_length(e.payload) + octet_length(e.event_type) \
                      + octet_length(e.id)), 0), count(DISTINCT e.id) \
                      FROM argus.head h LEFT JOIN argus.events e ON true \
                      GROUP BY h.last_seq, h.events, h.event_types, h.bytes";

/// All rows, for a report of a violation.
const ROWS: &str = "SELECT seq, id, event_type, stored_at, left(payload, 60) FROM argus.events ORDER BY seq";

/// The database of MongoDB.
const DATABASE: &str = "argus";

/// How many documents are read at once.
const DOCUMENTS: i32 = 1_000;

/// A database server.
#[derive(Debug)]
pub(crate) enum Home {
    /// PostgreSQL, and its version.
    Postgres(PostgresServer, u32),
    /// MongoDB, or what takes its place.
    Mongodb(MongoServer),
}

/// What the head says, and what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) last: u64,
    pub(crate) events: u64,
    pub(crate) types: u64,
    pub(crate) bytes: u64,
    pub(crate) found_last: u64,
    pub(crate) found_events: u64,
    pub(crate) found_types: u64,
    pub(crate) found_bytes: u64,
    /// How many different ids are stored.
    pub(crate) ids: u64,
}

impl Home {
    /// Starts a server without events.
    pub(crate) fn start(kind: RepositoryKind) -> Result<Self, String> {
        match kind {
            RepositoryKind::Postgres => {
                let version = PostgresVersion::usual().map_err(|absent| absent.to_string())?;
                let server =
                    PostgresServer::start(&version, Durability::Synced).map_err(|absent| absent.to_string())?;
                Ok(Self::Postgres(server, version.major()))
            }
            RepositoryKind::Mongodb => MongoServer::start().map(Self::Mongodb).map_err(|absent| absent.to_string()),
            RepositoryKind::Memory | RepositoryKind::Disk => Err(format!("{} is no database", kind.name())),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Postgres(..) => "PostgreSQL",
            Self::Mongodb(_) => "MongoDB",
        }
    }

    /// What runs.
    pub(crate) fn program(&self) -> String {
        match self {
            Self::Postgres(_, major) => format!("PostgreSQL {major}"),
            Self::Mongodb(server) => format!("MongoDB ({})", server.program()),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Postgres(server, _) => SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())),
            Self::Mongodb(server) => server.address(),
        }
    }

    /// The repository in it, for a server that reaches it at this address.
    pub(crate) fn url(&self, at: SocketAddr) -> String {
        match self {
            Self::Postgres(..) => format!("postgres://postgres@{at}/postgres"),
            // Otherwise the driver goes to where the database says that it is.
            Self::Mongodb(_) => format!("mongodb://{at}/{DATABASE}?directConnection=true"),
        }
    }

    /// SIGKILL for all its processes.
    pub(crate) fn kill(&self) {
        match self {
            Self::Postgres(server, _) => server.kill(),
            Self::Mongodb(server) => server.kill(),
        }
    }

    /// Ends it in order.
    pub(crate) fn stop(&self) -> Result<(), String> {
        match self {
            Self::Postgres(server, _) => server.stop(),
            Self::Mongodb(server) => server.stop(),
        }
        .map_err(|error| error.to_string())
    }

    /// Starts it again.
    pub(crate) fn restart(&self) -> Result<(), String> {
        match self {
            Self::Postgres(server, _) => server.restart(),
            Self::Mongodb(server) => server.restart(),
        }
        .map_err(|error| error.to_string())
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        match self {
            Self::Postgres(server, _) => server.log(),
            Self::Mongodb(server) => server.log(),
        }
    }

    /// What the head says, and what is stored.
    pub(crate) fn counts(&self) -> Result<Counts, String> {
        match self {
            Self::Postgres(server, _) => {
                let counts = server.sql(COUNTS).map_err(|error| error.to_string())?;
                let numbers: Vec<u64> = counts.trim().split('|').map_while(|number| number.parse().ok()).collect();
                let [last, events, types, bytes, found_last, found_events, found_types, found_bytes, ids] = *numbers
                else {
                    return Err(format!("the table `head` must have one row of numbers, but has {counts}"));
                };
                Ok(Counts { last, events, types, bytes, found_last, found_events, found_types, found_bytes, ids })
            }
            Self::Mongodb(server) => counts(server),
        }
    }

    /// All that is stored, as text.
    pub(crate) fn rows(&self) -> Result<String, String> {
        match self {
            Self::Postgres(server, _) => server.sql(ROWS).map_err(|error| error.to_string()),
            Self::Mongodb(server) => {
                let mut rows = String::new();
                for collection in ["head", "writers"] {
                    let found = server.command(DATABASE, doc! { "find": collection });
                    rows += &format!("{}\n", found.map_err(|error| error.to_string())?);
                }
                each_event(server, |event| {
                    rows += &format!("{event}\n");
                    Ok(())
                })?;
                Ok(rows)
            }
        }
    }
}

/// What the head of a MongoDB database says, and what is stored.
fn counts(server: &MongoServer) -> Result<Counts, String> {
    let found = server.command(DATABASE, doc! { "find": "head" }).map_err(|error| error.to_string())?;
    let [head] = &*batch(&found)? else { return Err(format!("there must be one head, but there is {found}")) };
    let mut counts = Counts {
        last: number(head, "last_seq")?,
        events: number(head, "events")?,
        types: number(head, "event_types")?,
        bytes: number(head, "bytes")?,
        ..Counts::default()
    };
    let (mut types, mut ids) = (HashSet::new(), HashSet::new());
    each_event(server, |event| {
        let texts = ["payload", "event_type", "id"].map(|name| event.get_str(name).map_err(|error| error.to_string()));
        let [payload, event_type, id] = texts;
        let (payload, event_type, id) = (payload?, event_type?, id?);
        counts.found_last = number(event, "_id")?;
        counts.found_events += 1;
        counts.found_bytes += (payload.len() + event_type.len() + id.len()) as u64;
        types.insert(event_type.to_owned());
        ids.insert(id.to_owned());
        Ok(())
    })?;
    Ok(Counts { found_types: types.len() as u64, ids: ids.len() as u64, ..counts })
}

/// Reads all events, in order.
fn each_event(server: &MongoServer, mut each: impl FnMut(&Document) -> Result<(), String>) -> Result<(), String> {
    let mut last = 0;
    loop {
        let next = doc! { "_id": { "$gt": last } };
        let find = doc! {
            "find": "events", "filter": next, "sort": { "_id": 1 }, "limit": DOCUMENTS, "batchSize": DOCUMENTS,
            "singleBatch": true,
        };
        let found = server.command(DATABASE, find).map_err(|error| error.to_string())?;
        let events = batch(&found)?;
        let Some(end) = events.last() else { return Ok(()) };
        last = end.get_i64("_id").map_err(|error| error.to_string())?;
        events.iter().try_for_each(&mut each)?;
    }
}

/// The documents of an answer.
fn batch(answer: &Document) -> Result<Vec<Document>, String> {
    let cursor = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = cursor.map_err(|error| format!("{error} in {answer}"))?;
    Ok(batch.iter().filter_map(|document| document.as_document().cloned()).collect())
}

fn number(document: &Document, name: &str) -> Result<u64, String> {
    let number = document.get_i64(name).map_err(|error| format!("{name}: {error}"))?;
    u64::try_from(number).map_err(|error| format!("{name}: {error}"))
}
