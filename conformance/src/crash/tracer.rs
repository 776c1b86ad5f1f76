//! `strace`, which makes system calls of a server fail or kills the server in one.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use argus_conformance::launcher::BinaryLauncher;

/// A tracer of a running server. It ends with the server, or when dropped.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    /// Kept open, so that the tracer does not fail on writing its messages about threads.
    _messages: BufReader<ChildStderr>,
}

/// Why tracing is impossible here, if so.
pub(crate) fn unavailable() -> Option<String> {
    let version = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match version {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("`strace --version` ended with {status}")),
        Err(error) => Some(format!("`strace` does not run ({error}); `apt-get install strace` installs it")),
    }
}

impl Tracer {
    /// Traces a process from now on with these options. Returns when all its threads are traced.
    pub(crate) fn attach(process: Option<u32>, options: &[&str]) -> Result<Self, String> {
        let process = process.ok_or("the server has no process of ours")?.to_string();
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &process]).args(options).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| format!("strace: {error}"))?;
        let mut messages = BufReader::new(child.stderr.take().ok_or("no pipe from strace")?);
        let mut line = String::new();
        let read = messages.read_line(&mut line);
        if read.is_ok() && line.contains("attached") {
            return Ok(Self { child, _messages: messages });
        }
        // It has ended already, for the reason in `line`.
        let _ = child.wait();
        Err(format!("strace cannot trace a process of ours: {}", line.trim()))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The system releases the traced process. Both calls fail only if the tracer has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A launcher whose servers are traced from their first system call on, with these options.
pub(crate) fn traced(launcher: &BinaryLauncher, options: &[&str]) -> BinaryLauncher {
    // With -D the child is the server and the tracer its grandchild, so signals and exit codes are the server's.
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null"];
    let wrapper = words.iter().chain(options).map(|&word| word.to_owned()).collect();
    BinaryLauncher { wrapper, ..launcher.clone() }
}
