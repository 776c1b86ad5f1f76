//! The process of a server, and its output.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::repository::Place;
use super::{Exit, Running, Signal};
use crate::client::patience;
use crate::failure::Failure;

/// How often to check whether a process has ended.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A server that this launcher has started.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    /// The reading end of a pipe that nobody reads, kept open as long as the process lives.
    pub(super) _unread: Option<PipeReader>,
    /// Where it stores events. Dropped after the process has ended.
    pub(super) place: Place,
}

/// The output of a process so far, and the thread that collects it.
#[derive(Debug)]
pub(super) struct Captured {
    text: Arc<Mutex<String>>,
    collector: Option<thread::JoinHandle<()>>,
}

impl Running for Process {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn sees_clients(&self) -> bool {
        true
    }

    fn process(&self) -> Option<u32> {
        Some(self.child.id())
    }

    fn repository(&self) -> Option<String> {
        self.place.kept_url()
    }

    fn folder(&self) -> Option<&Path> {
        self.place.folder()
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let signal = match signal {
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Terminate => rustix::process::Signal::TERM,
            Signal::HangUp => rustix::process::Signal::HUP,
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
    pub(super) fn collect(stream: impl Read + Send + 'static, mut on_line: impl FnMut(&str) + Send + 'static) -> Self {
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
    pub(super) fn nothing() -> Self {
        Self { text: Arc::default(), collector: None }
    }

    pub(super) fn so_far(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end of the stream, which comes with the end of the process; returns everything.
    pub(super) fn finish(&self) -> String {
        let deadline = Instant::now() + patience();
        while self.collector.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(EXIT_POLL_INTERVAL);
        }
        self.so_far()
    }
}

/// Waits for a process to end; returns its exit code, or `None` if a signal killed it.
pub(super) fn wait_for(child: &mut Child) -> Result<Option<i32>, Failure> {
    match ends_within(child, patience())? {
        Some(status) => Ok(status.code()),
        None => Err(Failure::unmet(format!("the process to end within {:?}", patience()))),
    }
}

/// Waits for a process to end, at most for `time`; `None` if it is still running then.
pub(super) fn ends_within(child: &mut Child, time: Duration) -> Result<Option<ExitStatus>, Failure> {
    let deadline = Instant::now() + time;
    loop {
        let ended = child.try_wait();
        let ended = ended.map_err(|error| Failure::unmet(format!("a process that can be waited for: {error}")))?;
        let left = deadline.saturating_duration_since(Instant::now());
        if ended.is_some() || left.is_zero() {
            return Ok(ended);
        }
        thread::sleep(left.min(EXIT_POLL_INTERVAL));
    }
}
