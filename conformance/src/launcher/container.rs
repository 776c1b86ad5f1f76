//! Starts a container for each server.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rustix::process::{getegid, geteuid};

use super::engine::{Client, Engine};
use super::process::{Captured, ends_within, wait_for};
use super::repository::{Place, Repository};
use super::{Demand, Exit, Identity, Launcher, READY_LINE, Running, Signal};
use crate::client::patience;
use crate::failure::Failure;

/// The program in the image.
const PROGRAM: &str = "/usr/local/bin/argus";
/// The port in a container.
const PORT: &str = "3000";
/// The user and the group of the image.
const USER: (u32, u32) = (10001, 10001);
/// How often to try to start a server, and what the engine says if the published port is not free any more.
const STARTS_MAX: usize = 5;
const OCCUPIED: &str = "address already in use";
/// The exit code of `run` if the engine itself has failed.
const ENGINE_FAILED: i32 = 125;
/// The exit codes of `run` if the program to start cannot be executed, or does not exist.
const NOT_EXECUTABLE: [i32; 2] = [126, 127];
/// The exit code of `run` if SIGKILL has ended the program.
const KILLED: i32 = 128 + 9;

/// Starts containers of an image that the project's `Dockerfile` made. Their root file system is read-only, and they
/// have no capabilities.
#[derive(Clone, Debug)]
pub struct ContainerLauncher {
    /// What runs the containers.
    pub engine: Arc<Engine>,
    /// The name of the image.
    pub image: String,
    /// Where servers store events.
    pub repository: Repository,
    /// A program of the image, with arguments, that is started first and then executes the server. Usually empty.
    pub wrapper: Vec<String>,
}

/// A container and its output.
#[derive(Debug)]
struct Container {
    engine: Arc<Engine>,
    client: Client,
    /// Where its port is published; `None` if it uses the network of this machine, or nobody connects to it.
    published: Option<SocketAddr>,
    stdout: Captured,
    stderr: Captured,
}

/// Whether clients connect to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// They do, over a published port.
    Published,
    /// They do not. A port that is published for nothing could be occupied.
    Unused,
}

/// A server in a container.
#[derive(Debug)]
struct Contained {
    container: Container,
    address: SocketAddr,
    /// Where it stores events. Dropped after the container has ended.
    place: Place,
}

impl Launcher for ContainerLauncher {
    fn identity(&self) -> Identity {
        Identity::Image(self.image.clone())
    }

    fn start(&self, demand: Demand<'_>) -> Result<Box<dyn Running>, Failure> {
        let place = match demand.kept_url() {
            Some(url) => Place::Given(url.to_owned()),
            None => self.repository.place()?,
        };
        let repository = place.url();
        let settings = match demand {
            Demand::Any | Demand::Empty => &[][..],
            Demand::Settings(settings) | Demand::Again(_, settings) => settings,
            Demand::BrokenLog(..) => {
                return Err(Failure::skipped("the engine takes the standard error of a container, so it never breaks"));
            }
        };
        let endpoint = if self.engine.has_host_network() { "127.0.0.1:0" } else { "0.0.0.0:3000" };
        let mut arguments = vec!["--endpoint", endpoint, "--repository", repository.as_str()];
        arguments.extend(settings.iter().flat_map(|(flag, value)| [*flag, *value]));
        let mut started = self.start_with(&arguments);
        for _ in 1..STARTS_MAX {
            // Another program may have taken the port since it was chosen.
            if !matches!(&started, Err(Failure::Unmet(text)) if text.contains(OCCUPIED)) {
                break;
            }
            started = self.start_with(&arguments);
        }
        let (container, address) = started?;
        Ok(Box::new(Contained { container, address, place }))
    }

    fn run_to_exit(&self, arguments: &[&str]) -> Result<Exit, Failure> {
        self.run(arguments, Port::Unused, |_| ())?.exit(self.wrapper.first())
    }

