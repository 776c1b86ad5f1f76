//! What was sent, what was acknowledged, and what is stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{Found, Token};

/// A request and its outcome, as far as the client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// New events, in the order of the request.
    pub(crate) fresh: Vec<Token>,
    /// Known events, and their sequence numbers.
    pub(crate) repeats: Vec<(Token, u64)>,
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
    /// The stored events, from the first sequence number on.
    entries: Vec<Entry>,
    /// For each token's number the sequence number of its event; 0 if it is not stored.
    seqs: Vec<u64>,
    /// Unanswered requests of events with ids of the client's. They may be repeated; stored events are then duplicates.
    unanswered: Vec<Vec<Token>>,
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

    /// The number of stored events.
    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The event with this sequence number, and its id.
    pub(crate) fn at(&self, seq: u64) -> Option<(Token, String)> {
        let entry = self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)?;
        let id = entry.generated.as_deref().map(str::to_owned).or_else(|| entry.token.event().id);
        Some((entry.token, id.unwrap_or_default()))
    }

    /// The sequence number of an event, if it is stored.
    pub(crate) fn seq(&self, token: Token) -> Option<u64> {
        self.seqs.get(token.number()).copied().filter(|&seq| seq > 0)
    }

    /// Takes the requests to repeat.
    pub(crate) fn take_unanswered(&mut self) -> Vec<Vec<Token>> {
        std::mem::take(&mut self.unanswered)
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

    /// Reconciles the events found after a restart (ascending, without a gap, after the known ones) with the requests
    /// of the round before.
    pub(crate) fn reconcile(&mut self, tail: Vec<Found>, attempts: &[Attempt]) -> Result<Sums, String> {
        let mut owners: HashMap<Token, &Attempt> = HashMap::new();
        for attempt in attempts {
            owners.extend(attempt.fresh.iter().map(|&token| (token, attempt)));
        }
        self.seqs.resize(usize::try_from(self.numbers.load(Ordering::Relaxed)).unwrap_or(usize::MAX), 0);
        for Found { seq, token, id } in tail {
            match owners.get(&token).map(|attempt| &attempt.outcome) {
                None => return Err(format!("seq {seq} is {token:?}, which was not sent since the last restart")),
                Some(Outcome::Refused(why)) => return Err(format!("seq {seq} is {token:?}, which was refused: {why}")),
                Some(Outcome::One { .. } | Outcome::Many { .. } | Outcome::Unknown(_)) => {}
            }
            match self.seqs.get_mut(token.number()) {
                Some(slot @ 0) => *slot = seq,
                before => return Err(format!("{token:?} is stored twice, at {before:?} and {seq}")),
            }
            self.entries.push(Entry { token, generated: (!token.is_named()).then(|| id.into()) });
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
                    return Err(format!("an unanswered request is stored in part: {there:?}"));
                }
                sums.unknown += 1;
                sums.unknown_stored += u64::from(whole && !there.is_empty());
                if !fresh.is_empty() && fresh.iter().all(|token| token.is_named()) {
                    self.unanswered.push(fresh.clone());
                }
            }
            Outcome::One { seq, duplicate, id } => {
                let expected = fresh.first().map(|&token| (self.seq(token), false));
                let expected = expected.or_else(|| repeats.first().map(|&(_, seq)| (Some(seq), true)));
                if expected != Some((Some(*seq), *duplicate)) {
                    return Err(format!("seq {seq} was acknowledged, but {expected:?} is right (seq, duplicate)"));
                }
                if self.at(*seq).is_none_or(|(_, found)| found != *id) {
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
                if !whole || there.first() != first_seq.as_ref() {
                    return Err(format!("the acknowledged events are stored at {there:?}"));
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
    /// The attempt for a report, with the first few of its events.
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

    /// The result if three events are sent with this outcome and these of them are stored, in this order.
    fn verdict(outcome: Outcome, there: &[usize]) -> Result<Sums, String> {
        let mut ledger = Ledger::default();
        let fresh: Vec<Token> = (0..3).map(|_| ledger.token(false, false)).collect();
        let tail = (1..).zip(there).map(|(seq, &index)| found(seq, fresh[index])).collect();
        ledger.reconcile(tail, &[Attempt { fresh, repeats: Vec::new(), outcome }])
    }

    fn acknowledged() -> Outcome {
        Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(1) }
    }

    #[test]
    fn acknowledged_events_are_stored_once_in_order() {
        assert_eq!(verdict(acknowledged(), &[0, 1, 2]).unwrap().acknowledged_events, 3);
        for wrong in [&[][..], &[0, 1], &[0, 2, 1], &[1, 2, 0], &[0, 1, 2, 2]] {
            assert!(verdict(acknowledged(), wrong).is_err(), "{wrong:?}");
        }
        let elsewhere = Outcome::Many { accepted: 3, duplicates: 0, first_seq: Some(2) };
        let fewer = Outcome::Many { accepted: 2, duplicates: 1, first_seq: Some(1) };
        assert!(verdict(elsewhere, &[0, 1, 2]).is_err() && verdict(fewer, &[0, 1, 2]).is_err());
    }

    #[test]
    fn unanswered_requests_are_stored_whole_or_not_at_all() {
        let unknown = || Outcome::Unknown("the connection was closed".to_owned());
        assert_eq!(verdict(unknown(), &[]).unwrap().unknown_stored, 0);
        assert_eq!(verdict(unknown(), &[0, 1, 2]).unwrap().unknown_stored, 1);
        for wrong in [&[0][..], &[1, 2], &[2, 1, 0], &[0, 1, 2, 0]] {
            assert!(verdict(unknown(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn refused_or_unsent_events_are_not_stored() {
        let refused = || Outcome::Refused("full".to_owned());
        assert_eq!(verdict(refused(), &[]).unwrap().refused, 1);
        assert!(verdict(refused(), &[0, 1, 2]).unwrap_err().contains("refused"));
        let mut ledger = Ledger::default();
        let stray = ledger.token(true, true);
        assert!(ledger.reconcile(vec![found(1, stray)], &[]).unwrap_err().contains("was not sent"));
    }

    #[test]
    fn stored_events_keep_their_sequence_number_and_id() {
        let mut ledger = Ledger::default();
        let token = ledger.token(false, false);
        let outcome = Outcome::One { seq: 1, duplicate: false, id: "generated-1".to_owned() };
        let attempt = Attempt { fresh: vec![token], repeats: Vec::new(), outcome };
        ledger.reconcile(vec![found(1, token)], std::slice::from_ref(&attempt)).unwrap();
        assert_eq!(ledger.recognise(&found(1, token)), Ok(()));
        let renamed = Found { id: "another".to_owned(), ..found(1, token) };
        assert!(ledger.recognise(&renamed).is_err() && ledger.recognise(&found(2, token)).is_err());
        assert!(ledger.reconcile(vec![found(2, token)], &[attempt]).unwrap_err().contains("stored twice"));
    }

    #[test]
    fn a_duplicate_has_the_sequence_number_of_the_first() {
        let mut ledger = Ledger::default();
        let token = ledger.token(true, false);
        let answer = |seq, duplicate| Outcome::One { seq, duplicate, id: token.event().id.unwrap() };
        let first = Attempt { fresh: vec![token], repeats: Vec::new(), outcome: answer(1, false) };
        ledger.reconcile(vec![found(1, token)], &[first]).unwrap();
        for (outcome, right) in [(answer(1, true), true), (answer(1, false), false), (answer(2, true), false)] {
            let again = Attempt { fresh: Vec::new(), repeats: vec![(token, 1)], outcome };
            assert_eq!(ledger.reconcile(Vec::new(), &[again]).is_ok(), right);
        }
    }
}
