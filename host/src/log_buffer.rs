//! A buffer between log lines and standard error.
//!
//! Standard error may be a full disk, a pipe whose reader is gone or stalled, or a closed terminal. Logging must
//! neither wait for it nor fail with it. So lines go into a buffer, and a thread of their own writes them. A line that
//! finds the buffer full, or cannot be written, is dropped and counted.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use rustix::event::{PollFd, PollFlags, poll};

use crate::watch;

/// Most lines that wait to be written, in bytes. The thread that writes may hold as much again.
const WAITING_BYTES_MAX: usize = 2 << 20;

/// How long the process waits at its end for standard error to take the last log lines.
pub(crate) const LAST_LINES_WAIT_MAX: Duration = Duration::from_millis(500);

/// A pipe takes up to this many bytes in one piece (`PIPE_BUF`), so that lines of several processes do not mix.
const PIECE_BYTES_MAX: usize = 4096;

/// Whose lines a buffer takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// The name of the thread that writes them.
    pub(crate) thread: &'static str,
    /// The message when some of them found no room, because writing took too long.
    pub(crate) late: &'static str,
    /// The message when writing some of them failed.
    pub(crate) failed: &'static str,
}

const STANDARD_ERROR: Owner = Owner {
    thread: "argus-log",
    late: "log lines were lost: standard error did not take them in time",
    failed: "log lines were lost: standard error did not accept them",
};

/// Takes lines without ever waiting. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogBuffer {
    shared: Arc<Shared>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written or lost.
    emptied: Condvar,
    lost: IntCounter,
}

#[derive(Debug, Default)]
struct Buffer {
    waiting: Vec<u8>,
    /// The thread has taken lines that it has not written yet.
    is_writing: bool,
}

impl LogBuffer {
    /// Starts the thread that writes to `sink` until the process ends. If it ends earlier, it calls `on_death` as by
    /// [`watch::spawn`].
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
    pub fn start(
        sink: impl Write + Send + 'static,
        lost: IntCounter,
        on_death: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_as(STANDARD_ERROR, sink, lost, on_death)
    }

    /// As [`start`](Self::start), for another log.
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
    pub(crate) fn start_as(
        owner: Owner,
        sink: impl Write + Send + 'static,
        lost: IntCounter,
        on_death: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { buffer: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new(), lost });
        let writing = Arc::clone(&shared);
        watch::spawn(owner.thread, move || writing.write_to(sink, owner), || false, on_death)?;
        Ok(Self { shared })
    }

    /// Waits until everything logged so far is written or lost, but for at most `timeout`, since standard error may be
    /// stalled for good.
    pub fn flush(&self, timeout: Duration) {
        let is_busy = |buffer: &mut Buffer| buffer.is_writing || !buffer.waiting.is_empty();
        drop(self.shared.emptied.wait_timeout_while(self.shared.lock(), timeout, is_busy));
    }
}

/// Takes one whole line per call. Always succeeds.
impl Write for LogBuffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = self.shared.lock();
        if buffer.waiting.len() + line.len() > WAITING_BYTES_MAX {
            self.shared.lost.inc();
        } else {
            buffer.waiting.extend_from_slice(line);
            if !buffer.is_writing {
                self.shared.filled.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body of the thread that writes.
    fn write_to(&self, sink: impl Write, owner: Owner) {
        let mut lines = Lines { sink, is_broken: false };
        let mut taken = Vec::new();
        let mut reported = self.lost.get();
        let mut failed = 0;
        loop {
            taken.clear();
            self.take(&mut taken);
            let lost = lines.write(&taken);
            self.lost.inc_by(lost);
            failed += lost;
            if lost == 0 {
                let all = self.lost.get();
                let late = (all - reported).saturating_sub(failed);
                for (lines, reason) in [(failed, owner.failed), (late, owner.late)] {
                    if lines > 0 {
                        tracing::warn!(lines, "{reason}");
                    }
                }
                (reported, failed) = (all, 0);
            }
        }
    }

    /// Waits for lines, and swaps them all for an empty buffer.
    fn take(&self, taken: &mut Vec<u8>) {
        let mut buffer = self.lock();
        buffer.is_writing = false;
        if buffer.waiting.is_empty() {
            self.emptied.notify_all();
        }
        let is_empty = |buffer: &mut Buffer| buffer.waiting.is_empty();
        let mut buffer = self.filled.wait_while(buffer, is_empty).unwrap_or_else(PoisonError::into_inner);
        buffer.is_writing = true;
        mem::swap(&mut buffer.waiting, taken);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("lost", &self.lost.get()).finish_non_exhaustive()
    }
}

/// Writes whole lines as far as the sink allows.
struct Lines<W> {
    sink: W,
    /// Only part of the last line was written, as when a disk becomes full.
    is_broken: bool,
}

impl<W: Write> Lines<W> {
    /// Writes complete lines. Returns how many of them were lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        let mut lost = 0;
        let mut rest = lines;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece_bytes(rest));
            lost += self.write_piece(piece);
            rest = after;
        }
        lost
    }

    fn write_piece(&mut self, piece: &[u8]) -> u64 {
        // Ends a partly written line, so that it does not run into this one.
        if self.is_broken && !self.try_write(b"\n").is_empty() {
            return count_lines(piece);
        }
        let left = self.try_write(piece);
        if left.len() < piece.len() {
            let written = piece.len() - left.len();
            self.is_broken = !piece.get(..written).unwrap_or_default().ends_with(b"\n");
        }
        count_lines(left)
    }

    /// Writes what the sink takes, and returns the rest.
    fn try_write<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while !bytes.is_empty() {
            match self.sink.write(bytes) {
                Ok(0) => return bytes,
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not reported here: the sink of the request log has reported it, and for standard error there is no
                // other place.
                Err(_) => return bytes,
            }
        }
        bytes
    }
}

