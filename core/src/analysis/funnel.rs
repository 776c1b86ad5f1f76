//! Answers [`Funnel`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::by::{ByValues, push};
use super::limits::{AnalysisLimits, Excess, Rows};
use super::occurrences::{Occurrence, OccurrenceFold};
use super::question::Funnel;
use super::slots::index;
use crate::event::Event;
use crate::json::{write_string, write_u64};
use crate::query::Conditions;
use crate::sketch::{Quantiles, write_f64};

/// No further steps.
const NONE: u32 = u32::MAX;

const NANOS_PER_SECOND: f64 = 1e9;

/// How far each value of `by` has got. Takes events in the order of time and sequence numbers.
///
/// For each value and step it keeps the latest start of an attempt that has reached the step. An earlier start cannot
/// get further: it is at the same step, and its time is over sooner. Each event is compared with the steps from the
/// last one down, so that it is never two steps of one attempt.
#[derive(Debug)]
pub(super) struct FunnelFold {
    question: Box<Funnel>,
    limits: AnalysisLimits,
    seed: u64,
    tests: Vec<StepTest>,
    /// The longest time of an attempt in nanoseconds. Two times may lie further apart than an `i64` counts.
    within: u64,
    by: ByValues,
    /// For each value: the start of its last attempt, in nanoseconds since the Unix epoch.
    starts: Vec<i64>,
    /// For each value: its index in `further`; [`NONE`] if it has reached no step but the first.
    has_further: Vec<u32>,
    further: Vec<Further>,
    /// For each of `further`, one attempt for each step from the second to the last but one.
    attempts: Vec<Attempt>,
    results: Vec<StepResult>,
}

/// Whether an event is a step.
#[derive(Debug)]
struct StepTest {
    event_type: Box<str>,
    conditions: Conditions,
}

/// The furthest step that a value has reached: 1 is the second.
#[derive(Clone, Copy, Debug)]
struct Further(u8);

/// The latest attempt that has reached a step.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    start: i64,
    /// When it reached the step. Before `start` if there is no attempt.
    reached: i64,
}

/// A step, and who has reached it.
#[derive(Debug, Default)]
struct StepResult {
    count: u64,
    /// The seconds since the step before.
    seconds: Quantiles,
}

/// The answer.
#[derive(Debug)]
pub(super) struct FunnelSteps {
    question: Box<Funnel>,
    results: Vec<StepResult>,
}

impl Attempt {
    const NEVER: Self = Self { start: i64::MIN, reached: i64::MIN };
}

impl FunnelFold {
    pub(super) fn new(question: Box<Funnel>, limits: AnalysisLimits, seed: u64) -> Self {
        let test = |step: &super::question::Step| StepTest {
            event_type: step.event_type.clone(),
            conditions: Conditions::compile(&step.payload),
        };
        // No two times lie further apart than a `u64` counts.
        let within = question.within.map_or(u64::MAX, |within| u64::try_from(within.as_nanos()).unwrap_or(u64::MAX));
        Self {
            tests: question.steps.iter().map(test).collect(),
            within,
            by: ByValues::new(&question.by, seed),
            starts: Vec::new(),
            has_further: Vec::new(),
            further: Vec::new(),
            attempts: Vec::new(),
            results: question.steps.iter().map(|_| StepResult::default()).collect(),
            limits,
            seed,
            question,
        }
    }

    pub(super) fn question(&self) -> &Funnel {
        &self.question
    }

    pub(super) fn add(&mut self, event: &Event<'_>) -> Result<usize, Excess> {
        let mut cost = 0;
        let mut matching = 0_u16;
        for (step, test) in self.tests.iter_mut().enumerate() {
            if *test.event_type == *event.event_type.as_str() {
                let evaluation = test.conditions.evaluate(event.payload);
                cost += index(evaluation.cost);
                matching |= u16::from(evaluation.matches) << step;
            }
        }
        if matching == 0 {
            return Ok(cost);
        }
        let values = self.by.read(event.payload.as_str()).to_vec();
        for by in &values {
            self.advance(*by, matching, event.timestamp.as_nanos());
        }
        self.check()?;
        Ok(cost + values.len())
    }

    /// Adds an event in short. Its steps are those of the question.
    pub(super) fn add_occurrence(&mut self, occurrence: &Occurrence) -> Result<(), Excess> {
        self.advance(occurrence.by, occurrence.steps, occurrence.time);
        self.check()
    }

    /// Collects events in short, for [`add_occurrence`](Self::add_occurrence); `None` if a step has conditions on
    /// payloads.
    pub(super) fn collector(&self) -> Option<OccurrenceFold> {
        let has_conditions = self.question.steps.iter().any(|step| !step.payload.is_empty());
        let types = self.question.steps.iter().map(|step| step.event_type.clone()).collect();
        (!has_conditions).then(|| OccurrenceFold::new(types, &self.question.by, self.seed, self.limits))
    }

    fn check(&self) -> Result<(), Excess> {
        if self.held_bytes() > self.limits.bytes_max {
            return Err(Excess::Memory { of: Rows::Values, max: self.limits.bytes_max });
        }
        Ok(())
    }

