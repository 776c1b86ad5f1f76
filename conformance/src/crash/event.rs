//! The events of a run. A token determines all of an event, so nobody has to remember what was sent.

use std::borrow::Cow;

use argus_conformance::random::mixed;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The event types. An audit of everything queries one after the other.
pub(crate) const TYPES: [&str; 5] = ["page_view", "order.placed", "#channel", "größe", "t"];

/// The users, `u0`, `u1`, and so on: a member of payloads.
pub(crate) const USERS: u64 = 50;

/// The start of every payload, before the token.
const TOKEN_BEGINS: &str = r#"{"token":"#;

/// A number that identifies an event. It is in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token(u64);

/// An event as it is sent and must be returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type.
    pub(crate) event_type: &'static str,
    /// Its time in the service's format.
    pub(crate) timestamp: String,
    /// Its payload, without white space.
    pub(crate) payload: String,
    /// Its id, if the client sets it.
    pub(crate) id: Option<String>,
}

/// The parts of an event by which events are erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Its type.
    pub(crate) event_type: &'static str,
    /// Its time, in milliseconds of its day.
    pub(crate) millis: u64,
    /// The number of its user.
    pub(crate) user: u64,
}

/// The members of a returned event.
#[derive(Debug, Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    /// Compared byte for byte: parsing numbers and escapes would hide changes.
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// A returned event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its sequence number.
    pub(crate) seq: u64,
    /// Its token.
    pub(crate) token: Token,
    /// Its id.
    pub(crate) id: String,
}

impl Token {
    /// The token of this number: with an id of the client's or without, with a long payload or a short one.
    pub(crate) fn new(number: u64, named: bool, long: bool) -> Self {
        Self(number << 2 | u64::from(long) << 1 | u64::from(named))
    }

    /// The number that it was made from.
    pub(crate) fn number(self) -> usize {
        usize::try_from(self.0 >> 2).unwrap_or(usize::MAX)
    }

    fn chance(self) -> u64 {
        mixed(self.0 ^ 0x6a09_e667_f3bc_c908)
    }

    /// Whether its event has an id of the client's.
    pub(crate) fn is_named(self) -> bool {
        self.0 & 1 == 1
    }

    /// The parts of its event by which events are erased.
    pub(crate) fn traits(self) -> Traits {
        let chance = self.chance();
        let event_type = TYPES.get((chance % TYPES.len() as u64) as usize).copied().unwrap_or_default();
        // A time of day that is never a whole second, so the service always writes three decimals.
        let millis = chance / 7 % 86_400 * 1000 + 1 + chance / 13 % 999;
        Traits { event_type, millis, user: chance / 19 % USERS }
    }

    /// Its event.
    pub(crate) fn event(self) -> Event {
        let Self(token) = self;
        let chance = self.chance();
        let Traits { event_type, millis, user } = self.traits();
        let (second, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let timestamp = format!("2024-05-01T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
        let pad = if token & 2 == 2 { 20 + chance / 17 % 100 } else { chance / 17 % 6 };
        let pad = format!("{chance:016x}").repeat(pad as usize);
        // Numbers and escapes that a parser would write differently.
        let payload = format!(
            r#"{TOKEN_BEGINS}{token},"user":"u{user}","amount":1.50,"far":-2E+3,"text":"\u00e9é\/","pad":"{pad}"}}"#
        );
        let id = self.is_named().then(|| format!("ours/{token}"));
        Event { event_type, timestamp, payload, id }
    }
}

impl Event {
    /// The event as it is submitted.
    pub(crate) fn to_json(&self) -> String {
        let Self { event_type, timestamp, payload, id } = self;
        let id = id.as_ref().map(|id| format!(r#","id":"{id}""#)).unwrap_or_default();
        format!(r#"{{"event_type":"{event_type}","timestamp":"{timestamp}","payload":{payload}{id}}}"#)
    }
}

impl Found {
    /// Parses an event returned by the service, and compares it with the one that its token determines.
    ///
    /// # Errors
    ///
    /// How it differs from what was sent.
    pub(crate) fn read(line: &str) -> Result<(Self, String), String> {
        let given: Given<'_> = serde_json::from_str(line).map_err(|error| format!("not an event ({error}): {line}"))?;
        let payload = given.payload.get();
        let digits = payload.strip_prefix(TOKEN_BEGINS).and_then(|rest| rest.split(',').next());
        let Some(token) = digits.and_then(|digits| digits.parse().ok()).map(Token) else {
            return Err(format!("an event without a token: {line}"));
        };
        let event = token.event();
        let as_sent = given.event_type == event.event_type
            && given.timestamp == event.timestamp
            && payload == event.payload
            && event.id.as_deref().is_none_or(|sent| sent == given.id);
        if !as_sent {
            return Err(format!("an event differs from what was sent:\n  sent:  {}\n  found: {line}", event.to_json()));
        }
        Ok((Self { seq: given.seq, token, id: given.id.into_owned() }, event.timestamp))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_event_is_recognised_and_a_changed_one_is_not() {
        for (named, long) in [(false, false), (false, true), (true, false), (true, true)] {
            let token = Token::new(12, named, long);
            let sent = token.event();
            let id = sent.id.clone().unwrap_or_else(|| "generated".to_owned());
            let line = format!(
                r#"{{"id":"{id}","seq":3,"event_type":"{}","timestamp":"{}","payload":{}}}"#,
                sent.event_type, sent.timestamp, sent.payload
            );
            let (found, _) = Found::read(&line).unwrap();
            assert_eq!(found, Found { seq: 3, token, id });
            for (from, to) in [("1.50", "1.5"), ("2024", "2023"), ("\"text\"", "\"texts\""), ("event_type", "type")] {
                assert!(Found::read(&line.replace(from, to)).is_err(), "{from}");
            }
        }
    }
}
