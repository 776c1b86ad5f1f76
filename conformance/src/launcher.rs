//! How a subject is started.
//!
//! Cases know only a [`Launcher`], so that a container or a remote machine can be one as well.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::PATIENCE;
use crate::failure::Failure;

/// The start of the line on standard output that announces a ready server; its address follows.
const READY_LINE: &str = "argus: listening on http://";
/// How often to check whether a process has ended.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What a case needs from its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// Any server with default settings; it may hold other events.
    Any,
    /// A server without events, with default settings, for this case alone.
    Empty,
    /// A server without events, with these flags and values.
    Settings(&'a [(&'a str, &'a str)]),
    /// As `Settings`, with a standard error that cannot be written to.
    BrokenLog(BrokenLog, &'a [(&'a str, &'a str)]),
}

/// A standard error that accepts nothing, or not much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenLog {
    /// A file on a full disk.
    Full,
    /// A full pipe that nobody reads.
    Unread,
    /// A pipe without a reader.
    Unheard,
    /// No standard error.
    Closed,
}

impl BrokenLog {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Full, Self::Unread, Self::Unheard, Self::Closed];
}

/// Starts servers of one kind.
pub trait Launcher: fmt::Debug + Send + Sync {
    /// What it starts.
    fn identity(&self) -> Identity;

    /// Starts a server and waits until it accepts requests.
    ///
    /// # Errors
    ///
    /// [`Failure::Unmet`] if it does not start, [`Failure::Skipped`] if this launcher cannot meet the demand.
    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure>;

    /// Runs the program with exactly these arguments until it ends by itself.
    ///
    /// # Errors
    ///
    /// [`Failure::Unmet`] if it goes on running, [`Failure::Skipped`] if this launcher has no program to run.
    fn run_to_exit(&self, arguments: &[&str]) -> Result<Exit, Failure>;

    /// The same launcher, but it starts `wrapper`, a program with arguments, which sets limits and then turns into the
    /// server's program.
    ///
    /// # Errors
    ///
    /// [`Failure::Skipped`] if this launcher starts no program.
    fn wrapped(&self, wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure>;
}

/// What a launcher starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Servers of this program.
    Program(PathBuf),
    /// The server that listens at this address.
    Address(SocketAddr),
}

/// A running server. Dropping it ends it, by force if necessary.
pub trait Running: fmt::Debug + Send + Sync {
    /// Its address.
    fn address(&self) -> SocketAddr;

    /// Its process id; `None` if the process is not ours.
    fn process(&self) -> Option<u32>;

    /// Its data folder; `None` if it has none, or one that was not created for it.
    fn folder(&self) -> Option<&Path>;

    /// Sends a signal to its process.
    ///
    /// # Errors
    ///
    /// [`Failure::Skipped`] if the process is not ours.
    fn signal(&self, signal: Signal) -> Result<(), Failure>;

    /// Waits for its process to end.
    ///
    /// # Errors
    ///
    /// [`Failure::Unmet`] if it goes on running, [`Failure::Skipped`] if the process is not ours.
    fn wait(&mut self) -> Result<Exit, Failure>;

    /// What it has logged so far.
    fn log(&self) -> String;
}

/// The signals for a server: two that it handles, and three that it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers send.
    Terminate,
    /// Ends it at once.
    Kill,
    /// Stops it until [`Continue`](Self::Continue).
    Stop,
    /// Ends [`Stop`](Self::Stop).
    Continue,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// Starts a program with Argus's flags.
#[derive(Clone, Debug)]
pub struct BinaryLauncher {
    /// The program.
    pub binary: PathBuf,
    /// The value of `--repository`. `disk:` alone is a temporary folder for each server.
    pub repository: String,
    /// A program with arguments to start instead, which turns into `binary`. Mostly empty.
    pub wrapper: Vec<String>,
}

/// Uses a server that is already running.
#[derive(Clone, Debug)]
pub struct UrlLauncher {
    address: SocketAddr,
}

#[derive(Debug)]
struct Process {
    child: Child,
    address: SocketAddr,
    stdout: Captured,
    stderr: Captured,
    /// The reading end of its standard error, if nobody is to read it.
    _unread: Option<PipeReader>,
    /// Its data folder, removed when dropped, which is after the process has ended.
    folder: Option<TempDir>,
}

#[derive(Debug)]
struct Remote {
    address: SocketAddr,
}

/// The output of a process so far, and the thread that collects it.
#[derive(Debug)]
struct Captured {
    text: Arc<Mutex<String>>,
    collector: Option<thread::JoinHandle<()>>,
}

