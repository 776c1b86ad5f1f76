//! The request log: a line for each request, once its answer is complete or broke off.
//!
//! The core formats the lines. A thread of its own writes them, so that no request waits for a disk: a line that finds
//! the buffer full is dropped and counted, as in the log on standard error ([`LogBuffer`]).

mod record;
mod sink;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::api::RequestEntry;
use prometheus::IntCounter;
use thiserror::Error;

pub(crate) use record::Record;
use sink::{LogFile, Reporting, StandardOutput};

use crate::log_buffer::{LogBuffer, Owner};
use crate::shell_options::{RequestLogFormat, RequestLogTarget};

/// The thread of the request log, and what the log on standard error says when lines of it are lost.
const OWNER: Owner = Owner {
    thread: "argus-requests",
    late: "lines of the request log were lost: it was not written in time",
    failed: "lines of the request log were lost: it could not be written",
};

/// Why the request log could not be started.
#[derive(Debug, Error)]
pub enum RequestLogError {
    /// The file cannot be opened.
    #[error("the file cannot be opened: {0}")]
    File(#[source] io::Error),
    /// The system refuses to start a thread.
    #[error("the system refused to start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// Writes the request log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLog {
    buffer: LogBuffer,
    format: RequestLogFormat,
    /// Whether the file is to be opened again before the next line. `None` for standard output.
    reopen: Option<Arc<AtomicBool>>,
}

impl RequestLog {
    /// Opens the log, and starts the thread that writes it. Lost lines are counted in `lost`. If the thread ends before
    /// the process, it calls `on_death` as by [`watch::spawn`](crate::watch::spawn).
    ///
    /// # Errors
    ///
    /// [`RequestLogError`].
    pub fn start(
        target: &RequestLogTarget,
        format: RequestLogFormat,
        lost: IntCounter,
        on_death: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, RequestLogError> {
        let (buffer, reopen) = match target {
            RequestLogTarget::StandardOutput => {
                (LogBuffer::start_as(OWNER, Reporting::new(target, StandardOutput), lost, on_death), None)
            }
            RequestLogTarget::File(path) => {
                let reopen = Arc::<AtomicBool>::default();
                let file = LogFile::open(path.clone(), Arc::clone(&reopen)).map_err(RequestLogError::File)?;
                (LogBuffer::start_as(OWNER, Reporting::new(target, file), lost, on_death), Some(reopen))
            }
        };
        Ok(Self { buffer: buffer.map_err(RequestLogError::Thread)?, format, reopen })
    }

    /// Writes a line. Never waits.
    pub(crate) fn log(&self, entry: &RequestEntry<'_>) {
        let mut line = Vec::with_capacity(256);
        match self.format {
            RequestLogFormat::Clf => entry.write_clf(&mut line),
            RequestLogFormat::Json => entry.write_json(&mut line),
        }
        // It takes every line, or counts it as lost.
        let _ = self.buffer.clone().write(&line);
    }

    /// Whether it goes to a file.
    pub(crate) fn is_file(&self) -> bool {
        self.reopen.is_some()
    }

    /// Opens the file again before the next line: it was renamed, and its name now stands for another one.
    pub(crate) fn reopen(&self) {
        self.reopen.iter().for_each(|reopen| reopen.store(true, Ordering::Release));
    }

    /// Waits until everything logged so far is written or lost, but for at most `timeout`.
    pub(crate) fn flush(&self, timeout: Duration) {
        self.buffer.flush(timeout);
    }
}
