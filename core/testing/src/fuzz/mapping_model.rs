//! What a mapping makes of a foreign record, from the documents and in the simplest way.

use argus_core::event::{CLIENT_ID_BYTES_MAX, Timestamp};
use serde_json::value::RawValue;

use super::super::{Draft, NOW};
use super::ingest_model::{self, Members, string};

/// A JSON pointer as its tokens.
type Tokens = Vec<String>;

/// The parameters of a mapping.
#[derive(Debug, Default)]
pub(super) struct MappingModel {
    literal: Option<String>,
    event_type: Option<Tokens>,
    time: Vec<Tokens>,
    id: Vec<Tokens>,
    payload: Option<Tokens>,
}

/// What a pointer leads to.
enum Place<'a> {
    Missing,
    /// Two members have the same name.
    Ambiguous,
    Value(&'a str),
}

impl MappingModel {
    /// The mapping of a query string that the core accepts. `None` if it is outside of this model: native events,
    /// records within a larger text, or characters with a meaning in URLs.
    pub(super) fn parse(query: &str) -> Option<Self> {
        let mut mapping = Self::default();
        if query.contains(['%', '+', '#']) {
            return None;
        }
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "type" => mapping.literal = Some(value.to_owned()),
                "type_from" => mapping.event_type = Some(tokens(value)),
                // The only value is `now`, which is used when no pointer leads to a time.
                "time" => {}
                "time_from" => mapping.time.push(tokens(value)),
                "id_from" => mapping.id.push(tokens(value)),
                "payload_from" => mapping.payload = Some(tokens(value)),
                _ => return None,
            }
        }
        let has_now = query.split('&').any(|parameter| parameter == "time=now");
        // An empty pointer stands for the time of arrival: no record has it at its root.
        mapping.time.extend(has_now.then(Vec::new));
        (mapping.literal.is_some() || mapping.event_type.is_some()).then_some(mapping)
    }

    /// The event of a record; `None` if it is invalid.
    pub(super) fn read(&self, record: &str) -> Option<Draft> {
        serde_json::from_str::<Members<'_>>(record).ok()?;
        let event_type = match &self.event_type {
            None => self.literal.clone()?,
            Some(tokens) => name(required(record, tokens)?)?,
        };
        let payload = self.payload.as_ref().map_or(Some(record), |tokens| required(record, tokens))?;
        Some(Draft {
            event_type: Some(event_type).filter(|text| ingest_model::is_type(text))?,
            timestamp: Timestamp::from_nanos(self.time(record)?),
            payload: ingest_model::payload(payload)?,
            id: self.id(record)?,
        })
    }

    fn time(&self, record: &str) -> Option<i64> {
        for tokens in &self.time {
            if tokens.is_empty() {
                return Some(NOW.as_nanos());
            }
            if let Some(value) = optional(record, tokens)? {
                return ingest_model::time(value);
            }
        }
        None
    }

    /// The id, if there is one; `None` if it is invalid.
    fn id(&self, record: &str) -> Option<Option<String>> {
        let mut parts = Vec::new();
        for tokens in &self.id {
            parts.push(match optional(record, tokens)? {
                None => None,
                Some(value) => {
                    let text = name(value).filter(|text| !text.is_empty() && !text.chars().any(char::is_control))?;
                    Some((value.starts_with('"'), text))
                }
            });
        }
        let Some(parts) = parts.into_iter().collect::<Option<Vec<_>>>() else { return Some(None) };
        let id = match parts.as_slice() {
            [] => return Some(None),
            [(_, text)] => text.clone(),
            parts => {
                let written = |(is_string, text): &(bool, String)| {
                    if *is_string { serde_json::to_string(text).expect("a string is JSON") } else { text.clone() }
                };
                format!("[{}]", parts.iter().map(written).collect::<Vec<_>>().join(","))
            }
        };
        (id.len() <= CLIENT_ID_BYTES_MAX).then_some(Some(id))
    }
}

/// The text of a string, or the token of a number.
fn name(value: &str) -> Option<String> {
    let is_number = value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Some(value.to_owned()) } else { string(value) }
}

fn required<'a>(record: &'a str, tokens: &[String]) -> Option<&'a str> {
    match resolve(record, tokens) {
        Place::Value(value) => Some(value),
        Place::Missing | Place::Ambiguous => None,
    }
}

/// The value, if there is one and it is not `null`; `None` if it is ambiguous.
fn optional<'a>(record: &'a str, tokens: &[String]) -> Option<Option<&'a str>> {
    match resolve(record, tokens) {
        Place::Value("null") | Place::Missing => Some(None),
        Place::Value(value) => Some(Some(value)),
        Place::Ambiguous => None,
    }
}

/// Follows a pointer (RFC 6901).
fn resolve<'a>(json: &'a str, tokens: &[String]) -> Place<'a> {
    let Some((token, rest)) = tokens.split_first() else { return Place::Value(json) };
    if let Ok(Members(members)) = serde_json::from_str::<Members<'a>>(json) {
        let mut named = members.into_iter().filter(|(name, _)| string(name.get()).as_ref() == Some(token));
        return match (named.next(), named.next()) {
            (None, _) => Place::Missing,
            (Some((_, value)), None) => resolve(value.get(), rest),
            (Some(_), Some(_)) => Place::Ambiguous,
        };
    }
    let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
    let is_index = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    let index = if is_index { token.parse::<usize>().ok() } else { None };
    index.and_then(|index| elements.get(index)).map_or(Place::Missing, |value| resolve(value.get(), rest))
}

/// The tokens of a valid pointer.
fn tokens(pointer: &str) -> Tokens {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
}