impl Launcher for BinaryLauncher {
    fn identity(&self) -> Identity {
        Identity::Program(self.binary.clone())
    }

    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure> {
        let (repository, folder) = self.repository()?;
        let mut arguments = vec!["--endpoint", "127.0.0.1:0", "--repository", repository.as_str()];
        let (settings, broken_log) = match demand {
            Demand::Any | Demand::Empty => (&[][..], None),
            Demand::Settings(settings) => (settings, None),
            Demand::BrokenLog(broken, settings) => (settings, Some(broken)),
        };
        arguments.extend(settings.iter().flat_map(|(flag, value)| [*flag, *value]));
        let (log, unread) = match broken_log {
            None => (Stdio::piped(), None),
            Some(broken) => {
                broken.open().map_err(|error| Failure::unmet(format!("{broken:?} standard error: {error}")))?
            }
        };
        let (mut child, stdout, stderr, lines) = self.spawn(&arguments, log, broken_log == Some(BrokenLog::Closed))?;
        match lines.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Box::new(Process { child, address, stdout, stderr, _unread: unread, folder })),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::unmet(format!(
                    "a line {READY_LINE:?} on standard output of {} {} ({error}); standard error: {}",
                    self.binary.display(),
                    arguments.join(" "),
                    stderr.finish()
                )))
            }
        }
    }

    fn run_to_exit(&self, arguments: &[&str]) -> Result<Exit, Failure> {
        let (mut child, stdout, stderr, _lines) = self.spawn(arguments, Stdio::piped(), false)?;
        let code = wait_for(&mut child);
        if code.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = (stdout.finish(), stderr.finish());
        code.map(|code| Exit { code, stdout, stderr })
    }

    fn wrapped(&self, wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure> {
        Ok(Box::new(Self { wrapper: [wrapper, &self.wrapper].concat(), ..self.clone() }))
    }
}

impl BinaryLauncher {
    /// Starts a server and kills it after this time, whatever it is doing. It may have ended before.
    ///
    /// # Errors
    ///
    /// [`Failure::Unmet`] if it does not start.
    pub fn run_for(&self, time: Duration) -> Result<Exit, Failure> {
        let (repository, _folder) = self.repository()?;
        let arguments = ["--endpoint", "127.0.0.1:0", "--repository", repository.as_str()];
        let (mut child, stdout, stderr, _lines) = self.spawn(&arguments, Stdio::piped(), false)?;
        let deadline = Instant::now() + time;
        while let Ok(None) = child.try_wait() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(EXIT_POLL_INTERVAL));
        }
        // Fails only if the process has ended.
        let _ = child.kill();
        let code = wait_for(&mut child)?;
        Ok(Exit { code, stdout: stdout.finish(), stderr: stderr.finish() })
    }

    /// The repository's URL, and its folder if that is temporary.
    fn repository(&self) -> Result<(String, Option<TempDir>), Failure> {
        if self.repository != "disk:" {
            return Ok((self.repository.clone(), None));
        }
        let folder = TempDir::with_prefix("argus-conformance-")
            .map_err(|error| Failure::unmet(format!("a temporary folder for the server: {error}")))?;
        Ok((format!("disk:{}", folder.path().display()), Some(folder)))
    }

    /// Starts the program with this standard error, if any.
    fn spawn(
        &self,
        arguments: &[&str],
        stderr: Stdio,
        without_stderr: bool,
    ) -> Result<(Child, Captured, Captured, mpsc::Receiver<SocketAddr>), Failure> {
        let shell = ["sh", "-c", r#"exec "$0" "$@" 2>&-"#].map(str::to_owned);
        let wrapper: Vec<String> =
            without_stderr.then_some(shell).into_iter().flatten().chain(self.wrapper.clone()).collect();
        let mut command = match wrapper.split_first() {
            None => Command::new(&self.binary),
            Some((program, leading)) => {
                let mut command = Command::new(program);
                command.args(leading).arg(&self.binary);
                command
            }
        };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        // Settings in the environment of the suite are not for the subject.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARGUS_")) {
            command.env_remove(name);
        }
        let mut child =
            command.spawn().map_err(|error| Failure::unmet(format!("{} to start: {error}", self.binary.display())))?;
        let (sender, receiver) = mpsc::channel();
        let stdout = child.stdout.take().ok_or_else(|| Failure::unmet("a pipe from standard output"))?;
        let stderr = child.stderr.take();
        let stdout = Captured::collect(stdout, move |line| {
            if let Some(address) = line.strip_prefix(READY_LINE).and_then(|rest| rest.trim().parse().ok()) {
                // The receiver is gone if nobody waits for a server, as with `--help`.
                let _ = sender.send(address);
            }
        });
        let stderr = stderr.map_or_else(Captured::nothing, |stderr| Captured::collect(stderr, |_| ()));
        Ok((child, stdout, stderr, receiver))
    }
}

