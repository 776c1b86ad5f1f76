//! Events in `PostgreSQL`, beside the same rows without Argus: single inserts by pgbench, and a COPY.

use std::{fs, path::PathBuf, thread, time::Instant};

use anyhow::{Context as _, Result, ensure};
use argus_servers::{Durability, PostgresServer, PostgresVersion};
use tempfile::TempDir;

use super::{
    Scale,
    batches::{self, stored},
    postgres::figures,
    queries,
    report::{Goal, Report, Row, median, rate, rounded, thousands},
    server::{Server, Subject},
    single::{self, CONNECTIONS},
    workload::{Hours, QUERIED, Random, TYPES, batch_requests, stream},
};

/// The goals of single inserts, of batches and of two processes, as ratios; of queries in milliseconds.
const SINGLE_GOAL: f64 = 2.0;
const BATCH_GOAL: f64 = 0.7;
const TOGETHER_GOAL: f64 = 1.0;
const HOUR_GOAL_MS: f64 = 3.0;
const LATEST_GOAL_MS: f64 = 5.0;

/// Inserting into the database takes longer than into a folder, so there are fewer events.
const FEWER: usize = 5;

/// A server, and the tables of Argus.
struct Database {
    postgres: PostgresServer,
    scripts: TempDir,
}

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let version = PostgresVersion::usual().ok().filter(|version| version.program("pgbench").is_file());
    let Some(version) = version else {
        report.skip("events in PostgreSQL", "it is not installed (Debian: postgresql)");
        return Ok(());
    };
    let postgres = PostgresServer::start_in(subject.folder()?, &version, Durability::Synced)?;
    let database = Database { postgres, scripts: TempDir::new().context("a temporary folder")? };
    // Makes the tables.
    drop(database.start(subject)?);
    singles(&database, subject, scale, report)?;
    copies(&database, subject, scale, report)?;
    pages(&database, subject, scale, report)
}

/// One event in each request, against one row in each insert.
fn singles(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let requests = single::requests();
    let (mut floors, mut figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let floor = database.pgbench(scale)?;
        let server = database.start(subject)?;
        let (figure, outcome) = single::load(&server, CONNECTIONS, scale, &requests, single::created)?;
        server.expect_stored(outcome.acknowledged)?;
        eprintln!("  run {run} of {}: {}/s of {}/s", scale.runs, rounded(figure.rate), rounded(floor));
        ratios.push(figure.rate / floor);
        floors.push(floor);
        figures.push(figure);
    }
    let ratio = median(&ratios);
    report.add(Row {
        measure: format!("PostgreSQL: POST one event, {CONNECTIONS} connections"),
        subject: subject.name,
        figure: format!("{}; {ratio:.2} of pgbench", single::Figures::medians(&figures)),
        floor: format!("pgbench, one prepared INSERT a transaction: {}/s", rounded(median(&floors))),
        goal: Goal::AtLeast { goal: SINGLE_GOAL, is: ratio, unit: "of it" },
    });
    Ok(())
}

