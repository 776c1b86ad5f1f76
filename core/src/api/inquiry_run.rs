//! Answers a question about many events, piece by piece.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::task::Poll;
use core::time::Duration;

use bytes::Bytes;

use super::held_snapshot::HeldSnapshot;
use super::inquiry::{AnswerFormat, Inquiry};
use super::problem_reply::ProblemReply;
use super::read_step::ReadStep;
use super::{ProblemKind, Reply, Route};
use crate::analysis::{Answer, Excess, Fold};
use crate::repository::{AnalysisPart, AnalysisRun, Progress, ReadError, Reader, Snapshot};

/// A chunk is sent when it has this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A question that is being answered.
///
/// It computes the whole answer before it sends anything, so that an answer that exceeds a limit is an error with a
/// status of its own.
pub(super) struct InquiryRun {
    route: Route,
    format: AnswerFormat,
    head_only: bool,
    /// The last sequence number of the first snapshot; later events are not part of the answer.
    last_seq: u64,
    phase: Phase,
    /// Whether it was suspended before.
    is_continued: bool,
    /// Bytes of stored events that earlier runs have read.
    scanned_before: u64,
}

enum Phase {
    Running(Running),
    /// Suspended. The next poll goes on.
    Suspended(Progress),
    /// The head was sent.
    Sending(Box<Sending>),
    Done,
}

/// A long answer.
struct Sending {
    answer: Answer,
    /// What is sent next.
    piece: Vec<u8>,
    /// Whether nothing follows that.
    is_complete: bool,
}

struct Running {
    run: Box<dyn AnalysisRun>,
    snapshot: HeldSnapshot,
}

impl InquiryRun {
    /// Begins on the newest snapshot. May wait. Nobody who stores events knows `seed`; see [`Fold::new`].
    pub(super) fn begin(inquiry: Inquiry, reader: &Reader, uptime: Duration, seed: u64) -> Result<Self, ReadError> {
        let Inquiry { route, question, limits, format, head_only } = inquiry;
        let fold = Fold::new(question, limits, seed);
        let snapshot = reader.take()?;
        let last_seq = snapshot.last_seq();
        let progress = Progress::new(fold, last_seq);
        let phase = Phase::Running(Running::begin(progress, snapshot, uptime)?);
        Ok(Self { route, format, head_only, last_seq, phase, is_continued: false, scanned_before: 0 })
    }

