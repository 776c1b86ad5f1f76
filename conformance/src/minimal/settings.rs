//! The flags that the suite uses. The other hosts have more, and environment variables.

use std::time::Duration;

use argus_core::api::Limits;
use argus_core::engine::TYPES_MAX_DEFAULT;
use argus_core::event::PAYLOAD_DEPTH_DEFAULT;
use argus_core::subscribe::StreamLimits;
use lexopt::{Arg, Parser};

pub(crate) const HELP: &str = "\
The smallest host of Argus Events: a test subject, not a product.

Usage: argus-minimal [OPTIONS]

      --endpoint HOST:PORT           Address to listen on [default: 127.0.0.1:3000]
      --port PORT                    Port to listen on, in place of that of --endpoint
      --repository PATH              Where events are kept: only `memory` or `memory:` [default: memory:]
      --durability WHEN              No effect: there is no disk
      --threads COUNT                No effect: there is one for each connection
      --max-body-bytes BYTES         Longest request body, after decompression
      --max-payload-bytes BYTES      Longest payload of one event
      --max-depth COUNT              Arrays and objects within each other in a payload
      --max-event-types COUNT        Different event types stored
      --max-inflight-bytes BYTES     Memory for all request bodies together
      --max-answer-bytes BYTES       Memory for all running answers; new ones wait for it
      --max-connections COUNT        Open connections; then the one idle longest is closed
      --commit-queue-batches COUNT   Batches waiting to be committed
      --stream-queue-events COUNT    Events that a live stream may be behind
      --stream-queue-bytes BYTES     Bytes that a live stream may be behind
      --stream-buffer-bytes BYTES    Memory for events that live streams share
      --stream-heartbeat DURATION    Silence before a live stream sends a sign of life
      --header-timeout DURATION      Time for a request's head to arrive
      --body-timeout DURATION        Time that a body may stall
      --min-body-rate BYTES          Least bytes of a body per second
      --request-timeout DURATION     Time to the head of an answer
      --keep-alive-timeout DURATION  Time that a connection may be idle
      --write-timeout DURATION       Time that a client may read nothing
      --drain-timeout DURATION       Time for running requests after a signal
      --log LEVEL                    `debug` logs one line per request on standard error [default: info]
  -h, --help, help                   Print this
  -V, --version, version             Print the version

Durations take ms, s, m, h, d, w or y; without a unit they are seconds. Exit codes: 0 stopped normally,
1 could not start, 2 a wrong setting, 3 requests were cut off, 4 a thread died.
";

/// What `--version` prints.
pub(crate) const VERSION: &str = concat!("argus-minimal ", env!("CARGO_PKG_VERSION"), "\n");

/// What the command line asks for.
pub(crate) enum Asked {
    /// Serve requests.
    Serve(Box<Settings>),
    /// Print this.
    Print(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: String,
    pub(crate) limits: Limits,
    pub(crate) inflight_bytes_max: usize,
    pub(crate) answer_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) queue_batches_max: usize,
    pub(crate) stream_limits: StreamLimits,
    pub(crate) stream_heartbeat: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) body_bytes_per_second: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) log: String,
}

/// The default of the request timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: "127.0.0.1:3000".to_owned(),
            limits: Limits {
                body_bytes_max: 64 << 20,
                payload_bytes_max: 256 << 10,
                depth_max: PAYLOAD_DEPTH_DEFAULT,
                types_max: TYPES_MAX_DEFAULT,
                read_time: REQUEST_TIMEOUT,
            },
            inflight_bytes_max: 256 << 20,
            answer_bytes_max: 256 << 20,
            connections_max: 1000,
            queue_batches_max: 1024,
            stream_limits: StreamLimits { queue_events: 10_000, queue_bytes: 8 << 20, buffer_bytes: 64 << 20 },
            stream_heartbeat: Duration::from_secs(15),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_bytes_per_second: 1024,
            request_timeout: REQUEST_TIMEOUT,
            keep_alive_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            log: "info".to_owned(),
        }
    }
}