/// How many bytes to write at once: as many whole lines as fit, but at least one.
fn piece_bytes(lines: &[u8]) -> usize {
    let is_end = |byte: &u8| *byte == b'\n';
    let fitting = lines.get(..PIECE_BYTES_MAX.min(lines.len())).unwrap_or_default();
    let last = fitting.iter().rposition(is_end).or_else(|| lines.iter().position(is_end));
    last.map_or(lines.len(), |end| end + 1)
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Standard error without std's lock, so that a full pipe does not block other writers.
#[derive(Debug)]
pub struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_to_descriptor(&io::stderr(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes without a lock of std. Waits if the descriptor is non-blocking and has no room.
pub(crate) fn write_to_descriptor(descriptor: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(descriptor, bytes) {
            // Another process that shares the descriptor may have made it non-blocking. This thread may wait.
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [PollFd::new(descriptor, PollFlags::OUT)], None)?;
            }
            written => return Ok(written?),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::lifecycle::Lifecycle;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn counter() -> IntCounter {
        IntCounter::new("lost", "Lost.").unwrap()
    }

    fn start(sink: impl Write + Send + 'static) -> (LogBuffer, IntCounter) {
        let lost = counter();
        (LogBuffer::start(sink, lost.clone(), |reason| panic!("{reason}")).unwrap(), lost)
    }

    /// A disk with this much free space.
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        room: Arc<Mutex<usize>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut room = self.room.lock().unwrap();
            let taken = bytes.len().min(*room);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *room -= taken;
            self.written.lock().unwrap().extend_from_slice(bytes.get(..taken).unwrap());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader reads when the test says so.
    struct Pipe {
        entered: Sender<usize>,
        read: Receiver<()>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.entered.send(bytes.len()).unwrap();
            self.read.recv().map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_may_cut_a_line_but_never_joins_two() {
        let (written, room) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::new(Mutex::new(8)));
        let (mut log, lost) = start(Disk { written: Arc::clone(&written), room: Arc::clone(&room) });
        for line in ["one\n", "two and three\n", "four\n"] {
            log.write_all(line.as_bytes()).unwrap();
            log.flush(PATIENCE);
        }
        assert_eq!((lost.get(), &**written.lock().unwrap()), (2, &b"one\ntwo "[..]));
        *room.lock().unwrap() = 100;
        log.write_all(b"five\n").unwrap();
        log.flush(PATIENCE);
        assert_eq!((lost.get(), &**written.lock().unwrap()), (2, &b"one\ntwo \nfive\n"[..]));
    }

    #[test]
    fn a_stalled_reader_does_not_block_the_log() {
        let (entered, entries) = channel();
        let (readings, read) = channel();
        let (mut log, lost) = start(Pipe { entered, read });
        log.write_all(b"first\n").unwrap();
        assert_eq!(entries.recv().unwrap(), 6);
        log.flush(Duration::ZERO);
        // The thread blocks in its write. Lines wait while there is room, and are lost after that.
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..WAITING_BYTES_MAX / line.len() + 5 {
            log.write_all(&line).unwrap();
        }
        assert_eq!(lost.get(), 5);
        readings.send(()).unwrap();
        // Then four lines at a time, which a pipe takes in one piece.
        assert_eq!(entries.recv().unwrap(), PIECE_BYTES_MAX);
        drop(readings);
        log.flush(PATIENCE);
        assert_eq!(lost.get(), 5 + (WAITING_BYTES_MAX / line.len()) as u64);
    }

    /// A sink that panics.
    struct Trap;

    impl Write for Trap {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("as told");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_of_the_thread_fails_the_server_and_does_not_block_the_log() {
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        let (failing, lost) = (Arc::clone(&lifecycle), counter());
        let mut log = LogBuffer::start(Trap, lost.clone(), move |reason| failing.fail(reason)).unwrap();
        log.write_all(b"one\n").unwrap();
        lifecycle.drained();
        assert_eq!(lifecycle.failure(), Some("the thread argus-log has panicked: as told"));
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..WAITING_BYTES_MAX / line.len() + 5 {
            log.write_all(&line).unwrap();
        }
        assert_eq!(lost.get(), 5);
    }

    #[test]
    fn pieces_end_at_line_ends() {
        assert_eq!(piece_bytes(b"a\nb\n"), 4);
        let long = [&[b'x'; PIECE_BYTES_MAX][..], b"\nb\n"].concat();
        assert_eq!(piece_bytes(&long), PIECE_BYTES_MAX + 1);
        let many = b"12345\n".repeat(PIECE_BYTES_MAX);
        assert_eq!(piece_bytes(&many), PIECE_BYTES_MAX / 6 * 6);
    }
}
