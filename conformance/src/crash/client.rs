//! A client that submits random events over a connection that stays open, and records the answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argus_conformance::client::{Connection, Request, Response, Transcript};
use argus_conformance::failure::Failure;
use argus_conformance::random::Random;
use serde_json::Value;

use crate::erasure::Selection;
use crate::event::Token;
use crate::ledger::{Attempt, Ledger, Outcome};
use crate::wait::wait;

/// The most acknowledged events that a client remembers, to send them again.
const REMEMBERED: usize = 256;
/// The pause of a client that was refused, in place of that of the load. The server asks for a longer one.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(10);
/// The name of the host in requests, which the servers do not look at.
const HOST: &str = "argus";
/// The most acknowledged events that a batch repeats.
const REPEATED_MAX: u64 = 5;

/// The work of a round, shared by its clients.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// The servers.
    pub(crate) addresses: &'a [SocketAddr],
    /// Assigns tokens, and knows what earlier rounds stored.
    pub(crate) ledger: &'a Ledger,
    /// The number of events that may still be sent in batches.
    pub(crate) budget: AtomicI64,
    /// The least and the most events in a batch.
    pub(crate) batch: (u64, u64),
    /// The percentage of requests that are batches.
    pub(crate) batches: u64,
    /// Whether events have long payloads.
    pub(crate) long: bool,
    /// The pause between two requests of a client.
    pub(crate) pause: Duration,
    /// Unanswered requests of earlier rounds, to be repeated. No stored event in them may be erased meanwhile.
    pub(crate) unanswered: Mutex<Vec<Vec<Token>>>,
    /// What may be erased meanwhile, in this order.
    pub(crate) erasures: &'a [Selection],
    /// How many of these erasures were answered.
    pub(crate) answered: AtomicUsize,
    /// Set to end the load.
    pub(crate) stop: AtomicBool,
}

/// One of the clients.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    work: &'a Work<'a>,
    random: Random,
    connection: Option<Connection>,
    acknowledged: Vec<(Token, u64)>,
    attempts: Vec<Attempt>,
}

impl<'a> Client<'a> {
    /// A client with its own random numbers.
    pub(crate) fn new(work: &'a Work<'a>, random: Random) -> Self {
        Self { work, random, connection: None, acknowledged: Vec::new(), attempts: Vec::new() }
    }

    /// Submits until `stop` is set or all servers are gone.
    ///
    /// # Errors
    ///
    /// An answer that breaks a promise.
    pub(crate) fn run(mut self) -> Result<Vec<Attempt>, String> {
        while !self.work.stop.load(Ordering::Relaxed) {
            if !self.is_connected() {
                break;
            }
            let earlier = self.attempts.len();
            self.submit()?;
            let is_refused = |attempt: &Attempt| matches!(attempt.outcome, Outcome::Refused(_));
            let refused = self.attempts.iter().skip(earlier).any(is_refused);
            wait(if refused { PAUSE_AFTER_REFUSAL } else { self.work.pause });
        }
        Ok(self.attempts)
    }

    fn is_connected(&mut self) -> bool {
        if self.connection.is_none() {
            self.connection = self.connect();
        }
        self.connection.is_some()
    }

    /// A connection to a random server. `None` if all are gone.
    fn connect(&mut self) -> Option<Connection> {
        let addresses = self.work.addresses;
        let first = self.random.below(addresses.len());
        let turns = addresses.iter().cycle().skip(first).take(addresses.len());
        turns.copied().find_map(|address| Connection::open(address, Transcript::default()).ok())
    }

    fn submit(&mut self) -> Result<(), String> {
        if self.random.percent(5) && self.repeat_unanswered()? {
            return Ok(());
        }
        if self.random.percent(self.work.batches) {
            let size = self.random.from(self.work.batch.0..=self.work.batch.1);
            let signed = i64::try_from(size).unwrap_or(i64::MAX);
            if self.work.budget.fetch_sub(signed, Ordering::Relaxed) >= signed {
                return self.batch(size);
            }
        }
        let named = self.random.percent(50);
        match self.random.from(0..=99) {
            0..=9 => match self.known() {
                Some(known) => self.single(Vec::new(), vec![known]),
                None => Ok(()),
            },
            10..=13 => self.send_twice_at_once(),
            _ => self.single(vec![self.work.ledger.token(named, self.work.long)], Vec::new()),
        }
    }

