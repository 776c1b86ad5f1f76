//! Answers for which events are counted against answers for which they are read.

use std::sync::Arc;

use argus_core::analysis::AnalysisLimits;
use argus_core::event::Event;
use argus_core::query::Scan;
use argus_core::repository::{GapRun, ReadError, ScanRun, Snapshot, Stats};

use super::compare::Difference;
use super::generate;
use super::naive::analyze;
use super::random::Random;

/// So few that it does not take long to fill buckets, and that some questions exceed them.
const LIMITS: AnalysisLimits = AnalysisLimits { groups_max: 2_000, ..AnalysisLimits::DEFAULT };

/// A snapshot that counts no events.
struct Uncounted(Arc<dyn Snapshot>);

impl Snapshot for Uncounted {
    fn stats(&self) -> Result<Stats, ReadError> {
        self.0.stats()
    }

    fn last_seq(&self) -> u64 {
        self.0.last_seq()
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Arc::clone(&self.0).gaps(after, up_to)
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        self.0.get(id, sink)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        Arc::clone(&self.0).scan(scan)
    }
}

/// Asks a snapshot this number of [questions](generate::counted), and compares its answers with those from reading all
/// events. No event may be removed meanwhile.
///
/// # Errors
///
/// The first [`Difference`]. An error of the snapshot is one.
pub fn check_counted(
    snapshot: &Arc<dyn Snapshot>,
    random: &mut Random<'_>,
    questions: usize,
) -> Result<(), Difference> {
    let uncounted: Arc<dyn Snapshot> = Arc::new(Uncounted(Arc::clone(snapshot)));
    for _ in 0..questions {
        let question = generate::counted(random);
        let (budget, calls) = (random.pick(&[1, 2, 5, 1_000]), random.pick(&[0, 1, 100]));
        let [expected, found] = [(&uncounted, 1_000, 100), (snapshot, budget, calls)]
            .map(|(snapshot, budget, calls)| format!("{:?}", analyze(snapshot, &question, LIMITS, budget, calls)));
        if expected != found || expected.starts_with("Err") {
            return Err(Difference { question: format!("{question:?}"), expected, found });
        }
    }
    Ok(())
}
