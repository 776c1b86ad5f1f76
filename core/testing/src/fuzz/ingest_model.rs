//! What a body of native events means: `serde_json` for the grammar, and the rules of the wire contract in the simplest
//! way.

use std::collections::BTreeSet;
use std::fmt;

use argus_core::event::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::Draft;
use super::time_model;

/// Limits that inputs of some thousand bytes reach.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1_200;
/// See [`PAYLOAD_BYTES_MAX`].
pub(super) const DEPTH_MAX: usize = 6;
/// See [`PAYLOAD_BYTES_MAX`].
pub(super) const TYPES_MAX: usize = 3;

/// The most digits of a number in a payload.
const NUMBER_DIGITS_MAX: usize = 1_000;

/// One item of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Not JSON.
    Broken,
    /// JSON, but not a valid event.
    Invalid,
    /// A valid event.
    Valid(Draft),
}

impl Item {
    /// The event, if it is valid.
    pub(super) fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Valid(draft) => Some(draft),
            Self::Broken | Self::Invalid => None,
        }
    }
}

/// The items of a document, and whether it is a single one. `None` if it is not JSON.
pub(super) fn document(body: &[u8]) -> Option<(Vec<Item>, bool)> {
    let text = std::str::from_utf8(without_mark(body)).ok()?;
    let value: &RawValue = serde_json::from_str(text).ok()?;
    if !value.get().starts_with('[') {
        return Some((Vec::from([item(native(value.get()))]), true));
    }
    let values: Vec<&RawValue> = serde_json::from_str(text).expect("it is JSON and begins as an array");
    Some((with_few_types(values.into_iter().map(|value| item(native(value.get()))).collect()), false))
}

/// The items of a body of lines, each of which `read` reads.
pub(super) fn lines(body: &[u8], read: impl Fn(&str) -> Option<Draft>) -> Vec<Item> {
    let lines = without_mark(body).split(|byte| *byte == b'\n');
    let full = lines.filter(|line| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')));
    with_few_types(full.map(|line| self::line(line, &read)).collect())
}

fn line(line: &[u8], read: impl Fn(&str) -> Option<Draft>) -> Item {
    let Ok(text) = std::str::from_utf8(line) else { return Item::Broken };
    serde_json::from_str(text).map_or(Item::Broken, |value: &RawValue| item(read(value.get())))
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// Makes events invalid whose type would be one too many.
fn with_few_types(items: Vec<Item>) -> Vec<Item> {
    let mut types = BTreeSet::new();
    let limited = |item: Item| match item {
        Item::Valid(draft) if types.len() >= TYPES_MAX && !types.contains(&draft.event_type) => Item::Invalid,
        Item::Valid(draft) => {
            types.insert(draft.event_type.clone());
            Item::Valid(draft)
        }
        Item::Broken | Item::Invalid => item,
    };
    items.into_iter().map(limited).collect()
}

fn item(read: Option<Draft>) -> Item {
    read.map_or(Item::Invalid, Item::Valid)
}

/// The native event of a JSON text; `None` if it is invalid.
pub(super) fn native(json: &str) -> Option<Draft> {
    let Members(members) = serde_json::from_str(json).ok()?;
    let (mut event_type, mut timestamp, mut payload, mut id) = (None, None, None, None);
    for (name, value) in members {
        let slot = match string(name.get())?.as_str() {
            "event_type" => &mut event_type,
            "timestamp" => &mut timestamp,
            "payload" => &mut payload,
            "id" => &mut id,
            _ => return None,
        };
        if slot.replace(value.get()).is_some() {
            return None;
        }
    }
    let id = match id {
        None => None,
        Some(id) => Some(string(id).filter(|id| is_id(id))?),
    };
    Some(Draft {
        event_type: string(event_type?).filter(|text| is_type(text))?,
        timestamp: Timestamp::from_nanos(time(timestamp?)?),
        payload: self::payload(payload?)?,
        id,
    })
}

/// The text of a JSON string; `None` for other values, and for unpaired surrogates.
pub(super) fn string(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Nanoseconds since the Unix epoch of a JSON value; `None` if it is no time.
pub(super) fn time(json: &str) -> Option<i64> {
    match string(json) {
        Some(text) => time_model::text(&text),
        None => time_model::number(json),
    }
}

/// Whether a text is a valid event type.
pub(super) fn is_type(text: &str) -> bool {
    let is_forbidden = |character: char| {
        character.is_control()
            || ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{feff}'].contains(&character)
            || ('\u{202a}'..='\u{202e}').contains(&character)
            || ('\u{2066}'..='\u{2069}').contains(&character)
    };
    (1..=256).contains(&text.len()) && !text.chars().any(is_forbidden)
}

/// Whether a text is a valid id of a caller.
pub(super) fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The payload of a JSON text without insignificant white space; `None` beyond a limit.
pub(super) fn payload(json: &str) -> Option<String> {
    Some(compact(json)).filter(|json| is_payload(json))
}

/// Whether compact JSON is within the limits.
fn is_payload(json: &str) -> bool {
    let (mut depth, mut deepest, mut digits, mut most_digits) = (0_usize, 0, 0, 0);
    for (character, in_string) in tokens(json) {
        match character {
            _ if in_string => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        digits = match character {
            _ if in_string => 0,
            '0'..='9' => digits + 1,
            '+' | '-' | '.' | 'e' | 'E' => digits,
            _ => 0,
        };
        deepest = deepest.max(depth);
        most_digits = most_digits.max(digits);
    }
    json.len() <= PAYLOAD_BYTES_MAX && deepest <= DEPTH_MAX && most_digits <= NUMBER_DIGITS_MAX
}

/// JSON without white space between tokens.
fn compact(json: &str) -> String {
    let is_space = |character: char| matches!(character, ' ' | '\t' | '\n' | '\r');
    tokens(json).filter(|&(sign, in_string)| in_string || !is_space(sign)).map(|(sign, _)| sign).collect()
}

/// The characters of valid JSON, and whether each is part of a string, its quotes included.
fn tokens(json: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut in_string, mut is_escaped) = (false, false);
    json.chars().map(move |character| {
        let was_in_string = in_string;
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        (character, in_string || was_in_string)
    })
}

/// The names and values of an object as they are written, repeated ones included.
pub(super) struct Members<'a>(pub(super) Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
