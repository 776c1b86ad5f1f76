//! `cargo xtask autobahn`: Autobahn's fuzzing client against hosts that echo WebSocket messages.
//!
//! Its last release that anyone can install, 0.8.2, needs Python 2.7. Where that or a package is missing, nothing runs,
//! and the last line says why.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    steps,
    workspace::{cargo, metadata, target_directory},
};

/// The fuzzing client.
const PACKAGE: &str = "autobahntestsuite==0.8.2";

/// The hosts, with their packages and their examples.
const HOSTS: [(&str, &str, &str); 2] = [("tokio", "argus-tokio", "tokio_echo"), ("smol", "argus-smol", "smol_echo")];

/// Compression, which no host offers.
const EXCLUDED: [&str; 2] = ["12.*", "13.*"];

/// The text on standard output when a host accepts connections.
const READY: &str = "listening on http://";

/// Verdicts that are no failures. `NON-STRICT`: correct, but not in the order that Autobahn prefers. `INFORMATIONAL`:
/// the RFC leaves it open.
const PASSED: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// Runs the fuzzing client. Returns whether it found no failure, or could not run.
pub(crate) fn run() -> Result<bool> {
    let folder = target_directory(&metadata()?)?.join("autobahn");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let (python, packages) = match install(&folder) {
        Ok(installed) => installed,
        Err(reason) => {
            eprintln!("SKIPPED: Autobahn's fuzzing client did not run: {reason:#}");
            return Ok(true);
        }
    };
    let built = HOSTS.iter().flat_map(|(_, package, example)| ["-p", package, "--example", example]);
    steps::run(&mut cargo(["build"].into_iter().chain(built)))?;
    let hosts = HOSTS
        .iter()
        .map(|(name, _, example)| Ok((*name, Host::start(example)?)))
        .collect::<Result<Vec<(&str, Host)>>>()?;
    let report = folder.join("report");
    // A report of before would pass for that of a client that writes none.
    match fs::remove_dir_all(&report) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", report.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let agents: Vec<Value> =
        hosts.iter().map(|(name, host)| json!({"agent": name, "url": format!("ws://{}", host.address)})).collect();
    let specification = json!({
        "outdir": report, "servers": agents, "cases": ["*"], "exclude-cases": EXCLUDED, "exclude-agent-cases": {},
    });
    let path = folder.join("fuzzingclient.json");
    fs::write(&path, specification.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    // Namespace packages of Python 2 work only in a folder of sites.
    let script = format!(
        "import site, sys; site.addsitedir({packages:?}); \
         sys.argv = ['wstest', '-m', 'fuzzingclient', '-s', {path:?}]; from autobahntestsuite.wstest import run; run()"
    );
    let log = fs::File::create(folder.join("fuzzingclient.log")).context("cannot create a log")?;
    let mut client = Command::new(python);
    client.args(["-c", &script]).current_dir(&folder).stdin(Stdio::null());
    client.stdout(log.try_clone().context("cannot share the log")?).stderr(log);
    eprintln!(
        "Autobahn's fuzzing client runs for some minutes; its log is {}",
        folder.join("fuzzingclient.log").display()
    );
    let status = client.status().context("cannot start the fuzzing client")?;
    ensure!(status.success(), "the fuzzing client: {status}; see its log");
    evaluate(&report.join("index.json"), &hosts.iter().map(|(name, _)| *name).collect::<Vec<_>>())
}

/// Installs the fuzzing client, once. Returns the interpreter and the folder of the packages.
fn install(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let python = python().context("there is no Python 2.7 with pip (with pyenv: `pyenv install 2.7.18`)")?;
    let (packages, complete) = (folder.join("packages"), folder.join("installed"));
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == PACKAGE) {
        return Ok((python, packages));
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--upgrade", "--target"]);
    steps::run(pip.arg(&packages).arg(PACKAGE).stdin(Stdio::null())).context("its packages cannot be installed")?;
    fs::write(&complete, PACKAGE).context("cannot note that it is installed")?;
    Ok((python, packages))
}

/// The first Python 2.7 that has pip: in `PATH`, or among the versions of pyenv, whose own program for it works only if
/// that version is selected.
fn python() -> Option<PathBuf> {
    let versions = env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".pyenv")));
    let versions = versions.and_then(|root| fs::read_dir(root.join("versions")).ok()).into_iter().flatten().flatten();
    let of_pyenv = versions
        .filter(|version| version.file_name().to_string_lossy().starts_with("2.7."))
        .map(|version| version.path().join("bin/python2.7"));
    [PathBuf::from("python2.7")].into_iter().chain(of_pyenv).find(|python| {
        let pip =
            Command::new(python).args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        pip.is_ok_and(|status| status.success())
    })
}

/// A running host, killed when dropped.
struct Host {
    child: Child,
    address: String,
}

impl Host {
    fn start(example: &str) -> Result<Self> {
        let program = target_directory(&metadata()?)?.join("debug/examples").join(example);
        let mut command = Command::new(&program);
        command.args(["--endpoint", "127.0.0.1:0", "--repository", "memory:", "--log", "warn"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("standard output is not there")?;
        let mut line = String::new();
        // The host prints one line, so its pipe is never full.
        let read = BufReader::new(stdout).read_line(&mut line);
        let host = Self {
            child,
            address: line.split_once(READY).map(|(_, address)| address.trim().into()).unwrap_or_default(),
        };
        read.context("cannot read standard output")?;
        if host.address.is_empty() {
            bail!("{example} did not print `{READY}…`");
        }
        Ok(host)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints the verdicts; returns whether none is a failure.
fn evaluate(index: &Path, hosts: &[&str]) -> Result<bool> {
    let text = fs::read_to_string(index).with_context(|| format!("no report at {}", index.display()))?;
    let report: Value = serde_json::from_str(&text).context("the report is not JSON")?;
    let mut is_passed = true;
    for host in hosts {
        let cases = report.get(host).and_then(Value::as_object).with_context(|| format!("no report about {host}"))?;
        ensure!(!cases.is_empty(), "no case ran on {host}");
        let mut counts = BTreeMap::<&str, usize>::new();
        for (case, verdict) in cases {
            let of = |name: &str| verdict.get(name).and_then(Value::as_str).unwrap_or("no verdict");
            let (behavior, close) = (of("behavior"), of("behaviorClose"));
            *counts.entry(behavior).or_default() += 1;
            if !PASSED.contains(&behavior) || !PASSED.contains(&close) {
                is_passed = false;
                println!("{host}: case {case}: {behavior}, and when closing: {close}");
            }
        }
        let counts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        println!("{host}: {} cases: {}", cases.len(), counts.join(", "));
    }
    println!("The whole report: {}", index.with_extension("html").display());
    Ok(is_passed)
}
