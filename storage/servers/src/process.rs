//! The processes of a server: how they start, and how they end, whatever happens to this process.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::ServerError;

/// The longest time for a server to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until its standard input ends, which is when this process has ended. Then it ends the server, by the signal
/// that makes it give back what the system does not take back by itself, and removes the folder.
const GUARD: &str = r#"
read -r _
kill -QUIT "$1"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 "$1" && sleep 0.1
done
kill -KILL "$1"
rm -rf "$2" || rm -rf "$2"
"#;

/// The leading process of a server, which has started all others.
#[derive(Debug)]
pub(crate) struct Processes {
    leader: Child,
    log: Log,
    guard: Guard,
    has_ended: bool,
}

/// What a server prints to standard error.
#[derive(Clone, Debug, Default)]
struct Log {
    shared: Arc<(Mutex<Printed>, Condvar)>,
}

#[derive(Debug, Default)]
struct Printed {
    text: String,
    /// Whether no process is left that could print more.
    has_ended: bool,
}

/// A process that ends the server if this process cannot.
#[derive(Debug)]
struct Guard(Child);

impl Processes {
    /// Starts a server, and waits until it has printed `ready`. If this process ends before the server does, the server
    /// is ended and the folder removed.
    pub(crate) fn start(mut command: Command, ready: &str, folder: &Path) -> Result<Self, ServerError> {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Out of reach of the signals that a terminal or a test runner sends to this process and all that it has
        // started: the server must end after this process, and in order.
        let mut leader = command.process_group(0).spawn().map_err(ServerError::of(&name))?;
        let log = Log::default();
        if let Some(output) = leader.stderr.take() {
            log.collect(output);
        }
        let guard = match Guard::start(&leader, folder) {
            Ok(guard) => guard,
            Err(error) => {
                // Both fail only if it has ended.
                let _ = leader.kill();
                let _ = leader.wait();
                return Err(error);
            }
        };
        // From here on, dropping it ends the server.
        let processes = Self { leader, log, guard, has_ended: false };
        let is_ready = processes.log.wait(|printed| printed.has_ended || printed.text.contains(ready));
        if is_ready && !processes.log.printed().has_ended {
            return Ok(processes);
        }
        let said = processes.log();
        Err(ServerError::new(format!("{name} has not printed {ready:?} within {PATIENCE:?}, but:\n{said}")))
    }

    /// All that the server has printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.printed().text.clone()
    }

    /// Waits until the server has printed a text since it was started.
    pub(crate) fn wait_for(&self, text: &str) -> Result<(), ServerError> {
        if self.log.wait(|printed| printed.has_ended || printed.text.contains(text)) {
            return Ok(());
        }
        let said = self.log();
        Err(ServerError::new(format!("a server has not printed {text:?} within {PATIENCE:?}, but:\n{said}")))
    }

    /// Kills all processes at once, as a crash does, and waits until they are gone.
    pub(crate) fn kill(&mut self) {
        if self.has_ended {
            return;
        }
        self.guard.end();
        let leader = Pid::from_child(&self.leader);
        // Nothing fails here unless a process has ended. A leader that has stopped starts no more processes, and the
        // ids of those that it has started are not used again.
        let _ = kill_process(leader, Signal::STOP);
        for process in children(leader) {
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.leader.kill();
        let _ = self.leader.wait();
        // Where the children are unknown, they find out themselves that their leader is gone.
        self.log.wait(|printed| printed.has_ended);
        self.has_ended = true;
    }

    /// Sends a signal that asks the server to end, and waits until all processes are gone. Those that are not after a
    /// minute are killed, which is an error.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<(), ServerError> {
        if self.has_ended {
            return Ok(());
        }
        // Fails only if it has ended.
        let _ = kill_process(Pid::from_child(&self.leader), signal);
        if !self.log.wait(|printed| printed.has_ended) {
            let said = self.log();
            self.kill();
            return Err(ServerError::new(format!("a server had to be killed, {PATIENCE:?} after {signal:?}:\n{said}")));
        }
        self.guard.end();
        let _ = self.leader.wait();
        self.has_ended = true;
        Ok(())
    }

    /// Whether all processes have been waited for.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    /// Reads to the end, so that no process ever writes into a closed pipe. All processes of a server have the pipe, so
    /// its end means that all have ended.
    fn collect(&self, output: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                log.printed().text.push_str(&String::from_utf8_lossy(&line));
                log.shared.1.notify_all();
                line.clear();
            }
            log.printed().has_ended = true;
            log.shared.1.notify_all();
        });
    }

    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this is true; `false` if it is not after [`PATIENCE`].
    fn wait(&self, is_true: impl Fn(&Printed) -> bool) -> bool {
        let waited = self.shared.1.wait_timeout_while(self.printed(), PATIENCE, |printed| !is_true(printed));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Guard {
    fn start(leader: &Child, folder: &Path) -> Result<Self, ServerError> {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "sh", &leader.id().to_string()]).arg(folder).current_dir("/");
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        shell.spawn().map(Self).map_err(ServerError::of("sh, which ends a server when this process ends"))
    }

    /// Ends it before the id of the leader may be used again.
    fn end(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processes that a process has started; none where the system does not list them in `/proc`.
fn children(parent: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let child = |entry: fs::DirEntry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let about = fs::read_to_string(entry.path().join("stat")).ok()?;
        (parent_in(&about) == Some(parent.as_raw_nonzero().get())).then(|| Pid::from_raw(id)).flatten()
    };
    entries.filter_map(child).collect()
}

/// The id of the parent in the text of `/proc/ID/stat`. The name before it is in parentheses and may have any
/// characters.
fn parent_in(about: &str) -> Option<i32> {
    let (_, fields) = about.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("12 (a) 1 2 (b) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in("12 a S 7"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let error = Processes::start(shell("echo no room >&2"), "ready", folder.path()).unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
    }

    #[test]
    fn a_kill_reaches_what_the_server_has_started() {
        let folder = tempfile::tempdir().unwrap();
        // The child leaves the process group, as those of PostgreSQL do.
        let script = "setsid sleep 1000 & echo $! >&2; echo ready >&2; wait";
        let mut processes = Processes::start(shell(script), "ready", folder.path()).unwrap();
        let child: i32 = processes.log().lines().next().unwrap().parse().unwrap();
        let child = Pid::from_raw(child).unwrap();
        assert!(rustix::process::test_kill_process(child).is_ok());
        processes.kill();
        // It may wait for init to take note of its end, but it runs no more.
        let about = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).unwrap_or_default();
        assert!(about.is_empty() || about.contains(") Z "), "{about}");
    }
}
