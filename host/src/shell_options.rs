//! Options of the shell around the core: limits of connections, heads and queries, and the log of requests.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::units::{format_size, parse_count, parse_duration, parse_size};

/// The default for the longest request line and header fields together, in bytes.
const HEAD_BYTES_DEFAULT: usize = 64 * 1024;
/// The default for the most header fields. hyper has room for this many without an allocation per request.
const HEAD_FIELDS_DEFAULT: usize = 100;

/// Possible sizes of heads, in bytes. A browser's head may have a kilobyte without any query.
const HEAD_BYTES: RangeInclusive<usize> = 1024..=1024 * 1024;
/// Possible lengths of targets, in bytes. The upper end is that of the HTTP library.
const URI_BYTES: RangeInclusive<usize> = 256..=65_534;
/// Possible numbers of header fields. Each takes memory before it is known whether there are too many.
const HEAD_FIELDS: RangeInclusive<usize> = 8..=10_000;
/// Possible numbers of rows. Before they are sent, the rows are sorted in one step, in about a second for this many.
const QUERY_GROUPS: RangeInclusive<usize> = 1..=10_000_000;
/// Possible sizes of the memory for one answer, in bytes.
const QUERY_MEMORY: RangeInclusive<usize> = 64 * 1024..=64 * 1024 * 1024 * 1024;

/// Options of the shell.
#[derive(Args, Clone, Debug)]
pub struct ShellOptions {
    /// Most open connections of one client address (IPv6: of one /64 network; NAT64: of the IPv4 address); a further
    /// one gets 503 and is closed, or is only closed with TLS. Those of a --trust-proxy do not count
    /// [default: no limit]
    #[arg(long, env = "ARGUS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT", help_heading = "Limits")]
    #[arg(value_parser = parse_count)]
    pub max_connections_per_address: Option<NonZeroUsize>,

    /// Longest request line and header fields together; beyond it, 431
    #[arg(long, env = "ARGUS_MAX_HEAD_BYTES", value_name = "SIZE", default_value = "64KiB", help_heading = "Limits")]
    #[arg(value_parser = |text: &str| size_in(text, HEAD_BYTES))]
    pub max_head_bytes: usize,

    /// Most header fields of a request; beyond it, 431
    #[arg(long, env = "ARGUS_MAX_HEAD_FIELDS", value_name = "COUNT", default_value = "100", help_heading = "Limits")]
    #[arg(value_parser = parse_fields)]
    pub max_head_fields: NonZeroUsize,

    /// Longest request target: path and query; beyond it, 414
    #[arg(long, env = "ARGUS_MAX_URI_BYTES", value_name = "SIZE", default_value = "32KiB", help_heading = "Limits")]
    #[arg(value_parser = |text: &str| size_in(text, URI_BYTES))]
    pub max_uri_bytes: usize,

    /// Most rows of the answer to a question about many events, such as an aggregate: groups, times the intervals that
    /// they appear in; beyond it, 422. Also most cohorts, event types and paths
    #[arg(long, env = "ARGUS_QUERY_GROUPS", value_name = "COUNT", default_value = "100000", help_heading = "Limits")]
    #[arg(value_parser = parse_groups)]
    pub query_groups: NonZeroUsize,

    /// Most memory for the answer to one such question, besides some MiB for each processor that computes it; beyond
    /// it, 422. It counts towards `--max-answer-bytes`, and must not be more
    #[arg(long, env = "ARGUS_QUERY_MEMORY", value_name = "SIZE", default_value = "64MiB", help_heading = "Limits")]
    #[arg(value_parser = |text: &str| size_in(text, QUERY_MEMORY))]
    pub query_memory: usize,

    /// Most bytes of stored events, as they are in memory, that one query may read; then 422, or a reset, which may
    /// come before the head. A page ends after half of it, with a link to the next one. Live streams are not limited
    /// [default: no limit]
    #[arg(long, env = "ARGUS_QUERY_SCAN_BYTES", value_name = "SIZE", help_heading = "Limits")]
    #[arg(value_parser = parse_scan_bytes)]
    pub query_scan_bytes: Option<NonZeroU64>,

    /// Time that one query may compute, without the time that it waits for its client or for its turn; then 503, or a
    /// reset, which may come before the head. A page ends after half of it, with a link to the next one. Independent
    /// of `--request-timeout`, which limits the time to the start of every answer, but not the rest of a long one.
    /// Live streams are not limited [default: no limit]
    #[arg(long, env = "ARGUS_QUERY_TIMEOUT", value_name = "DURATION", help_heading = "Timeouts")]
    #[arg(value_parser = parse_duration)]
    pub query_timeout: Option<Duration>,

    /// Log each request when its answer is complete, to this file, or to standard output with `-`. A file is appended
    /// to, and opened again on SIGHUP, as logrotate needs it [default: no request log]
    #[arg(long, env = "ARGUS_REQUEST_LOG", value_name = "PATH", help_heading = "Request log")]
    pub request_log: Option<RequestLogTarget>,

    /// Format of the request log
    #[arg(long, env = "ARGUS_REQUEST_LOG_FORMAT", value_name = "FORMAT", default_value = "clf", value_enum)]
    #[arg(help_heading = "Request log")]
    pub request_log_format: RequestLogFormat,
}

/// The format of the request log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RequestLogFormat {
    /// Common Log Format: address, time, request line, status, bytes.
    Clf,
    /// One JSON object per line, which also has the duration, the request's id, and its trace.
    Json,
}

/// Where the request log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestLogTarget {
    /// To standard output.
    StandardOutput,
    /// To this file, which is appended to.
    File(PathBuf),
}

impl FromStr for RequestLogTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("expected a path, or - for standard output"),
            "-" => Ok(Self::StandardOutput),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for RequestLogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardOutput => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl ShellOptions {
    /// Two of these options that contradict each other.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let has_room = self.max_uri_bytes < self.max_head_bytes;
        (!has_room).then(|| {
            format!(
                "--max-uri-bytes ({}) must be less than --max-head-bytes ({}), of which it is a part",
                format_size(self.max_uri_bytes),
                format_size(self.max_head_bytes)
            )
        })
    }

    /// Whether heads have no more fields than the HTTP library is fastest with.
    pub(crate) fn has_few_fields(&self) -> bool {
        self.max_head_fields.get() <= HEAD_FIELDS_DEFAULT
    }

    /// Bytes that the HTTP library may buffer of a connection's input. Bodies arrive in it, too.
    pub(crate) fn input_bytes(&self) -> usize {
        self.max_head_bytes.max(HEAD_BYTES_DEFAULT)
    }
}

fn size_in(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    if range.contains(&size) {
        return Ok(size);
    }
    Err(format!("must be from {} to {}", format_size(*range.start()), format_size(*range.end())))
}

fn parse_fields(text: &str) -> Result<NonZeroUsize, String> {
    match parse_count(text)? {
        count if HEAD_FIELDS.contains(&count.get()) => Ok(count),
        _ => Err(format!("must be from {} to {}", HEAD_FIELDS.start(), HEAD_FIELDS.end())),
    }
}

fn parse_groups(text: &str) -> Result<NonZeroUsize, String> {
    match parse_count(text)? {
        count if QUERY_GROUPS.contains(&count.get()) => Ok(count),
        _ => Err(format!("must be from {} to {}", QUERY_GROUPS.start(), QUERY_GROUPS.end())),
    }
}

fn parse_scan_bytes(text: &str) -> Result<NonZeroU64, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    u64::try_from(size).ok().and_then(NonZeroU64::new).ok_or_else(|| "must be above 0".to_owned())
}
