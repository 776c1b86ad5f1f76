//! Settings: command-line flags, each with an environment variable.

mod access;

pub use access::AccessOptions;

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::thread::available_parallelism;
use std::time::Duration;

use argus_core::analysis::AnalysisLimits;
use argus_core::api::{AllowedHost, AllowedHosts, Api, Cors, CorsOrigin, Limits};
use argus_core::subscribe::StreamLimits;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::backend::{BackendOptions, Location};
use crate::budget::{Budget, Share, memory_bytes_max};
use crate::environment;
use crate::log_filter::parse_log_filter;
use crate::shell_options::ShellOptions;
use crate::tls_options::TlsOptions;
use crate::units::{UnitError, format_size, parse_count, parse_duration, parse_size};

/// Most threads that serve requests. More than there are processors are of no use, and each takes memory and file
/// descriptors.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

/// Stores events sent over HTTP, and answers queries about them.
///
/// Every setting is a flag or an environment variable; a flag wins, and an empty variable is as if it was not set.
/// Sizes take B, KiB, MiB, GiB, TiB (or KB, MB, GB, TB), durations and ages ms, s, m, h, d, w, y (365 days). A bare
/// number is bytes or seconds; an age needs a unit. When the server is ready for requests, it prints one line on
/// standard output: `argus: listening on http://ADDRESS`. SIGINT or SIGTERM stops it gracefully: running requests
/// finish, new ones are refused. A second signal, 100 ms or more after the first, ends the process at once.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    max_term_width = 120,
    after_help = "Exit codes: 0 stopped gracefully, 1 could not start or the storage failed, 2 a wrong setting, \
                  3 the drain timeout passed and connections were cut off, 4 a thread died or a commit panicked and \
                  the server stopped by itself, 130 or 143 a second signal (SIGINT or SIGTERM) ended the process."
)]
pub struct Settings {
    /// Address to listen on, as host:port; port 0 lets the system choose
    // `Settings::of` puts `port` into it.
    #[arg(long, env = "ARGUS_ENDPOINT", value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    #[arg(value_parser = parse_endpoint, help_heading = "Service")]
    pub endpoint: String,

    /// Port to listen on, in place of that of `--endpoint`; an `--endpoint` flag wins over `ARGUS_PORT`
    #[arg(long, env = "ARGUS_PORT", value_name = "PORT", value_parser = parse_port, help_heading = "Service")]
    port: Option<u16>,

