//! Generates events and scans from a [`Random`]: mostly plain, often equal to each other, sometimes at the limits of
//! what is allowed.

mod counting;
mod json;
mod question;

use std::num::NonZeroU32;

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::event::{CLIENT_ID_BYTES_MAX, ClientId, EVENT_TYPE_BYTES_MAX, EventType, Payload, Timestamp};
use argus_core::query::{Filter, Operand, Order, PayloadFilter, PayloadPath, Position, Scan, Test, TypeTest};

pub use self::counting::{counted, turning_time};
pub use self::json::payload;
pub use self::question::question;
use super::moment::NOW;
use super::random::Random;

/// An event to store, which owns its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The event's type.
    pub event_type: String,
    /// The event's time.
    pub timestamp: Timestamp,
    /// The payload, as JSON.
    pub payload: String,
    /// The caller's id.
    pub id: Option<String>,
}

impl Draft {
    /// The draft in the form that a batch accepts.
    ///
    /// # Panics
    ///
    /// If a field of the draft was changed to an invalid value.
    #[must_use]
    pub fn as_new_event(&self) -> NewEvent<'_> {
        NewEvent {
            event_type: EventType::parse(&self.event_type).expect("generators give valid types"),
            timestamp: self.timestamp,
            payload: Payload::parse(&self.payload).expect("generators give valid payloads"),
            id: self.id.as_deref().map(|id| ClientId::parse(id).expect("generators give valid ids")),
        }
    }
}

/// The batch of these events.
///
/// # Panics
///
/// As [`Draft::as_new_event`]; also if the events do not fit into a batch.
#[must_use]
pub fn batch<'d>(drafts: impl IntoIterator<Item = &'d Draft>) -> Batch {
    let mut builder = BatchBuilder::new();
    for draft in drafts {
        builder.push(draft.as_new_event()).expect("a test's batch is far from 4 GiB");
    }
    builder.finish()
}

/// A batch of events that differ in their ids only; those with `None` come without one.
///
/// # Panics
///
/// As [`Draft::as_new_event`].
#[must_use]
pub fn batch_of_ids(ids: &[Option<&str>]) -> Batch {
    let draft = |id: &Option<&str>| Draft {
        event_type: "a".into(),
        timestamp: NOW,
        payload: "1".into(),
        id: id.map(Into::into),
    };
    batch(&ids.iter().map(draft).collect::<Vec<_>>())
}

/// A batch of this number of generated events.
///
/// # Panics
///
/// If the events do not fit into a batch.
#[must_use]
pub fn random_batch(random: &mut Random<'_>, count: usize) -> Batch {
    batch(&(0..count).map(|_| draft(random)).collect::<Vec<_>>())
}

/// An event. One in four has an id from the caller.
#[must_use]
pub fn draft(random: &mut Random<'_>) -> Draft {
    Draft {
        event_type: event_type(random),
        timestamp: timestamp(random),
        payload: payload(random),
        id: random.one_in(4).then(|| client_id(random)),
    }
}

/// A filter for an erasure: it selects some of the events that may exist, rarely all.
#[must_use]
pub fn erased(random: &mut Random<'_>) -> Filter {
    match random.below(8) {
        0 => Filter { types: Some(Vec::from([type_test(random)])), ..Filter::default() },
        1 => Filter { ids: Some((0..=random.below(3)).map(|_| queried_id(random)).collect()), ..Filter::default() },
        2 if random.one_in(4) => Filter::default(),
        3 => Filter { after_seq: Some(seq(random)), ..filter(random) },
        _ => filter(random),
    }
}

/// An event type: a few frequent ones, many rare ones, and some at the limits of what is allowed.
#[must_use]
pub fn event_type(random: &mut Random<'_>) -> String {
    match random.below(12) {
        0..=7 => random.pick(&["view", "click", "buy"]).to_string(),
        8 | 9 => format!("rare.{}", random.below(300)),
        10 => random
            .pick(&["vie", "views", "View", " ", "größe", "gro\u{308}ße", "日本語", "🦀", "\"quoted\\", "%20"])
            .into(),
        _ => random.pick(&["x", "é", "🦀"]).chars().cycle().scan(0, shorter_than(EVENT_TYPE_BYTES_MAX)).collect(),
    }
}

