//! Starts a program of Argus for each server.

use std::io::PipeReader;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::process::{Captured, Process, ends_within, wait_for};
use super::repository::{Place, Repository};
use super::{BrokenLog, Demand, Exit, Identity, Launcher, READY_LINE, Running};
use crate::client::patience;
use crate::failure::Failure;

/// A wrapper that closes standard error.
const WITHOUT_STDERR: [&str; 3] = ["sh", "-c", r#"exec "$0" "$@" 2>&-"#];

/// Starts a program with Argus's flags.
#[derive(Clone, Debug)]
pub struct BinaryLauncher {
    /// The program.
    pub binary: PathBuf,
    /// Where servers store events.
    pub repository: Repository,
    /// A program with arguments that is started first and then executes `binary`. Usually empty.
    pub wrapper: Vec<String>,
}

/// A process that has just been started.
struct Spawned {
    child: Child,
    stdout: Captured,
    stderr: Captured,
    /// See [`Process`].
    unread: Option<PipeReader>,
    /// Receives the address once the server is ready.
    ready: mpsc::Receiver<SocketAddr>,
}

impl Launcher for BinaryLauncher {
    fn identity(&self) -> Identity {
        Identity::Program(self.binary.clone())
    }

    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure> {
        let place = match demand.kept_url() {
            Some(url) => Place::Given(url.to_owned()),
            None => self.repository.place()?,
        };
        let repository = place.url();
        let mut arguments = vec!["--endpoint", "127.0.0.1:0", "--repository", repository.as_str()];
        let (settings, broken_log) = match demand {
            Demand::Any | Demand::Empty => (&[][..], None),
            Demand::Settings(settings) | Demand::Again(_, settings) => (settings, None),
            Demand::BrokenLog(broken, settings) => (settings, Some(broken)),
        };
        arguments.extend(settings.iter().flat_map(|(flag, value)| [*flag, *value]));
        let Spawned { mut child, stdout, stderr, unread, ready } = self.spawn(&arguments, broken_log)?;
        match ready.recv_timeout(patience()) {
            Ok(address) => Ok(Box::new(Process { child, address, stdout, stderr, _unread: unread, place })),
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
        let mut spawned = self.spawn(arguments, None)?;
        let code = wait_for(&mut spawned.child);
        if code.is_err() {
            let _ = spawned.child.kill();
            let _ = spawned.child.wait();
        }
        let (stdout, stderr) = (spawned.stdout.finish(), spawned.stderr.finish());
        code.map(|code| Exit { code, stdout, stderr })
    }

    fn wrapped(&self, wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure> {
        Ok(Box::new(Self { wrapper: [wrapper, &self.wrapper].concat(), ..self.clone() }))
    }
}

impl BinaryLauncher {
    /// Starts a server and kills it after this time, whatever it is doing. Returns how it ended, if that was before.
    ///
    /// # Errors
    ///
    /// [`Failure::Unmet`] if it does not start.
    pub fn run_for(&self, time: Duration) -> Result<Option<Exit>, Failure> {
        let place = self.repository.place()?;
        let mut spawned = self.spawn(&["--endpoint", "127.0.0.1:0", "--repository", &place.url()], None)?;
        let ended = ends_within(&mut spawned.child, time);
        // Fails only if the process has ended.
        let _ = spawned.child.kill();
        let is_early = ended?.is_some();
        let code = wait_for(&mut spawned.child)?;
        let exit = Exit { code, stdout: spawned.stdout.finish(), stderr: spawned.stderr.finish() };
        Ok(is_early.then_some(exit))
    }

    /// Starts the program. Its standard error is captured unless the log is to be broken.
    fn spawn(&self, arguments: &[&str], broken_log: Option<BrokenLog>) -> Result<Spawned, Failure> {
        let (log, unread) = match broken_log {
            None => (Stdio::piped(), None),
            Some(broken) => {
                broken.open().map_err(|error| Failure::unmet(format!("{broken:?} standard error: {error}")))?
            }
        };
        let closing = (broken_log == Some(BrokenLog::Closed)).then_some(WITHOUT_STDERR.map(str::to_owned));
        let wrapper: Vec<String> = closing.into_iter().flatten().chain(self.wrapper.clone()).collect();
        let mut command = match wrapper.split_first() {
            None => Command::new(&self.binary),
            Some((program, leading)) => {
                let mut command = Command::new(program);
                command.args(leading).arg(&self.binary);
                command
            }
        };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // Settings in the environment of the suite are not for the subject.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARGUS_")) {
            command.env_remove(name);
        }
        let mut child =
            command.spawn().map_err(|error| Failure::unmet(format!("{} to start: {error}", self.binary.display())))?;
        let (sender, ready) = mpsc::channel();
        let stdout = child.stdout.take().ok_or_else(|| Failure::unmet("a pipe from standard output"))?;
        let stderr = child.stderr.take();
        let stdout = Captured::collect(stdout, move |line| {
            if let Some(address) = line.strip_prefix(READY_LINE).and_then(|rest| rest.trim().parse().ok()) {
                // The receiver is gone if nobody waits for a server, as with `--help`.
                let _ = sender.send(address);
            }
        });
        let stderr = stderr.map_or_else(Captured::nothing, |stderr| Captured::collect(stderr, |_| ()));
        Ok(Spawned { child, stdout, stderr, unread, ready })
    }
}
