//! What was sent, what was acknowledged, and what is stored.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::erasure::{Erased, Erasure, Selection};
use crate::event::{Found, Token};
use crate::gone::{self, Gone};

/// The most erased events with ids of the client's that a round has sent again.
const REVIVED_MAX: usize = 64;

/// A request and its outcome, as far as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// New events, in the order of the request.
    pub(crate) fresh: Vec<Token>,
    /// Known events, and their sequence numbers.
    pub(crate) repeats: Vec<(Token, u64)>,
    /// How many erasures of its round had been answered when it was sent.
    pub(crate) answered: usize,
    /// The answer.
    pub(crate) outcome: Outcome,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The event is stored.
    One {
        /// Its sequence number.
        seq: u64,
        /// Whether it had been stored before.
        duplicate: bool,
        /// Its id.
        id: String,
    },
    /// The events are stored.
    Many {
        /// The number of new ones.
        accepted: u64,
        /// The number of duplicates.
        duplicates: u64,
        /// The sequence number of the first new one.
        first_seq: Option<u64>,
    },
    /// No answer, or "outcome unknown": the request may be stored whole or not at all. The reason.
    Unknown(String),
    /// Nothing is stored. The reason.
    Refused(String),
}

/// Checks that every request was answered, as it must be after a pause of the server.
pub(crate) fn all_answered(attempts: &[Attempt]) -> Result<(), String> {
    let unanswered = attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Unknown(why) => Some(why),
        Outcome::One { .. } | Outcome::Many { .. } | Outcome::Refused(_) => None,
    });
    unanswered.map_or(Ok(()), |why| Err(format!("a request was not answered after SIGSTOP and SIGCONT: {why}")))
}

/// A stored event.
#[derive(Clone, Debug)]
struct Entry {
    token: Token,
    /// The id, if it was generated.
    generated: Option<Box<str>>,
}

/// Everything known about a folder.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    numbers: AtomicU64,
    /// The highest sequence number that a client was told.
    acknowledged: AtomicU64,
    /// The stored events, from the first sequence number on; `None` if the event is erased.
    entries: Vec<Option<Entry>>,
    /// For each token's number the sequence number of its event; 0 if it is not stored.
    seqs: Vec<u64>,
    /// Unanswered requests of events with ids of the client's, and erased events with such ids. They may be repeated;
    /// stored events are then duplicates.
    unanswered: Vec<Vec<Token>>,
    /// Events with ids of the client's that the last reconciliation found to be erased.
    erased: Vec<Token>,
    /// Sums over all rounds.
    pub(crate) sums: Sums,
}

/// Counters of outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Acknowledged requests.
    pub(crate) acknowledged: u64,
    /// New events in them.
    pub(crate) acknowledged_events: u64,
    /// Duplicates in them.
    pub(crate) duplicates: u64,
    /// Unanswered requests.
    pub(crate) unknown: u64,
    /// Unanswered requests that were stored.
    pub(crate) unknown_stored: u64,
    /// Refused requests.
    pub(crate) refused: u64,
    /// Erasures that were acknowledged.
    pub(crate) erasures: u64,
    /// Erasures that may have erased something or not.
    pub(crate) erasures_in_doubt: u64,
    /// Stored events that were found to be erased.
    pub(crate) erased: u64,
}

/// What was read after a restart.
#[derive(Debug)]
pub(crate) struct Reading {
    /// All events after this sequence number.
    pub(crate) after: u64,
    /// The last sequence number that was ever given to an event.
    pub(crate) last: u64,
    /// The events, ascending.
    pub(crate) events: Vec<Found>,
}

impl Sums {
    /// Adds the counters of a round.
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.acknowledged_events += other.acknowledged_events;
        self.duplicates += other.duplicates;
        self.unknown += other.unknown;
        self.unknown_stored += other.unknown_stored;
        self.refused += other.refused;
        self.erasures += other.erasures;
        self.erasures_in_doubt += other.erasures_in_doubt;
        self.erased += other.erased;
    }
}