    /// Where to keep events: PATH or `disk:PATH` (a folder, created if it does not exist), a database that other
    /// processes may share (`postgres://USER@HOST/DATABASE` or `mongodb://HOST/DATABASE`, in programs built with it),
    /// or `memory` or `memory:` (until the process ends)
    #[arg(
        long,
        env = "ARGUS_REPOSITORY",
        value_name = "PATH",
        default_value = "disk:argus-data",
        help_heading = "Service"
    )]
    pub repository: Location,

    /// Origin whose pages may use the interface, as browsers write it (`https://app.example`), or `*` for all; repeat
    /// for more. With any, `text/plain` bodies, as `navigator.sendBeacon` sends them, are read as JSON
    #[arg(long, env = "ARGUS_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', help_heading = "Browsers")]
    pub cors_origin: Vec<CorsOrigin>,

    /// Name under which the server may be addressed, perhaps with a port; repeat for more. With any, requests to other
    /// names get 421, which protects against DNS rebinding. Addresses and `localhost` are always allowed
    #[arg(long, env = "ARGUS_ALLOW_HOST", value_name = "HOST", value_delimiter = ',', help_heading = "Browsers")]
    pub allow_host: Vec<AllowedHost>,

    /// Longest request body, after decompression
    #[arg(long, env = "ARGUS_MAX_BODY_BYTES", value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub max_body_bytes: usize,

    /// Longest payload of one event, as compact JSON
    #[arg(long, env = "ARGUS_MAX_PAYLOAD_BYTES", value_name = "SIZE", default_value = "256KiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub max_payload_bytes: usize,

    /// Deepest payload of one event: arrays and objects within each other. Common programs cannot read answers with
    /// much deeper ones
    #[arg(long, env = "ARGUS_MAX_DEPTH", value_name = "COUNT", default_value = "128", help_heading = "Limits")]
    #[arg(value_parser = parse_count)]
    pub max_depth: NonZeroUsize,

    /// Memory for all request bodies together; beyond it, 503. One eighth is reserved for bodies of at most 64 KiB. If
    /// memory is short, a stalled body is refused to make room for one that arrives
    #[arg(long, env = "ARGUS_MAX_INFLIGHT_BYTES", value_name = "SIZE", default_value = "256MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub max_inflight_bytes: usize,

    /// Memory for decompressing and parsing bodies. Large bodies wait for it, up to `--request-timeout`; then 503. Some
    /// bodies need many times their size [default: as much as --max-inflight-bytes]
    #[arg(long, env = "ARGUS_MAX_WORKING_BYTES", value_name = "SIZE", help_heading = "Limits")]
    #[arg(value_parser = parse_size)]
    pub max_working_bytes: Option<usize>,

    /// Memory for long answers in flight. Beyond it, reads release what they hold, and new ones wait, up to
    /// `--request-timeout`; then 503. The reads that run at that moment, 64 at most, may exceed it. A list of
    /// events whose client reads nothing for a second is suspended and takes almost no memory; the answer to a question
    /// keeps its table, at most --query-memory
    #[arg(long, env = "ARGUS_MAX_ANSWER_BYTES", value_name = "SIZE", default_value = "256MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub max_answer_bytes: usize,

    /// Most open connections; at the limit, the one idle longest is closed for a new one
    #[arg(long, env = "ARGUS_MAX_CONNECTIONS", value_name = "COUNT", default_value = "10000", help_heading = "Limits")]
    #[arg(value_parser = parse_count)]
    pub max_connections: NonZeroUsize,

    /// Most bytes of batches that wait to be committed; beyond it, 503
    #[arg(long, env = "ARGUS_COMMIT_QUEUE_BYTES", value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub commit_queue_bytes: usize,

    /// Most batches that wait to be committed; beyond it, 503
    #[arg(long, env = "ARGUS_COMMIT_QUEUE_BATCHES", value_name = "COUNT", default_value = "16384")]
    #[arg(value_parser = parse_count, help_heading = "Limits")]
    pub commit_queue_batches: NonZeroUsize,

    /// Most events that a live stream may be behind; a client that is further behind for a second is told where to
    /// resume, and disconnected
    #[arg(long, env = "ARGUS_STREAM_QUEUE_EVENTS", value_name = "COUNT", default_value = "10000")]
    #[arg(value_parser = parse_count, help_heading = "Limits")]
    pub stream_queue_events: NonZeroUsize,

    /// Most bytes that a live stream may be behind, likewise
    #[arg(long, env = "ARGUS_STREAM_QUEUE_BYTES", value_name = "SIZE", default_value = "8MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub stream_queue_bytes: usize,

    /// Memory for the newest events that all live streams share. A stream whose next event is not among them any more
    /// reads it from the repository
    #[arg(long, env = "ARGUS_STREAM_BUFFER_BYTES", value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub stream_buffer_bytes: usize,

    // Here, so that `--help` lists the backends' options between the other limits and `--threads`.
    /// The options of each kind of repository.
    #[command(flatten)]
    pub backend: BackendOptions,

    /// Who may do what, and how often.
    #[command(flatten)]
    pub access: AccessOptions,

    /// Threads that serve requests, at most 1024. In argus-tokio, if there are as many as CPUs, each is bound to one
    /// [default: one per CPU]
    #[arg(long, env = "ARGUS_THREADS", value_name = "COUNT", help_heading = "Service")]
    #[arg(value_parser = parse_threads)]
    pub threads: Option<NonZeroUsize>,

    /// Time for the request line and header fields to arrive, from the first byte; then 408. Also the time for a
    /// handshake of TLS
    #[arg(long, env = "ARGUS_HEADER_TIMEOUT", value_name = "DURATION", default_value = "10s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub header_timeout: Duration,

    /// Time that a request's body may stall; then 408. A body that keeps arriving may take any time
    #[arg(long, env = "ARGUS_BODY_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub body_timeout: Duration,

    /// Least bytes of a body per second. A slower body uses up its `--body-timeout`; then 408
    #[arg(long, env = "ARGUS_MIN_BODY_RATE", value_name = "SIZE", default_value = "1KiB")]
    #[arg(value_parser = parse_rate, help_heading = "Timeouts")]
    pub min_body_rate: NonZeroUsize,

    /// Time from the end of a request to the start of its answer; then 503
    #[arg(long, env = "ARGUS_REQUEST_TIMEOUT", value_name = "DURATION", default_value = "60s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub request_timeout: Duration,

    /// Time that a connection may be idle, before, between and after requests; then it is closed
    #[arg(long, env = "ARGUS_KEEP_ALIVE_TIMEOUT", value_name = "DURATION", default_value = "75s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub keep_alive_timeout: Duration,

    /// Time that a client may read nothing of its answer; then its connection is reset
    #[arg(long, env = "ARGUS_WRITE_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub write_timeout: Duration,

    /// Time without an event after which a live stream sends a sign of life
    #[arg(long, env = "ARGUS_STREAM_HEARTBEAT", value_name = "DURATION", default_value = "15s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub stream_heartbeat: Duration,

    /// Time for running requests to finish after a signal; then their connections are cut off
    #[arg(long, env = "ARGUS_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    #[arg(value_parser = parse_duration, help_heading = "Timeouts")]
    pub drain_timeout: Duration,

    /// What to log: `off`, `error`, `warn`, `info`, `debug` (one line per request) or `trace`; for one module as in
    /// `info,argus_host::wire=debug`
    #[arg(
        long,
        env = "ARGUS_LOG",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Logs (on standard error)"
    )]
    #[arg(value_parser = parse_log_filter)]
    pub log: String,

    /// Limits of connections, heads and queries, and the log of requests.
    #[command(flatten)]
    pub shell: ShellOptions,

    /// Encryption.
    #[command(flatten)]
    pub tls: TlsOptions,

    /// Format of log lines
    #[arg(long, env = "ARGUS_LOG_FORMAT", value_name = "FORMAT", default_value = "text", value_enum)]
    #[arg(help_heading = "Logs (on standard error)")]
    pub log_format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: time, level, module, message, fields.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

