//! Housekeeping, where there is one thread for everything.

use alloc::collections::VecDeque;

use super::{CommitError, Repository};
use crate::clock::Moment;
use crate::engine::{Chore, ChoreStep};

/// Keeps house where there is one thread for everything: a chore that was begun goes on at the next call. It does not
/// tell what expires: who wants to know works on the [chores](Repository::chore) and [settles](Repository::settle)
/// them.
#[derive(Debug, Default)]
pub struct Housekeeper {
    chores: Chores,
}

/// Chores that wait for somebody to work on them.
#[derive(Debug, Default)]
pub struct Chores {
    /// Those that were worked on last are behind the others.
    waiting: VecDeque<Chore>,
    /// How often in a row an urgent one was taken.
    urgent_taken: u32,
}

/// So often in a row are urgent chores taken, and then it is the turn of one that is not: while writers are as fast as
/// urgent chores let them, the others would stand still otherwise, and with them compaction and retention.
const URGENT_TAKEN_MAX: u32 = 7;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Housekeeping {
    /// Nothing to do until the next commit.
    Idle,
    /// There is more to do.
    Pending,
}

impl Housekeeper {
    /// Does about `budget` events' worth of housekeeping, of what is due at `now`.
    ///
    /// # Errors
    ///
    /// As for [`Repository::settle`].
    pub fn step(
        &mut self,
        repository: &mut dyn Repository,
        now: Moment,
        budget: u32,
    ) -> Result<Housekeeping, CommitError> {
        while let Some(chore) = repository.chore(now) {
            self.chores.push(chore);
        }
        let Some(mut chore) = self.chores.take() else { return Ok(Housekeeping::Idle) };
        match chore.step(budget) {
            ChoreStep::Pending => self.chores.push(chore),
            ChoreStep::Done => drop(repository.settle(chore)?),
        }
        Ok(Housekeeping::Pending)
    }
}

impl Chores {
    /// Adds one that is new, or goes on.
    pub fn push(&mut self, chore: Chore) {
        self.waiting.push_back(chore);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out what is to be worked on next, if there is anything.
    pub fn take(&mut self) -> Option<Chore> {
        let is_turn_of_urgent = self.urgent_taken < URGENT_TAKEN_MAX;
        let first = self.waiting.iter().position(|chore| chore.is_urgent() == is_turn_of_urgent);
        let chore = self.waiting.remove(first.unwrap_or_default())?;
        self.urgent_taken = if chore.is_urgent() { self.urgent_taken.saturating_add(1) } else { 0 };
        Some(chore)
    }
}
