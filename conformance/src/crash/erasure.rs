//! Erasures while others submit: which events they select, and what their clients are told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use argus_conformance::client::{Request, Response};
use argus_conformance::failure::Failure;
use argus_conformance::random::Random;
use serde_json::Value;

use crate::event::{TYPES, Token, USERS};
use crate::server::open;

/// The most erasures in a round.
const ERASURES_MAX: u64 = 3;
/// The longest span of time that an erasure selects, in seconds of the day that events are from.
const SPAN_MAX: u64 = 3 * 3600;
const DAY: u64 = 86_400;

/// The events that an erasure selects: all of its conditions hold for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    event_type: Option<&'static str>,
    /// The first and the last second of the day. An event is never at a whole second.
    seconds: Option<(u64, u64)>,
    user: Option<u64>,
}

/// A `DELETE` and its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    /// What it selects.
    pub(crate) selection: Selection,
    /// The highest sequence number that was acknowledged before it was sent.
    pub(crate) known: u64,
    /// The answer.
    pub(crate) outcome: Erased,
}

/// The answer to a `DELETE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Erased {
    /// The events are erased. Their number, if they were counted in time.
    Done(Option<u64>),
    /// No answer, or "outcome unknown": all of the events are erased, or none. The reason.
    Unknown(String),
    /// Nothing is erased. The reason.
    Refused(String),
}

impl Selection {
    /// The selections of the erasures of a round; often none.
    pub(crate) fn draw(random: &mut Random) -> Vec<Self> {
        let count = if random.percent(60) { random.from(1..=ERASURES_MAX) } else { 0 };
        (0..count).map(|_| Self::draw_one(random)).collect()
    }

    fn draw_one(random: &mut Random) -> Self {
        let mut event_type = None;
        let mut user = None;
        let mut span = None;
        match random.from(0..=9) {
            // Rare: it takes a fifth of all events.
            0 => event_type = random.pick(&TYPES).copied(),
            1..=3 => {
                event_type = random.pick(&TYPES).copied();
                span = Some(random.from(1..=SPAN_MAX));
            }
            4..=6 => span = Some(random.from(1..=SPAN_MAX / 4)),
            _ => user = Some(random.from(0..=USERS - 1)),
        }
        let seconds = span.map(|span| {
            let first = random.from(0..=DAY - 1 - span);
            (first, first + span)
        });
        Self { event_type, seconds, user }
    }

    /// All events of a type.
    #[cfg(test)]
    pub(crate) fn of_type(event_type: &'static str) -> Self {
        Self { event_type: Some(event_type), seconds: None, user: None }
    }

    /// Whether it selects the event of this token.
    pub(crate) fn has(&self, token: Token) -> bool {
        let traits = token.traits();
        self.event_type.is_none_or(|event_type| event_type == traits.event_type)
            && self.user.is_none_or(|user| user == traits.user)
            && self.seconds.is_none_or(|(first, last)| (first * 1000..=last * 1000).contains(&traits.millis))
    }

    fn target(&self) -> String {
        let mut filters = Vec::new();
        if let Some(event_type) = self.event_type {
            let encoded: String = event_type.bytes().map(|byte| format!("%{byte:02X}")).collect();
            filters.push(format!("type={encoded}"));
        }
        if let Some((first, last)) = self.seconds {
            let time = |second: u64| {
                let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                format!("2024-05-01T{hour:02}:{minute:02}:{second:02}Z")
            };
            filters.push(format!("start={}&end={}", time(first), time(last)));
        }
        filters.extend(self.user.map(|user| format!("payload.user=u{user}")));
        format!("/events?{}", filters.join("&"))
    }

    /// Erases what it selects. `known` is the highest sequence number that was acknowledged so far; `answered` counts
    /// the answers to erasures.
    ///
    /// # Errors
    ///
    /// An answer that no erasure can have.
    pub(crate) fn erase(&self, address: SocketAddr, known: u64, answered: &AtomicUsize) -> Result<Erasure, String> {
        let outcome = match open(address) {
            Ok(mut connection) => outcome(connection.request(&Request::new("DELETE", &self.target())))?,
            Err(error) => Erased::Refused(error),
        };
        answered.fetch_add(1, Ordering::AcqRel);
        Ok(Erasure { selection: self.clone(), known, outcome })
    }
}

impl Erasure {
    /// Whether it may have erased the event of this token. It is the erasure of this number in its round, from 0 on;
    /// `answered` is how many of them had been answered when the event was sent.
    pub(crate) fn may_have(&self, number: usize, token: Token, answered: usize) -> bool {
        let is_in_time = match &self.outcome {
            Erased::Done(_) => answered <= number,
            // Without an answer, nobody knows when it took place.
            Erased::Unknown(_) => true,
            Erased::Refused(_) => false,
        };
        is_in_time && self.selection.has(token)
    }
}

fn outcome(response: Result<Response, Failure>) -> Result<Erased, String> {
    let response = match response {
        Ok(response) => response,
        Err(failure) => return Ok(Erased::Unknown(failure.to_string())),
    };
    let body = response.json().map_err(|failure| failure.to_string())?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let detail = text("detail");
    match (response.status(), text("type")) {
        (200, _) => match body.get("erased").and_then(Value::as_u64) {
            Some(erased) => Ok(Erased::Done(Some(erased))),
            None => Err(format!("an unknown form of answer to an erasure: {body}")),
        },
        (503, "/problems/timeout") if detail.contains("are erased for good") => Ok(Erased::Done(None)),
        (503, _) if detail.contains("unknown") || detail.starts_with("events may have been erased") => {
            Ok(Erased::Unknown(detail.to_owned()))
        }
        (503 | 507, _) if detail.starts_with("nothing was erased") => Ok(Erased::Refused(detail.to_owned())),
        (503, "/problems/draining") => Ok(Erased::Refused(detail.to_owned())),
        (status, _) => Err(format!("an unexpected answer to an erasure: {status} {body}")),
    }
}