impl Settings {
    /// Reads the settings from the arguments (the first is the program's name), and from the environment where a flag
    /// is not given.
    ///
    /// ```
    /// use argus_host::settings::Settings;
    ///
    /// let settings = Settings::read("argus-tokio", ["argus-tokio", "--endpoint", "[::1]:0", "--threads", "2"])?;
    /// assert_eq!(settings.endpoint, "[::1]:0");
    /// assert_eq!(settings.worker_threads().get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`clap::Error`] that prints itself: a wrong value, two values that contradict each other, or a request for
    /// help or the version. [`clap::Error::exit`] ends the process with exit code 2, or 0 for help and the version.
    pub fn read<I, T>(name: &'static str, arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let mut command = Self::command_of(name);
        let matches = environment::matches(&mut command, arguments)?;
        Self::of(&matches, &mut command)
    }

    /// The command line of a program with this name.
    pub(crate) fn command_of(name: &'static str) -> Command {
        // So that a negative number is reported as a wrong value, not as an unknown flag.
        Self::command().name(name).mut_args(|argument| {
            let takes_a_value = argument.get_action().takes_values();
            argument.allow_negative_numbers(takes_a_value)
        })
    }

    /// The settings from a parsed command line.
    pub(crate) fn of(matches: &ArgMatches, command: &mut Command) -> Result<Self, clap::Error> {
        let mut settings = Self::from_arg_matches(matches)?;
        // Sources are ordered: a default, a variable, a flag.
        if let Some(port) = settings.port
            && matches.value_source("port") >= matches.value_source("endpoint")
            && let Some((host, _)) = settings.endpoint.rsplit_once(':')
        {
            settings.endpoint = format!("{host}:{port}");
        }
        match settings.contradiction() {
            None => Ok(settings),
            Some(message) => Err(command.error(ErrorKind::ValueValidation, message)),
        }
    }

    /// The number of threads that serve requests.
    #[must_use]
    pub fn worker_threads(&self) -> NonZeroUsize {
        self.threads
            .or_else(|| available_parallelism().ok())
            .map_or(NonZeroUsize::MIN, |threads| threads.min(THREADS_MAX))
    }

    /// The memory for decompressing and parsing bodies, in bytes.
    #[must_use]
    pub fn working_bytes(&self) -> usize {
        self.max_working_bytes.unwrap_or(self.max_inflight_bytes)
    }

