//! The flags that the suite uses. The other hosts have more, and environment variables.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argus_core::analysis::AnalysisLimits;
use argus_core::api::{AllowedHost, CorsOrigin, Limits};
use argus_core::auth::NewKey;
use argus_core::engine::TYPES_MAX_DEFAULT;
use argus_core::event::PAYLOAD_DEPTH_DEFAULT;
use argus_core::limit::{Network, Quota, Quotas, Rate, parse_amount, parse_size};
use argus_core::subscribe::StreamLimits;
use lexopt::{Arg, Parser};

use crate::new_key;
use crate::request_log::RequestLogSettings;

pub(crate) const HELP: &str = "\
The smallest host of Argus Events: a test subject, not a product.

Usage: argus-minimal [OPTIONS]

      --endpoint HOST:PORT           Address to listen on [default: 127.0.0.1:3000]
      --port PORT                    Port to listen on, in place of that of --endpoint
      --repository PATH              Where events are kept: only `memory` or `memory:` [default: memory:]
      --durability WHEN              No effect: there is no disk
      --threads COUNT                No effect: there is one for each connection
      --cors-origin ORIGIN           Origin whose pages may use the interface, or *; repeat for more
      --allow-host HOST              Name under which the server may be addressed; repeat for more
      --max-body-bytes BYTES         Longest request body, after decompression
      --max-payload-bytes BYTES      Longest payload of one event
      --max-depth COUNT              Arrays and objects within each other in a payload
      --max-event-types COUNT        Different event types stored
      --max-inflight-bytes BYTES     Memory for all request bodies together
      --max-answer-bytes BYTES       Memory for all running answers; new ones wait for it
      --max-connections COUNT        Open connections; then the one idle longest is closed
      --max-connections-per-address COUNT  Open connections of one client address
      --max-head-bytes BYTES         Longest request line and header fields together
      --max-head-fields COUNT        Header fields of a request
      --max-uri-bytes BYTES          Longest request target
      --query-groups COUNT           Rows of the answer to one question about many events
      --query-memory BYTES           Memory for the answer to one such question
      --query-scan-bytes BYTES       Stored bytes that one query may read
      --query-timeout DURATION       Time that one query may compute
      --request-log PATH             Log each request to a file, or to standard output with `-`
      --request-log-format FORMAT    `clf` or `json` [default: clf]
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
      --keys FILE                    API keys; read again when the file changes
      --rate-limit RATE              Requests from an address, as in 100/s
      --rate-burst COUNT             Requests from an address at once
      --rate-limit-bytes RATE        Bytes of bodies from an address, as in 10MiB/s
      --rate-burst-bytes SIZE        Bytes of bodies from an address at once
      --trust-proxy CIDR             Networks of proxies that name the client
      --drain-timeout DURATION       Time for running requests after a signal
      --log LEVEL                    `debug` logs one line per request on standard error [default: info]
      key new --name NAME --scope SCOPE [--type PATTERN] [--expires TIME]
                                     Print the entry of a new key, and on standard error the key
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
    /// Make a key.
    NewKey(Box<NewKey>),
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: String,
    pub(crate) cors_origins: Vec<CorsOrigin>,
    pub(crate) hosts: Vec<AllowedHost>,
    pub(crate) limits: Limits,
    pub(crate) inflight_bytes_max: usize,
    pub(crate) answer_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: Option<usize>,
    pub(crate) head_bytes_max: usize,
    pub(crate) request_log: RequestLogSettings,
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
    pub(crate) keys: Option<PathBuf>,
    pub(crate) quotas: Quotas,
    pub(crate) proxies: Vec<Network>,
}

/// The default of the request timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: "127.0.0.1:3000".to_owned(),
            cors_origins: Vec::new(),
            hosts: Vec::new(),
            limits: Limits {
                body_bytes_max: 64 << 20,
                payload_bytes_max: 256 << 10,
                depth_max: PAYLOAD_DEPTH_DEFAULT,
                types_max: TYPES_MAX_DEFAULT,
                read_time: REQUEST_TIMEOUT,
                uri_bytes_max: 32 << 10,
                head_fields_max: 100,
                query_time: None,
                scan_bytes_max: None,
                analysis: AnalysisLimits::DEFAULT,
            },
            inflight_bytes_max: 256 << 20,
            answer_bytes_max: 256 << 20,
            connections_max: 1000,
            connections_per_address_max: None,
            head_bytes_max: 64 << 10,
            request_log: RequestLogSettings { path: None, json: false },
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
            keys: None,
            quotas: Quotas::default(),
            proxies: Vec::new(),
        }
    }
}

