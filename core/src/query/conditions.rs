//! Compiles the payload conditions of a query, and evaluates them on payloads.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::ControlFlow;

use memchr::memmem::Finder;

use super::candidate::Candidate;
use super::operand::{Meaning, Operand};
use super::{PayloadFilter, Test};
use crate::event::Payload;
use crate::json::{Paths, Value};

/// How many bytes of a payload are read in one unit of a budget. A unit is the time that a scan without conditions
/// takes for one event.
const BYTES_PER_UNIT: usize = 32;

/// The cost of comparing a value with an operand: as long as reading this many bytes of a payload.
const COMPARISON_BYTES: usize = 8;

/// Compiled conditions, all of which must hold. Each payload is walked once for all of them. Compiling does the work
/// that depends on the operands alone.
///
/// Evaluations reuse buffers of the compiled conditions, so evaluating takes `&mut self`.
#[derive(Clone, Debug)]
pub struct Conditions {
    paths: Paths,
    /// The conditions on the values at each path, by the number of the path.
    at_path: Vec<Vec<Condition>>,
    state: State,
}

/// The result of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether all conditions hold.
    pub matches: bool,
    /// The cost of the evaluation, in units of about 25 ns.
    pub cost: u32,
}

/// A predicate on single values, and the effect if it is true for one of them.
#[derive(Clone, Debug)]
struct Condition {
    predicate: Predicate,
    effect: Effect,
}

#[derive(Clone, Copy, Debug)]
enum Effect {
    /// The condition holds. The number is its index in [`State::met`].
    Holds(usize),
    /// The condition fails, whatever the other values are.
    Fails,
}

/// A predicate on a value.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Equal(Operand),
    /// The function is true for the ordering of the value relative to the operand.
    Compare(Operand, fn(Ordering) -> bool),
    /// True for any value.
    Any,
    Prefix(Box<[u8]>),
    // Boxed, since it is several times as large as the other variants.
    Contains(Box<Finder<'static>>),
}

/// The state of an evaluation.
#[derive(Clone, Debug)]
struct State {
    /// For each condition with [`Effect::Holds`], whether it holds already.
    met: Vec<bool>,
    /// How many of these conditions do not hold yet.
    missing: usize,
    /// Whether there is a condition with [`Effect::Fails`], so that all values must be visited.
    needs_all_values: bool,
    /// Whether a condition has failed.
    failed: bool,
    /// The cost of the comparisons so far, in bytes of payload.
    compared: usize,
    /// Buffer for unescaped strings.
    text: Vec<u8>,
}

impl Conditions {
    /// Compiles conditions. Without conditions, every payload matches.
    #[must_use]
    pub fn compile(filters: &[PayloadFilter]) -> Self {
        let (mut paths, mut at_path) = (Paths::default(), Vec::<Vec<Condition>>::new());
        let mut required = 0;
        for PayloadFilter { path, test } in filters {
            let (predicate, is_negated) = Predicate::of(test);
            let effect = if is_negated { Effect::Fails } else { Effect::Holds(required) };
            required += usize::from(!is_negated);
            let number = paths.add(path.names());
            if number == at_path.len() {
                at_path.push(Vec::new());
            }
            at_path.get_mut(number).expect("paths are numbered from 0").push(Condition { predicate, effect });
        }
        let state = State {
            met: alloc::vec![false; required],
            missing: required,
            needs_all_values: required < filters.len(),
            failed: false,
            compared: 0,
            text: Vec::new(),
        };
        Self { paths, at_path, state }
    }

    /// Whether there are no conditions.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at_path.is_empty()
    }

    /// Whether a payload fulfils all conditions. Stops reading as soon as the result is certain.
    pub fn evaluate(&mut self, payload: Payload<'_>) -> Evaluation {
        if self.is_empty() {
            return Evaluation { matches: true, cost: 0 };
        }
        let Self { paths, at_path, state } = self;
        state.reset();
        let walked = paths.walk(payload.as_str(), |path, value| {
            state.apply(value, at_path.get(path).expect("each path has conditions"))
        });
        let cost = walked.saturating_add(state.compared) / BYTES_PER_UNIT;
        let matches = state.missing == 0 && !state.failed;
        Evaluation { matches, cost: u32::try_from(cost).unwrap_or(u32::MAX) }
    }
}

