//! Lines on standard error. A thread writes them; nobody waits for it, and lines that do not fit are counted as lost.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::ending::Ending;
use crate::watch;

/// The most lines that may be queued.
const LINES_MAX: usize = 1024;
/// The longest line in bytes; the rest is cut off.
const LINE_BYTES_MAX: usize = 1024;

pub(crate) struct Log {
    lines: SyncSender<String>,
    /// Whether requests are logged.
    requests: bool,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Starts the thread.
    pub(crate) fn start(filter: &str, ending: &Arc<Ending>) -> io::Result<Self> {
        let lost = Arc::new(AtomicU64::new(0));
        let (lines, written) = sync_channel(LINES_MAX);
        let (counted, failing) = (Arc::clone(&lost), Arc::clone(ending));
        watch::spawn("log", move || write(&written, &counted), || false, move |reason| failing.fail(reason))?;
        Ok(Self { lines, requests: ["debug", "trace"].contains(&filter), lost })
    }

    /// Whether requests are to be logged.
    pub(crate) fn has_requests(&self) -> bool {
        self.requests
    }

    /// Queues a line, or counts it as lost.
    pub(crate) fn line(&self, text: &str) {
        let (shown, _) = text.split_at(text.floor_char_boundary(LINE_BYTES_MAX));
        if self.lines.try_send(format!("{}\n", shown.escape_debug())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn write(lines: &Receiver<String>, lost: &AtomicU64) {
    while let Ok(line) = lines.recv() {
        if io::stderr().write_all(line.as_bytes()).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