impl Settings {
    /// Parses the flags.
    pub(crate) fn read(mut parser: Parser) -> Result<Asked, String> {
        let mut settings = Self::default();
        let mut port = None;
        let (mut rate, mut burst, mut rate_bytes, mut burst_bytes) = (None, None, None, None);
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            let flag = match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Asked::Print(HELP)),
                Arg::Long("version") | Arg::Short('V') => return Ok(Asked::Print(VERSION)),
                Arg::Long(flag) => flag.to_owned(),
                Arg::Value(command) if command == "help" => return Ok(Asked::Print(HELP)),
                Arg::Value(command) if command == "key" => {
                    return new_key::read(&mut parser).map(|new| Asked::NewKey(Box::new(new)));
                }
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
                "cors-origin" => parse_list(&value()?, &mut settings.cors_origins),
                "allow-host" => parse_list(&value()?, &mut settings.hosts),
                "max-body-bytes" => parse_count(&value()?).map(|read| settings.limits.body_bytes_max = read),
                "max-payload-bytes" => parse_count(&value()?).map(|read| settings.limits.payload_bytes_max = read),
                "max-depth" => parse_count(&value()?).map(|read| settings.limits.depth_max = read),
                "max-event-types" => parse_count(&value()?).map(|read| settings.limits.types_max = read),
                "max-inflight-bytes" => parse_count(&value()?).map(|read| settings.inflight_bytes_max = read),
                "max-answer-bytes" => parse_count(&value()?).map(|read| settings.answer_bytes_max = read),
                "max-connections" => parse_count(&value()?).map(|read| settings.connections_max = read),
                "max-connections-per-address" => {
                    parse_count(&value()?).map(|read| settings.connections_per_address_max = Some(read))
                }
                "max-head-bytes" => parse_count(&value()?).map(|read| settings.head_bytes_max = read),
                "max-head-fields" => parse_count(&value()?).map(|read| settings.limits.head_fields_max = read),
                "max-uri-bytes" => parse_count(&value()?).map(|read| settings.limits.uri_bytes_max = read),
                "query-groups" => parse_count(&value()?).map(|read| settings.limits.analysis.groups_max = read),
                "query-memory" => parse_count(&value()?).map(|read| settings.limits.analysis.bytes_max = read),
                "query-scan-bytes" => {
                    parse_count(&value()?).map(|read| settings.limits.scan_bytes_max = Some(read as u64))
                }
                "query-timeout" => parse_duration(&value()?).map(|read| settings.limits.query_time = Some(read)),
                "request-log" => value().map(|read| settings.request_log.path = Some(read)),
                "request-log-format" => parse_format(&value()?).map(|read| settings.request_log.json = read),
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
                "keys" => value().map(|read| settings.keys = Some(read.into())),
                "rate-limit" => parsed(Rate::parse_requests(&value()?)).map(|read| rate = Some(read)),
                "rate-burst" => parsed(parse_amount(&value()?)).map(|read| burst = Some(read)),
                "rate-limit-bytes" => parsed(Rate::parse_bytes(&value()?)).map(|read| rate_bytes = Some(read)),
                "rate-burst-bytes" => parsed(parse_size(&value()?)).map(|read| burst_bytes = Some(read)),
                "trust-proxy" => value()?
                    .split(',')
                    .map(|network| parsed(network.trim().parse::<Network>()))
                    .collect::<Result<Vec<_>, _>>()
                    .map(|read| settings.proxies.extend(read)),
                "log" => parse_level(value()?).map(|read| settings.log = read),
                _ => Err("there is no such flag; --help lists them".to_owned()),
            };
            read.map_err(|message| format!("--{flag}: {message}"))?;
        }
        if (burst.is_some() && rate.is_none()) || (burst_bytes.is_some() && rate_bytes.is_none()) {
            return Err("a burst limits nothing without its rate".to_owned());
        }
        settings.quotas = Quotas {
            requests: rate.map(|rate| Quota::new(rate, burst)),
            bytes: rate_bytes.map(|rate| Quota::new(rate, burst_bytes)),
        };
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

fn parsed<T, E: Display>(read: Result<T, E>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

fn parse_list<T: FromStr<Err: Display>>(text: &str, list: &mut Vec<T>) -> Result<(), String> {
    for item in text.split(',') {
        list.push(item.parse().map_err(|error| format!("{error}, not {item:?}"))?);
    }
    Ok(())
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

/// Whether the format is JSON.
fn parse_format(text: &str) -> Result<bool, String> {
    match text {
        "clf" => Ok(false),
        "json" => Ok(true),
        _ => Err(format!("expected clf or json, not {text:?}")),
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
