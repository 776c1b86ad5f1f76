//! Events in MongoDB, beside the same documents without Argus: a bare `insert` of them, and a bare `find`.
//!
//! Without a `mongod`, the server is one that stands in for it and is much slower, so nothing here has a goal.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use argus_servers::{Absent, MongoConnection, MongoServer};
use bson::{Bson, Document, doc};

use super::{
    Scale,
    batches::{self, stored},
    queries::{self, LIMIT},
    report::{Goal, Report, Row, median, percentile_ms, rate, rounded, thousands},
    server::{Server, Subject},
    single::{self, CONNECTIONS},
    workload::{HOUR_MS, Hours, QUERIED, Random, batch_requests, stream},
};
use crate::databases;

/// The database of Argus, and the collection of bare documents in it.
const DATABASE: &str = "argus";
const BARE: &str = "bare";

/// The server is slow, so there are fewer events.
const FEWER: usize = 10;

/// A server whose collections Argus makes.
struct Database(MongoServer);

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    if scale.installs {
        databases::install_mongodb()?;
    }
    let server = match MongoServer::start_in(subject.folder()?) {
        Err(Absent::NotInstalled(reason)) => {
            report.skip("events in MongoDB", &reason);
            return Ok(());
        }
        started => started?,
    };
    let database = Database(server);
    singles(&database, subject, scale, report)?;
    batches(&database, subject, scale, report)?;
    pages(&database, subject, scale, report)
}

/// One event in each request, against one document in each insert.
fn singles(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let requests = single::requests();
    let (mut floors, mut figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let server = database.start(subject)?;
        let (figure, outcome) = single::load(&server, CONNECTIONS, scale, &requests, single::created)?;
        server.expect_stored(outcome.acknowledged)?;
        drop(server);
        let floor = database.insert_singly(scale.window)?;
        eprintln!("  run {run} of {}: {}/s of {}/s", scale.runs, rounded(figure.rate), rounded(floor));
        ratios.push(figure.rate / floor);
        floors.push(floor);
        figures.push(figure);
    }
    report.add(Row {
        measure: format!("{}: POST one event, {CONNECTIONS} connections", database.name()),
        subject: subject.name,
        figure: format!("{}; {:.2} of bare inserts", single::Figures::medians(&figures), median(&ratios)),
        floor: format!("insert of one document: {}/s", rounded(median(&floors))),
        goal: Goal::Open,
    });
    Ok(())
}

