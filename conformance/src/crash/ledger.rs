//! What was sent, what was said about it, and what is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{Found, Token};

/// A request, and what became of it as far as its client knows.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Events that were not there before, in the order of the request.
    pub(crate) fresh: Vec<Token>,
    /// Events that had been acknowledged already or found there, and their places.
    pub(crate) repeats: Vec<(Token, u64)>,
    /// What the client was told.
    pub(crate) outcome: Outcome,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The event is stored.
    One {
        /// Where.
        seq: u64,
        /// Whether it had been before.
        duplicate: bool,
        /// Under which id.
        id: String,
    },
    /// The events are stored.
    Many {
        /// So many of them anew.
        accepted: u64,
        /// So many were there.
        duplicates: u64,
        /// Where the new ones begin.
        first_seq: Option<u64>,
    },
    /// Nothing, or that nobody knows: all of it may be there, or nothing of it. Why.
    Unknown(String),
    /// Nothing is stored. Why.
    Refused(String),
}

/// A place in the order of arrival.
#[derive(Clone, Debug)]
struct Place {
    token: Token,
    /// The id, where it is not ours but generated.
    generated: Option<Box<str>>,
}

/// All that is known of a folder.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    numbers: AtomicU64,
    /// What is there, from the first sequence number on.
    places: Vec<Place>,
    /// For each number of a token the place of its event; 0 where there is none.
    seqs: Vec<u64>,
    /// Requests of named events that were not answered: they may be repeated, and what is there already is then a duplicate.
    open: Vec<Vec<Token>>,
    /// Sums over all rounds.
    pub(crate) sums: Sums,
}

/// What came of the attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Requests that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Events in them that were new.
    pub(crate) acknowledged_events: u64,
    /// Events in them that were there already.
    pub(crate) duplicates: u64,
    /// Requests without an answer.
    pub(crate) unknown: u64,
    /// Those among them that are there.
    pub(crate) unknown_there: u64,
    /// Requests that were refused.
    pub(crate) refused: u64,
}

impl Sums {
    /// Adds those of a round.
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.acknowledged_events += other.acknowledged_events;
        self.duplicates += other.duplicates;
        self.unknown += other.unknown;
        self.unknown_there += other.unknown_there;
        self.refused += other.refused;
    }
}

impl Ledger {
    /// A token that nobody has had.
    pub(crate) fn token(&self, named: bool, long: bool) -> Token {
        Token::new(self.numbers.fetch_add(1, Ordering::Relaxed), named, long)
    }

    /// How many events are there.
    pub(crate) fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// The event at this place, and its id.
    pub(crate) fn at(&self, seq: u64) -> Option<(Token, String)> {
        let place = self.places.get(usize::try_from(seq.checked_sub(1)?).ok()?)?;
        let id = place.generated.as_deref().map(str::to_owned).or_else(|| place.token.event().id);
        Some((place.token, id.unwrap_or_default()))
    }

    /// The place of an event.
    pub(crate) fn seq(&self, token: Token) -> Option<u64> {
        self.seqs.get(token.number()).copied().filter(|&seq| seq > 0)
    }

    /// Requests that may be repeated, to be shared out.
    pub(crate) fn take_open(&mut self) -> Vec<Vec<Token>> {
        std::mem::take(&mut self.open)
    }

    /// Gives back what nobody repeated.
    pub(crate) fn put_open(&mut self, open: Vec<Vec<Token>>) {
        self.open.extend(open);
    }

    /// Requires that an event of an earlier round is where it was, under the id that it had.
    pub(crate) fn recognise(&self, found: &Found) -> Result<(), String> {
        match self.at(found.seq) {
            Some((token, id)) if token == found.token && id == found.id => Ok(()),
            before => Err(format!("seq {} was {before:?} and is {found:?}", found.seq)),
        }
    }