    fn wrapped(&self, wrapper: &[String]) -> Result<Box<dyn Launcher>, Failure> {
        Ok(Box::new(Self { wrapper: [wrapper, &self.wrapper].concat(), ..self.clone() }))
    }
}

impl ContainerLauncher {
    /// Starts a server with these arguments, and waits until it is ready. Returns its address as well.
    fn start_with(&self, arguments: &[&str]) -> Result<(Container, SocketAddr), Failure> {
        let (sender, ready) = mpsc::channel();
        let mut container = self.run(arguments, Port::Published, move |line| {
            if let Some(address) = line.strip_prefix(READY_LINE).and_then(|rest| rest.trim().parse().ok()) {
                // The receiver is gone if the server has taken too long.
                let _ = sender.send(address);
            }
        })?;
        match ready.recv_timeout(patience()) {
            Ok(announced) => {
                let address = container.published.unwrap_or(announced);
                Ok((container, address))
            }
            Err(_) => Err(self.not_started(&mut container, arguments)),
        }
    }

    /// Starts a container with these arguments for the server.
    fn run(
        &self,
        arguments: &[&str],
        port: Port,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Container, Failure> {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut run = words("--read-only --cap-drop ALL --security-opt no-new-privileges --no-healthcheck");
        let published = match port {
            Port::Published | Port::Unused if self.engine.has_host_network() => {
                run.extend(words("--network host"));
                None
            }
            Port::Published => {
                let address = self.engine.take_address()?;
                run.extend(["--publish".to_owned(), format!("{address}:{PORT}")]);
                Some(address)
            }
            Port::Unused => {
                run.extend(words("--network none"));
                None
            }
        };
        let (user, group) = if geteuid().is_root() {
            USER
        } else {
            // Only root may give files away, so the container runs as the owner of the folders.
            if self.engine.is_podman() {
                run.extend(words("--userns keep-id"));
            }
            (geteuid().as_raw(), getegid().as_raw())
        };
        run.extend(["--user".to_owned(), format!("{user}:{group}")]);
        let given = self.wrapper.iter().map(String::as_str).chain(arguments.iter().copied());
        for path in temporary_paths(&std::env::temp_dir(), given) {
            if geteuid().is_root() {
                give_away(&path, user, group).map_err(unmet("to give a temporary folder away"))?;
            }
            run.extend(["--volume".to_owned(), format!("{0}:{0}:Z", path.display())]);
        }
        let mut command = self.wrapper.iter().cloned();
        if let Some(first) = command.next() {
            run.extend(["--entrypoint".to_owned(), first, self.image.clone()]);
            run.extend(command);
            run.push(PROGRAM.to_owned());
        } else {
            run.push(self.image.clone());
        }
        run.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut client = self.engine.run(&run)?;
        let (stdout, stderr) = (client.child.stdout.take(), client.child.stderr.take());
        let stdout = stdout.map_or_else(Captured::nothing, |stdout| Captured::collect(stdout, on_line));
        let stderr = stderr.map_or_else(Captured::nothing, |stderr| Captured::collect(stderr, |_| ()));
        Ok(Container { engine: Arc::clone(&self.engine), client, published, stdout, stderr })
    }

    /// Why there is no line that announces a server.
    fn not_started(&self, container: &mut Container, arguments: &[&str]) -> Failure {
        // Fails if it has ended by itself.
        let _ = self.engine.output(&["kill", "--signal", "KILL", &container.client.name]);
        let log = match container.exit(self.wrapper.first()) {
            Ok(exit) => exit.stderr,
            Err(failure) => return failure,
        };
        let arguments = arguments.join(" ");
        Failure::unmet(format!("a line {READY_LINE:?} from a container with {arguments}; its log: {log}"))
    }
}

/// The folders and files directly below the temporary folder that these words name or lead into, with or without
/// `disk:` before. They get the same path in the container, so that both sides can name files to each other.
fn temporary_paths<'a>(temporary: &Path, words: impl Iterator<Item = &'a str>) -> BTreeSet<PathBuf> {
    let entry = |word: &str| {
        let path = Path::new(word.strip_prefix("disk:").unwrap_or(word));
        let entry = temporary.join(path.strip_prefix(temporary).ok()?.components().next()?);
        entry.exists().then_some(entry)
    };
    words.filter_map(entry).collect()
}