impl State {
    fn reset(&mut self) {
        self.met.fill(false);
        self.missing = self.met.len();
        self.failed = false;
        self.compared = 0;
    }

    /// Applies the conditions at a path to a value. Breaks once the result is certain.
    fn apply(&mut self, value: Value<'_>, conditions: &[Condition]) -> ControlFlow<()> {
        let Self { met, missing, needs_all_values, failed, compared, text } = self;
        let candidate = Candidate::of(value, text);
        for Condition { predicate, effect } in conditions {
            let met = match effect {
                Effect::Holds(number) => {
                    Some(met.get_mut(*number).expect("`met` has an entry for each condition with this effect"))
                }
                Effect::Fails => None,
            };
            if met.as_ref().is_some_and(|met| **met) {
                continue;
            }
            *compared += predicate.cost(candidate);
            if predicate.holds_for(candidate) {
                let Some(met) = met else {
                    *failed = true;
                    return ControlFlow::Break(());
                };
                *met = true;
                *missing -= 1;
            }
        }
        if *missing == 0 && !*needs_all_values { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Predicate {
    /// The predicate of a test, and whether the test is negated: the predicate must be false for every value.
    pub(super) fn of(test: &Test) -> (Self, bool) {
        match test {
            Test::Eq(operand) => (Self::Equal(operand.clone()), false),
            Test::Ne(operand) => (Self::Equal(operand.clone()), true),
            Test::Gt(operand) => (Self::Compare(operand.clone(), Ordering::is_gt), false),
            Test::Gte(operand) => (Self::Compare(operand.clone(), Ordering::is_ge), false),
            Test::Lt(operand) => (Self::Compare(operand.clone(), Ordering::is_lt), false),
            Test::Lte(operand) => (Self::Compare(operand.clone(), Ordering::is_le), false),
            Test::Exists(wanted) => (Self::Any, !wanted),
            Test::Prefix(text) => (Self::Prefix(text.as_bytes().into()), false),
            Test::Contains(text) => (Self::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())), false),
        }
    }

    pub(super) fn holds_for(&self, candidate: Candidate<'_>) -> bool {
        match (self, candidate) {
            (Self::Any, _) => true,
            (Self::Equal(operand), _) => operand.equals(candidate),
            (Self::Compare(operand, is_wanted), _) => operand.order(candidate).is_some_and(is_wanted),
            (Self::Prefix(prefix), Candidate::String(string)) => string.starts_with(prefix),
            (Self::Contains(finder), Candidate::String(string)) => {
                string.len() >= finder.needle().len() && finder.find(string).is_some()
            }
            (Self::Prefix(_), Candidate::Number(_) | Candidate::Literal(_) | Candidate::Container)
            | (Self::Contains(_), Candidate::Number(_) | Candidate::Literal(_) | Candidate::Container) => false,
        }
    }

    /// The cost of [`holds_for`](Self::holds_for), in bytes of payload.
    fn cost(&self, candidate: Candidate<'_>) -> usize {
        let length = match (self, candidate) {
            (Self::Contains(_), Candidate::String(string)) => string.len(),
            (Self::Equal(_) | Self::Compare(..), Candidate::Number(number)) => number.digits().len(),
            (Self::Compare(operand, _), Candidate::String(string)) => match operand.meaning() {
                Meaning::Number(_) => string.len(),
                Meaning::Quoted(_) | Meaning::Literal | Meaning::Plain => 0,
            },
            (Self::Any | Self::Prefix(_) | Self::Contains(_), _)
            | (Self::Equal(_), Candidate::String(_) | Candidate::Literal(_) | Candidate::Container)
            | (Self::Compare(..), Candidate::Literal(_) | Candidate::Container) => 0,
        };
        COMPARISON_BYTES + length
    }
}

#[cfg(test)]
mod tests;