    /// Takes in what a restart has brought to light behind what was known (ascending, without a gap), and holds it against the attempts
    /// of the round before.
    pub(crate) fn settle(&mut self, tail: Vec<Found>, attempts: &[Attempt]) -> Result<Sums, String> {
        let mut owners: HashMap<Token, &Attempt> = HashMap::new();
        for attempt in attempts {
            owners.extend(attempt.fresh.iter().map(|&token| (token, attempt)));
        }
        self.seqs.resize(usize::try_from(self.numbers.load(Ordering::Relaxed)).unwrap_or(usize::MAX), 0);
        for Found { seq, token, id } in tail {
            match owners.get(&token).map(|attempt| &attempt.outcome) {
                None => return Err(format!("seq {seq} is {token:?}, which nobody has sent since the last restart")),
                Some(Outcome::Refused(why)) => return Err(format!("seq {seq} is {token:?}, which was refused: {why}")),
                Some(Outcome::One { .. } | Outcome::Many { .. } | Outcome::Unknown(_)) => {}
            }
            match self.seqs.get_mut(token.number()) {
                Some(slot @ 0) => *slot = seq,
                before => return Err(format!("{token:?} is there twice, at {before:?} and {seq}")),
            }
            self.places.push(Place { token, generated: (!token.is_named()).then(|| id.into()) });
        }
        let mut sums = Sums::default();
        for attempt in attempts {
            self.judge(attempt, &mut sums).map_err(|error| format!("{error}\n  {}", attempt.excerpt()))?;
        }
        self.sums.add(sums);
        Ok(sums)
    }

    fn judge(&mut self, attempt: &Attempt, sums: &mut Sums) -> Result<(), String> {
        let Attempt { fresh, repeats, outcome } = attempt;
        let there: Vec<u64> = fresh.iter().filter_map(|&token| self.seq(token)).collect();
        let contiguous = there.iter().zip(there.iter().skip(1)).all(|(a, b)| a + 1 == *b);
        let whole = there.len() == fresh.len() && contiguous;
        match outcome {
            Outcome::Refused(_) => sums.refused += 1,
            Outcome::Unknown(_) => {
                if !whole && !there.is_empty() {
                    return Err(format!("a request that was not answered is there in part: {there:?}"));
                }
                sums.unknown += 1;
                sums.unknown_there += u64::from(whole && !there.is_empty());
                if !fresh.is_empty() && fresh.iter().all(|token| token.is_named()) {
                    self.open.push(fresh.clone());
                }
            }
            Outcome::One { seq, duplicate, id } => {
                let expected = fresh.first().map(|&token| (self.seq(token), false));
                let expected = expected.or_else(|| repeats.first().map(|&(_, seq)| (Some(seq), true)));
                if expected != Some((Some(*seq), *duplicate)) {
                    return Err(format!("seq {seq} was acknowledged, and there is {expected:?} (seq, duplicate)"));
                }
                if self.at(*seq).is_none_or(|(_, found)| found != *id) {
                    return Err(format!("it was acknowledged as {id}, and there is {:?}", self.at(*seq)));
                }
                sums.acknowledged += 1;
                sums.acknowledged_events += u64::from(!duplicate);
                sums.duplicates += u64::from(*duplicate);
            }
            Outcome::Many { accepted, duplicates, first_seq } => {
                if (*accepted, *duplicates) != (fresh.len() as u64, repeats.len() as u64) {
                    return Err(format!("{} new and {} known events were sent", fresh.len(), repeats.len()));
                }
                if !whole || there.first() != first_seq.as_ref() {
                    return Err(format!("what was acknowledged is there at {there:?}"));
                }
                sums.acknowledged += 1;
                sums.acknowledged_events += accepted;
                sums.duplicates += duplicates;
            }
        }
        Ok(())
    }
}

impl Attempt {
    /// The attempt for a report: of many events, the first.
    fn excerpt(&self) -> String {
        let first: Vec<_> = self.fresh.iter().take(3).collect();
        let known: Vec<_> = self.repeats.iter().take(3).collect();
        let (new, repeats) = (self.fresh.len(), self.repeats.len());
        format!("{:?}: {new} new {first:?}…, {repeats} known {known:?}…", self.outcome)
    }
}
