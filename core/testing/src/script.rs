//! Scripts: the steps of a property test.

use argus_core::query::Scan;

use super::generate::{self, Draft};
use super::run::Pace;
use super::source::Source;

/// Something that happens to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Batches are committed as one group.
    Commit {
        /// Nanoseconds since the last commit. Negative where the clock was set back.
        elapsed: i64,
        /// The batches.
        group: Vec<Vec<Planned>>,
    },
    /// Maintenance is called a few times, whether or not it wants to be.
    Maintain {
        /// Events' worth of work in one call.
        budget: u32,
        /// How often.
        calls: u32,
    },
    /// A snapshot is taken and kept.
    Keep,
    /// The repository is closed and opened again.
    Reopen,
    /// A query is run on a fresh snapshot.
    Ask {
        /// The query.
        query: Scan,
        /// Its pace.
        pace: Pace,
    },
    /// A query is begun on a fresh snapshot, and left half-way.
    Begin {
        /// The query.
        query: Scan,
        /// Its pace.
        pace: Pace,
        /// After so many calls.
        calls: u32,
        /// Whether it is dropped there, or kept and finished at the end.
        dropped: bool,
    },
    /// A query is walked page by page to its end, while more events come in.
    Walk {
        /// The query; its limit is the size of each page.
        query: Scan,
        /// Batches to be committed, one after each page as long as there are any.
        batches: Vec<Vec<Planned>>,
    },
}

/// An event that is to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The event.
    pub draft: Draft,
    /// Its id shall be that of the event with this sequence number, if there is one: also where that id was generated.
    pub id_of: Option<u64>,
}

impl From<Draft> for Planned {
    fn from(draft: Draft) -> Self {
        Self { draft, id_of: None }
    }
}

impl Step {
    /// Draws a step.
    #[must_use]
    pub fn draw(source: &mut Source<'_>) -> Self {
        match source.below(16) {
            0..=5 => Self::Commit { elapsed: elapsed(source), group: group(source) },
            6..=8 => Self::Maintain { budget: source.pick(&[1, 0, 2, 7, 64, 1_000]), calls: 1 + draw_u32(source, 5) },
            9 => Self::Keep,
            10 => Self::Reopen,
            11 | 12 => Self::Ask { query: generate::scan(source), pace: pace(source) },
            13 => Self::Begin {
                query: generate::scan(source),
                pace: pace(source),
                calls: draw_u32(source, 6),
                dropped: source.one_in(2),
            },
            _ => {
                let query = generate::scan(source);
                let limit = query.limit.unwrap_or_else(|| generate::limit(source));
                let batches = (0..source.below(4)).map(|_| planned(source)).collect();
                Self::Walk { query: Scan { limit: Some(limit), ..query }, batches }
            }
        }
    }
}

fn elapsed(source: &mut Source<'_>) -> i64 {
    source.pick(&[1_000_000, 0, 1, 999_999, 1_000_000_000, -5_000_000])
}

fn group(source: &mut Source<'_>) -> Vec<Vec<Planned>> {
    match source.below(8) {
        // Volume costs the source no more than a seed.
        6 | 7 => {
            let count = source.below(200);
            let mut seeded = Source::seeded(source.below(1 << 16));
            Vec::from([(0..count).map(|_| plan(&mut seeded)).collect()])
        }
        5 => Vec::new(),
        _ => (0..=source.below(3)).map(|_| planned(source)).collect(),
    }
}

/// A batch; sometimes an empty one.
fn planned(source: &mut Source<'_>) -> Vec<Planned> {
    (0..source.below(8)).map(|_| plan(source)).collect()
}

fn plan(source: &mut Source<'_>) -> Planned {
    Planned { draft: generate::draft(source), id_of: source.one_in(12).then(|| source.below(64)) }
}

fn pace(source: &mut Source<'_>) -> Pace {
    Pace { budget: source.pick(&[u32::MAX, 1, 2, 3, 10, 100]), stop_every: source.pick(&[0, 1, 2, 7]) }
}

fn draw_u32(source: &mut Source<'_>, bound: u32) -> u32 {
    u32::try_from(source.below(bound.into())).expect("below a u32")
}