impl Settings {
    /// Parses the flags.
    pub(crate) fn read(mut parser: Parser) -> Result<Asked, String> {
        let mut settings = Self::default();
        let mut port = None;
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let flag = match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Print(HELP)),
                Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Print(VERSION)),
                Arg::Long(flag) => flag.to_owned(),
                Arg::Value(command) if command == "help" => return Ok(Asked::Print(HELP)),
                Arg::Value(command) if command == "version" => return Ok(Asked::Print(VERSION)),
                Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected().to_string()),
            };
            let mut value = || {
                let value = parser.value().map_err(|error| format!("--{flag}: {error}"))?;
                value.into_string().map_err(|value| format!("--{flag}: {} is not UTF-8", value.display()))
            };
            let read = match flag.as_str() {
                "endpoint" => parse_endpoint(value()?).map(|read| settings.endpoint = read),
                "port" => parse_port(&value()?).map(|read| port = Some(read)),
                "repository" => parse_repository(&value()?),
                "durability" | "threads" => value().map(drop),
                "max-body-bytes" => parse_count(&value()?).map(|read| settings.limits.body_bytes_max = read),
                "max-payload-bytes" => parse_count(&value()?).map(|read| settings.limits.payload_bytes_max = read),
                "max-depth" => parse_count(&value()?).map(|read| settings.limits.depth_max = read),
                "max-event-types" => parse_count(&value()?).map(|read| settings.limits.types_max = read),
                "max-inflight-bytes" => parse_count(&value()?).map(|read| settings.inflight_bytes_max = read),
                "max-answer-bytes" => parse_count(&value()?).map(|read| settings.answer_bytes_max = read),
                "max-connections" => parse_count(&value()?).map(|read| settings.connections_max = read),
                "commit-queue-batches" => parse_count(&value()?).map(|read| settings.queue_batches_max = read),
                "stream-queue-events" => {
                    parse_count(&value()?).map(|read| settings.stream_limits.queue_events = read as u64)
                }
                "stream-queue-bytes" => {
                    parse_count(&value()?).map(|read| settings.stream_limits.queue_bytes = read as u64)
                }
                "stream-buffer-bytes" => parse_count(&value()?).map(|read| settings.stream_limits.buffer_bytes = read),
                "stream-heartbeat" => parse_duration(&value()?).map(|read| settings.stream_heartbeat = read),
                "header-timeout" => parse_duration(&value()?).map(|read| settings.header_timeout = read),
                "body-timeout" => parse_duration(&value()?).map(|read| settings.body_timeout = read),
                "min-body-rate" => parse_count(&value()?).map(|read| settings.body_bytes_per_second = read),
                "request-timeout" => parse_duration(&value()?).map(|read| {
                    settings.request_timeout = read;
                    settings.limits.read_time = read;
                }),
                "keep-alive-timeout" => parse_duration(&value()?).map(|read| settings.keep_alive_timeout = read),
                "write-timeout" => parse_duration(&value()?).map(|read| settings.write_timeout = read),
                "drain-timeout" => parse_duration(&value()?).map(|read| settings.drain_timeout = read),
                "log" => parse_level(value()?).map(|read| settings.log = read),
                _ => Err("there is no such flag; --help lists them".to_owned()),
            };
            read.map_err(|message| format!("--{flag}: {message}"))?;
        }
        if let (Some(port), Some((host, _))) = (port, settings.endpoint.rsplit_once(':')) {
            settings.endpoint = format!("{host}:{port}");
        }
        Ok(Asked::Serve(Box::new(settings)))
    }
}

fn parse_endpoint(text: String) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text),
        Some(_) | None => Err(format!("expected HOST:PORT, not {text:?}")),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("expected a port (0 to 65535), not {text:?}"))
}

fn parse_repository(text: &str) -> Result<(), String> {
    match text {
        "memory" | "memory:" => Ok(()),
        _ => Err(format!("expected memory:, not {text:?}")),
    }
}

fn parse_level(text: String) -> Result<String, String> {
    match text.as_str() {
        "off" | "error" | "warn" | "info" | "debug" | "trace" => Ok(text),
        _ => Err(format!("expected off, error, warn, info, debug or trace, not {text:?}")),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("expected a number above 0, not {text:?}")),
        Ok(count) => Ok(count),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(24 * 3600),
        "w" => Duration::from_secs(7 * 24 * 3600),
        "y" => Duration::from_secs(365 * 24 * 3600),
        _ => return Err(format!("expected a number with ms, s, m, h, d, w or y, not {text:?}")),
    };
    digits
        .parse::<u32>()
        .ok()
        .and_then(|count| unit.checked_mul(count))
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("expected a number above 0, not {text:?}"))
}
