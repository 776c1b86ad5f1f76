//! Logs on standard error.
//!
//! A line that cannot be written is dropped and counted: nothing waits for the log, and nothing fails with it
//! ([`LogBuffer`]). Panics are logged too.
//!
//! Messages about the whole server have the level `info` or above. The line per request has the level `debug` and the
//! target `argus_host::request`, so that it costs nothing by default; `--log info,argus_host::request=debug` turns it
//! on.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::panic::{self, PanicHookInfo};
use std::time::Duration;
use std::{io, thread};

use argus_core::api::{ProblemKind, Reply, TraceContext, redacted};
use prometheus::IntCounter;
use tracing_subscriber::EnvFilter;

use crate::log_buffer::{LogBuffer, StandardError};
use crate::settings::{LogFormat, Settings};
use crate::watch::panic_message;

/// The target of the line per request.
pub const REQUEST_TARGET: &str = "argus_host::request";

/// Starts logging for the process; only the first call has an effect. Lost lines are counted in `lost`. If the thread
/// that writes them ends before the process, it calls `on_death` as by [`watch::spawn`](crate::watch::spawn).
///
/// # Errors
///
/// When the system refuses to start a thread; nothing is logged then.
pub fn start(
    settings: &Settings,
    lost: IntCounter,
    on_death: impl FnOnce(String) + Send + 'static,
) -> io::Result<LogBuffer> {
    let log = LogBuffer::start(StandardError, lost, on_death)?;
    let writer = log.clone();
    // It was validated when the settings were read.
    let filter = EnvFilter::new(&settings.log);
    // Errors of formatting or writing would go to `eprintln!`, which may block or panic.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let builder = builder.with_writer(move || writer.clone());
    let started = match settings.log_format {
        // Colours are for terminals only.
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// Logs a panic. std's own hook writes to standard error and may block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let (thread, place) = (thread::current(), panic.location());
    let backtrace = Backtrace::capture();
    let captured = (backtrace.status() == BacktraceStatus::Captured).then_some(&backtrace);
    tracing::error!(
        thread = thread.name().unwrap_or("without a name"),
        place = place.map(tracing::field::display),
        // Its debug form is a single line.
        backtrace = captured.map(tracing::field::debug),
        "panic: {}",
        panic_message(panic.payload())
    );
}

/// Logs one request and its answer. The caller's text is logged as string values, which both formats quote and escape:
/// a client cannot break a line. Keys in the target are not logged.
pub(crate) fn log_request(
    method: &str,
    target: &str,
    reply: &Reply,
    ids: &Ids,
    sender: &Sender<'_>,
    latency: Duration,
) {
    let trace = ids.trace.as_ref();
    tracing::debug!(
        target: REQUEST_TARGET,
        method = &*shortened(method),
        // Not `target`: in JSON the target of the line has that name.
        url = &*shortened(&redacted(target)),
        status = reply.status,
        latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        request_id = &*shortened(&ids.request_id),
        trace_id = trace.map(|(trace, _)| trace.trace_id()),
        parent_id = trace.map(|(trace, _)| trace.parent_id()),
        span_id = trace.map(|(_, span)| format!("{span:016x}")),
        peer = %sender.peer,
        client = sender.client.map(tracing::field::display),
        key = sender.key,
        problem = reply.problem.map(ProblemKind::as_str),
        "request"
    );
}

/// What identifies a request, in its answer and in logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    /// The value of `X-Request-Id`.
    pub(crate) request_id: String,
    /// The trace that the caller named, and the span of this server.
    pub(crate) trace: Option<(TraceContext, NonZeroU64)>,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// The client, which a trusted proxy may have named.
    pub(crate) client: Option<IpAddr>,
    /// The name of its key.
    pub(crate) key: Option<&'a str>,
}

/// Longest part of the caller's text that is logged, in bytes.
const LOGGED_BYTES_MAX: usize = 1024;

/// The caller's text, cut to [`LOGGED_BYTES_MAX`].
fn shortened(text: &str) -> Cow<'_, str> {
    let (shown, rest) = text.split_at(text.floor_char_boundary(LOGGED_BYTES_MAX));
    if rest.is_empty() { shown.into() } else { format!("{shown}… and {} bytes more", rest.len()).into() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use argus_core::analysis::AnalysisLimits;
    use argus_core::api::{Api, Caller, Limits, Refusal, Route};
    use serde_json::json;

    use super::*;
    use crate::testing::written;

    const HOSTILE: &str = "/a\r\n\u{1b}[31m\"b\u{85}";

    fn log_one() {
        let refused = Api::new(Limits {
            body_bytes_max: 1,
            payload_bytes_max: 1,
            depth_max: 1,
            types_max: 1,
            read_time: Duration::ZERO,
            uri_bytes_max: 1 << 15,
            head_fields_max: 100,
            query_time: None,
            scan_bytes_max: None,
            analysis: AnalysisLimits::DEFAULT,
        })
        .refuse(Route::Events, &Refusal::Overloaded);
        let reply = Caller::default().finish(refused);
        let peer = "127.0.0.1:5".parse().unwrap();
        let ids = Ids { request_id: "id".to_owned(), trace: None };
        let sender = Sender { peer, client: Some("192.0.2.1".parse().unwrap()), key: Some("web") };
        log_request("POST", HOSTILE, &reply, &ids, &sender, Duration::from_micros(7));
    }

    #[test]
    fn a_json_line_has_each_member_once_and_plain_strings() {
        let line = written(
            |page| {
                let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
                builder.json().flatten_event(true).with_writer(move || page.clone()).finish()
            },
            log_one,
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        // serde_json keeps the last of two members with the same name; the text shows both.
        for name in members.keys() {
            assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name} in {line}");
        }
        for (name, value) in [
            ("target", json!(REQUEST_TARGET)),
            ("method", json!("POST")),
            ("url", json!(HOSTILE)),
            ("status", json!(503)),
            ("latency_us", json!(7)),
            ("request_id", json!("id")),
            ("peer", json!("127.0.0.1:5")),
            ("client", json!("192.0.2.1")),
            ("key", json!("web")),
            ("problem", json!("overloaded")),
        ] {
            assert_eq!(members[name], value, "{name}");
        }
    }

    #[test]
    fn a_line_of_text_stays_a_line() {
        let line = written(
            |page| {
                let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG);
                builder.with_ansi(false).with_writer(move || page.clone()).finish()
            },
            log_one,
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(r#"method="POST" url="/a\r\n\u{1b}[31m\"b\u{85}" status=503"#), "{line}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "é".repeat(2000);
        let shown = shortened(&long);
        assert!(shown.ends_with("é… and 2976 bytes more"), "{shown}");
        assert_eq!(shortened("short"), "short");
    }
}