    /// Adds the results of another one, whose events had other values of `by`.
    pub(super) fn merge(&mut self, other: &Self) {
        for (result, other) in self.results.iter_mut().zip(&other.results) {
            result.count += other.count;
            result.seconds.merge(&other.seconds);
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.by.held_bytes()
            + self.starts.capacity() * size_of::<i64>()
            + self.has_further.capacity() * size_of::<u32>()
            + self.further.capacity() * size_of::<Further>()
            + self.attempts.capacity() * size_of::<Attempt>()
    }

    pub(super) fn finish(self) -> FunnelSteps {
        FunnelSteps { question: self.question, results: self.results }
    }

    /// Takes a value of `by` further: its event is each step whose bit in `matching` is set.
    fn advance(&mut self, by: u128, matching: u16, now: i64) {
        let found = self.by.find(by);
        if let Some(number) = found {
            for step in (1..self.tests.len()).rev().filter(|step| matching >> step & 1 == 1) {
                self.reach(number, step, now);
            }
        }
        if matching & 1 == 0 {
            return;
        }
        match found {
            Some(number) => {
                if let Some(start) = self.starts.get_mut(index(number)) {
                    *start = now;
                }
            }
            None => {
                self.by.add(by);
                push(&mut self.starts, now);
                push(&mut self.has_further, NONE);
                if let Some(first) = self.results.first_mut() {
                    first.count += 1;
                }
            }
        }
    }

    /// A value of `by` has an event of a step that is not the first.
    fn reach(&mut self, number: u32, step: usize, now: i64) {
        let Some(before) = self.attempt(number, step - 1) else { return };
        if now.abs_diff(before.start) > self.within {
            return;
        }
        let further = self.further_of(number);
        let between = self.between();
        if let (Some(Further(furthest)), Some(result)) = (self.further.get_mut(further), self.results.get_mut(step))
            && usize::from(*furthest) < step
        {
            *furthest = u8::try_from(step).expect("there are at most ten steps");
            result.count += 1;
            result.seconds.add(now.abs_diff(before.reached) as f64 / NANOS_PER_SECOND);
        }
        // The last step has no attempt, since nothing comes after it.
        if step <= between
            && let Some(attempt) = self.attempts.get_mut(further * between + step - 1)
            && (attempt.reached == i64::MIN || before.start > attempt.start)
        {
            *attempt = Attempt { start: before.start, reached: now };
        }
    }

    /// The latest attempt of a value that has reached a step; `None` if there is none.
    fn attempt(&self, number: u32, step: usize) -> Option<Attempt> {
        let start = *self.starts.get(index(number))?;
        if step == 0 {
            return Some(Attempt { start, reached: start });
        }
        let further = self.has_further.get(index(number)).filter(|further| **further != NONE)?;
        let Further(furthest) = self.further.get(index(*further))?;
        let has_reached = usize::from(*furthest) >= step;
        self.attempts.get(index(*further) * self.between() + step - 1).copied().filter(|_| has_reached)
    }

    /// The index of a value in `further`. Adds it if it is missing.
    fn further_of(&mut self, number: u32) -> usize {
        let between = self.between();
        let Some(further) = self.has_further.get_mut(index(number)) else { return usize::MAX };
        if *further == NONE {
            *further =
                u32::try_from(self.further.len()).expect("the limit on memory is reached long before 2^32 values");
            push(&mut self.further, Further(0));
            for _ in 0..between {
                push(&mut self.attempts, Attempt::NEVER);
            }
        }
        index(*further)
    }

    /// How many steps there are between the first and the last one.
    fn between(&self) -> usize {
        self.tests.len().saturating_sub(2)
    }
}

impl FunnelSteps {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"by\":");
        write_string(&alloc::format!("payload.{}", self.question.by), out);
        out.extend_from_slice(b",\"steps\":[");
        let first = self.results.first().map_or(0, |result| result.count);
        let mut before = None;
        for (step, result) in self.question.steps.iter().zip(&self.results) {
            out.extend_from_slice(if before.is_some() { b"," } else { b"" });
            out.extend_from_slice(b"{\"type\":");
            write_string(&step.event_type, out);
            out.extend_from_slice(b",\"count\":");
            write_u64(result.count, out);
            out.extend_from_slice(b",\"conversion\":");
            write_share(result.count, Some(first), out);
            out.extend_from_slice(b",\"from_previous\":");
            write_share(result.count, before, out);
            out.extend_from_slice(b",\"median_seconds\":");
            match result.seconds.quantile(0.5) {
                Some(seconds) => write_f64(seconds, out),
                None => out.extend_from_slice(b"null"),
            }
            out.push(b'}');
            before = Some(result.count);
        }
        out.extend_from_slice(b"]}");
    }
}

/// Appends a part as a share of the whole; null if there is no whole, or if it is zero.
fn write_share(part: u64, whole: Option<u64>, out: &mut Vec<u8>) {
    match whole {
        Some(whole @ 1..) => write_f64(part as f64 / whole as f64, out),
        Some(0) | None => out.extend_from_slice(b"null"),
    }
}
