//! How a subject is started.
//!
//! Cases know only a [`Launcher`]. It starts processes or containers, or uses a server that runs already.

mod binary;
mod broken_log;
mod container;
mod engine;
mod folder;
mod owner;
mod process;
mod repository;
mod url;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use binary::BinaryLauncher;
pub use broken_log::BrokenLog;
pub use container::ContainerLauncher;
pub use engine::{Engine, EngineOptions};
pub use folder::remove_left_over_folders;
pub use repository::Repository;
pub use url::UrlLauncher;

use crate::failure::Failure;

/// The start of the line on standard output that announces a ready server; its address follows.
const READY_LINE: &str = "argus: listening on http://";

/// The networks from which a server sees connections of this machine, as a value of `--trust-proxy`: its own, and the
/// private ones, where a container whose port is published has its gateway.
pub const LOCAL_NETWORKS: &str = "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16";

/// What a case needs from its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand<'a> {
    /// Any server with default settings; it may hold other events.
    Any,
    /// A server without events, with default settings, for this case alone.
    Empty,
    /// A server without events, with these flags and values.
    Settings(&'a [(&'a str, &'a str)]),
    /// A server with these flags and values, and with the repository at this URL, whose server has ended. A repository
    /// in memory has no URL, and no events.
    Again(Option<&'a str>, &'a [(&'a str, &'a str)]),
    /// As `Settings`, with a standard error that cannot be written to.
    BrokenLog(BrokenLog, &'a [(&'a str, &'a str)]),
}

impl<'a> Demand<'a> {
    /// The URL of an earlier server's repository that this one is to have.
    fn kept_url(self) -> Option<&'a str> {
        match self {
            Self::Again(url, _) => url,
            Self::Any | Self::Empty | Self::Settings(_) | Self::BrokenLog(..) => None,
        }
    }
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

    /// The same launcher, but it starts `wrapper`, a program with arguments, which sets limits and then executes the
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
    /// Servers in containers of this image.
    Image(String),
    /// The server that listens at this address.
    Address(SocketAddr),
}

/// A running server. Dropping it ends it, by force if necessary.
pub trait Running: fmt::Debug + Send + Sync {
    /// Its address.
    fn address(&self) -> SocketAddr;

    /// Whether it sees the addresses of its clients. Otherwise they may come from something in between: the container
    /// engine that publishes its port, or a proxy.
    fn sees_clients(&self) -> bool;

    /// Its process id; `None` if the process is not ours.
    fn process(&self) -> Option<u32>;

    /// The URL of its repository; `None` if that does not outlast it, or was not made for it.
    fn repository(&self) -> Option<String>;

    /// Its data folder; `None` if it has none, or one that was not made for it.
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

/// The signals for a server: three that it handles, and three that it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers send.
    Terminate,
    /// Reads files again that have changed.
    HangUp,
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