    /// The HTTP interface with these settings.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(self.limits())
            .with_cors(Cors::new(self.cors_origin.iter().cloned()))
            .with_hosts(AllowedHosts::new(self.allow_host.iter().cloned()))
    }

    /// The limits that the core enforces.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            body_bytes_max: self.max_body_bytes,
            payload_bytes_max: self.max_payload_bytes,
            depth_max: self.max_depth.get(),
            types_max: self.backend.engine.max_event_types.get(),
            read_time: self.request_timeout,
            uri_bytes_max: self.shell.max_uri_bytes,
            head_fields_max: self.shell.max_head_fields.get(),
            query_time: self.shell.query_timeout,
            scan_bytes_max: self.shell.query_scan_bytes.map(NonZeroU64::get),
            analysis: AnalysisLimits { groups_max: self.shell.query_groups.get(), bytes_max: self.shell.query_memory },
        }
    }

    /// The limits of live streams.
    #[must_use]
    pub fn stream_limits(&self) -> StreamLimits {
        StreamLimits {
            queue_events: self.stream_queue_events.get() as u64,
            queue_bytes: self.stream_queue_bytes as u64,
            buffer_bytes: self.stream_buffer_bytes,
        }
    }

    /// Finds two settings that contradict each other.
    fn contradiction(&self) -> Option<String> {
        let (payload, body, answer) = ("--max-payload-bytes", "--max-body-bytes", "--max-answer-bytes");
        let sizes = [
            (payload, self.max_payload_bytes, body, self.max_body_bytes),
            (payload, self.max_payload_bytes, answer, self.max_answer_bytes),
            // A question with more than all answers may take would be refused as overload, however often it is asked.
            ("--query-memory", self.shell.query_memory, answer, self.max_answer_bytes),
        ];
        for (small, small_bytes, large, large_bytes) in sizes {
            if small_bytes > large_bytes {
                return Some(format!(
                    "{small} ({}) must not be more than {large} ({}): lower the first or raise the second",
                    format_size(small_bytes),
                    format_size(large_bytes)
                ));
            }
        }
        if let Err(reason) = self.backend.check(&self.repository) {
            return Some(format!("--repository: {reason}"));
        }
        if let Some(max) = BackendOptions::payload_bytes_max(&self.repository)
            && self.max_payload_bytes > max
        {
            return Some(format!(
                "{payload} must not be more than {}, the most that MongoDB can store",
                format_size(max)
            ));
        }
        if let Some(message) = self.shell.contradiction() {
            return Some(message);
        }
        let (needed, share) = (memory_bytes_max(self.max_body_bytes), Share::of(self.max_body_bytes));
        if needed > Budget::share_bytes(self.max_inflight_bytes, share) {
            return Some(format!(
                "--max-inflight-bytes ({}) has no room for a body of --max-body-bytes ({}): it must be at least one \
                 and three quarters times as much",
                format_size(self.max_inflight_bytes),
                format_size(self.max_body_bytes)
            ));
        }
        if let Some(contradiction) = self.access.contradiction() {
            return Some(contradiction);
        }
        (self.working_bytes() < self.max_body_bytes).then(|| {
            format!(
                "--max-working-bytes ({}) must not be less than --max-body-bytes ({})",
                format_size(self.working_bytes()),
                format_size(self.max_body_bytes)
            )
        })
    }
}

fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    match parse_count(text)? {
        threads if threads > THREADS_MAX => Err(format!("must be at most {THREADS_MAX}")),
        threads => Ok(threads),
    }
}

fn parse_rate(text: &str) -> Result<NonZeroUsize, UnitError> {
    parse_size(text).and_then(|bytes| NonZeroUsize::new(bytes).ok_or(UnitError::Zero))
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let expected = "expected host:port, as in 127.0.0.1:3000, [::1]:3000 or localhost:0";
    let Some((host, port)) = text.rsplit_once(':') else { return Err(expected.to_owned()) };
    let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || bare_ipv6 {
        return Err(expected.to_owned());
    }
    match port.parse::<u16>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("'{port}' is not a port (0 to 65535); {expected}")),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "expected a port (0 to 65535)".to_owned())
}

#[cfg(test)]
mod tests;
