//! A server for one test that speaks MongoDB's protocol.
//!
//! Without a `mongod`, it is `SecantusDB`: its engine is that of MongoDB, with transactions, unique indexes and
//! sessions.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bson::{Document, doc};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Absent, ServerError};
use crate::port::{self, HOST};
use crate::process::Processes;
use crate::secantusdb;
use crate::wire::MongoConnection;

/// The environment variable with the path of a `secantusd-rs`, if it is not in `PATH`.
pub const SECANTUSD_VARIABLE: &str = "ARGUS_SECANTUSD";

/// The texts in their logs when they accept connections.
const MONGOD_READY: &str = "Waiting for connections";
const SECANTUSD_READY: &str = "listening on";

/// The text in the log of a `mongod` that accepts writes.
const MONGOD_PRIMARY: &str = "Transition to primary complete";

/// How often to choose another port, because another program has taken the one that was free.
const STARTS_MAX: usize = 5;

/// The name of the replica set of a `mongod`.
const REPLICA_SET: &str = "rs0";

/// A running server with data of its own: the primary of a replica set of one, without authentication. What it has
/// acknowledged survives a kill. Dropping it ends it and removes the data.
#[derive(Debug)]
pub struct MongoServer {
    program: Program,
    port: u16,
    /// Whether clients must give a password.
    has_passwords: bool,
    /// Whether it has a certificate for TLS.
    has_tls: bool,
    // Ended before the folder is removed.
    processes: Mutex<Option<Processes>>,
    folder: TempDir,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    /// MongoDB's own server.
    Mongod(PathBuf),
    /// `SecantusDB` in Rust.
    SecantusdRs(PathBuf),
    /// `SecantusDB` for Python, installed in this folder.
    SecantusdPy(PathBuf),
}

impl MongoServer {
    /// Whether there is a `mongod` in `PATH`; or a `secantusd-rs` of [`SECANTUSD_VARIABLE`], in `PATH`, or below
    /// [`secantusd_root`](crate::secantusd_root).
    #[must_use]
    pub fn is_installed() -> bool {
        Program::installed().is_some()
    }

    /// Starts a server without databases: one that [is installed](Self::is_installed), else `PyPI`'s, which is slow.
    /// It takes about a second.
    ///
    /// # Errors
    ///
    /// [`Absent`] if none is installed or can be, or if it does not start.
    pub fn start() -> Result<Self, Absent> {
        Self::start_in(TempDir::with_prefix("argus-mongodb-").map_err(ServerError::of("a temporary folder"))?)
    }

    /// As [`start`](Self::start), with the data in this folder.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_in(folder: TempDir) -> Result<Self, Absent> {
        let program = Program::find()?;
        let mut server =
            Self { program, port: 0, has_passwords: false, has_tls: false, processes: Mutex::new(None), folder };
        for attempt in 1.. {
            server.port = port::free().ok_or_else(|| ServerError::new(format!("no port of {HOST} is free")))?;
            match server.run() {
                Ok(()) => break,
                Err(error) if attempt < STARTS_MAX && error.to_string().to_lowercase().contains("in use") => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(server)
    }

    /// Makes a user of a database, and restarts the server so that all clients must give a password from then on. The
    /// role is one of MongoDB, such as `readWrite`. May be called once.
    ///
    /// # Errors
    ///
    /// The server refuses, or does not start again.
    pub fn require_password(&mut self, database: &str, user: (&str, &str), role: &str) -> Result<(), ServerError> {
        let (name, password) = user;
        let roles = [doc! { "role": role, "db": database }];
        self.command(database, doc! { "createUser": name, "pwd": password, "roles": roles })?;
        self.has_passwords = true;
        self.restart()
    }

    /// Restarts the server with a certificate in PEM and its key, so that clients may use TLS.
    /// [`command`](Self::command) does not.
    ///
    /// # Errors
    ///
    /// The server does not start again.
    pub fn encrypt(&mut self, certificate: &str, key: &str) -> Result<(), ServerError> {
        for (path, text) in self.pem_files().into_iter().zip([certificate, key, &format!("{certificate}{key}")]) {
            fs::write(&path, text).map_err(ServerError::of(path.display()))?;
        }
        self.has_tls = true;
        self.restart()
    }

    /// Its port on 127.0.0.1, which stays the same.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address for a client.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of a database. It need not exist.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("mongodb://{HOST}:{}/{database}", self.port)
    }

    /// Executes a command of a database, without a password. Returns the answer.
    ///
    /// # Errors
    ///
    /// The server does not answer, or it refuses.
    pub fn command(&self, database: &str, command: Document) -> Result<Document, ServerError> {
        self.connect()?.command(database, command)
    }

    /// A connection for several commands, without a password.
    ///
    /// # Errors
    ///
    /// The server does not accept it.
    pub fn connect(&self) -> Result<MongoConnection, ServerError> {
        MongoConnection::open(self.address())
    }

