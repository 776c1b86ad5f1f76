//! Finds a container engine, and the options with which containers start on this machine.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::owner;
use crate::steps;

/// The engines to look for, if none is named.
const ENGINES: [&str; 2] = ["podman", "docker"];

/// Options of podman that it needs where it may not raise limits and there is no systemd, as within other sandboxes.
const SANDBOX: [&str; 6] = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"];
const SANDBOX_LIMITS: [&str; 4] = ["--ulimit", "nofile=10000:10000", "--ulimit", "nproc=10000:10000"];

/// The exit code of `run` if the image has no such program: the container itself has started.
const NO_PROGRAM: i32 = 127;

/// How long a container may take to start a server that is ready. Each question takes some tens of milliseconds.
const START_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the client of an engine may take to end, after it was killed and its container removed.
const END_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a connection to a published port may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// An engine, and how it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) program: String,
    /// Words before each command.
    pub(super) options: Vec<String>,
    /// Words after `run` and `build`.
    pub(super) limits: Vec<String>,
    /// Whether containers have to use the network of the machine, because published ports do not work.
    pub(super) host_network: bool,
}

impl Engine {
    /// The engine with this name, or the first one that works.
    ///
    /// # Errors
    ///
    /// No engine works; the message has the reason of each.
    pub(super) fn find(name: Option<&str>) -> Result<Self> {
        let names = name.map_or_else(|| ENGINES.to_vec(), |name| vec![name]);
        let mut reasons = Vec::new();
        for program in names {
            // Where its usual file system for images is not supported, podman works with plain copies.
            let storages: &[&[&str]] =
                if program.ends_with("podman") { &[&[], &["--storage-driver", "vfs"]] } else { &[&[]] };
            for storage in storages {
                let engine = Self {
                    program: program.to_owned(),
                    options: owned(storage),
                    limits: Vec::new(),
                    host_network: false,
                };
                match engine.output(&["info"]) {
                    Ok(_) => return Ok(engine),
                    Err(error) => reasons.push(format!("{error:#}")),
                }
            }
        }
        bail!("there is no container engine: {}", reasons.join("; "))
    }

    /// Finds the options with which a container of this image starts.
    ///
    /// # Errors
    ///
    /// None does; the message has the reasons.
    pub(super) fn adapt(&mut self, image: &str) -> Result<()> {
        let mut reasons = Vec::new();
        let mut variants = vec![self.clone()];
        if self.program.ends_with("podman") {
            let options = [self.options.clone(), owned(&SANDBOX)].concat();
            variants.push(Self { options, limits: owned(&SANDBOX_LIMITS), ..self.clone() });
        }
        for engine in variants {
            // The network comes later.
            let run = engine
                .command(&["run", "--rm", "--network", "none"])
                .args(&engine.limits)
                .args([image, "true"])
                .output();
            let output = run.with_context(|| format!("cannot start {}", engine.program))?;
            if output.status.success() || output.status.code() == Some(NO_PROGRAM) {
                *self = engine;
                return Ok(());
            }
            reasons.push(last_line(&output));
        }
        bail!("containers do not start here: {}", reasons.join("; "))
    }

    /// Starts a server of this image, and finds out whether its published port can be reached. If not, starts one with
    /// the network of this machine.
    ///
    /// # Errors
    ///
    /// The server does not become ready, whatever the network is.
    pub(super) fn choose_network(&mut self, image: &str) -> Result<()> {
        self.choose_network_within(START_TIME_MAX, image)
    }

    fn choose_network_within(&mut self, time: Duration, image: &str) -> Result<()> {
        let published = ["--publish", "127.0.0.1::3000"];
        let Err(error) = self.try_server(time, image, &published, |name| self.reach(name)) else { return Ok(()) };
        // Podman ends in the same way if a port cannot be published and if the program in the image does not start.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let endpoint = format!("ARGUS_ENDPOINT={}", port.context("there is no free port")?);
        let shared = ["--network", "host", "--env", &endpoint];
        self.try_server(time, image, &shared, |_| Ok(())).with_context(|| {
            format!(
                "a server in a container does not start, with a published port ({error:#}) or the machine's network"
            )
        })?;
        eprintln!("xtask: published ports do not work here ({error:#}): containers use the network of this machine");
        self.host_network = true;
        Ok(())
    }

    /// Starts a server with these options of `run`, and has its container checked by name once it is ready.
    ///
    /// # Errors
    ///
    /// It is not ready in time, or not as it is to be.
    fn try_server(
        &self,
        time: Duration,
        image: &str,
        options: &[&str],
        check: impl FnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        // The suite removes what is left behind, and knows it by the same label and the same kind of name.
        let process = owner::this_process();
        let (name, label) = (format!("argus-conformance-{process}-network"), format!("argus-conformance={process}"));
        let mut run = self.command(&["run", "--rm", "--name", &name, "--label", &label]);
        run.args(options).args(&self.limits).args([image, "--repository", "memory:"]);
        // In the foreground: Ctrl-C ends it like this process.
        let client = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut client = client.with_context(|| format!("cannot start {}", self.program))?;
        let is_ready = self.wait_until_ready(time, &name, &mut client);
        let checked = is_ready.map(|is_ready| is_ready.then(|| check(&name)));
        let ended = self.end(&name, client);
        checked?.unwrap_or_else(|| Err(anyhow::anyhow!("{}", last_line(&ended?))))
    }

