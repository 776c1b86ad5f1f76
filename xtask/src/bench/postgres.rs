//! `PostgreSQL` with the same events: one row an event, each durable when acknowledged, measured by pgbench.
//!
//! It is measured over TCP with a prepared statement, once doing as much per event as Argus, and once as little as
//! possible. See [`Table`].

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tempfile::TempDir;

use super::{client::PATIENCE, workload::TYPES};

/// The version to compare with.
const VERSION: u32 = 15;

/// Where Debian and its derivatives install the server's programs, outside of `PATH`.
const BINARIES: &str = "/usr/lib/postgresql/15/bin";

/// The user that runs the server if this process is root. The server refuses to run as root.
const USER: &str = "postgres";

/// Rows that each connection inserts before the measurement.
const WARM_UP_ROWS: u64 = 20;

/// The longest measured time, for a machine that inserts no row in less.
const SECONDS_MAX: u64 = 60;

/// Its address.
const HOST: &str = "127.0.0.1";

/// The text in its log when it accepts connections.
const READY: &str = "ready to accept connections";

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
    /// Data and script; removed when dropped.
    folder: TempDir,
    is_root: bool,
    port: u16,
}

impl Postgres {
    /// A new server with this table in a folder of its own; the error says why that is impossible.
    pub(super) fn new(folder: TempDir, table: Table) -> Result<Self, String> {
        let programs = ["initdb", "postgres", "pg_ctl", "psql", "pgbench"];
        if let Some(missing) = programs.iter().find(|program| !Path::new(BINARIES).join(program).is_file()) {
            return Err(format!("PostgreSQL {VERSION} is not installed: there is no {BINARIES}/{missing}"));
        }
        Self::init(folder, table).map_err(|error| format!("PostgreSQL {VERSION} cannot be set up: {error:#}"))
    }

    fn init(folder: TempDir, table: Table) -> Result<Self> {
        let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
        if is_root {
            output(Command::new("chown").arg(USER).arg(folder.path()))?;
        }
        // Free now, and very likely still free when the server listens: the system assigns other ports first.
        let port = TcpListener::bind((HOST, 0))?.local_addr()?.port();
        let postgres = Self { folder, is_root, port };
        let types: Vec<String> = TYPES.iter().map(|name| format!("'{name}'")).collect();
        // A prepared statement with parameters, as a service would send it.
        let script = format!(
            "\\set n random(1, {})\n\
             insert into events (event_type, ts, payload) values ((array[{}])[:n], now(), :payload){};\n",
            TYPES.len(),
            types.join(","),
            table.returning()
        );
        fs::write(postgres.path("insert.sql"), script)?;
        // The setup is not measured and need not be durable.
        let mut initdb = postgres.program("initdb");
        initdb.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        output(initdb.arg("--pgdata").arg(postgres.path("data")))?;
        let running = postgres.start()?;
        running.query(table.definition())?;
        for (setting, expected) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
            let value = running.query(&format!("show {setting}"))?;
            ensure!(value == expected, "{setting} is {value}");
        }
        drop(running);
        Ok(postgres)
    }

    /// Inserts rows with this payload over several connections for a time in whole seconds; returns the rows per
    /// second. Every acknowledged row is counted afterwards.
    pub(super) fn measure(&self, payload: &str, connections: usize, time: Duration) -> Result<f64> {
        let running = self.start()?;
        running.query("truncate events")?;
        // The first rows meet an empty cache and are not measured.
        let warm_up = running.pgbench(payload, connections, ["--transactions", &WARM_UP_ROWS.to_string()])?;
        let mut seconds = (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1);
        let measured = loop {
            let measured = running.pgbench(payload, connections, ["--time", &seconds.to_string()])?;
            if measured.rows > 0 {
                break measured;
            }
            seconds *= 2;
            ensure!(seconds <= SECONDS_MAX, "not one row in {} s", seconds / 2);
        };
        let acknowledged = warm_up.rows + measured.rows;
        let stored: u64 = running.query("select count(*) from events")?.parse().context("a count that is no number")?;
        ensure!(stored == acknowledged, "{acknowledged} rows were acknowledged, and {stored} are stored");
        Ok(measured.rate)
    }

    fn start(&self) -> Result<Running<'_>> {
        let mut server = self.program("postgres");
        server.arg("-D").arg(self.path("data")).args(["-h", HOST, "-p", &self.port.to_string(), "-k", ""]);
        // Not as a daemon, so that an interrupt of the bench reaches it as well.
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = Running { postgres: self, server: server.spawn().context("postgres")? };
        let log = running.server.stderr.take().context("standard error is not there")?;
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that the server never writes into a closed pipe.
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                // The receiver may be gone: it has read enough.
                drop(sender.send(line));
            }
        });
        let mut said = String::new();
        while !said.contains(READY) {
            let line = receiver.recv_timeout(PATIENCE);
            said += &line.map_err(|_| anyhow!("it did not print `{READY}`:\n{said}"))?;
            said.push('\n');
        }
        Ok(running)
    }

    fn program(&self, name: &str) -> Command {
        let program = Path::new(BINARIES).join(name);
        let mut command = if self.is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // The other user may have no access to the current folder.
        command.current_dir("/");
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A running server.
struct Running<'a> {
    postgres: &'a Postgres,
    server: Child,
}

/// The figures of pgbench.
#[derive(Debug, PartialEq)]
struct Figures {
    rows: u64,
    rate: f64,
}

impl Running<'_> {
    fn query(&self, sql: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1", "-c", sql]);
        Ok(output(&mut psql)?.trim().to_owned())
    }

    fn pgbench(&self, payload: &str, connections: usize, extent: [&str; 2]) -> Result<Figures> {
        let mut pgbench = self.client("pgbench");
        pgbench.args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1"]);
        pgbench.args(["--client", &connections.to_string()]).args(extent);
        pgbench.arg("--define").arg(format!("payload={payload}")).arg("--file").arg(self.postgres.path("insert.sql"));
        figures(&output(&mut pgbench)?)
    }

    fn client(&self, name: &str) -> Command {
        let mut command = self.postgres.program(name);
        command.args(["--host", HOST, "--port", &self.postgres.port.to_string(), "--username", USER]);
        command
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut stop = self.postgres.program("pg_ctl");
        stop.arg("-D").arg(self.postgres.path("data")).args(["--mode", "fast", "--wait", "--silent", "stop"]);
        if let Err(error) = output(&mut stop) {
            eprintln!("xtask bench: PostgreSQL had to be killed: {error:#}");
            drop(self.server.kill());
        }
        drop(self.server.wait());
    }
}

fn figures(report: &str) -> Result<Figures> {
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

/// Runs a program to its end; returns its output.
fn output(command: &mut Command) -> Result<String> {
    let name = format!("{command:?}");
    let output = command.output().with_context(|| name.clone())?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
