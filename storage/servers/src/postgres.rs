//! A `PostgreSQL` server for one test.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::account::Account;
use crate::error::{Absent, ServerError, output};
use crate::port::{self, HOST};
use crate::process::Processes;
use crate::psql;
use crate::version::PostgresVersion;

/// The user of the database, who may do everything and needs no password, and the database that initdb makes.
const USER: &str = "postgres";
const DATABASE: &str = "postgres";

/// The text in its log when it accepts connections; those of a standby are "read-only connections".
const READY: &str = "ready to accept";

/// The text in its log if another program has taken the port meanwhile, and how often to choose another one.
const OCCUPIED: &str = "could not bind";
const STARTS_MAX: usize = 5;

/// The longest time until changed settings are in effect.
const RELOAD_TIME: Duration = Duration::from_secs(30);

/// Settings of every server. They are in its file of settings, where [`PostgresServer::set`] can replace them.
///
/// Many tests share a server. Shared memory is in the folder of the data, which is removed with it.
const SETTINGS: &str = "max_connections = 400\ndynamic_shared_memory_type = mmap\n";

/// Settings that make a server faster, and unsafe after a crash of the machine.
const VOLATILE_SETTINGS: &str = "fsync = off\nfull_page_writes = off\n";

/// Whether what is committed survives a crash of the machine. It survives a crash of the server in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It does, as by default: each commit waits for the disk.
    #[default]
    Synced,
    /// It may not. For tests to which this makes no difference; they are faster.
    Volatile,
}

/// A running server with data of its own. Dropping it ends it and removes the data.
#[derive(Debug)]
pub struct PostgresServer {
    version: PostgresVersion,
    account: Account,
    port: u16,
    // Ended before the folder is removed.
    processes: Mutex<Option<Processes>>,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts a server with an empty database `postgres` in a temporary folder. It takes about a second.
    ///
    /// # Errors
    ///
    /// [`Absent::Failed`] if it does not start.
    pub fn start(version: &PostgresVersion, durability: Durability) -> Result<Self, Absent> {
        let folder = TempDir::with_prefix("argus-postgres-").map_err(ServerError::of("a temporary folder"))?;
        Self::start_in(folder, version, durability)
    }

    /// As [`start`](Self::start), with the data in this folder.
    ///
    /// # Errors
    ///
    /// [`Absent::Failed`] if it does not start.
    pub fn start_in(folder: TempDir, version: &PostgresVersion, durability: Durability) -> Result<Self, Absent> {
        Self::with_data(folder, version, |server| server.init(durability))
    }

    /// Starts a server that has a copy of this one's data, and follows it as a hot standby. It accepts writes after
    /// [`promote`](Self::promote).
    ///
    /// # Errors
    ///
    /// It does not start, or this server does not answer. npm's installations cannot make the copy.
    pub fn standby(&self) -> Result<Self, Absent> {
        let folder = TempDir::with_prefix("argus-standby-").map_err(ServerError::of("a temporary folder"))?;
        Self::with_data(folder, &self.version, |standby| {
            let mut backup = standby.command("pg_basebackup");
            backup.args(["--host", HOST, "--port", &self.port.to_string(), "--username", USER]);
            backup.args(["--checkpoint", "fast", "--no-sync", "--write-recovery-conf", "--pgdata"]);
            output(backup.arg(standby.data())).map(drop)
        })
    }

    /// Makes a standby a primary, and waits until it accepts writes.
    ///
    /// # Errors
    ///
    /// It is none, or does not answer.
    pub fn promote(&self) -> Result<(), ServerError> {
        self.sql("select pg_promote()").map(drop)
    }

    fn with_data(
        folder: TempDir,
        version: &PostgresVersion,
        make: impl FnOnce(&Self) -> Result<(), ServerError>,
    ) -> Result<Self, Absent> {
        let account = Account::for_servers()?;
        account.own(folder.path())?;
        let processes = Mutex::new(None);
        let mut server = Self { version: version.clone(), account, port: 0, processes, folder };
        make(&server)?;
        for attempt in 1.. {
            server.port = port::free().ok_or_else(|| ServerError::new(format!("no port of {HOST} is free")))?;
            match server.run() {
                Ok(()) => break,
                Err(error) if attempt < STARTS_MAX && error.to_string().contains(OCCUPIED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(server)
    }

    /// The version that runs.
    #[must_use]
    pub fn version(&self) -> &PostgresVersion {
        &self.version
    }

    /// Its port on 127.0.0.1, which stays the same.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database, for a user who may do everything.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{HOST}:{}/{database}", self.port)
    }

    /// Executes statements in the database `postgres`; see [`sql`](crate::sql).
    ///
    /// # Errors
    ///
    /// There is no psql, the server does not answer, or a statement fails.
    pub fn sql(&self, sql: &str) -> Result<String, ServerError> {
        psql::sql(&self.url(DATABASE), sql)
    }

    /// A command that runs a client of this installation on the database `postgres`. npm's packages have none.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut client = Command::new(self.version.program(name));
        client.args(["--host", HOST, "--port", &self.port.to_string(), "--username", USER]);
        // Not all clients take the name of the database from the same option.
        client.env("PGDATABASE", DATABASE);
        client
    }

    /// All that the server has logged since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        self.processes().as_ref().map(Processes::log).unwrap_or_default()
    }