/// An id from a small set, so that ids repeat; sometimes one that looks generated, sometimes a very long one.
#[must_use]
pub fn client_id(random: &mut Random<'_>) -> String {
    match random.below(12) {
        0..=8 => format!("id-{}", random.below(60)),
        9 => random.pick(&["0", "ID-0", "日本", "🦀", " ", "\"\\", "a/b?c#d"]).to_string(),
        10 => format!("00000000-0001-7000-8000-{:012x}", random.below(4)),
        _ => random.pick(&["x", "é", "🦀"]).chars().cycle().scan(0, shorter_than(CLIENT_ID_BYTES_MAX)).collect(),
    }
}

/// A time: mostly within a few seconds of the others and often equal; sometimes far away, before 1970, or at the limits
/// of the range.
#[must_use]
pub fn timestamp(random: &mut Random<'_>) -> Timestamp {
    const CLUSTER: i64 = NOW.as_nanos();
    let small = |random: &mut Random<'_>, bound| i64::try_from(random.below(bound)).expect("bounds here are small");
    Timestamp::from_nanos(match random.below(16) {
        0..=8 => CLUSTER + small(random, 20) * 1_000_000_000,
        9..=11 => CLUSTER + small(random, 4),
        12 => CLUSTER + small(random, 86_400_000) * 1_000_000,
        13 => -small(random, 4) * 1_000_000_000,
        14 => random.pick(&[0, 1, -1, i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1]),
        _ => i64::from_ne_bytes(random.number().to_ne_bytes()),
    })
}

/// A scan; each of its parts is optional.
#[must_use]
pub fn scan(random: &mut Random<'_>) -> Scan {
    Scan {
        filter: filter(random),
        order: random.pick(&[Order::TimeAscending, Order::TimeDescending, Order::Sequence]),
        limit: random.one_in(2).then(|| limit(random)),
        from: random.one_in(6).then(|| Position { timestamp: timestamp(random), seq: seq(random) }),
        to: random.one_in(6).then(|| Position { timestamp: timestamp(random), seq: seq(random) }),
        up_to_seq: random.one_in(6).then(|| seq(random)),
    }
}

/// A filter; each condition is optional and uses values that [`draft`] generates. It may contradict itself.
#[must_use]
pub fn filter(random: &mut Random<'_>) -> Filter {
    Filter {
        types: random.one_in(3).then(|| (0..random.below(5)).map(|_| type_test(random)).collect()),
        ids: random.one_in(6).then(|| (0..random.below(8)).map(|_| queried_id(random)).collect()),
        start: random.one_in(4).then(|| timestamp(random)),
        end: random.one_in(4).then(|| timestamp(random)),
        payload: match random.below(8) {
            0..=4 => Vec::new(),
            5 | 6 => Vec::from([payload_filter(random)]),
            _ => Vec::from([payload_filter(random), payload_filter(random)]),
        },
        after_seq: random.one_in(6).then(|| seq(random)),
    }
}

/// A limit, mostly small enough to end a page early.
#[must_use]
pub fn limit(random: &mut Random<'_>) -> NonZeroU32 {
    let limit = match random.below(8) {
        0..=5 => u32::try_from(random.below(12)).expect("the bound is small"),
        6 => 100,
        _ => random.pick(&[9_999, u32::MAX - 1]),
    };
    NonZeroU32::MIN.saturating_add(limit)
}

/// A payload filter with names and values that [`payload`] generates.
#[must_use]
pub fn payload_filter(random: &mut Random<'_>) -> PayloadFilter {
    let escaped = |name: &str| {
        [".", "[", "]"].iter().fold(name.replace('\\', "\\\\"), |name, &sign| name.replace(sign, &format!("\\{sign}")))
    };
    let names: Vec<String> = (0..=random.pick(&[0, 0, 1, 2])).map(|_| escaped(random.pick(&json::NAMES))).collect();
    let path = PayloadPath::parse(&names.join(".")).expect("dots, brackets and backslashes are escaped");
    let operand = Operand::new(&operand(random));
    let test = match random.below(12) {
        0..=2 => Test::Eq(operand),
        3 => Test::Ne(operand),
        4 => Test::Gt(operand),
        5 => Test::Gte(operand),
        6 => Test::Lt(operand),
        7 => Test::Lte(operand),
        8 => Test::Exists(true),
        9 => Test::Exists(false),
        10 => Test::Prefix(part(random)),
        _ => Test::Contains(part(random)),
    };
    PayloadFilter { path, test }
}

