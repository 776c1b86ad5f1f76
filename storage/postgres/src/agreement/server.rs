//! A `PostgreSQL` for tests.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

/// Where Debian installs `PostgreSQL`, in a folder for each version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// The user that runs the server if this process is root. The server refuses to run as root.
const USER: &str = "postgres";

/// The text in its log when it accepts connections.
const READY: &str = "ready to accept connections";

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    config: Config,
    /// What was started for this test; `None` if the server was there before.
    _own: Option<Own>,
}

/// A server of this test, without TCP. It ends with this value.
#[derive(Debug)]
struct Own {
    process: Child,
    programs: PathBuf,
    folder: TempDir,
}

impl Server {
    /// The server of the variable `ARGUS_TEST_POSTGRES`, or a new one. Says so if there is none, and fails if the
    /// variable `ARGUS_REQUIRE_CLIENTS` is set.
    pub(super) fn find() -> Option<Self> {
        if let Ok(url) = env::var("ARGUS_TEST_POSTGRES") {
            return Some(Self { config: url.parse().unwrap(), _own: None });
        }
        let versions = fs::read_dir(INSTALLED).into_iter().flatten().map(|entry| entry.unwrap().path().join("bin"));
        let Some(programs) = versions.filter(|programs| programs.join("initdb").is_file()).max() else {
            eprintln!(
                "SKIPPED: there is no PostgreSQL: {INSTALLED}/*/bin/initdb is missing; apt-get install postgresql"
            );
            assert!(env::var_os("ARGUS_REQUIRE_CLIENTS").is_none(), "there is no PostgreSQL");
            return None;
        };
        let own = Own::start(programs);
        let mut config = Config::new();
        config.host_path(own.folder.path()).user(USER).dbname("postgres");
        Some(Self { config, _own: Some(own) })
    }

    /// A new connection, which the current runtime drives.
    pub(super) async fn connect(&self) -> Client {
        let (client, connection) = self.config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Own {
    fn start(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg(USER).arg(folder.path()));
        }
        let data = folder.path().join("data");
        let mut initdb = command(&programs, "initdb");
        initdb.args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        run(initdb.arg("--pgdata").arg(&data));
        let mut server = command(&programs, "postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off"]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = server.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(log.any(|line| line.contains(READY)), "PostgreSQL ended before it was ready");
        // Reads to the end, so that the server never writes into a closed pipe.
        thread::spawn(move || log.for_each(drop));
        Self { process, programs, folder }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // A killed server would leave shared memory behind.
        let data = self.folder.path().join("data");
        run(command(&self.programs, "pg_ctl").arg("stop").args(["-m", "immediate", "-D"]).arg(data));
        self.process.wait().unwrap();
    }
}

/// A program of the server, as the user that may run it.
fn command(programs: &Path, name: &str) -> Command {
    let program = programs.join(name);
    let mut command = if is_root() {
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

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
