//! What is logged during a test.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Subscriber;

/// A log in memory. Its clones are the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `log` writes on this thread through the subscriber that `subscriber` makes of a page.
pub(crate) fn written<S: Subscriber + Send + Sync>(subscriber: impl FnOnce(Page) -> S, log: impl FnOnce()) -> String {
    let page = Page::default();
    tracing::subscriber::with_default(subscriber(page.clone()), log);
    let bytes = page.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8(bytes).expect("a log is text")
}

/// What `log` logs on this thread, as text.
pub(crate) fn logged(log: impl FnOnce()) -> String {
    written(|page| tracing_subscriber::fmt().with_ansi(false).with_writer(move || page.clone()).finish(), log)
}