/// A test of the type of an event, mostly for one type.
fn type_test(random: &mut Random<'_>) -> TypeTest {
    if random.one_in(4) {
        TypeTest::Prefix(random.pick(&["", "v", "view", "rare.", "rare.1", "gr", "\"", "x", "nobody"]).into())
    } else {
        TypeTest::Eq(queried_type(random))
    }
}

/// Usually a type that events can have, sometimes an invalid one.
fn queried_type(random: &mut Random<'_>) -> Box<str> {
    match random.below(10) {
        0..=7 => event_type(random).into(),
        8 => random.pick(&["", "\n", "nobody"]).into(),
        _ => "x".repeat(EVENT_TYPE_BYTES_MAX + 1).into(),
    }
}

/// Usually an id that events can have, sometimes an invalid one.
fn queried_id(random: &mut Random<'_>) -> Box<str> {
    match random.below(10) {
        0..=8 => client_id(random).into(),
        _ => random.pick(&["", "\n", "nobody"]).into(),
    }
}

/// A sequence number, mostly of an event that may exist.
fn seq(random: &mut Random<'_>) -> u64 {
    match random.below(8) {
        0..=5 => random.below(100),
        6 => random.pick(&[0, u64::MAX, u64::MAX - 1]),
        _ => random.below(2_000),
    }
}

/// A text to compare payload values with.
fn operand(random: &mut Random<'_>) -> String {
    match random.below(6) {
        0 => json::number(random),
        1 => {
            random.pick(&["true", "false", "null", "", "01", "+1", "1.", " 1", "-", "NaN", "[]", "{}", "\"a\""]).into()
        }
        2 => {
            let (mut json, text) = (String::new(), random.pick(&json::TEXTS));
            json::quoted(random, text, &mut json);
            json
        }
        3 => random.pick(&["\"", "\"x", "x\"", "\"x\" ", "\"\\x\"", "\"1", r#""\ud83e""#, r#""\udd80x""#]).into(),
        _ => random.pick(&json::TEXTS).to_string(),
    }
}

/// A prefix, an inner part or the whole of a text that payloads contain.
fn part(random: &mut Random<'_>) -> Box<str> {
    let text = random.pick(&json::TEXTS);
    let (from, count) = (random.pick(&[0, 0, 1, 2]), random.pick(&[1, 0, 2, 1_000]));
    text.chars().skip(from).take(count).collect()
}

/// Passes characters on until they exceed this number of bytes in UTF-8.
fn shorter_than(bytes_max: usize) -> impl FnMut(&mut usize, char) -> Option<char> {
    move |bytes, character| {
        *bytes += character.len_utf8();
        (*bytes <= bytes_max).then_some(character)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn without_bytes_the_simplest_event_and_scan_are_generated() {
        let simplest = draft(&mut Random::bytes(&[]));
        assert_eq!(simplest.event_type, "view");
        assert_eq!(simplest.payload, "null");
        assert_eq!(simplest.id, None);
        assert_eq!(scan(&mut Random::bytes(&[])), Scan::default());
    }

    #[test]
    fn events_are_valid_repeat_and_reach_the_limits() {
        let mut random = Random::seeded(1);
        let drafts: Vec<Draft> = (0..5_000).map(|_| draft(&mut random)).collect();
        // Building the batch validates each event.
        assert_eq!(batch(&drafts).len(), drafts.len());

        let hot = drafts.iter().filter(|draft| draft.event_type == "view").count();
        let types: BTreeSet<&str> = drafts.iter().map(|draft| &*draft.event_type).collect();
        assert!(hot > 500 && types.len() > 100, "{hot} of the most frequent, {} types", types.len());
        assert!(types.iter().any(|event_type| event_type.len() == EVENT_TYPE_BYTES_MAX));

        let ids: Vec<&str> = drafts.iter().filter_map(|draft| draft.id.as_deref()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert!(distinct.len() > 50 && distinct.len() * 4 < ids.len(), "{} of {} ids", distinct.len(), ids.len());
        assert!(ids.iter().any(|id| id.len() == CLIENT_ID_BYTES_MAX));

        let times: BTreeSet<i64> = drafts.iter().map(|draft| draft.timestamp.as_nanos()).collect();
        assert!(times.contains(&i64::MIN) && times.contains(&i64::MAX) && times.len() < drafts.len() / 2);
    }
}
