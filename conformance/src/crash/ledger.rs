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

/// Whether no request was left unanswered, as it should be where a server had no time for a while.
pub(crate) fn all_answered(attempts: &[Attempt]) -> Result<(), String> {
    let unanswered = attempts.iter().find_map(|attempt| match &attempt.outcome {
        Outcome::Unknown(why) => Some(why),
        Outcome::One { .. } | Outcome::Many { .. } | Outcome::Refused(_) => None,
    });
    unanswered.map_or(Ok(()), |why| Err(format!("a request was not answered after SIGSTOP and SIGCONT: {why}")))
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
    /// The highest place that a client was told.
    acknowledged: AtomicU64,
    /// What is there, from the first sequence number on.
    places: Vec<Place>,
    /// For each number of a token the place of its event; 0 where there is none.
    seqs: Vec<u64>,
    /// Requests of named events that were not answered: they may be repeated, and what is there already is then a
    /// duplicate.
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

    /// A client was told that its events are there.
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

    /// The highest place that a client was told by now.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
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

    /// Takes in what a restart has brought to light behind what was known (ascending, without a gap), and holds it
    /// against the attempts of the round before.
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    fn found(seq: u64, token: Token) -> Found {
        Found { seq, token, id: token.event().id.unwrap_or_else(|| format!("generated-{seq}")) }
    }

    /// What the auditor says if three events are sent with this outcome and these of them are there, in this order.
    fn verdict(outcome: Outcome, there: &[usize]) -> Result<Sums, String> {
        let mut ledger = Ledger::default();
        let fresh: Vec<Token> = (0..3).map(|_| ledger.token(false, false)).collect();
        let tail = (1..).zip(there).map(|(seq, &index)| found(seq, fresh[index])).collect();
        ledger.settle(tail, &[Attempt { fresh, repeats: Vec::new(), outcome }])
    }

    fn acknowledged() -> Outcome {
        Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(1) }
    }

    #[test]
    fn what_was_acknowledged_is_there_once_in_its_order() {
        assert_eq!(verdict(acknowledged(), &[0, 1, 2]).unwrap().acknowledged_events, 3);
        for wrong in [&[][..], &[0, 1], &[0, 2, 1], &[1, 2, 0], &[0, 1, 2, 2]] {
            assert!(verdict(acknowledged(), wrong).is_err(), "{wrong:?}");
        }
        let elsewhere = Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(2) };
        let fewer = Outcome::Many { accepted: 2, duplicates: 1, first_seq: Some(1) };
        assert!(verdict(elsewhere, &[0, 1, 2]).is_err() && verdict(fewer, &[0, 1, 2]).is_err());
    }

    #[test]
    fn what_was_not_answered_is_there_whole_or_not_at_all() {
        let unknown = || Outcome::Unknown("the connection was closed".to_owned());
        assert_eq!(verdict(unknown(), &[]).unwrap().unknown_there, 0);
        assert_eq!(verdict(unknown(), &[0, 1, 2]).unwrap().unknown_there, 1);
        for wrong in [&[0][..], &[1, 2], &[2, 1, 0], &[0, 1, 2, 0]] {
            assert!(verdict(unknown(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_refused_or_never_sent_is_not_there() {
        let refused = || Outcome::Refused("full".to_owned());
        assert_eq!(verdict(refused(), &[]).unwrap().refused, 1);
        assert!(verdict(refused(), &[0, 1, 2]).unwrap_err().contains("refused"));
        let mut ledger = Ledger::default();
        let stray = ledger.token(true, true);
        assert!(ledger.settle(vec![found(1, stray)], &[]).unwrap_err().contains("nobody has sent"));
    }

    #[test]
    fn what_was_there_stays_where_it_was_under_its_id() {
        let mut ledger = Ledger::default();
        let token = ledger.token(false, false);
        let outcome = Outcome::One { seq: 1, duplicate: false, id: "generated-1".to_owned() };
        let attempt = Attempt { fresh: vec![token], repeats: Vec::new(), outcome };
        ledger.settle(vec![found(1, token)], std::slice::from_ref(&attempt)).unwrap();
        assert_eq!(ledger.recognise(&found(1, token)), Ok(()));
        let renamed = Found { id: "another".to_owned(), ..found(1, token) };
        assert!(ledger.recognise(&renamed).is_err() && ledger.recognise(&found(2, token)).is_err());
        assert!(ledger.settle(vec![found(2, token)], &[attempt]).unwrap_err().contains("there twice"));
    }

    #[test]
    fn a_duplicate_is_one_where_the_first_is() {
        let mut ledger = Ledger::default();
        let token = ledger.token(true, false);
        let answer = |seq, duplicate| Outcome::One { seq, duplicate, id: token.event().id.unwrap() };
        let first = Attempt { fresh: vec![token], repeats: Vec::new(), outcome: answer(1, false) };
        ledger.settle(vec![found(1, token)], &[first]).unwrap();
        for (outcome, right) in [(answer(1, true), true), (answer(1, false), false), (answer(2, true), false)] {
            let again = Attempt { fresh: Vec::new(), repeats: vec![(token, 1)], outcome };
            assert_eq!(ledger.settle(Vec::new(), &[again]).is_ok(), right);
        }
    }
}
