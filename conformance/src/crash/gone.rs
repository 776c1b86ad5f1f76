//! Judges whether erasures explain exactly what is gone.
//!
//! An erasure applies to all events up to a sequence number that nobody is told. It is at least the highest one that
//! was acknowledged before, and events that are sent after the answer are beyond it.

use crate::erasure::{Erased, Erasure};
use crate::event::Token;

/// An event that was stored and is not found any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Its sequence number.
    pub(crate) seq: u64,
    /// Its token.
    pub(crate) token: Token,
    /// How many erasures of this round had been answered when it was sent.
    pub(crate) answered: usize,
}

/// Checks that acknowledged erasures hold, that those in doubt hold wholly or not at all, and that nothing else is
/// gone. `found` has the sequence numbers and tokens of the events that are there, ascending. `untraced` is how many
/// more events may have been stored and erased, without anybody knowing where.
///
/// # Errors
///
/// What was not erased, is gone although nobody erased it, or was counted wrongly.
pub(crate) fn explain(
    gone: &[Gone],
    found: &[(u64, Token)],
    erasures: &[Erasure],
    untraced: usize,
) -> Result<(), String> {
    // For each event the erasures that may have erased it.
    let mut by: Vec<Vec<usize>> = vec![Vec::new(); gone.len()];
    for (number, erasure) in erasures.iter().enumerate() {
        let Erasure { selection, known, outcome } = erasure;
        // It cannot apply from here on.
        let end = found.iter().find(|(_, token)| selection.has(*token)).map_or(u64::MAX, |(seq, _)| *seq);
        match outcome {
            Erased::Done(_) if end <= *known => {
                return Err(format!("seq {end} is found, although it is erased by {erasure:?}"));
            }
            // Without an answer, it did not take place if one of its events is there.
            Erased::Unknown(_) if end <= *known => continue,
            Erased::Done(_) | Erased::Unknown(_) | Erased::Refused(_) => {}
        }
        for (gone, by) in gone.iter().zip(&mut by) {
            if gone.seq < end && erasure.may_have(number, gone.token, gone.answered) {
                by.push(number);
            }
        }
    }
    if let Some((gone, _)) = gone.iter().zip(&by).find(|(_, by)| by.is_empty()) {
        return Err(format!("{gone:?} is not found, but no erasure explains that: {erasures:?}"));
    }
    for (number, erasure) in erasures.iter().enumerate() {
        let Erased::Done(Some(counted)) = erasure.outcome else { continue };
        let certain = gone.iter().zip(&by).filter(|(gone, by)| gone.seq <= erasure.known && **by == [number]).count();
        let possible = by.iter().filter(|by| by.contains(&number)).count() + untraced;
        if !(certain as u64..=possible as u64).contains(&counted) {
            return Err(format!("from {certain} to {possible} events are gone by {erasure:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::erasure::Selection;

    /// Ten events at 1 to 10, of which those with these numbers are gone, judged with one erasure that selects the even
    /// ones among the first nine. It was sent when 6 was acknowledged, and 9 was sent after the answer.
    fn verdict(outcome: Erased, numbers: &[u64]) -> Result<(), String> {
        let even: Vec<Token> = tokens(|token| selection().has(token));
        let odd: Vec<Token> = tokens(|token| !selection().has(token));
        let all = (1..=10).zip(even.into_iter().zip(odd));
        let all = all.map(|(seq, (even, odd))| (seq, if seq % 2 == 0 { even } else { odd }));
        let (gone, found): (Vec<_>, Vec<_>) = all.partition(|(seq, _)| numbers.contains(seq));
        let gone = gone.into_iter().map(|(seq, token)| Gone { seq, token, answered: usize::from(seq > 9) });
        let erasure = Erasure { selection: selection(), known: 6, outcome };
        explain(&gone.collect::<Vec<_>>(), &found, &[erasure], 0)
    }

    fn selection() -> Selection {
        Selection::of_type("t")
    }

    fn tokens(is_wanted: impl Fn(Token) -> bool) -> Vec<Token> {
        (0..).map(|number| Token::new(number, false, false)).filter(|token| is_wanted(*token)).take(10).collect()
    }

    #[test]
    fn an_acknowledged_erasure_holds_for_what_was_acknowledged_before() {
        let done = |counted| Erased::Done(Some(counted));
        verdict(done(3), &[2, 4, 6]).unwrap();
        verdict(done(4), &[2, 4, 6, 8]).unwrap();
        for (counted, wrong) in [(0, &[][..]), (2, &[2, 4]), (3, &[2, 4, 8]), (4, &[2, 3, 4, 6]), (2, &[2, 4, 6])] {
            assert!(verdict(done(counted), wrong).is_err(), "{wrong:?}");
        }
        assert!(verdict(done(5), &[2, 4, 6, 8, 10]).unwrap_err().contains("no erasure explains"));
    }

    #[test]
    fn an_erasure_in_doubt_holds_wholly_or_not_at_all() {
        let unknown = || Erased::Unknown("the connection was closed".to_owned());
        for right in [&[][..], &[2, 4, 6], &[2, 4, 6, 8], &[2, 4, 6, 8, 10]] {
            verdict(unknown(), right).unwrap();
        }
        for wrong in [&[2][..], &[4, 6], &[2, 4], &[8], &[2, 4, 6, 10], &[1, 2, 4, 6]] {
            assert!(verdict(unknown(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_refused_erasure_erases_nothing() {
        let refused = || Erased::Refused("full".to_owned());
        verdict(refused(), &[]).unwrap();
        assert!(verdict(refused(), &[2, 4, 6]).is_err());
    }
}
