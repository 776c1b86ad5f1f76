//! The measured servers: building, starting and inspecting them.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::client::{Client, PATIENCE};
use crate::{
    databases,
    flags::BenchOptions,
    steps,
    workspace::{cargo, metadata, target_directory},
};

/// A runtime, and the same host with an empty handler.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    server: PathBuf,
    floor: PathBuf,
    threads: Option<usize>,
}

/// The runtimes by the names that `--runtime` takes, with their packages.
const RUNTIMES: [(&str, &str); 2] = [("tokio", "argus-tokio"), ("smol", "argus-smol")];

/// The text on standard output when a server accepts requests.
const READY: &str = "listening on http://";

/// The kernel's unit of processor time (`getconf CLK_TCK`, the same on every Linux of today).
const TICKS_PER_SECOND: u64 = 100;

/// Builds the servers of one runtime; of all for `None` or `all`.
pub(super) fn build(options: &BenchOptions) -> Result<Vec<Subject>> {
    let BenchOptions { runtime, smoke, threads, .. } = options;
    let (runtime, smoke, threads) = (runtime.as_deref(), *smoke, *threads);
    let profile = if smoke { "dev" } else { "release" };
    let target = target_directory(&metadata()?)?;
    let built = target.join(if smoke { "debug" } else { "release" });
    let kept = target.join("bench").join(profile);
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;
    if smoke {
        // As the tests are built, so that nothing is built twice.
        steps::run(cargo(["build", "--workspace", "--bins", "--examples"]).args(databases::features()))?;
    }
    let mut subjects = Vec::new();
    for (name, package) in RUNTIMES {
        if runtime.is_some_and(|wanted| wanted != name && wanted != "all") {
            continue;
        }
        let floor = format!("{name}_floor");
        if !smoke {
            // Alone, so that it has the features that its users get, and no other package's; and that of databases.
            let features = ["--features", "postgres,mongodb"];
            let build = ["build", "--release", "-p", package, "--bins", "--example", &floor];
            steps::run(cargo(build).args(features))?;
        }
        // Copies, so that a build during a bench does not change what is measured.
        let keep = |from: PathBuf, name: String| -> Result<PathBuf> {
            let to = kept.join(name);
            fs::copy(&from, &to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
            Ok(to)
        };
        let server = keep(built.join(package), package.to_owned())?;
        let floor = keep(built.join("examples").join(&floor), floor)?;
        subjects.push(Subject { name, server, floor, threads });
    }
    ensure!(!subjects.is_empty(), "unknown runtime '{}'; there are tokio and smol", runtime.unwrap_or_default());
    Ok(subjects)
}

impl Subject {
    /// A new server with an empty repository in memory.
    pub(super) fn start(&self) -> Result<Server> {
        self.start_with(&[])
    }

    /// The same with further arguments.
    pub(super) fn start_with(&self, arguments: &[&str]) -> Result<Server> {
        Server::start(&self.server, "memory:", self.threads, arguments)
    }

    /// The program of the server.
    pub(super) fn program(&self) -> &Path {
        &self.server
    }

    /// A server that stores its events in this folder.
    pub(super) fn start_on(&self, folder: &Path) -> Result<Server> {
        Server::start(&self.server, &format!("disk:{}", folder.display()), self.threads, &[])
    }

    /// A server with the repository at this URL.
    pub(super) fn start_at(&self, url: &str) -> Result<Server> {
        Server::start(&self.server, url, self.threads, &[])
    }

    /// The threads that its servers have, if they are limited.
    pub(super) fn threads(&self) -> Option<usize> {
        self.threads
    }

    /// The same host with an empty handler.
    pub(super) fn start_floor(&self) -> Result<Server> {
        Server::start(&self.floor, "memory:", self.threads, &[])
    }

    /// An empty folder, removed when dropped. It is on the disk of the build: temporary folders may be in memory, where
    /// a sync costs nothing.
    pub(super) fn folder(&self) -> Result<TempDir> {
        let beside = self.server.parent().context("the program has no folder")?;
        TempDir::with_prefix_in("data-", beside).with_context(|| format!("no folder in {}", beside.display()))
    }
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// The present value.
    pub(super) resident: u64,
    /// The peak.
    pub(super) peak: u64,
}

impl Server {
    fn start(program: &Path, repository: &str, threads: Option<usize>, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["--endpoint", "127.0.0.1:0", "--repository", repository])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // Settings in the environment are not to be measured.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARGUS_")) {
            command.env_remove(name);
        }
        command.env("ARGUS_LOG", "warn");
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.address = server.await_address().with_context(|| program.display().to_string())?;
        Ok(server)
    }

    fn await_address(&mut self) -> Result<SocketAddr> {
        let stdout = self.child.stdout.take().context("standard output is not there")?;
        let (sender, receiver) = mpsc::channel();
        // Reads to the end, so that the server never writes into a closed pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once(READY) {
                    // The receiver may be gone: it has timed out.
                    drop(sender.send(address.trim().to_owned()));
                }
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(address) => address.parse().with_context(|| format!("no address: {address}")),
            Err(_) => bail!("it did not print `{READY}…`"),
        }
    }

    /// The number of events that the server reports.
    pub(super) fn stored_events(&self) -> Result<u64> {
        self.metric("argus_stored_events")
    }

    /// A metric that counts something.
    pub(super) fn metric(&self, name: &str) -> Result<u64> {
        let (response, _) = Client::connect(self.address)?.get("/metrics")?;
        response.expect(200)?;
        let text = String::from_utf8(response.body).context("/metrics is not UTF-8")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("/metrics has no {name}"))?;
        // A gauge may be written as a float; counts below 2^53 are exact in one.
        let number: f64 = value.parse().with_context(|| format!("{name} is {value}"))?;
        format!("{number:.0}").parse().with_context(|| format!("{name} is {value}"))
    }

    /// Fails unless the server holds exactly the acknowledged number of events.
    pub(super) fn expect_stored(&self, acknowledged: u64) -> Result<()> {
        let stored = self.stored_events()?;
        ensure!(stored == acknowledged, "{acknowledged} events were acknowledged, and {stored} are stored");
        Ok(())
    }

    /// The memory of the process: present and peak.
    pub(super) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
            let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name}{line}"))?;
            Ok(kib * 1024)
        };
        Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
    }

    /// Waits until the resident memory has stopped changing, at most for `limit`; returns it.
    pub(super) fn stable_memory(&self, limit: Duration) -> Result<Memory> {
        let started = Instant::now();
        let mut memory = self.memory()?;
        while started.elapsed() < limit {
            thread::sleep(limit / 3);
            let before = memory.resident;
            memory = self.memory()?;
            if memory.resident == before {
                break;
            }
        }
        Ok(memory)
    }

    /// The processor time that the process has used on all cores.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The program's name is in parentheses and may contain anything; fields 14 and 15 are user and system time.
        let (_, fields) = stat.rsplit_once(')').context("no process name in /proc")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>().context("processor times that are no numbers")?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only if the server has ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
