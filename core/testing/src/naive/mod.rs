//! Answers to questions in the dullest way, to compare the core's answers with.
//!
//! Buckets of time are computed for UTC only. Zones have tests of their own.

mod aggregate;
mod calendar;
mod catalog;
mod expected;
mod sequences;
mod value;

use std::sync::Arc;
use std::task::Poll;

use argus_core::analysis::{AnalysisLimits, Excess, Fold, Question};
use argus_core::repository::{Progress, ReadError, Snapshot};

use super::compare::Difference;
use super::stored::StoredEvent;
use super::tree;
use expected::Expected;

/// Limits that no question of a test reaches.
const LIMITS: AnalysisLimits = AnalysisLimits::DEFAULT;

/// The answer of a snapshot as JSON.
///
/// Each call examines this number of events. Some of the work is handed out and done between the calls. As soon as the
/// run can be ended after this number of calls, another one goes on.
///
/// # Errors
///
/// That of the snapshot.
pub fn analyze(
    snapshot: &Arc<dyn Snapshot>,
    question: &Question,
    limits: AnalysisLimits,
    budget: u32,
    calls: u32,
) -> Result<Result<String, Excess>, ReadError> {
    let fold = Fold::new(question.clone(), limits, 7);
    let mut progress = Progress::new(fold, snapshot.last_seq());
    loop {
        let mut run = Arc::clone(snapshot).analyze(progress)?;
        let mut left = calls;
        let mut step = run.poll(budget)?;
        // A run that has not seen an event yet would start over without end.
        while step.is_pending() && (left > 0 || !run.has_advanced() || !run.can_end()) {
            left = left.saturating_sub(1);
            let parts = run.split(left as usize % 4);
            step = run.poll(budget)?;
            for (at, mut part) in parts.into_iter().enumerate() {
                // Some come back as they went.
                let _ = if at % 2 == 0 { part.poll(budget)? } else { Poll::Pending };
                run.join(part);
                step = Poll::Pending;
            }
        }
        progress = run.end().0;
        if step == Poll::Ready(()) {
            return Ok(progress.fold.finish().map(written));
        }
    }
}

/// Compares the answer of a snapshot with that of these events, which are all of the snapshot.
///
/// # Errors
///
/// The [`Difference`]. An error of the snapshot is one.
pub fn check_question(
    snapshot: &Arc<dyn Snapshot>,
    events: &[StoredEvent],
    question: &Question,
    budget: u32,
    calls: u32,
) -> Result<(), Difference> {
    let found = match analyze(snapshot, question, LIMITS, budget, calls) {
        Ok(Ok(found)) => found,
        Ok(Err(excess)) => return Err(differ(question, "an answer", &excess.to_string())),
        Err(error) => return Err(differ(question, "an answer", &error.to_string())),
    };
    check_text(question, events, &found)
}

/// Compares the answer of two merged folds, each of which has seen a part of the events, with that of all events.
/// `is_first` says for each event which one takes it. Only for questions whose events may come in any order.
///
/// # Errors
///
/// The [`Difference`].
pub fn check_merged(
    events: &[StoredEvent],
    question: &Question,
    mut is_first: impl FnMut(&StoredEvent) -> bool,
) -> Result<(), Difference> {
    let [mut one, mut other] = [1, 2].map(|seed| Fold::new(question.clone(), LIMITS, seed));
    let filter = one.scan().filter;
    for event in events.iter().rev().filter(|event| super::model::matches(&filter, event)) {
        if is_first(event) {
            one.add(&event.as_event());
        } else {
            other.add(&event.as_event());
        }
    }
    one.merge(&other);
    match one.finish() {
        Ok(answer) => check_text(question, events, &written(answer)),
        Err(excess) => Err(differ(question, "an answer", &excess.to_string())),
    }
}

/// Compares an answer in JSON with that of these events.
pub(super) fn check_text(question: &Question, events: &[StoredEvent], found: &str) -> Result<(), Difference> {
    let expected = expected(question, events);
    let tree = tree::parse(found.trim_end_matches('\n'));
    let tree = tree.ok_or_else(|| differ(question, "JSON", found))?;
    expected.check(&tree).map_err(|place| differ(question, &format!("{expected:?}\n  at {place}"), found))
}

fn expected(question: &Question, events: &[StoredEvent]) -> Expected {
    let matching = |filter| {
        let mut matching: Vec<&StoredEvent> =
            events.iter().filter(|event| super::model::matches(filter, event)).collect();
        matching.sort_by_key(|event| event.position());
        matching
    };
    match question {
        Question::Aggregate(question) => aggregate::answer(question, &matching(&question.filter)),
        Question::Funnel(question) => sequences::funnel(question, &matching(&question.filter)),
        Question::Retention(question) => sequences::retention(question, &matching(&question.filter)),
        Question::Types(question) => catalog::types(&matching(&question.filter)),
        Question::Fields(question) => catalog::fields(&matching(&question.filter)),
    }
}

fn written(mut answer: argus_core::analysis::Answer) -> String {
    let mut out = Vec::new();
    // In pieces, as it is sent.
    while !answer.write_json(&mut out, 0) {}
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn differ(question: &Question, expected: &str, found: &str) -> Difference {
    Difference { question: format!("{question:?}"), expected: expected.to_string(), found: found.to_string() }
}
