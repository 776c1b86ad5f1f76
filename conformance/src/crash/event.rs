//! The events of a run. All that an event is follows from its token, so that nobody has to remember what was sent.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::draw::mixed;

/// Types that events have. An audit of everything asks for one after the other.
pub(crate) const TYPES: [&str; 5] = ["page_view", "order.placed", "#channel", "größe", "t"];

/// A payload up to its token.
const TOKEN_BEGINS: &str = r#"{"token":"#;

/// What stands in the payload of one event and of no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token(u64);

/// An event as it is sent and has to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type.
    pub(crate) event_type: &'static str,
    /// Its time, as the service writes times.
    pub(crate) timestamp: String,
    /// Its payload, without white space.
    pub(crate) payload: String,
    /// Its id, if it is ours.
    pub(crate) id: Option<String>,
}

/// The members of an event that is given.
#[derive(Debug, Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    /// As its bytes are: a reader of numbers and escapes would let changed ones pass.
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// An event as it came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its place.
    pub(crate) seq: u64,
    /// Which one it is.
    pub(crate) token: Token,
    /// Its id.
    pub(crate) id: String,
}

impl Token {
    /// The token of the event of this number: with an id of ours or without, with much payload or with little.
    pub(crate) fn new(number: u64, named: bool, long: bool) -> Self {
        Self(number << 2 | u64::from(long) << 1 | u64::from(named))
    }

    /// The number that it was made of.
    pub(crate) fn number(self) -> usize {
        usize::try_from(self.0 >> 2).unwrap_or(usize::MAX)
    }

    /// Whether its event has an id of ours.
    pub(crate) fn is_named(self) -> bool {
        self.0 & 1 == 1
    }

    /// Its event.
    pub(crate) fn event(self) -> Event {
        let Self(token) = self;
        let chance = mixed(token ^ 0x6a09_e667_f3bc_c908);
        let event_type = TYPES.get((chance % TYPES.len() as u64) as usize).copied().unwrap_or_default();
        // A second of a day, and never a whole one: so there are always three digits behind the point.
        let (second, millis) = (chance / 7 % 86_400, 1 + chance / 13 % 999);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let timestamp = format!("2024-05-01T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
        let pad = if token & 2 == 2 { 20 + chance / 17 % 100 } else { chance / 17 % 6 };
        let pad = format!("{chance:016x}").repeat(pad as usize);
        // Numbers and escapes that a parser would write otherwise.
        let payload = format!(r#"{TOKEN_BEGINS}{token},"amount":1.50,"far":-2E+3,"text":"\u00e9é\/","pad":"{pad}"}}"#);
        let id = self.is_named().then(|| format!("ours/{token}"));
        Event { event_type, timestamp, payload, id }
    }
}

impl Event {
    /// As it is submitted.
    pub(crate) fn to_json(&self) -> String {
        let Self { event_type, timestamp, payload, id } = self;
        let id = id.as_ref().map(|id| format!(r#","id":"{id}""#)).unwrap_or_default();
        format!(r#"{{"event_type":"{event_type}","timestamp":"{timestamp}","payload":{payload}{id}}}"#)
    }
}

impl Found {
    /// Reads an event that the service has given, and holds it against the one that its token stands for.
    ///
    /// # Errors
    ///
    /// What is not as it was sent.
    pub(crate) fn read(line: &str) -> Result<(Self, String), String> {
        let given: Given<'_> =
            serde_json::from_str(line).map_err(|error| format!("no event in JSON ({error}): {line}"))?;
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
            return Err(format!("an event that is not what was sent:\n  sent:  {}\n  found: {line}", event.to_json()));
        }
        Ok((Self { seq: given.seq, token, id: given.id.into_owned() }, event.timestamp))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_event_is_known_again_and_a_changed_one_is_not() {
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
