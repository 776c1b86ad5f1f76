//! `PostgreSQL` with the same events: one row an event, each durable when acknowledged, measured by pgbench.
//!
//! It is measured over TCP with a prepared statement, once doing as much per event as Argus, and once as little as
//! possible. See [`Table`].

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use argus_servers::{Durability, PostgresServer, PostgresVersion};
use tempfile::TempDir;

use super::workload::TYPES;

/// The version to compare with.
const VERSION: u32 = 15;

/// Rows that each connection inserts before the measurement.
const WARM_UP_ROWS: u64 = 20;

/// The longest measured time, for a machine that inserts no row in less.
const SECONDS_MAX: u64 = 60;

/// The columns of a row, and what the insert returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    /// As an event in Argus: a row has a sequence number and a unique id. There are indexes of both, and of type and
    /// time. The text of the payload is kept. Number and id are returned.
    Full,
    /// A row has a key. There are indexes of the key, and of type and time. Nothing is returned. A repeated request is
    /// stored twice.
    Lean,
}

impl Table {
    const fn definition(self) -> &'static str {
        match self {
            Self::Full => {
                "create table events (seq bigserial primary key, id uuid unique not null default gen_random_uuid(), \
                 event_type text not null, ts timestamptz not null, payload json not null); \
                 create index on events (event_type, ts)"
            }
            Self::Lean => {
                "create table events (id bigserial primary key, event_type text not null, \
                 ts timestamptz not null, payload jsonb not null); \
                 create index on events (event_type, ts)"
            }
        }
    }

    const fn returning(self) -> &'static str {
        match self {
            Self::Full => " returning seq, id",
            Self::Lean => "",
        }
    }
}

/// A server with an empty table. Its processes run only during a measurement, so that they disturb nothing else.
#[derive(Debug)]
pub(super) struct Postgres {
    server: PostgresServer,
    /// Where the statement of pgbench is; removed when dropped.
    scripts: TempDir,
}

impl Postgres {
    /// A new server with this table in a folder of its own; the error says why that is impossible.
    pub(super) fn new(folder: TempDir, table: Table) -> Result<Self, String> {
        let version = PostgresVersion::installed().into_iter().find(|version| version.major() == VERSION);
        let version = version.filter(|version| version.program("pgbench").is_file());
        let version = version.ok_or_else(|| format!("PostgreSQL {VERSION} is not installed (Debian: postgresql)"))?;
        Self::init(folder, &version, table).map_err(|error| format!("PostgreSQL {VERSION} cannot be set up: {error:#}"))
    }

    fn init(folder: TempDir, version: &PostgresVersion, table: Table) -> Result<Self> {
        let types: Vec<String> = TYPES.iter().map(|name| format!("'{name}'")).collect();
        // A prepared statement with parameters, as a service would send it.
        let script = format!(
            "\\set n random(1, {})\n\
             insert into events (event_type, ts, payload) values ((array[{}])[:n], now(), :payload){};\n",
            TYPES.len(),
            types.join(","),
            table.returning()
        );
        let server = PostgresServer::start_in(folder, version, Durability::Synced)?;
        let postgres = Self { server, scripts: TempDir::new().context("a temporary folder")? };
        fs::write(postgres.script(), script)?;
        postgres.server.sql(table.definition())?;
        for (setting, expected) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
            let value = postgres.server.sql(&format!("show {setting}"))?;
            ensure!(value == expected, "{setting} is {value}");
        }
        postgres.server.stop()?;
        Ok(postgres)
    }

    /// Inserts rows with this payload over several connections for a time in whole seconds; returns the rows per
    /// second. Every acknowledged row is counted afterwards.
    pub(super) fn measure(&self, payload: &str, connections: usize, time: Duration) -> Result<f64> {
        self.server.restart()?;
        let measured = self.measure_running(payload, connections, time);
        self.server.stop()?;
        measured
    }

    fn measure_running(&self, payload: &str, connections: usize, time: Duration) -> Result<f64> {
        self.server.sql("truncate events")?;
        // The first rows meet an empty cache and are not measured.
        let warm_up = self.pgbench(payload, connections, ["--transactions", &WARM_UP_ROWS.to_string()])?;
        let mut seconds = (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1);
        let measured = loop {
            let measured = self.pgbench(payload, connections, ["--time", &seconds.to_string()])?;
            if measured.rows > 0 {
                break measured;
            }
            seconds *= 2;
            ensure!(seconds <= SECONDS_MAX, "not one row in {} s", seconds / 2);
        };
        let acknowledged = warm_up.rows + measured.rows;
        let stored = self.server.sql("select count(*) from events")?;
        let stored: u64 = stored.parse().context("a count that is no number")?;
        ensure!(stored == acknowledged, "{acknowledged} rows were acknowledged, and {stored} are stored");
        Ok(measured.rate)
    }

    fn pgbench(&self, payload: &str, connections: usize, extent: [&str; 2]) -> Result<Figures> {
        let mut pgbench = self.server.client("pgbench");
        pgbench.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1"]);
        pgbench.args(["--client", &connections.to_string()]).args(extent);
        pgbench.arg("--define").arg(format!("payload={payload}")).arg("--file").arg(self.script());
        let output = pgbench.output().context("pgbench")?;
        let [printed, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        ensure!(output.status.success(), "{pgbench:?}: {}\n{errors}", output.status);
        figures(&printed)
    }

    fn script(&self) -> PathBuf {
        self.scripts.path().join("insert.sql")
    }
}

/// The figures of pgbench.
#[derive(Debug, PartialEq)]
pub(super) struct Figures {
    rows: u64,
    pub(super) rate: f64,
}

/// Reads what pgbench prints.
pub(super) fn figures(report: &str) -> Result<Figures> {
    let value = |name: &str| {
        let line = report.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.split_whitespace().next());
        value.with_context(|| format!("pgbench does not print `{name}`:\n{report}"))
    };
    let failed: u64 = value("number of failed transactions: ")?.parse()?;
    ensure!(failed == 0, "{failed} rows were refused");
    // If the number of rows is given, it is printed after a slash.
    let rows: u64 =
        value("number of transactions actually processed: ")?.split('/').next().unwrap_or_default().parse()?;
    // Without a row no rate is printed.
    let rate = if rows == 0 { 0.0 } else { value("tps = ")?.parse()? };
    Ok(Figures { rows, rate })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_pgbench_is_read() {
        let report = |processed: &str, failed: u32| {
            format!(
                "pgbench (15.18)\nnumber of clients: 64\n\
                 number of transactions actually processed: {processed}\n\
                 number of failed transactions: {failed} (0.000%)\n\
                 latency average = 11.582 ms\n\
                 tps = 5525.843012 (without initial connection time)\n"
            )
        };
        let expected = Figures { rows: 20_817, rate: 5_525.843_012 };
        assert_eq!(figures(&report("20817", 0)).ok().as_ref(), Some(&expected));
        assert_eq!(figures(&report("20817/20817", 0)).ok().as_ref(), Some(&expected));
        assert!(figures(&report("20817", 1)).is_err() && figures("").is_err());
        let none = "number of transactions actually processed: 0\nnumber of failed transactions: 0 (NaN%)\n";
        assert_eq!(figures(none).ok(), Some(Figures { rows: 0, rate: 0.0 }));
    }
}
