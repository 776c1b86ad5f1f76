//! Monitors a server: that it answers, reports its state truly, and stays within the memory that it announced.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::audit;
use crate::ledger::Ledger;
use crate::server::get;
use crate::wait::wait;

/// The time between two probes.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many events before the last acknowledged one a read starts.
const READ_BACK: u64 = 2_000;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Answered probes.
    pub(crate) probes: u64,
    /// The longest time of one.
    pub(crate) slowest_probe: Duration,
    /// Reads that contained everything acknowledged before.
    pub(crate) reads: u64,
    /// The peak of resident memory, in bytes.
    pub(crate) memory_peak: u64,
    /// The most memory that it announced, in bytes.
    pub(crate) memory_planned: u64,
}

impl Seen {
    /// Merges the counters, keeping the worst values.
    pub(crate) fn merge(&mut self, other: Self) {
        self.probes += other.probes;
        self.slowest_probe = self.slowest_probe.max(other.slowest_probe);
        self.reads += other.reads;
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.memory_planned = self.memory_planned.max(other.memory_planned);
    }
}

/// Asks repeatedly for readiness, over a new connection each time, until `stop` is set. The server must stay ready on a
/// full disk.
///
/// # Errors
///
/// An unanswered probe, a wrong answer, or more memory than announced.
pub(crate) fn probe(address: SocketAddr, process: u32, stop: &AtomicBool) -> Result<Seen, String> {
    let mut seen = Seen { memory_planned: metric(address, "argus_memory_planned_bytes")?, ..Seen::default() };
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let ready = get(address, "/health/ready").map_err(|error| format!("a probe: {error}"))?;
        seen.slowest_probe = seen.slowest_probe.max(begun.elapsed());
        if ready.status() != 200 {
            let text = ready.text().unwrap_or_default();
            return Err(format!("the storage works, but the server is not ready: {} {text}", ready.status()));
        }
        seen.probes += 1;
        seen.memory_peak = memory_peak(process)?;
        if seen.memory_peak > seen.memory_planned {
            let Seen { memory_peak, memory_planned, .. } = seen;
            return Err(format!(
                "the server announced at most {memory_planned} bytes of memory, but used {memory_peak}"
            ));
        }
        wait(INTERVAL);
    }
    Ok(seen)
}

/// Reads the last acknowledged events until `stop` is set: all must be returned, without a gap.
///
/// # Errors
///
/// What was missing.
pub(crate) fn read(address: SocketAddr, ledger: &Ledger, stop: &AtomicBool) -> Result<u64, String> {
    let mut reads = 0;
    while !stop.load(Ordering::Relaxed) {
        let acknowledged = ledger.acknowledged();
        let after = acknowledged.saturating_sub(READ_BACK);
        let seqs = audit::seqs_after(address, after)?;
        let whole = (after + 1..=acknowledged).zip(&seqs).all(|(expected, seq)| expected == *seq);
        if !whole || (seqs.len() as u64) < acknowledged - after {
            return Err(format!(
                "seq {acknowledged} was acknowledged, but a query after {after} returned {} events",
                seqs.len()
            ));
        }
        reads += 1;
        wait(INTERVAL);
    }
    Ok(reads)
}

/// The value of a metric without labels.
///
/// # Errors
///
/// It is not there.
pub(crate) fn metric(address: SocketAddr, name: &str) -> Result<u64, String> {
    let response = get(address, "/metrics")?;
    let text = response.text().map_err(|failure| failure.to_string())?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    value.map(|value| value as u64).ok_or_else(|| format!("no metric {name} in\n{text}"))
}

/// The peak of a process's resident memory, as Linux reports it.
fn memory_peak(process: u32) -> Result<u64, String> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| format!("no VmHWM in {path}"))
}
