//! A container engine: podman, docker, or another program with the same commands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::owner;
use crate::failure::Failure;

/// The label of all containers of the suite, and how their names begin. Its value names the process of the run.
const LABEL: &str = "argus-conformance";

/// How containers are started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// The engine's program.
    pub program: String,
    /// Words between the program and each command.
    pub options: Vec<String>,
    /// Further words after `run`.
    pub run_options: Vec<String>,
    /// Whether containers use the network of this machine. Otherwise each has its own, and its port is published.
    pub host_network: bool,
}

/// An engine, and the containers that it runs for this process.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    containers: Mutex<Containers>,
    /// The exit code after a signal. Locked while the containers are removed.
    exit_code: Mutex<Option<u8>>,
}

/// The containers that may be there.
#[derive(Debug, Default)]
struct Containers {
    /// How many were started so far.
    started: u64,
    /// The clients of the engine that wait for a container, by its name.
    clients: BTreeMap<String, Pid>,
    /// The ports that containers of this process publish.
    ports: BTreeSet<u16>,
    /// Whether the process ends, so that no more may be started.
    is_ending: bool,
}

/// The client of an engine that waits for its container.
#[derive(Debug)]
pub(super) struct Client {
    /// The name of the container.
    pub(super) name: String,
    pub(super) child: Child,
}

impl Engine {
    /// An engine. Containers of earlier runs whose process has been killed are removed.
    #[must_use]
    pub fn new(options: EngineOptions) -> Arc<Self> {
        let engine = Self { options, containers: Mutex::default(), exit_code: Mutex::default() };
        engine.remove_left_over();
        Arc::new(engine)
    }

    /// From now on, SIGINT, SIGTERM and SIGHUP remove all containers, and no more are started, so that all cases end
    /// soon. So does, on Linux, the end of the parent process. A second SIGINT or SIGTERM does not wait for the cases.
    ///
    /// # Errors
    ///
    /// A message if the system refuses that.
    pub fn remove_at_signals(self: &Arc<Self>) -> Result<(), String> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| format!("cannot wait for signals: {error}"))?;
        #[cfg(target_os = "linux")]
        rustix::process::set_parent_process_death_signal(Some(Signal::HUP))
            .map_err(|error| format!("cannot wait for the end of the parent process: {error}"))?;
        let engine = Arc::clone(self);
        let waiting = move || {
            for signal in signals.forever() {
                let code = u8::try_from(signal).map_or(u8::MAX, |signal| 128 + signal);
                if !engine.lock().is_ending {
                    eprintln!("argus-conformance: signal {signal}: removing the containers");
                    engine.end(code);
                } else if signal != SIGHUP {
                    std::process::exit(code.into());
                } else {
                    // Ctrl-C ends the parent, too, so this one may come with the first.
                }
            }
        };
        let thread = thread::Builder::new().name("signals".to_owned()).spawn(waiting);
        thread.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// The exit code if a signal has come. Waits until the containers are removed.
    #[must_use]
    pub fn exit_code(&self) -> Option<u8> {
        *self.exit_code.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all containers of this process, and starts no more.
    fn end(&self, exit_code: u8) {
        let mut ending = self.exit_code.lock().unwrap_or_else(PoisonError::into_inner);
        *ending = Some(exit_code);
        let clients = {
            let mut containers = self.lock();
            containers.is_ending = true;
            std::mem::take(&mut containers.clients)
        };
        for (name, client) in clients {
            // A client that is dead creates no container after the removal.
            let _ = kill_process(client, Signal::KILL);
            self.remove(&name);
        }
    }

    /// Removes a container by force. Nothing happens if there is none.
    pub(super) fn remove(&self, name: &str) {
        // `rm --force` of podman would wait for a graceful end.
        let _ = self.output(&["kill", "--signal", "KILL", name]);
        let _ = self.output(&["rm", "--force", "--volumes", name]);
    }

    fn remove_left_over(&self) {
        let filter = format!("label={LABEL}");
        let listed = self.output(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        // An engine that lists nothing starts nothing either, and says so then.
        for name in listed.unwrap_or_default().lines() {
            let process = name.strip_prefix(LABEL).and_then(|rest| rest.strip_prefix('-')?.rsplit_once('-'));
            if process.is_some_and(|(process, _)| owner::has_ended(process)) {
                self.remove(name);
            }
        }
    }

    /// Starts a container; `arguments` follow the options of `run` that all containers have.
    pub(super) fn run(&self, arguments: &[String]) -> Result<Client, Failure> {
        // Both under one lock, so that `end` knows every client.
        let mut containers = self.lock();
        if containers.is_ending {
            return Err(Failure::skipped("the suite ends"));
        }
        containers.started += 1;
        let process = owner::this_process();
        let name = format!("{LABEL}-{process}-{}", containers.started);
        let mut command = self.command(&["run", "--rm", "--pull", "never", "--name", &name]);
        command.args(["--label", &format!("{LABEL}={process}")]);
        command.args(&self.options.run_options).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for this process, which decides what happens to the container.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|error| self.unmet(&["run"], &error.to_string()))?;
        containers.clients.insert(name.clone(), Pid::from_child(&child));
        Ok(Client { name, child })
    }

    /// A free address of this machine, which no other container of this process gets until it is given back. An engine
    /// that chooses ports itself may give the same one to two containers that start at the same time.
    pub(super) fn take_address(&self) -> Result<SocketAddr, Failure> {
        let mut refused = Vec::new();
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let free = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (address, listener) = free.map_err(|error| Failure::unmet(format!("a free port: {error}")))?;
            if self.lock().ports.insert(address.port()) {
                return Ok(address);
            }
            // Kept open, so that the system does not offer it again.
            refused.push(listener);
        }
    }

    /// Gives an address back.
    pub(super) fn give_back(&self, address: SocketAddr) {
        self.lock().ports.remove(&address.port());
    }

    /// Forgets a client that has ended.
    pub(super) fn ended(&self, client: &Client) {
        self.lock().clients.remove(&client.name);
    }

    /// Whether containers use the network of this machine.
    pub(super) fn has_host_network(&self) -> bool {
        self.options.host_network
    }

    /// Whether the engine is podman, which maps users in its own way.
    pub(super) fn is_podman(&self) -> bool {
        Path::new(&self.options.program).file_name().is_some_and(|name| name == "podman")
    }

    /// What a command of the engine prints.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.command(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.unmet(arguments, &error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.unmet(arguments, String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.program);
        command.args(&self.options.options).args(arguments);
        command
    }

    fn unmet(&self, arguments: &[&str], reason: &str) -> Failure {
        Failure::unmet(format!("`{} {}` to work: {reason}", self.options.program, arguments.join(" ")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Containers> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