impl BrokenLog {
    /// Opens it for a process; returns what must stay open as long as the process lives.
    fn open(self) -> io::Result<(Stdio, Option<PipeReader>)> {
        match self {
            Self::Full => Ok((OpenOptions::new().write(true).open("/dev/full")?.into(), None)),
            Self::Unread => {
                let (reader, mut writer) = io::pipe()?;
                let room = rustix::pipe::fcntl_getpipe_size(&writer)?;
                writer.write_all(&vec![b'\n'; room])?;
                Ok((writer.into(), Some(reader)))
            }
            Self::Unheard => {
                let (_reader, writer) = io::pipe()?;
                Ok((writer.into(), None))
            }
            Self::Closed => Ok((Stdio::null(), None)),
        }
    }
}

impl Running for Process {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn process(&self) -> Option<u32> {
        Some(self.child.id())
    }

    fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let signal = match signal {
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
        };
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .map_err(|error| Failure::unmet(format!("a process that can be signalled: {error}")))
    }

    fn wait(&mut self) -> Result<Exit, Failure> {
        let code = wait_for(&mut self.child)?;
        Ok(Exit { code, stdout: self.stdout.finish(), stderr: self.stderr.finish() })
    }

    fn log(&self) -> String {
        self.stderr.so_far()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Captured {
    fn collect(stream: impl Read + Send + 'static, mut on_line: impl FnMut(&str) + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&text);
        let collector = thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let decoded = String::from_utf8_lossy(&line);
                shared.lock().unwrap_or_else(PoisonError::into_inner).push_str(&decoded);
                on_line(decoded.trim_end());
                line.clear();
            }
        });
        Self { text, collector: Some(collector) }
    }

    /// For a process without this stream.
    fn nothing() -> Self {
        Self { text: Arc::default(), collector: None }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end of the stream, which comes with the end of the process; returns everything.
    fn finish(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.collector.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(EXIT_POLL_INTERVAL);
        }
        self.so_far()
    }
}

impl UrlLauncher {
    /// A launcher for the server at `url`, which is `http://HOST:PORT`.
    ///
    /// # Errors
    ///
    /// A message if it is another scheme or the host has no address.
    pub fn new(url: &str) -> Result<Self, String> {
        let authority = url.strip_prefix("http://").ok_or_else(|| format!("{url}: expected http://HOST:PORT"))?;
        let authority = authority.trim_end_matches('/');
        let mut addresses = authority.to_socket_addrs().map_err(|error| format!("{url}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{url}: the host has no address"))?;
        Ok(Self { address })
    }
}

impl Launcher for UrlLauncher {
    fn identity(&self) -> Identity {
        Identity::Address(self.address)
    }

    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure> {
        match demand {
            Demand::Any => Ok(Box::new(Remote { address: self.address })),
            Demand::Empty => Err(Failure::skipped("needs an empty server of its own")),
            Demand::Settings(settings) | Demand::BrokenLog(_, settings) => {
                Err(Failure::skipped(format!("needs a server of its own with the settings {settings:?}")))
            }
        }
    }

    fn run_to_exit(&self, _arguments: &[&str]) -> Result<Exit, Failure> {
        Err(Failure::skipped("needs the program, not a running server"))
    }

    fn wrapped(&self, _wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure> {
        Err(Failure::skipped("needs the program, not a running server"))
    }
}

impl Running for Remote {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn process(&self) -> Option<u32> {
        None
    }

    fn folder(&self) -> Option<&Path> {
        None
    }

    fn signal(&self, _signal: Signal) -> Result<(), Failure> {
        Err(Failure::skipped("needs control of the server's process"))
    }

    fn wait(&mut self) -> Result<Exit, Failure> {
        Err(Failure::skipped("needs control of the server's process"))
    }

    fn log(&self) -> String {
        String::new()
    }
}

fn wait_for(child: &mut Child) -> Result<Option<i32>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.code()),
            Ok(None) => thread::sleep(EXIT_POLL_INTERVAL),
            Err(error) => return Err(Failure::unmet(format!("a process that can be waited for: {error}"))),
        }
    }
    Err(Failure::unmet(format!("the process to end within {PATIENCE:?}")))
}
