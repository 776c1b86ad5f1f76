//! Logs on standard error.
//!
//! What happens to the server as a whole is logged at `info` and above. One line a request is logged at `debug` with the target
//! `argus_host::request`, so that a server which nobody watches spends nothing on it: `--log info,argus_host::request=debug` turns it on.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use argus_core::api::Reply;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// The target of the line that each request gets.
pub const REQUEST_TARGET: &str = "argus_host::request";

/// Starts logging for the process. The first call counts.
pub fn start(settings: &Settings) {
    // The filter was parsed when the settings were read.
    let filter = EnvFilter::new(&settings.log);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match settings.log_format {
        // Colours are for terminals, and escape sequences in files are not for people.
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
}

/// Logs one request and its answer. The caller's words are quoted and escaped: a line is a line whatever a client sends.
pub fn log_request(method: &str, target: &str, reply: &Reply, request_id: &str, peer: SocketAddr, latency: Duration) {
    tracing::debug!(
        target: REQUEST_TARGET,
        method = ?Shortened(method),
        target = ?Shortened(target),
        status = reply.status,
        latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        request_id = ?Shortened(request_id),
        %peer,
        problem = reply.problem.map(tracing::field::debug),
        "request"
    );
}

/// Longest part of a caller's words that is logged, in bytes.
const LOGGED_BYTES_MAX: usize = 1024;

/// Prints as a quoted string with everything escaped that is not printable, and not without end.
struct Shortened<'a>(&'a str);

impl std::fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.floor_char_boundary(LOGGED_BYTES_MAX);
        let (shown, rest) = self.0.split_at(end);
        write!(f, "{shown:?}")?;
        if rest.is_empty() { Ok(()) } else { write!(f, "… and {} bytes more", rest.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(format!("{:?}", Shortened("a\r\n\u{1b}[31m\"b\u{85}")), r#""a\r\n\u{1b}[31m\"b\u{85}""#);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let long = "é".repeat(2000);
        let shown = format!("{:?}", Shortened(&long));
        assert!(shown.ends_with("… and 2976 bytes more"), "{shown}");
        assert_eq!(format!("{:?}", Shortened("short")), "\"short\"");
    }
}
