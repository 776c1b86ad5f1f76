//! The request log: a thread writes lines to a file or to standard output. Lines that do not fit are counted as lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use argus_core::api::RequestEntry;

use crate::ending::Ending;
use crate::watch;

/// The most lines that may be queued.
const LINES_MAX: usize = 16 * 1024;
/// How long the end of the process waits for the last lines.
const LAST_LINES_WAIT_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct RequestLogSettings {
    /// `-` for standard output; `None` for no log.
    pub(crate) path: Option<String>,
    pub(crate) json: bool,
}

pub(crate) struct RequestLog {
    lines: SyncSender<Line>,
    json: bool,
    reopen: Arc<AtomicBool>,
    lost: AtomicU64,
}

enum Line {
    Text(Vec<u8>),
    /// All lines before this have been written once its sender is dropped.
    Mark(SyncSender<()>),
}

impl RequestLog {
    /// Opens the log, if one is wanted, and starts the thread.
    pub(crate) fn start(settings: &RequestLogSettings, ending: &Arc<Ending>) -> io::Result<Option<Self>> {
        let Some(path) = settings.path.clone() else { return Ok(None) };
        let mut out = open(&path)?;
        let reopen = Arc::new(AtomicBool::new(false));
        let (lines, written) = sync_channel(LINES_MAX);
        let (again, failing) = (Arc::clone(&reopen), Arc::clone(ending));
        let write = move || write(&written, &mut out, || again.swap(false, Ordering::AcqRel).then(|| open(&path)));
        watch::spawn("requests", write, || false, move |reason| failing.fail(reason))?;
        Ok(Some(Self { lines, json: settings.json, reopen, lost: AtomicU64::new(0) }))
    }

    /// Whether the log can be opened.
    pub(crate) fn check(settings: &RequestLogSettings) -> io::Result<()> {
        settings.path.as_deref().map_or(Ok(()), |path| open(path).map(drop))
    }

    pub(crate) fn log(&self, entry: &RequestEntry<'_>) {
        let mut line = Vec::new();
        if self.json {
            entry.write_json(&mut line);
        } else {
            entry.write_clf(&mut line);
        }
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file again before the next line.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Waits until the lines so far are written, for at most a second.
    pub(crate) fn finish(&self) {
        let (mark, reached) = sync_channel(0);
        if self.lines.try_send(Line::Mark(mark)).is_ok() {
            // It ends with an error in either case: the mark is dropped, or the time is over.
            let _ = reached.recv_timeout(LAST_LINES_WAIT_MAX);
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn open(path: &str) -> io::Result<Box<dyn Write + Send>> {
    if path == "-" {
        return Ok(Box::new(io::stdout()));
    }
    let file: File = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Box::new(file))
}

fn write(
    lines: &Receiver<Line>,
    out: &mut Box<dyn Write + Send>,
    reopened: impl Fn() -> Option<io::Result<Box<dyn Write + Send>>>,
) {
    while let Ok(line) = lines.recv() {
        match line {
            Line::Text(text) => {
                if let Some(Ok(file)) = reopened() {
                    *out = file;
                }
                // A test subject need not report a full disk.
                let _ = out.write_all(&text).and_then(|()| out.flush());
            }
            Line::Mark(mark) => drop(mark),
        }
    }
}