    /// Ends a container and its client, even if the one does not know of the other yet.
    fn end(&self, name: &str, mut client: Child) -> Result<Output> {
        // First, so that it creates no container after the removal. Fails only if it has ended.
        let _ = client.kill();
        // Both fail only if there is no container.
        let _ = self.output(&["kill", "--signal", "KILL", name]);
        let _ = self.output(&["rm", "--force", "--volumes", name]);
        // On another thread, because whoever has the other end of its standard error may keep that open.
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            // The receiver is gone if this has taken too long.
            let _ = sender.send(client.wait_with_output());
        });
        let output = ended.recv_timeout(END_TIME_MAX).with_context(|| format!("{} run does not end", self.program))?;
        output.with_context(|| format!("cannot wait for {}", self.program))
    }

    /// Asks from within the container, so the network does not matter. Returns whether it is ready; otherwise its
    /// client has ended.
    fn wait_until_ready(&self, time: Duration, name: &str, client: &mut Child) -> Result<bool> {
        let begun = Instant::now();
        loop {
            match self.output(&["exec", name, "/usr/local/bin/argus", "health"]) {
                Ok(_) => return Ok(true),
                Err(_) if client.try_wait()?.is_some() => return Ok(false),
                Err(_) if begun.elapsed() < time => {}
                Err(error) => return Err(error).context("a server in a container is not ready"),
            }
        }
    }

    /// Asks over the published port.
    fn reach(&self, name: &str) -> Result<()> {
        let printed = self.output(&["port", name, "3000"])?;
        let address: SocketAddr = printed.lines().next().unwrap_or_default().trim().parse()?;
        let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)?;
        stream.set_read_timeout(Some(CONNECT_TIME_MAX))?;
        stream.write_all(b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.") { Ok(()) } else { bail!("{address} answers {answer:?}") }
    }

    /// Whether there is such an image.
    pub(super) fn has_image(&self, image: &str) -> bool {
        self.output(&["image", "inspect", image]).is_ok()
    }

    /// A command of the engine.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs a command, and shows its output.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<()> {
        steps::run(&mut self.command(arguments))
    }

    /// What a command prints.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().with_context(|| format!("cannot start {}", self.program))?;
        if !output.status.success() {
            bail!("{} {}: {}", self.program, arguments.first().unwrap_or(&""), last_line(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn last_line(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_does_not_work_is_named_with_the_reason() {
        let error = Engine::find(Some("no-such-engine")).expect_err("there is no such program");
        assert!(format!("{error:#}").contains("cannot start no-such-engine"), "{error:#}");
        // It starts, and fails.
        let error = Engine::find(Some("false")).expect_err("it is no engine");
        assert!(format!("{error:#}").contains("false info: no reason given"), "{error:#}");
    }

    #[test]
    fn an_engine_whose_containers_do_not_start_is_refused() {
        let named = |program: &str| Engine {
            program: program.to_owned(),
            options: Vec::new(),
            limits: Vec::new(),
            host_network: false,
        };
        assert!(named("false").adapt("image").is_err());
        let mut working = named("true");
        working.adapt("image").expect("every command of it works");
        assert_eq!(working, named("true"));
    }

    /// An engine that runs this shell script, whose first argument is the command.
    fn scripted(script: &str) -> Engine {
        let options = ["-c", script, "engine"];
        Engine { program: "sh".to_owned(), options: owned(&options), limits: Vec::new(), host_network: false }
    }

    /// How a script waits for its end, as the client of a container does.
    const WAIT: &str = "exec sleep 1000";

    #[test]
    fn a_server_that_starts_with_the_network_of_the_machine_only_gets_that() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let started = folder.path().join("started").display().to_string();
        let script = format!(
            r#"case "$*" in
            *"--network host"*) touch {started}; {WAIT};;
            run*) echo no ports >&2; exit 126;;
            exec*) test -e {started};;
            esac"#
        );
        let mut engine = scripted(&script);
        engine.choose_network("image").expect("the second server starts");
        assert!(engine.host_network);
    }

    #[test]
    fn a_server_that_never_starts_is_an_error_with_the_reason() {
        let mut engine = scripted("case $1 in run) echo it has a bug >&2; exit 1;; *) exit 1;; esac");
        let error = engine.choose_network("image").expect_err("no server starts");
        assert_eq!(format!("{error:#}").matches("it has a bug").count(), 2, "{error:#}");
        assert!(!engine.host_network);
    }

    #[test]
    fn a_client_without_a_container_is_not_waited_for() {
        let mut engine = scripted(&format!("case $1 in run) {WAIT};; *) exit 1;; esac"));
        let error = engine.choose_network_within(Duration::ZERO, "image").expect_err("nothing gets ready");
        assert!(format!("{error:#}").contains("not ready"), "{error:#}");
    }
}
