//! What a connection is doing, and how long it may go on doing so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::settings::Settings;

/// How long a connection is kept open for a client that was answered before it had sent all of its body. It is told to stop by the
/// answer and by the closed half; were the rest closed at once, the kernel's reset could overtake the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Where one connection stands. Shared by its reader, its writer, its requests and whoever watches the time.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    head_timeout: Duration,
    keep_alive_timeout: Duration,
    write_timeout: Duration,
    body_unread: AtomicBool,
    inner: Mutex<Inner>,
}

/// What a connection has done for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// Nothing.
    Idle,
    /// Sending a head.
    Head,
    /// Not taking an answer.
    Write,
    /// Sending what nobody reads.
    Linger,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    write_stalled: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    /// No byte of the next request has come.
    Idle(Instant),
    /// Some of its head has come.
    Head(Instant),
    /// It is being answered; the request keeps its own time.
    Busy,
    /// The last answer is out.
    Lingering(Instant),
}

impl ConnectionState {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            head_timeout: settings.header_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            write_timeout: settings.write_timeout,
            body_unread: AtomicBool::new(false),
            inner: Mutex::new(Inner { phase: Phase::Idle(Instant::now()), write_stalled: None }),
        }
    }

    /// Bytes have come.
    pub(crate) fn bytes_arrived(&self) {
        let mut inner = self.lock();
        if let Phase::Idle(_) = inner.phase {
            inner.phase = Phase::Head(Instant::now());
        }
    }

    /// A head is complete.
    pub(crate) fn request_begins(&self) {
        self.lock().phase = Phase::Busy;
    }

    /// An answer is complete.
    pub(crate) fn answer_ends(&self) {
        self.lock().phase = Phase::Idle(Instant::now());
    }

    /// The last answer is out, and the client may still be sending.
    pub(crate) fn linger_begins(&self) {
        self.lock().phase = Phase::Lingering(Instant::now());
    }

    /// Whether bytes could be written.
    pub(crate) fn write_progress(&self, progress: bool) {
        let mut inner = self.lock();
        if progress {
            inner.write_stalled = None;
        } else if inner.write_stalled.is_none() {
            inner.write_stalled = Some(Instant::now());
        }
    }

    /// Whether the client may be sending a body that nobody reads.
    pub(crate) fn body_unread(&self) -> bool {
        self.body_unread.load(Ordering::Acquire)
    }

    pub(crate) fn set_body_unread(&self, unread: bool) {
        self.body_unread.store(unread, Ordering::Release);
    }

    /// When the connection's patience ends, and with what.
    pub(crate) fn deadline(&self) -> Option<(Instant, Lapse)> {
        let inner = self.lock();
        let phase = match inner.phase {
            Phase::Idle(since) => Some((since + self.keep_alive_timeout, Lapse::Idle)),
            Phase::Head(since) => Some((since + self.head_timeout, Lapse::Head)),
            Phase::Busy => None,
            Phase::Lingering(since) => Some((since + LINGER, Lapse::Linger)),
        };
        let write = inner.write_stalled.map(|since| (since + self.write_timeout, Lapse::Write));
        match (phase, write) {
            (Some(phase), Some(write)) => Some(if phase.0 < write.0 { phase } else { write }),
            (phase, write) => phase.or(write),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
