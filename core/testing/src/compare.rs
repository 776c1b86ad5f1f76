//! Compares the answers of a subject with those of the model.

use std::fmt;
use std::sync::Arc;

use argus_core::event::Uuid;
use argus_core::query::{Position, Scan};
use argus_core::repository::{ReadError, Snapshot};
use thiserror::Error;

use super::run::{Answer, Pace, all_gaps, collect};
use super::stored::{StoredEvent, StoredId, get};

/// A difference between the answers of a subject and of the model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{question}\n  should: {expected}\n  did:    {found}")]
pub struct Difference {
    /// What was asked.
    pub question: String,
    /// What the model said.
    pub expected: String,
    /// What the subject said.
    pub found: String,
}

/// Compares everything that two snapshots can tell: the statistics, each event under its id, an unknown id, and the
/// queries. Callers' ids must be equal; generated ids must be valid UUIDs of version 7 on both sides.
///
/// # Errors
///
/// The first [`Difference`]. An error of the subject is one.
pub fn check_same(subject: &Arc<dyn Snapshot>, model: &Arc<dyn Snapshot>, queries: &[Scan]) -> Result<(), Difference> {
    let found = subject.stats().map_err(|error| broken("stats", &error))?;
    let expected = model.stats().map_err(|error| broken("the model", &error))?;
    // Erased events count until they are removed.
    let rest = |figure: u64, most: u64| if found.erasures.pending > 0 { figure.min(most) } else { figure };
    require("stats: events", &expected.events, &rest(found.events, expected.events))?;
    require("stats: last_seq", &expected.last_seq, &found.last_seq)?;
    require("last_seq", &model.last_seq(), &subject.last_seq())?;
    require("stats: event_types", &expected.event_types, &rest(found.event_types, expected.event_types))?;
    for (after, budget) in [(0, u32::MAX), (expected.last_seq / 2, 7)] {
        let gaps = |snapshot| all_gaps(snapshot, after, expected.last_seq, budget).map(|gaps| format!("{gaps:?}"));
        let expected = gaps(model).map_err(|error| broken("the model's gaps", &error))?;
        let found = gaps(subject).map_err(|error| broken("the gaps", &error))?;
        require(&format!("gaps after {after} in steps of {budget}"), &expected, &found)?;
    }

    let everything = check_query(subject, model, &Scan::default(), Pace::UNBROKEN)?;
    for query in queries {
        check_query(subject, model, query, Pace::UNBROKEN)?;
    }

    for event in &everything.events {
        check_id(subject.as_ref(), &event.id.text(), Some(event))?;
    }
    check_id(subject.as_ref(), "an id that no generator gives", None)?;
    check_id(subject.as_ref(), "00000000-0000-7000-8000-000000000000", None)
}

/// Compares the answers to one query: the events, their order and where the next page starts. The subject runs at the
/// given pace, which must not change its answer. Returns the subject's answer.
///
/// # Errors
///
/// The first [`Difference`].
pub fn check_query(
    subject: &Arc<dyn Snapshot>,
    model: &Arc<dyn Snapshot>,
    query: &Scan,
    pace: Pace,
) -> Result<Answer, Difference> {
    let question = format!("{query:?} at {pace:?}");
    let expected = collect(model, query, Pace::UNBROKEN).map_err(|error| broken("the model", &error))?;
    let found = collect(subject, query, pace).map_err(|error| broken(&question, &error))?;
    check_answer(&question, &expected, &found)?;
    Ok(found)
}

/// Compares two answers; `question` names the query in the error. Callers' ids must be equal; generated ones must be
/// valid in `found`.
///
/// # Errors
///
/// The first [`Difference`].
pub fn check_answer(question: &str, expected: &Answer, found: &Answer) -> Result<(), Difference> {
    for (index, (expected, found)) in expected.events.iter().zip(&found.events).enumerate() {
        if !same(expected, found) {
            return Err(differ(format!("{question}: event {index}"), Some(expected), Some(found)));
        }
    }
    let both = expected.events.len().min(found.events.len());
    if expected.events.len() != found.events.len() {
        let question = format!(
            "{question}: {} events expected, {} found; the first extra or missing one",
            expected.events.len(),
            found.events.len()
        );
        return Err(differ(question, expected.events.get(both), found.events.get(both)));
    }
    require(&format!("{question}: next"), &Shown(expected.next), &Shown(found.next))
}

/// Compares the event with this id with the expected one, ids included.
///
/// # Errors
///
/// The [`Difference`].
pub fn check_id(subject: &dyn Snapshot, id: &str, expected: Option<&StoredEvent>) -> Result<(), Difference> {
    let question = format!("the event with id {id:?}");
    let found = get(subject, id).map_err(|error| broken(&question, &error))?;
    if found.as_ref() == expected { Ok(()) } else { Err(differ(question, expected, found.as_ref())) }
}

/// Whether two events are equal, except that a generated id only has to be valid, and that some repositories keep times
/// of commits ascending when the clock goes back.
fn same(expected: &StoredEvent, found: &StoredEvent) -> bool {
    let same_id = match (&expected.id, &found.id) {
        (StoredId::Generated(_), StoredId::Generated(found)) => is_version_7(*found),
        (StoredId::Given(expected), StoredId::Given(found)) => expected == found,
        // Imported, and known to have been generated.
        (StoredId::Given(expected), StoredId::Generated(found)) => *expected == found.to_string(),
        (StoredId::Generated(_), StoredId::Given(_)) => false,
    };
    same_id && *found == StoredEvent { id: found.id.clone(), stored_at: found.stored_at, ..expected.clone() }
}

/// Version and variant of RFC 9562, sections 4.1 and 4.2.
fn is_version_7(uuid: Uuid) -> bool {
    let number = u128::from_be_bytes(uuid.0);
    number >> 76 & 0xf == 7 && number >> 62 & 0b11 == 0b10
}

pub(super) fn require<T: PartialEq + fmt::Display>(question: &str, expected: &T, found: &T) -> Result<(), Difference> {
    if expected == found {
        return Ok(());
    }
    Err(Difference { question: question.to_string(), expected: expected.to_string(), found: found.to_string() })
}

fn differ(question: String, expected: Option<&StoredEvent>, found: Option<&StoredEvent>) -> Difference {
    let show = |event: Option<&StoredEvent>| event.map_or_else(|| "nothing".to_string(), |event| format!("{event:?}"));
    Difference { question, expected: show(expected), found: show(found) }
}

pub(super) fn broken(question: &str, error: &ReadError) -> Difference {
    Difference { question: question.to_string(), expected: "an answer".to_string(), found: error.to_string() }
}

/// Displays where the next page starts.
#[derive(PartialEq, Eq)]
struct Shown(Option<Position>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("no next page"),
            Some(Position { timestamp, seq }) => write!(f, "a next page after {} ns, seq {seq}", timestamp.as_nanos()),
        }
    }
}