/// Many events in each request, against inserts of as many of the same documents.
fn batches(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let events = scale.events / FEWER;
    let (requests, _) = batch_requests(&stream(events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(events)?;
    let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let server = database.start(subject)?;
        let argus = rate(events, batches::load(&server, &requests, stored)?.elapsed);
        server.expect_stored(events)?;
        drop(server);
        let floor = database.insert_many(events, scale.batch)?;
        eprintln!("  run {run} of {}: {}/s of {}/s", scale.runs, rounded(argus), rounded(floor));
        ratios.push(argus / floor);
        rates.push(argus);
        floors.push(floor);
    }
    let (events, batch) = (thousands(events), thousands(u64::try_from(scale.batch)?));
    report.add(Row {
        measure: format!("{}: POST NDJSON, {events} events in batches of {batch}", database.name()),
        subject: subject.name,
        figure: format!("{} events/s; {:.2} of bare inserts", rounded(median(&rates)), median(&ratios)),
        floor: format!("insert of {batch} of the same documents: {}/s", rounded(median(&floors))),
        goal: Goal::Open,
    });
    Ok(())
}

/// Pages of events, and counts.
fn pages(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let events = u64::try_from(scale.events / FEWER)?;
    let hours = Hours { hours: events / 1_000, events_per_hour: 1_000, queried_per_hour: 200 };
    let server = database.start(subject)?;
    queries::fill(&server, hours, false, scale)?;
    let of = thousands(events);
    let mut add = |what: &str, figure: String, floor: String| {
        let measure = format!("{}: {what}, of {of} events", database.name());
        report.add(Row { measure, subject: subject.name, figure, floor, goal: Goal::Open });
    };
    let shown = |(p50, p99): (f64, f64)| format!("p50 {p50:.2} ms, p99 {p99:.2} ms");
    let bare = |filter: &dyn Fn(u64) -> Document, direction: i32| -> Result<String> {
        Ok(format!("a bare find: {}", shown(database.find_ms(filter, direction, hours, scale)?)))
    };

    let in_the_hour = |hour: u64| {
        let time = |ms: u64| {
            Bson::DateTime(bson::DateTime::from_millis(i64::try_from(ms).expect("the hours lie in our time")))
        };
        let (start, end) = (time(hours.start(hour)), time(hours.start(hour) + HOUR_MS - 1));
        doc! { "event_type": QUERIED, "time": { "$gte": start, "$lte": end } }
    };
    let page = shown(queries::page_ms(&server, hours, scale)?);
    add(&format!("GET one type in one hour, first {LIMIT}"), page, bare(&in_the_hour, 1)?);
    for (whose, member) in [("one user's", "user"), ("one country's", "country")] {
        let value = queries::value_of(&server, member)?;
        let latest = shown(queries::latest_ms(&server, &format!("payload.{member}={value}"), scale)?);
        let condition = |_| doc! { format!("document.{member}"): &value };
        add(&format!("GET {whose} latest {LIMIT}"), latest, bare(&condition, -1)?);
    }
    for (what, target) in [
        ("count by type", "/events/aggregate?group_by=type".to_owned()),
        ("hourly count of one type", format!("/events/aggregate?interval=1h&type={QUERIED}")),
    ] {
        let ms = queries::answer_ms(&server, &target, scale)?;
        add(what, format!("{ms:.1} ms"), String::new());
    }
    Ok(())
}

impl Database {
    /// What the server is, in a report.
    fn name(&self) -> String {
        format!("MongoDB ({})", self.0.program())
    }

    /// A server with an empty repository.
    fn start(&self, subject: &Subject) -> Result<Server> {
        self.0.command(DATABASE, doc! { "dropDatabase": 1 })?;
        subject.start_at(&self.0.url(DATABASE))
    }

    /// Inserts documents one by one over several connections for a time. Returns how many in a second.
    fn insert_singly(&self, window: Duration) -> Result<f64> {
        let document = self.documents(1)?.into_iter().next().context("no event is stored")?;
        self.make_bare()?;
        let mut clients = Vec::new();
        for client in 0..CONNECTIONS {
            clients.push((client, self.0.connect()?, document.clone()));
        }
        let begun = Instant::now();
        let insert_all = |(client, mut connection, mut document): (usize, MongoConnection, Document)| {
            let mut count = 0_u64;
            while begun.elapsed() < window {
                let key = format!("{client}-{count}");
                document.insert("_id", key.clone());
                document.insert("id", key);
                insert(&mut connection, vec![document.clone()])?;
                count += 1;
            }
            Ok::<u64, anyhow::Error>(count)
        };
        let inserted: Result<u64> = thread::scope(|scope| {
            let clients: Vec<_> = clients.into_iter().map(|client| scope.spawn(move || insert_all(client))).collect();
            clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum()
        });
        Ok(rate(inserted?, begun.elapsed()))
    }

    /// Inserts the documents of all events into a collection with the same indexes. Returns how many in a second.
    fn insert_many(&self, events: u64, batch: usize) -> Result<f64> {
        let documents = self.documents(usize::try_from(events)?)?;
        ensure!(documents.len() as u64 == events, "{} documents instead of {events}", documents.len());
        self.make_bare()?;
        let mut connection = self.0.connect()?;
        let begun = Instant::now();
        for chunk in documents.chunks(batch) {
            insert(&mut connection, chunk.to_vec())?;
        }
        Ok(rate(events, begun.elapsed()))
    }

    /// The first documents of events.
    fn documents(&self, count: usize) -> Result<Vec<Document>> {
        let mut connection = self.0.connect()?;
        let mut documents: Vec<Document> = Vec::new();
        while documents.len() < count {
            let last = match documents.last() {
                Some(document) => document.get("_id").context("a document has no _id")?.clone(),
                None => Bson::Int64(0),
            };
            let limit = i32::try_from((count - documents.len()).min(1_000))?;
            let find = doc! {
                "find": "events", "filter": { "_id": { "$gt": last } }, "sort": { "_id": 1 },
                "limit": limit, "batchSize": limit + 1, "singleBatch": true
            };
            let found = connection.command(DATABASE, find)?;
            let found = batch(&found)?;
            if found.is_empty() {
                break;
            }
            documents.extend(found);
        }
        Ok(documents)
    }

    /// An empty collection with the indexes of the events.
    fn make_bare(&self) -> Result<()> {
        let mut connection = self.0.connect()?;
        let listed = connection.command(DATABASE, doc! { "listIndexes": "events" })?;
        let mut indexes = batch(&listed)?;
        indexes.retain(|index| index.get_str("name").ok() != Some("_id_"));
        connection.command(DATABASE, doc! { "create": BARE })?;
        connection.command(DATABASE, doc! { "createIndexes": BARE, "indexes": indexes })?;
        Ok(())
    }

    /// The median and the 99th percentile of the time of a `find` of the first or last documents.
    fn find_ms(
        &self,
        filter: &dyn Fn(u64) -> Document,
        direction: i32,
        hours: Hours,
        scale: &Scale,
    ) -> Result<(f64, f64)> {
        let mut connection = self.0.connect()?;
        let limit = i32::try_from(LIMIT)?;
        let mut latencies = Vec::new();
        for hour in (0..hours.hours).cycle().take(scale.queries.min(200)) {
            let find = doc! {
                "find": "events", "filter": filter(hour), "limit": limit, "batchSize": limit + 1, "singleBatch": true,
                "sort": { "time": direction, "nanos": direction, "_id": direction }
            };
            let begun = Instant::now();
            let found = connection.command(DATABASE, find)?;
            latencies.push(begun.elapsed());
            ensure!(!batch(&found)?.is_empty(), "nothing is found");
        }
        latencies.sort_unstable();
        Ok((percentile_ms(&latencies, 50), percentile_ms(&latencies, 99)))
    }
}

/// Inserts documents as durably as Argus does.
fn insert(connection: &mut MongoConnection, documents: Vec<Document>) -> Result<()> {
    let count = i32::try_from(documents.len())?;
    let concern = doc! { "w": "majority", "j": true };
    let answer =
        connection.command(DATABASE, doc! { "insert": BARE, "documents": documents, "writeConcern": concern })?;
    ensure!(answer.get_i32("n").ok() == Some(count), "not all of {count} documents were inserted: {answer}");
    Ok(())
}

/// The documents in an answer.
fn batch(answer: &Document) -> Result<Vec<Document>> {
    let batch = answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.with_context(|| format!("no documents: {answer}"))?;
    let document = |item: &Bson| item.as_document().cloned().with_context(|| format!("no document: {item}"));
    batch.iter().map(document).collect()
}