    /// What runs, such as `secantusd-rs`.
    #[must_use]
    pub fn program(&self) -> &str {
        match &self.program {
            Program::Mongod(_) => "mongod",
            Program::SecantusdRs(_) => "secantusd-rs",
            Program::SecantusdPy(_) => "secantusd-py",
        }
    }

    /// All that the server has printed since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        self.processes().as_ref().map(Processes::log).unwrap_or_default()
    }

    /// Kills the server at once, as a crash does, and waits until it is gone. What was committed is there after a
    /// [`restart`](Self::restart).
    pub fn kill(&self) {
        if let Some(processes) = self.processes().as_mut() {
            processes.kill();
        }
    }

    /// Ends the server in order.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.processes().as_mut().map_or(Ok(()), |processes| processes.end(Signal::TERM))
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

    fn run(&self) -> Result<(), ServerError> {
        let (program, ready) = self.program.command();
        // The servers print to standard output, and only the log of errors is read.
        let mut server = Command::new("sh");
        server.args(["-c", r#"exec "$0" "$@" >&2"#]).args(program).args(["--port", &self.port.to_string()]);
        match &self.program {
            Program::Mongod(_) => {
                server.arg("--dbpath").arg(self.folder.path()).args(["--bind_ip", HOST, "--replSet", REPLICA_SET]);
                server.args(["--wiredTigerCacheSizeGB", "1"]);
            }
            Program::SecantusdRs(_) | Program::SecantusdPy(_) => {
                // Without the flag, `j: true` of a transaction does not wait for the disk.
                server.arg("--storage-path").arg(self.folder.path()).args(["--host", HOST, "--sync-on-commit"]);
                // With 256 MB, a hundred thousand inserted events fill it, and then the server no longer answers.
                server.args(["--cache-size", "1G"]);
            }
        }
        if self.has_passwords {
            server.arg("--auth");
            if let Program::Mongod(_) = &self.program {
                // Members of a replica set show each other that they belong to it.
                server.arg("--keyFile").arg(self.key_file()?);
            }
        }
        if self.has_tls {
            let [certificate, key, both] = self.pem_files();
            match &self.program {
                Program::Mongod(_) => server.args(["--tlsMode", "allowTLS", "--tlsCertificateKeyFile"]).arg(both),
                Program::SecantusdRs(_) | Program::SecantusdPy(_) => {
                    server.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key)
                }
            };
        }
        if let Program::SecantusdPy(folder) = &self.program {
            server.env("PYTHONPATH", folder);
        }
        // It may look for a file of settings there.
        server.current_dir(self.folder.path());
        *self.processes() = Some(Processes::start(server, ready, self.folder.path())?);
        self.elect()
    }

    /// The files with the certificate, with its key, and with both.
    fn pem_files(&self) -> [PathBuf; 3] {
        ["certificate.pem", "key.pem", "both.pem"].map(|name| self.folder.path().join(name))
    }

    /// A file with a key, which nobody else may read.
    fn key_file(&self) -> Result<PathBuf, ServerError> {
        let path = self.folder.path().join("key");
        let written = fs::write(&path, "argusargusargus");
        let hidden = written.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)));
        hidden.map_err(ServerError::of(path.display()))?;
        Ok(path)
    }

    /// Makes a replica set of one, if there is none, and waits until this is its primary.
    fn elect(&self) -> Result<(), ServerError> {
        let Program::Mongod(_) = &self.program else { return Ok(()) };
        let member = doc! { "_id": 0, "host": format!("{HOST}:{}", self.port) };
        let set = doc! { "_id": REPLICA_SET, "members": [member] };
        // Refused after a restart, since there is a replica set.
        drop(self.command("admin", doc! { "replSetInitiate": set }));
        self.processes().as_ref().map_or(Ok(()), |processes| processes.wait_for(MONGOD_PRIMARY))
    }

    fn processes(&self) -> MutexGuard<'_, Option<Processes>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Program {
    fn find() -> Result<Self, Absent> {
        Self::installed().map_or_else(|| secantusdb::packaged().map(Self::SecantusdPy), Ok)
    }

    fn installed() -> Option<Self> {
        let named = || env::var_os(SECANTUSD_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let secantusd = || named().or_else(|| in_path("secantusd-rs")).or_else(secantusdb::built);
        in_path("mongod").map(Self::Mongod).or_else(|| secantusd().map(Self::SecantusdRs))
    }

    /// The path of the program, and the text in its log when it accepts connections.
    fn command(&self) -> (Vec<PathBuf>, &'static str) {
        match self {
            Self::Mongod(path) => (vec![path.clone()], MONGOD_READY),
            Self::SecantusdRs(path) => (vec![path.clone()], SECANTUSD_READY),
            // The script names the Python that has installed it, which may be one without the package's folder.
            Self::SecantusdPy(folder) => (vec!["python3".into(), folder.join("bin/secantusd-py")], SECANTUSD_READY),
        }
    }
}

/// A program in `PATH`.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