    /// An acknowledged event with an id from the client. Not one that may be erased before it is sent again.
    fn known(&mut self) -> Option<(Token, u64)> {
        let drawn = if self.random.percent(50) {
            let drawn = self.random.from(1..=self.work.ledger.len().max(1));
            let earlier = self.work.ledger.at(drawn).map(|(token, _)| (token, drawn));
            earlier.filter(|(token, _)| token.is_named())
        } else {
            self.random.pick(&self.acknowledged).copied()
        };
        drawn.filter(|&(token, _)| !self.may_be_erased(token))
    }

    fn may_be_erased(&self, token: Token) -> bool {
        self.work.erasures.iter().any(|selection| selection.has(token))
    }

    /// Repeats an unanswered request of an earlier round, with the same ids. Events that the restart showed to be
    /// stored must be duplicates.
    fn repeat_unanswered(&mut self) -> Result<bool, String> {
        let unanswered = self.work.unanswered.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(tokens) = unanswered else { return Ok(false) };
        let (mut fresh, mut repeats) = (Vec::new(), Vec::new());
        for &token in &tokens {
            match self.work.ledger.seq(token) {
                Some(seq) => repeats.push((token, seq)),
                None => fresh.push(token),
            }
        }
        let request = if tokens.len() == 1 { one(&tokens) } else { self.many(&tokens, false) };
        self.attempt(&request, fresh, repeats)?;
        Ok(true)
    }

    fn single(&mut self, fresh: Vec<Token>, repeats: Vec<(Token, u64)>) -> Result<(), String> {
        let tokens: Vec<Token> = fresh.iter().copied().chain(repeats.iter().map(|known| known.0)).collect();
        self.attempt(&one(&tokens), fresh, repeats)
    }

    fn batch(&mut self, size: u64) -> Result<(), String> {
        let named = self.random.percent(50);
        let fresh: Vec<Token> = (0..size).map(|_| self.work.ledger.token(named, self.work.long)).collect();
        let mut tokens = fresh.clone();
        let mut repeats: Vec<(Token, u64)> = Vec::new();
        if self.random.percent(20) {
            for _ in 0..self.random.from(1..=REPEATED_MAX) {
                let Some(known) = self.known() else { continue };
                if !repeats.contains(&known) {
                    repeats.push(known);
                    let place = self.random.from(0..=tokens.len() as u64);
                    tokens.insert(usize::try_from(place).unwrap_or_default().min(tokens.len()), known.0);
                }
            }
        }
        let faulty = self.random.percent(4);
        let request = self.many(&tokens, faulty);
        self.attempt(&request, fresh, repeats)
    }