    /// Changes a setting for all connections that are opened from now on, and for open ones soon. It survives a
    /// restart. Some settings only change with a restart.
    ///
    /// # Errors
    ///
    /// There is no such setting, it does not take this value, or the server does not answer.
    pub fn set(&self, name: &str, value: &str) -> Result<(), ServerError> {
        let value = value.replace('\'', "''");
        let before = self.sql("select pg_conf_load_time()")?;
        self.sql(&format!("alter system set {name} = '{value}';\nselect pg_reload_conf();"))?;
        let deadline = Instant::now() + RELOAD_TIME;
        // The server reads the settings a moment after it was asked to.
        while self.sql("select pg_conf_load_time()")? == before {
            if Instant::now() > deadline {
                return Err(ServerError::new(format!("{name} = {value} is not in effect after {RELOAD_TIME:?}")));
            }
        }
        Ok(())
    }

    /// Offers TLS with this certificate and key in PEM. These lines of
    /// [`pg_hba.conf`](https://www.postgresql.org/docs/current/auth-pg-hba-conf.html) come before the others, which let
    /// everybody in.
    ///
    /// # Errors
    ///
    /// The files cannot be written, or the server refuses them.
    pub fn secure(&self, certificate: &str, key: &str, lines: &str) -> Result<(), ServerError> {
        let data = self.data();
        for (name, content) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            let written = fs::write(&path, content);
            let private = written.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)));
            private.map_err(ServerError::of(path.display()))?;
            self.account.own(&path)?;
        }
        let path = data.join("pg_hba.conf");
        let before = fs::read_to_string(&path).map_err(ServerError::of(path.display()))?;
        fs::write(&path, format!("{lines}\n{before}")).map_err(ServerError::of(path.display()))?;
        self.set("ssl", "on")
    }

    /// Kills all processes of the server at once, as a crash does, and waits until they are gone. What was committed is
    /// there after a [`restart`](Self::restart).
    pub fn kill(&self) {
        if let Some(processes) = self.processes().as_mut() {
            processes.kill();
        }
    }

    /// Ends the server in order: transactions are aborted, and connections closed.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.processes().as_mut().map_or(Ok(()), |processes| processes.end(Signal::INT))
    }

    /// Starts the server again with the same data, on the same port. If it runs, it is stopped first.
    ///
    /// # Errors
    ///
    /// It does not stop, or does not start.
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop()?;
        self.run()
    }

    fn init(&self, durability: Durability) -> Result<(), ServerError> {
        let data = self.data();
        let mut initdb = self.command("initdb");
        // A server that was not even set up needs nothing durable.
        initdb.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        output(initdb.arg("--pgdata").arg(&data))?;
        let settings = match durability {
            Durability::Synced => SETTINGS.to_owned(),
            Durability::Volatile => format!("{SETTINGS}{VOLATILE_SETTINGS}"),
        };
        let file = data.join("postgresql.conf");
        let opened = fs::OpenOptions::new().append(true).open(&file);
        let written = opened.and_then(|mut opened| opened.write_all(settings.as_bytes()));
        written.map_err(ServerError::of(file.display()))
    }

    fn run(&self) -> Result<(), ServerError> {
        let mut processes = self.processes();
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).args(["-h", HOST, "-p", &self.port.to_string(), "-k", ""]);
        *processes = Some(Processes::start(server, READY, self.folder.path())?);
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        self.account.command(&self.version.program(program), self.folder.path())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn processes(&self) -> MutexGuard<'_, Option<Processes>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let processes = self.processes.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(processes) = processes else { return };
        if processes.has_ended() {
            remove_shared_memory(&self.folder.path().join("data"));
            return;
        }
        // At once, but in order: the server gives back its shared memory.
        if let Err(error) = processes.end(Signal::QUIT) {
            eprintln!("argus-servers: {error}");
        }
    }
}

/// Removes the segment of shared memory by which a server that was killed would know at its next start whether
/// processes are left of it. The folder of the data names it.
fn remove_shared_memory(data: &Path) {
    // After a stop in order there is no such file, and no segment.
    let Ok(about) = fs::read_to_string(data.join("postmaster.pid")) else { return };
    let segment = about.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        // Without the program, 56 bytes are left behind.
        let _ = Command::new("ipcrm").args(["-m", segment]).output();
    }
}
