//! Lines on standard error. A thread writes them; nobody waits for it, and lines that do not fit are counted as lost.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::ending::Ending;
use crate::watch;

/// The most lines that may be queued.
const LINES_MAX: usize = 1024;
/// The longest line in bytes; the rest is cut off.
const LINE_BYTES_MAX: usize = 1024;
/// How long the end of the process waits for the last lines.
const LAST_LINES_WAIT_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Log {
    entries: SyncSender<Entry>,
    /// Whether requests are logged.
    requests: bool,
    lost: Arc<AtomicU64>,
}

enum Entry {
    Line(String),
    /// All lines before this have been written once its sender is dropped.
    Mark(SyncSender<()>),
}

impl Log {
    /// Starts the thread.
    pub(crate) fn start(filter: &str, ending: &Arc<Ending>) -> io::Result<Self> {
        let lost = Arc::new(AtomicU64::new(0));
        let (entries, written) = sync_channel(LINES_MAX);
        let (counted, failing) = (Arc::clone(&lost), Arc::clone(ending));
        watch::spawn("log", move || write(&written, &counted), || false, move |reason| failing.fail(reason))?;
        Ok(Self { entries, requests: ["debug", "trace"].contains(&filter), lost })
    }

    /// Whether requests are to be logged.
    pub(crate) fn has_requests(&self) -> bool {
        self.requests
    }

    /// Queues a line, or counts it as lost.
    pub(crate) fn line(&self, text: &str) {
        let (shown, _) = text.split_at(text.floor_char_boundary(LINE_BYTES_MAX));
        if self.entries.try_send(Entry::Line(format!("{}\n", shown.escape_debug()))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until the lines so far are written, for at most a second. The process would end without them.
    pub(crate) fn finish(&self) {
        let (mark, reached) = sync_channel(0);
        let entries = self.entries.clone();
        // In a thread: the queue may be full. Without the thread, the mark is dropped at once.
        let _ = thread::Builder::new().spawn(move || entries.send(Entry::Mark(mark)));
        // It ends with an error in either case: the mark is dropped, or the time is over.
        let _ = reached.recv_timeout(LAST_LINES_WAIT_MAX);
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn write(entries: &Receiver<Entry>, lost: &AtomicU64) {
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Line(line) => {
                if io::stderr().write_all(line.as_bytes()).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Mark(mark) => drop(mark),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_a_full_queue() {
        let (entries, written) = sync_channel(LINES_MAX);
        let log = Log { entries, requests: false, lost: Arc::default() };
        for _ in 0..LINES_MAX {
            log.line("a line");
        }
        log.finish();
        assert_eq!(log.lost(), 0);
        drop(log);
        let entries: Vec<Entry> = written.iter().collect();
        assert_eq!(entries.len(), LINES_MAX + 1);
        assert!(matches!(entries.last(), Some(Entry::Mark(_))), "after all lines");
    }
}