impl Ledger {
    /// A new token.
    pub(crate) fn token(&self, named: bool, long: bool) -> Token {
        Token::new(self.numbers.fetch_add(1, Ordering::Relaxed), named, long)
    }

    /// Records an acknowledgement.
    pub(crate) fn acknowledge(&self, outcome: &Outcome) {
        let last = match outcome {
            Outcome::One { seq, .. } => *seq,
            Outcome::Many { accepted, first_seq, .. } => {
                first_seq.map_or(0, |first| (first + accepted).saturating_sub(1))
            }
            Outcome::Unknown(_) | Outcome::Refused(_) => 0,
        };
        self.acknowledged.fetch_max(last, Ordering::AcqRel);
    }

    /// The highest sequence number acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// The number of events that were ever stored, which is the last sequence number.
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The number of stored events that are not erased.
    pub(crate) fn visible(&self) -> u64 {
        self.len() - self.sums.erased
    }

    /// The event with this sequence number, and its id, if it is stored and not erased.
    pub(crate) fn at(&self, seq: u64) -> Option<(Token, String)> {
        let entry = self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)?.as_ref()?;
        let id = entry.generated.as_deref().map(str::to_owned).or_else(|| entry.token.event().id);
        Some((entry.token, id.unwrap_or_default()))
    }

    /// The sequence number of an event, if it is stored.
    pub(crate) fn seq(&self, token: Token) -> Option<u64> {
        self.seqs.get(token.number()).copied().filter(|&seq| seq > 0)
    }

    /// Takes the requests to repeat while these erasures may be under way. Those with a stored event that may be erased
    /// stay: nobody could say whether it is still a duplicate.
    pub(crate) fn take_unanswered(&mut self, erasures: &[Selection]) -> Vec<Vec<Token>> {
        let all = std::mem::take(&mut self.unanswered);
        let is_in_danger = |token: Token| erasures.iter().any(|selection| selection.has(token));
        let waits = |tokens: &Vec<Token>| tokens.iter().any(|&token| self.seq(token).is_some() && is_in_danger(token));
        let (waiting, taken) = all.into_iter().partition(waits);
        self.unanswered = waiting;
        taken
    }

    /// The events with ids of the client's that the last [reconciliation](Self::reconcile) found to be erased.
    pub(crate) fn erased(&self) -> &[Token] {
        &self.erased
    }

    /// Puts back the requests that were not repeated.
    pub(crate) fn return_unanswered(&mut self, unanswered: Vec<Vec<Token>>) {
        self.unanswered.extend(unanswered);
    }

    /// Checks that an event of an earlier round still has its sequence number and id.
    pub(crate) fn recognise(&self, found: &Found) -> Result<(), String> {
        match self.at(found.seq) {
            Some((token, id)) if token == found.token && id == found.id => Ok(()),
            before => Err(format!("seq {} was {before:?} and is {found:?}", found.seq)),
        }
    }

    /// Reconciles the events found after a restart with those known before, and with the requests and erasures of the
    /// round before.
    pub(crate) fn reconcile(
        &mut self,
        reading: Reading,
        attempts: &[Attempt],
        erasures: &[Erasure],
    ) -> Result<Sums, String> {
        let known = self.len();
        let Reading { after, last, events } = reading;
        if last < known {
            return Err(format!("{known} events were stored, but now the last one is {last}"));
        }
        let mut owners: HashMap<Token, &Attempt> = HashMap::new();
        for attempt in attempts {
            owners.extend(attempt.fresh.iter().map(|&token| (token, attempt)));
        }
        self.seqs.resize(usize::try_from(self.numbers.load(Ordering::Relaxed)).unwrap_or(usize::MAX), 0);
        self.entries.resize_with(usize::try_from(last).unwrap_or(usize::MAX), || None);
        let found: Vec<(u64, Token)> = events.iter().map(|event| (event.seq, event.token)).collect();
        for event in events {
            if event.seq <= known {
                self.recognise(&event)?;
                continue;
            }
            let Found { seq, token, id } = event;
            match owners.get(&token).map(|attempt| &attempt.outcome) {
                None => return Err(format!("seq {seq} is {token:?}, which was not sent since the last restart")),
                Some(Outcome::Refused(why)) => return Err(format!("seq {seq} is {token:?}, which was refused: {why}")),
                Some(Outcome::One { .. } | Outcome::Many { .. } | Outcome::Unknown(_)) => {}
            }
            match (self.seqs.get_mut(token.number()), slot(&mut self.entries, seq)) {
                (Some(place @ 0), Some(slot @ None)) => {
                    *place = seq;
                    *slot = Some(Entry { token, generated: (!token.is_named()).then(|| id.into()) });
                }
                (before, _) => return Err(format!("{token:?} is stored twice, at {before:?} and {seq}")),
            }
        }
        let there: HashSet<u64> = found.iter().map(|(seq, _)| *seq).collect();
        let missing = (after + 1..=known).filter(|seq| !there.contains(seq));
        let missing = missing.filter_map(|seq| Some(Gone { seq, token: self.at(seq)?.0, answered: 0 }));
        let mut gone: Vec<Gone> = missing.collect();
        let mut sums = Sums::default();
        // Events that may have been stored and erased, without anybody knowing where.
        let mut untraced = 0;
        for attempt in attempts {
            let judged = self.judge(attempt, erasures, &mut gone, &mut sums);
            untraced += judged.map_err(|error| format!("{error}\n  {}", attempt.excerpt()))?;
        }
        gone::explain(&gone, &found, erasures, untraced)?;
        let traced: HashSet<u64> = gone.iter().map(|gone| gone.seq).collect();
        let mut unexplained = (known.max(after) + 1..=last).filter(|seq| !there.contains(seq) && !traced.contains(seq));
        if let Some(seq) = unexplained.clone().nth(untraced) {
            return Err(format!("seq {seq} is missing, after seq {}", seq - 1));
        }
        sums.erased = gone.len() as u64 + unexplained.by_ref().count() as u64;
        for erasure in erasures {
            match &erasure.outcome {
                Erased::Done(_) => sums.erasures += 1,
                Erased::Unknown(_) => sums.erasures_in_doubt += 1,
                Erased::Refused(_) => {}
            }
        }
        self.forget(&gone);
        self.sums.add(sums);
        Ok(sums)
    }

    /// Notes that these events are erased. Some of those with ids of the client's are sent again: they are new.
    fn forget(&mut self, gone: &[Gone]) {
        let repeated: HashSet<Token> = self.unanswered.iter().flatten().copied().collect();
        let mut revived = 0;
        self.erased = gone.iter().map(|gone| gone.token).filter(|token| token.is_named()).collect();
        for &Gone { seq, token, .. } in gone {
            slot(&mut self.entries, seq).into_iter().for_each(|slot| *slot = None);
            self.seqs.get_mut(token.number()).into_iter().for_each(|seq| *seq = 0);
            if token.is_named() && !repeated.contains(&token) && revived < REVIVED_MAX {
                self.unanswered.push(vec![token]);
                revived += 1;
            }
        }
    }

    /// Judges one attempt. Adds those of its events that were stored and are not found to `gone`; returns how many more
    /// there may be whose place is not known.
    fn judge(
        &mut self,
        attempt: &Attempt,
        erasures: &[Erasure],
        gone: &mut Vec<Gone>,
        sums: &mut Sums,
    ) -> Result<usize, String> {
        let Attempt { fresh, repeats, answered, outcome } = attempt;
        let there: Vec<Option<u64>> = fresh.iter().map(|&token| self.seq(token)).collect();
        let acknowledged = match outcome {
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
            Outcome::One { seq, duplicate, .. } => (!duplicate).then_some(*seq),
            Outcome::Many { first_seq, .. } => *first_seq,
        };
        let from_first = (0..).zip(&there).find_map(|(index, seq)| seq.map(|seq| seq.saturating_sub(index)));
        let first = acknowledged.or(from_first);
        let whole = (0..).zip(&there).all(|(index, seq)| {
            let expected = first.map(|first| first + index);
            seq.is_none_or(|seq| Some(seq) == expected)
        });
        // What is stored and not found is judged with the erasures.
        let may_be_gone =
            |token: &Token| (0..).zip(erasures).any(|(number, erasure)| erasure.may_have(number, *token, *answered));
        let whole = whole && fresh.iter().zip(&there).all(|(token, seq)| seq.is_some() || may_be_gone(token));
        let stored = matches!(outcome, Outcome::One { .. } | Outcome::Many { .. }) || from_first.is_some();
        if let Some(first) = first.filter(|_| stored && whole) {
            let placed = fresh.iter().zip(&there).zip(first..).filter(|((_, seq), _)| seq.is_none());
            gone.extend(placed.map(|((&token, _), seq)| Gone { seq, token, answered: *answered }));
        }
        let mut untraced = 0;
        match outcome {
            Outcome::Refused(_) => sums.refused += 1,
            Outcome::Unknown(_) => {
                if !whole && stored {
                    return Err(format!("an unanswered request is stored in part: {there:?}"));
                }
                sums.unknown += 1;
                sums.unknown_stored += u64::from(stored);
                // Stored and then erased altogether?
                untraced = if whole && !stored { fresh.len() } else { 0 };
                if !fresh.is_empty() && fresh.iter().all(|token| token.is_named()) {
                    self.unanswered.push(fresh.clone());
                }
            }
            Outcome::One { seq, duplicate, id } => {
                let expected = fresh.first().map(|_| (if whole { first } else { None }, false));
                let expected = expected.or_else(|| repeats.first().map(|&(_, seq)| (Some(seq), true)));
                if expected != Some((Some(*seq), *duplicate)) {
                    return Err(format!("seq {seq} was acknowledged, but {expected:?} is right (seq, duplicate)"));
                }
                if self.at(*seq).is_some_and(|(_, found)| found != *id) {
                    return Err(format!("id {id} was acknowledged, but {:?} is stored", self.at(*seq)));
                }
                sums.acknowledged += 1;
                sums.acknowledged_events += u64::from(!duplicate);
                sums.duplicates += u64::from(*duplicate);
            }
            Outcome::Many { accepted, duplicates, first_seq } => {
                if (*accepted, *duplicates) != (fresh.len() as u64, repeats.len() as u64) {
                    return Err(format!(
                        "wrong counts: {} new and {} known events were sent",
                        fresh.len(),
                        repeats.len()
                    ));
                }
                if !whole || first_seq.is_some() == fresh.is_empty() {
                    return Err(format!("the acknowledged events are stored at {there:?}"));
                }
                sums.acknowledged += 1;
                sums.acknowledged_events += accepted;
                sums.duplicates += duplicates;
            }
        }
        Ok(untraced)
    }
}

/// The place of the event with this sequence number.
fn slot(entries: &mut [Option<Entry>], seq: u64) -> Option<&mut Option<Entry>> {
    entries.get_mut(usize::try_from(seq.checked_sub(1)?).ok()?)
}

impl Attempt {
    /// The attempt for a report, with the first few of its events.
    pub(crate) fn excerpt(&self) -> String {
        let first: Vec<_> = self.fresh.iter().take(3).collect();
        let known: Vec<_> = self.repeats.iter().take(3).collect();
        let (new, repeats) = (self.fresh.len(), self.repeats.len());
        format!("{:?}: {new} new {first:?}…, {repeats} known {known:?}…", self.outcome)
    }
}

#[cfg(test)]
mod tests;
