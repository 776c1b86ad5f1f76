//! Shows on standard error how far a copy is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is written to what is no terminal.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// What is going on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// What the target has already is compared.
    Comparing,
    /// Events are copied.
    Copying,
    /// The target is read back.
    ReadingBack,
}

/// A bar on a terminal; elsewhere, a line now and then.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    last_seq: u64,
    phase: Phase,
    begun: Instant,
    logged: Instant,
}

impl Phase {
    fn text(self) -> &'static str {
        match self {
            Self::Comparing => "comparing what is there",
            Self::Copying => "copying",
            Self::ReadingBack => "reading back",
        }
    }
}

impl Progress {
    /// `last_seq` is the last sequence number of the source.
    pub(super) fn new(last_seq: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(last_seq), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{msg} [{wide_bar}] {percent}% seq {pos}/{len}, {eta} left");
        bar.set_style(style.expect("the template is right").progress_chars("=> "));
        let now = Instant::now();
        let is_terminal = io::stderr().is_terminal();
        Self { bar, is_terminal, last_seq, phase: Phase::Comparing, begun: now, logged: now }
    }

    /// Begins a phase.
    pub(super) fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.bar.set_message(phase.text());
        self.bar.reset();
    }

    /// All events up to this sequence number are done.
    pub(super) fn reach(&mut self, seq: u64) {
        self.bar.set_position(seq);
        if !self.is_terminal && self.logged.elapsed() >= LOGGED_EVERY {
            self.logged = Instant::now();
            let (phase, seconds) = (self.phase.text(), self.begun.elapsed().as_secs());
            // A closed standard error changes nothing.
            drop(writeln!(io::stderr(), "argus: {phase}: seq {seq} of {}, {seconds} s", self.last_seq));
        }
    }

    /// Makes room for another line.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