/// Many events in each request, against a COPY of the same rows; by one process, and by two.
fn copies(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let events = scale.events / FEWER;
    let (requests, _) = batch_requests(&stream(events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(events)?;
    let (mut floors, mut alone, mut together) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let server = database.start(subject)?;
        let one = rate(events, batches::load(&server, &requests, stored)?.elapsed);
        server.expect_stored(events)?;
        drop(server);
        let floor = database.copy(events)?;

        let servers = [database.start(subject)?, database.start_beside(subject)?];
        let halves = requests.split_at(requests.len() / 2);
        let begun = Instant::now();
        thread::scope(|scope| {
            let loads = servers.iter().zip([halves.0, halves.1]);
            let loads: Vec<_> =
                loads.map(|(server, requests)| scope.spawn(|| batches::load(server, requests, stored))).collect();
            loads.into_iter().try_for_each(|load| load.join().expect("a load does not panic").map(drop))
        })?;
        let both = rate(events, begun.elapsed());
        for server in &servers {
            server.expect_stored(events)?;
        }
        let [shown, copied, shared] = [one, floor, both].map(rounded);
        eprintln!("  run {run} of {}: {shown}/s, COPY {copied}/s, two processes {shared}/s", scale.runs);
        alone.push(one);
        floors.push(floor);
        together.push(both);
    }
    let ratio = |figures: &[f64], floors: &[f64]| {
        median(&figures.iter().zip(floors).map(|(figure, floor)| figure / floor).collect::<Vec<_>>())
    };
    let events = thousands(events);
    let (of_copy, of_one) = (ratio(&alone, &floors), ratio(&together, &alone));
    let batch = thousands(u64::try_from(scale.batch)?);
    report.add(Row {
        measure: format!("PostgreSQL: POST NDJSON, {events} events in batches of {batch}"),
        subject: subject.name,
        figure: format!("{} events/s; {of_copy:.2} of COPY", rounded(median(&alone))),
        floor: format!("binary COPY of the same rows: {}/s", rounded(median(&floors))),
        goal: Goal::AtLeast { goal: BATCH_GOAL, is: of_copy, unit: "of it" },
    });
    report.add(Row {
        measure: "PostgreSQL: the same, by two processes together".to_owned(),
        subject: subject.name,
        figure: format!("{} events/s; {of_one:.2} of one alone", rounded(median(&together))),
        floor: String::new(),
        goal: Goal::AtLeast { goal: TOGETHER_GOAL, is: of_one, unit: "of one" },
    });
    Ok(())
}

/// Pages of events.
fn pages(database: &Database, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    for part in [10, 1] {
        let events = u64::try_from(scale.events)? / part;
        let hours = Hours { hours: events / 1_000, events_per_hour: 1_000, queried_per_hour: 200 };
        let server = database.start(subject)?;
        queries::fill(&server, hours, false, scale)?;
        // As autovacuum does some time after many inserts.
        database.postgres.sql("VACUUM ANALYZE argus.events")?;
        let (p50, p99) = queries::page_ms(&server, hours, scale)?;
        let of = thousands(events);
        report.add(Row {
            measure: format!("PostgreSQL: GET one type in one hour, first 100, of {of} events"),
            subject: subject.name,
            figure: format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
            floor: String::new(),
            goal: Goal::AtMost { goal: HOUR_GOAL_MS, is: p50, unit: "ms at p50" },
        });
        for (what, member) in [("one user's", "user"), ("one country's", "country")] {
            let condition = format!("payload.{member}={}", queries::value_of(&server, member)?);
            let (p50, p99) = queries::latest_ms(&server, &condition, scale)?;
            report.add(Row {
                measure: format!("PostgreSQL: GET {what} latest 100, of {of} events"),
                subject: subject.name,
                figure: format!("p50 {p50:.2} ms, p99 {p99:.2} ms"),
                floor: String::new(),
                goal: Goal::AtMost { goal: LATEST_GOAL_MS, is: p50, unit: "ms at p50" },
            });
        }
        let questions = [
            ("count by type", "/events/aggregate?group_by=type".to_owned()),
            ("hourly count of one type", format!("/events/aggregate?interval=1h&type={QUERIED}")),
        ];
        for (what, target) in questions {
            let ms = queries::answer_ms(&server, &target, scale)?;
            report.add(Row {
                measure: format!("PostgreSQL: {what}, of {of} events"),
                subject: subject.name,
                figure: format!("{ms:.1} ms"),
                floor: String::new(),
                goal: Goal::Open,
            });
        }
    }
    Ok(())
}

impl Database {
    fn url(&self) -> String {
        self.postgres.url("postgres")
    }

    /// A server with an empty repository.
    fn start(&self, subject: &Subject) -> Result<Server> {
        self.postgres.sql("DROP SCHEMA IF EXISTS argus CASCADE")?;
        self.start_beside(subject)
    }

    /// Another server with the same repository.
    fn start_beside(&self, subject: &Subject) -> Result<Server> {
        subject.start_at(&self.url())
    }

    /// Rows per second, of the size of the single events, each inserted by a transaction of its own.
    fn pgbench(&self, scale: &Scale) -> Result<f64> {
        let payload = concat!(
            r#"{"user":"u-12345","session":"0123456789abcdef","path":"/shops/12/items/1234","#,
            r#""referrer":"https://find.example/?q=00000000123456","duration_ms":12345,"country":"DE","new":true}"#
        );
        let types: Vec<String> = TYPES.iter().map(|name| format!("'{name}'")).collect();
        let script = format!(
            "\\set n random(1, {})\n\
             insert into argus.events \
             (seq, time, nanos, stored_at, id_generated, id, event_type, payload, document) \
             values (nextval('argus.bench'), now(), 0, now(), true, gen_random_uuid()::text, \
             (array[{}])[:n], :payload, (:payload)::jsonb);\n",
            TYPES.len(),
            types.join(",")
        );
        let path = self.scripts.path().join("insert.sql");
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        self.postgres.sql("TRUNCATE argus.events; CREATE SEQUENCE IF NOT EXISTS argus.bench")?;
        let mut pgbench = self.postgres.client("pgbench");
        pgbench.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1", "--client", &CONNECTIONS.to_string()]);
        pgbench.args(["--time", &scale.window.as_secs().max(1).to_string()]);
        pgbench.arg("--define").arg(format!("payload={payload}")).arg("--file").arg(&path).arg("postgres");
        let output = pgbench.output().context("pgbench")?;
        let [printed, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        ensure!(output.status.success(), "{pgbench:?}: {}\n{errors}", output.status);
        Ok(figures(&printed)?.rate)
    }

    /// Rows per second of a binary COPY of what is stored into the same table, emptied before.
    fn copy(&self, events: u64) -> Result<f64> {
        let file: PathBuf = self.scripts.path().join("rows");
        let copy = |direction: &str| {
            let command = format!("\\copy argus.events {direction} '{}' with (format binary)", file.display());
            let mut psql = self.postgres.client("psql");
            let output = psql.args(["--no-psqlrc", "--quiet", "postgres", "-c", &command]).output().context("psql")?;
            ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        copy("to")?;
        self.postgres.sql("TRUNCATE argus.events")?;
        let begun = Instant::now();
        copy("from")?;
        Ok(rate(events, begun.elapsed()))
    }
}