    /// A batch as an array or as lines. With `faulty`, an invalid event at the end causes all to be refused.
    fn many(&mut self, tokens: &[Token], faulty: bool) -> Request {
        let mut events: Vec<String> = tokens.iter().map(|token| token.event().to_json()).collect();
        if faulty {
            events.push(r#"{"event_type":"without a time","payload":null}"#.to_owned());
        }
        if self.random.percent(50) {
            Request::post("/events", "application/json", format!("[{}]", events.join(",")))
        } else {
            Request::post("/events", "application/x-ndjson", events.join("\n"))
        }
    }

    /// Sends the same new event over two connections at once: it must be stored once, and both answers must have the
    /// same sequence number.
    fn send_twice_at_once(&mut self) -> Result<(), String> {
        let token = self.work.ledger.token(true, self.work.long);
        if self.may_be_erased(token) {
            // Erased in between, it would be stored twice.
            return self.single(vec![token], Vec::new());
        }
        let request = one(&[token]);
        let Some(mut first) = self.connection.take() else { return Ok(()) };
        let Some(mut second) = self.connect() else { return Ok(()) };
        let answered = self.work.answered.load(Ordering::Acquire);
        let bytes = request.to_bytes(HOST);
        // The answers show whether the bytes arrived.
        let _ = (first.write(&bytes), second.write(&bytes));
        let responses = [first.response_to("POST"), second.response_to("POST")];
        self.connection = responses.first().is_some_and(stays_open).then_some(first);
        let [one, other] = responses.map(outcome);
        let answers = [one?, other?];
        let acknowledged: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                Outcome::One { seq, duplicate, .. } => Some((*seq, *duplicate)),
                Outcome::Many { .. } | Outcome::Unknown(_) | Outcome::Refused(_) => None,
            })
            .collect();
        if let [(seq, is_duplicate), (other_seq, other_is_duplicate)] = acknowledged.as_slice()
            && (seq != other_seq || is_duplicate == other_is_duplicate)
        {
            return Err(format!(
                "one event, sent twice at the same time, was acknowledged as {acknowledged:?} (seq, duplicate)"
            ));
        }
        // A duplicate proves that the event is stored: by the other request, whose answer may be lost.
        let doubt = |answer: &Outcome| match answer {
            Outcome::One { duplicate: false, .. } => 0,
            Outcome::One { .. } | Outcome::Many { .. } => 1,
            Outcome::Unknown(_) => 2,
            Outcome::Refused(_) => 3,
        };
        let [one, other] = answers;
        let mut outcome = if doubt(&one) <= doubt(&other) { one } else { other };
        if let Outcome::One { duplicate, .. } = &mut outcome {
            *duplicate = false;
        }
        self.note(Attempt { fresh: vec![token], repeats: Vec::new(), answered, outcome });
        Ok(())
    }

    fn attempt(&mut self, request: &Request, fresh: Vec<Token>, repeats: Vec<(Token, u64)>) -> Result<(), String> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let answered = self.work.answered.load(Ordering::Acquire);
        let response = connection.request(request);
        if !stays_open(&response) {
            self.connection = None;
        }
        let outcome = outcome(response)?;
        self.note(Attempt { fresh, repeats, answered, outcome });
        Ok(())
    }

    fn note(&mut self, attempt: Attempt) {
        self.work.ledger.acknowledge(&attempt.outcome);
        let first = match &attempt.outcome {
            Outcome::One { seq, .. } => Some(*seq),
            Outcome::Many { first_seq, .. } => *first_seq,
            Outcome::Unknown(_) | Outcome::Refused(_) => None,
        };
        if let Some(first) = first {
            let placed = attempt.fresh.iter().copied().zip(first..).filter(|(token, _)| token.is_named());
            let room = REMEMBERED.saturating_sub(self.acknowledged.len()).min(8);
            self.acknowledged.extend(placed.take(room));
        }
        self.attempts.push(attempt);
    }
}

/// Whether the server takes another request over the connection of this answer.
fn stays_open(response: &Result<Response, Failure>) -> bool {
    response.as_ref().is_ok_and(|response| response.header("connection") != Some("close"))
}

/// The request for one event.
pub(crate) fn one(tokens: &[Token]) -> Request {
    let body: Vec<String> = tokens.iter().map(|token| token.event().to_json()).collect();
    Request::post("/events", "application/json", body.concat())
}

/// Interprets an answer.
///
/// # Errors
///
/// No request of these clients can have this answer, or it promises less than the default settings do.
pub(crate) fn outcome(response: Result<Response, Failure>) -> Result<Outcome, String> {
    let response = match response {
        Ok(response) => response,
        Err(failure) => return Ok(Outcome::Unknown(failure.to_string())),
    };
    let body = response.json().map_err(|failure| failure.to_string())?;
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if response.status() == 201 {
        if body.get("durable") != Some(&Value::Bool(true)) {
            return Err(format!("an acknowledgement without durability: {body}"));
        }
        let duplicate = body.get("duplicate").and_then(Value::as_bool);
        return match (number("seq"), duplicate, number("accepted"), number("duplicates")) {
            (Some(seq), Some(duplicate), None, None) => Ok(Outcome::One { seq, duplicate, id: text("id") }),
            (None, None, Some(accepted), Some(duplicates)) => {
                Ok(Outcome::Many { accepted, duplicates, first_seq: number("first_seq") })
            }
            _ => Err(format!("an unknown form of acknowledgement: {body}")),
        };
    }
    let what = format!("{} {}", text("type"), text("detail"));
    match (response.status(), text("type").as_str()) {
        (503, "/problems/storage-unavailable") if response.header("retry-after").is_none() => {
            Err(format!("an answer without Retry-After: {what}"))
        }
        (503, "/problems/overloaded" | "/problems/draining" | "/problems/storage-full")
        | (422, "/problems/invalid-events") => Ok(Outcome::Refused(what)),
        (503, "/problems/storage-failed" | "/problems/storage-unavailable")
            if text("detail").starts_with("nothing was stored") =>
        {
            Ok(Outcome::Refused(what))
        }
        (503, "/problems/storage-failed" | "/problems/storage-unavailable" | "/problems/timeout") => {
            Ok(Outcome::Unknown(what))
        }
        (status, _) => Err(format!("an unexpected answer: {status} {body}")),
    }
}
