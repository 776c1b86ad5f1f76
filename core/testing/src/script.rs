//! The steps of a property test.

use argus_core::query::{Filter, Scan};

use super::generate::{self, Draft};
use super::random::Random;
use super::run::Pace;

/// An operation on a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Batches are committed as one group.
    Commit {
        /// Nanoseconds since the last commit; negative if the clock was set back.
        elapsed: i64,
        /// The batches.
        group: Vec<Vec<Planned>>,
    },
    /// Maintenance is called some times, whether or not there is work.
    Maintain {
        /// The budget of one call, in events.
        budget: u32,
        /// The number of calls.
        calls: u32,
    },
    /// Events are erased, and the erased ones counted.
    Erase {
        /// Which events.
        filter: Filter,
        /// Also those with the id of the event with this sequence number, if it existed, even if that id was generated.
        id_of: Option<u64>,
        /// The pace of counting.
        pace: Pace,
    },
    /// Events of another repository are imported, after the last one.
    Import {
        /// The events, by number.
        events: Vec<Foreign>,
        /// How many numbers after them have no event.
        left_out: u64,
    },
    /// Time passes, in which no event is stored.
    Wait {
        /// Nanoseconds.
        elapsed: i64,
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
    /// A query is started on a fresh snapshot and left unfinished.
    Begin {
        /// The query.
        query: Scan,
        /// Its pace.
        pace: Pace,
        /// It is left after this number of calls.
        calls: u32,
        /// Whether it is dropped, or kept and finished at the end of the test.
        dropped: bool,
    },
    /// A query is read page by page to its end, while events are committed between pages.
    Walk {
        /// The query; its limit is the size of each page.
        query: Scan,
        /// Batches to commit, one after each page until none is left.
        batches: Vec<Vec<Planned>>,
    },
}

/// An event to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The event.
    pub draft: Draft,
    /// Use the id of the event with this sequence number, if it exists, even if that id was generated.
    pub id_of: Option<u64>,
}

/// An event to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The event. Without an id, it has one that the other repository has generated.
    pub draft: Draft,
    /// The random bits of a generated id.
    pub random: u64,
    /// How many numbers before it have no event.
    pub left_out: u64,
    /// When it was stored, in nanoseconds before now; negative if the other repository has a clock that is ahead.
    pub age: i64,
}

impl From<Draft> for Planned {
    fn from(draft: Draft) -> Self {
        Self { draft, id_of: None }
    }
}

impl Step {
    /// Draws a step.
    #[must_use]
    pub fn draw(random: &mut Random<'_>) -> Self {
        match random.below(19) {
            18 => Self::Import { events: foreign(random), left_out: random.pick(&[0, 1, 40]) },
            16 => {
                let id_of = random.one_in(4).then(|| random.below(64));
                Self::Erase { filter: generate::erased(random), id_of, pace: pace(random) }
            }
            17 => Self::Wait { elapsed: random.pick(&[3_600_000_000_000, 0, 1_000_000_000]) },
            0..=5 => Self::Commit { elapsed: elapsed(random), group: group(random) },
            6..=8 => Self::Maintain { budget: random.pick(&[1, 0, 2, 7, 64, 1_000]), calls: 1 + draw_u32(random, 5) },
            9 => Self::Keep,
            10 => Self::Reopen,
            11 | 12 => Self::Ask { query: generate::scan(random), pace: pace(random) },
            13 => Self::Begin {
                query: generate::scan(random),
                pace: pace(random),
                calls: draw_u32(random, 6),
                dropped: random.one_in(2),
            },
            _ => {
                let query = generate::scan(random);
                let limit = query.limit.unwrap_or_else(|| generate::limit(random));
                let batches = (0..random.below(4)).map(|_| planned(random)).collect();
                Self::Walk { query: Scan { limit: Some(limit), ..query }, batches }
            }
        }
    }
}

fn elapsed(random: &mut Random<'_>) -> i64 {
    random.pick(&[1_000_000, 0, 1, 999_999, 1_000_000_000, -5_000_000])
}

fn group(random: &mut Random<'_>) -> Vec<Vec<Planned>> {
    match random.below(8) {
        // Many events for the price of one seed.
        6 | 7 => {
            let count = random.below(200);
            let mut seeded = Random::seeded(random.below(1 << 16));
            Vec::from([(0..count).map(|_| plan(&mut seeded)).collect()])
        }
        5 => Vec::new(),
        _ => (0..=random.below(3)).map(|_| planned(random)).collect(),
    }
}

/// A batch, sometimes empty.
fn planned(random: &mut Random<'_>) -> Vec<Planned> {
    (0..random.below(8)).map(|_| plan(random)).collect()
}

fn plan(random: &mut Random<'_>) -> Planned {
    Planned { draft: generate::draft(random), id_of: random.one_in(12).then(|| random.below(64)) }
}

fn foreign(random: &mut Random<'_>) -> Vec<Foreign> {
    let mut age = 1_000_000_000;
    let count = draw_u32(random, 12);
    let draw = |_| {
        age -= random.pick(&[0, 0, 999_999, 1_000_000, 300_000_000, -7_000_000]);
        let left_out = random.pick(&[0, 0, 0, 0, 1, 2, 30, 500]);
        Foreign { draft: generate::draft(random), random: random.below(1 << 40), left_out, age }
    };
    (0..count).map(draw).collect()
}

fn pace(random: &mut Random<'_>) -> Pace {
    Pace { budget: random.pick(&[u32::MAX, 1, 2, 3, 10, 100]), stop_every: random.pick(&[0, 1, 2, 7]) }
}

fn draw_u32(random: &mut Random<'_>, bound: u32) -> u32 {
    u32::try_from(random.below(bound.into())).expect("below a u32")
}