/// Makes another user the owner of a file, or of a folder with all that is in it.
fn give_away(path: &Path, user: u32, group: u32) -> io::Result<()> {
    lchown(path, Some(user), Some(group))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path(), user, group)?;
        }
    }
    Ok(())
}

fn unmet(what: &str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::unmet(format!("{what}: {error}"))
}

impl Container {
    /// Waits for its end. `wrapper` is the program that it has started first.
    fn exit(&mut self, wrapper: Option<&String>) -> Result<Exit, Failure> {
        let code = wait_for(&mut self.client.child)?;
        let (stdout, stderr) = (self.stdout.finish(), self.stderr.finish());
        match (code, wrapper) {
            (Some(ENGINE_FAILED), _) => Err(Failure::unmet(format!("a container to start: {stderr}"))),
            (Some(code), Some(wrapper)) if NOT_EXECUTABLE.contains(&code) => {
                Err(Failure::skipped(format!("the image cannot execute {wrapper}: {}", stderr.trim())))
            }
            (Some(KILLED), _) => Ok(Exit { code: None, stdout, stderr }),
            (code, _) => Ok(Exit { code, stdout, stderr }),
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The client ends with its container, which `--rm` has removed by then.
        if !matches!(self.client.child.try_wait(), Ok(Some(_))) {
            let _ = self.engine.output(&["kill", "--signal", "KILL", &self.client.name]);
            if !matches!(ends_within(&mut self.client.child, patience()), Ok(Some(_))) {
                // Both fail only if the client has ended.
                let _ = self.client.child.kill();
                let _ = self.client.child.wait();
                self.engine.remove(&self.client.name);
            }
        }
        // After a signal, the client was killed first. Its container must be gone before its folder is.
        let _ = self.engine.exit_code();
        self.engine.ended(&self.client);
        if let Some(address) = self.published {
            self.engine.give_back(address);
        }
    }
}

impl Running for Contained {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn sees_clients(&self) -> bool {
        self.container.published.is_none()
    }

    fn process(&self) -> Option<u32> {
        let Container { engine, client, .. } = &self.container;
        let process =
            engine.output(&["inspect", "--format", "{{.State.Pid}}", &client.name]).ok()?.trim().parse().ok()?;
        // Absent if the engine runs on another machine, or in a virtual one.
        Path::new("/proc").join(u32::to_string(&process)).exists().then_some(process)
    }

    fn repository(&self) -> Option<String> {
        self.place.kept_url()
    }

    fn folder(&self) -> Option<&Path> {
        self.place.folder()
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let signal = match signal {
            Signal::Interrupt => "INT",
            Signal::Terminate => "TERM",
            Signal::HangUp => "HUP",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        self.container.engine.output(&["kill", "--signal", signal, &self.container.client.name]).map(drop)
    }

    fn wait(&mut self) -> Result<Exit, Failure> {
        self.container.exit(None)
    }

    fn log(&self) -> String {
        self.container.stderr.so_far()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_paths_are_found_in_words() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let inner = root.path().join("a");
        fs::create_dir(&inner).expect("a folder");
        let (a, below, gone) = (inner.display(), inner.join("new/file"), root.path().join("b"));
        let words =
            [format!("disk:{a}"), below.display().to_string(), gone.display().to_string(), "/bin/sh".to_owned()];
        let found = temporary_paths(root.path(), words.iter().map(String::as_str));
        assert_eq!(found, BTreeSet::from([inner]));
    }
}