    /// As [`ReadRun::poll`](super::ReadRun::poll).
    pub(super) fn poll(&mut self, reader: &Reader, uptime: Duration, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        if self.is_outdated(reader, uptime) {
            drop(self.suspend());
        }
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Suspended(progress) => {
                let running = Running::begin(progress, reader.take()?, uptime)?;
                self.compute(running, budget)
            }
            Phase::Running(running) => self.compute(running, budget),
            Phase::Sending(mut sending) => {
                let chunk = mem::take(&mut sending.piece);
                if !sending.is_complete {
                    sending.fill(self.format);
                    self.phase = Phase::Sending(sending);
                }
                Ok(Poll::Ready(ReadStep::Chunk(chunk.into())))
            }
            Phase::Done => Ok(Poll::Ready(ReadStep::Done)),
        }
    }

    /// As [`ReadRun::suspend`](super::ReadRun::suspend).
    pub(super) fn suspend(&mut self) -> Option<Box<dyn Send>> {
        let scanned = self.scanned_bytes();
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::Running(running) if running.run.can_end() => {
                let (progress, released) = running.run.end();
                self.phase = Phase::Suspended(progress);
                self.is_continued = true;
                self.scanned_before = scanned;
                Some(released)
            }
            other @ (Phase::Running(_) | Phase::Suspended(_) | Phase::Sending(_) | Phase::Done) => {
                self.phase = other;
                None
            }
        }
    }

    /// As [`ReadRun::split`](super::ReadRun::split).
    pub(super) fn split(&mut self, count: usize) -> Vec<Box<dyn AnalysisPart>> {
        match &mut self.phase {
            Phase::Running(running) => running.run.split(count),
            Phase::Suspended(_) | Phase::Sending(_) | Phase::Done => Vec::new(),
        }
    }

    /// As [`ReadRun::join`](super::ReadRun::join).
    pub(super) fn join(&mut self, part: Box<dyn AnalysisPart>) {
        match &mut self.phase {
            Phase::Running(running) => running.run.join(part),
            Phase::Suspended(_) | Phase::Sending(_) | Phase::Done => {
                debug_assert!(false, "a run goes on until its parts are back");
            }
        }
    }

    /// As [`ReadRun::awaits_parts`](super::ReadRun::awaits_parts).
    pub(super) fn awaits_parts(&self) -> bool {
        match &self.phase {
            Phase::Running(running) => running.run.awaits_parts(),
            Phase::Suspended(_) | Phase::Sending(_) | Phase::Done => false,
        }
    }

    /// As [`ReadRun::is_starting`](super::ReadRun::is_starting).
    pub(super) fn is_starting(&self) -> bool {
        match &self.phase {
            Phase::Running(running) => self.is_continued && running.run.can_end() && !running.run.has_advanced(),
            Phase::Suspended(_) => true,
            Phase::Sending(_) | Phase::Done => false,
        }
    }

    /// Whether it still reads events.
    pub(super) fn is_computing(&self) -> bool {
        match &self.phase {
            Phase::Running(_) | Phase::Suspended(_) => true,
            Phase::Sending(_) | Phase::Done => false,
        }
    }

    /// Bytes of stored events that the run has read.
    pub(super) fn scanned_bytes(&self) -> u64 {
        let current = match &self.phase {
            Phase::Running(running) => running.run.scanned_bytes(),
            Phase::Suspended(_) | Phase::Sending(_) | Phase::Done => 0,
        };
        self.scanned_before.saturating_add(current)
    }

    /// As [`ReadRun::held_bytes`](super::ReadRun::held_bytes).
    pub(super) fn held_bytes(&self) -> usize {
        let phase = match &self.phase {
            Phase::Running(running) => running.run.held_bytes(),
            Phase::Suspended(progress) => progress.fold.held_bytes(),
            Phase::Sending(sending) => sending.answer.held_bytes() + sending.piece.capacity(),
            Phase::Done => 0,
        };
        size_of::<Self>() + phase
    }

    /// A run that is starting keeps a replaced snapshot: the next one would start over, perhaps without end.
    fn is_outdated(&self, reader: &Reader, uptime: Duration) -> bool {
        match &self.phase {
            Phase::Running(running) => !self.is_starting() && running.snapshot.is_outdated(reader, uptime),
            Phase::Suspended(_) | Phase::Sending(_) | Phase::Done => false,
        }
    }

    fn compute(&mut self, mut running: Running, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        if running.run.poll(budget)?.is_pending() {
            self.phase = Phase::Running(running);
            return Ok(Poll::Pending);
        }
        let (progress, released) = running.run.end();
        drop(released);
        let answer = match progress.fold.finish() {
            Ok(answer) => answer,
            Err(excess) => return Ok(Poll::Ready(ReadStep::Whole(too_large(excess).reply(self.route).into()))),
        };
        let mut reply = Reply::new(self.route, 200, self.format.media_type(), Bytes::new())
            .with_header("vary", "accept")
            .with_header("argus-last-seq", self.last_seq.to_string());
        let mut sending = Sending { answer, piece: Vec::new(), is_complete: false };
        sending.fill(self.format);
        Ok(Poll::Ready(if sending.is_complete {
            reply.body = sending.piece.into();
            ReadStep::Whole(reply.into())
        } else if self.head_only {
            // The length of a long answer is not known.
            ReadStep::Whole(reply.into())
        } else {
            self.phase = Phase::Sending(Box::new(sending));
            ReadStep::Start(reply.into())
        }))
    }
}

impl Running {
    fn begin(progress: Progress, snapshot: Arc<dyn Snapshot>, uptime: Duration) -> Result<Self, ReadError> {
        let held = HeldSnapshot::new(&snapshot, uptime);
        Ok(Self { run: snapshot.analyze(progress)?, snapshot: held })
    }
}

impl Sending {
    /// Writes the next piece.
    fn fill(&mut self, format: AnswerFormat) {
        self.is_complete = match format {
            AnswerFormat::Json => self.answer.write_json(&mut self.piece, CHUNK_BYTES),
            AnswerFormat::Csv => self.answer.write_csv(&mut self.piece, CHUNK_BYTES),
        };
    }
}

/// 422: the answer exceeds a limit.
fn too_large(excess: Excess) -> ProblemReply {
    let (of, setting) = match excess {
        Excess::Groups { of, .. } => (of, "--query-groups"),
        Excess::Memory { of, .. } => (of, "--query-memory"),
    };
    let detail = format!("the answer has {excess} ({setting}); {}", of.remedy());
    ProblemReply::new(ProblemKind::QueryTooLarge, detail)
}

impl fmt::Debug for InquiryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InquiryRun").field("route", &self.route).finish_non_exhaustive()
    }
}
