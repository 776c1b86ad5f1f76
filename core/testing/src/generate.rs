//! Events and scans drawn from a [`Source`]: mostly plain, often equal to each other, sometimes as nasty as the
//! contracts allow.

mod json;

use std::num::NonZeroU32;

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::event::{CLIENT_ID_BYTES_MAX, ClientId, EVENT_TYPE_BYTES_MAX, EventType, Payload, Timestamp};
use argus_core::query::{Filter, Operand, Order, PayloadFilter, PayloadPath, Position, Scan, Test};

pub use self::json::payload;
use super::source::Source;

/// An event to be stored, with parts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What happened.
    pub event_type: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The free-form part, as JSON.
    pub payload: String,
    /// The caller's id.
    pub id: Option<String>,
}

impl Draft {
    /// The draft as batches take it.
    ///
    /// # Panics
    ///
    /// Where a part of the draft was changed to something that events cannot have.
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
/// As [`Draft::as_new_event`], and beyond what a batch can hold.
#[must_use]
pub fn batch<'d>(drafts: impl IntoIterator<Item = &'d Draft>) -> Batch {
    let mut builder = BatchBuilder::new();
    for draft in drafts {
        builder.push(draft.as_new_event()).expect("a test's batch is far from 4 GiB");
    }
    builder.finish()
}

/// An event; in one of four cases with an id of its own.
#[must_use]
pub fn draft(source: &mut Source<'_>) -> Draft {
    Draft {
        event_type: event_type(source),
        timestamp: timestamp(source),
        payload: payload(source),
        id: source.one_in(4).then(|| client_id(source)),
    }
}

/// A type: few hot ones, many rare ones, and some at the edges of what is allowed.
#[must_use]
pub fn event_type(source: &mut Source<'_>) -> String {
    match source.below(12) {
        0..=7 => source.pick(&["view", "click", "buy"]).to_string(),
        8 | 9 => format!("rare.{}", source.below(300)),
        10 => source
            .pick(&["vie", "views", "View", " ", "größe", "gro\u{308}ße", "日本語", "🦀", "\"quoted\\", "%20"])
            .into(),
        _ => source.pick(&["x", "é", "🦀"]).chars().cycle().scan(0, shorter_than(EVENT_TYPE_BYTES_MAX)).collect(),
    }
}

/// An id: of so few that they repeat, sometimes one that looks like a generated one, sometimes a very long one.
#[must_use]
pub fn client_id(source: &mut Source<'_>) -> String {
    match source.below(12) {
        0..=8 => format!("id-{}", source.below(60)),
        9 => source.pick(&["0", "ID-0", "日本", "🦀", " ", "\"\\", "a/b?c#d"]).to_string(),
        10 => format!("00000000-0001-7000-8000-{:012x}", source.below(4)),
        _ => source.pick(&["x", "é", "🦀"]).chars().cycle().scan(0, shorter_than(CLIENT_ID_BYTES_MAX)).collect(),
    }
}

/// A time: mostly within a few seconds of each other and often equal, sometimes far away, before 1970 or at the ends of
/// the range.
#[must_use]
pub fn timestamp(source: &mut Source<'_>) -> Timestamp {
    /// 2023-11-14T22:13:20Z.
    const CLUSTER: i64 = 1_700_000_000_000_000_000;
    let small = |source: &mut Source<'_>, bound| i64::try_from(source.below(bound)).expect("bounds here are small");
    Timestamp::from_nanos(match source.below(16) {
        0..=8 => CLUSTER + small(source, 20) * 1_000_000_000,
        9..=11 => CLUSTER + small(source, 4),
        12 => CLUSTER + small(source, 86_400_000) * 1_000_000,
        13 => -small(source, 4) * 1_000_000_000,
        14 => source.pick(&[0, 1, -1, i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1]),
        _ => i64::from_ne_bytes(source.number().to_ne_bytes()),
    })
}

/// A scan: each of its parts is there or not.
#[must_use]
pub fn scan(source: &mut Source<'_>) -> Scan {
    Scan {
        filter: filter(source),
        order: source.pick(&[Order::TimeAscending, Order::TimeDescending, Order::Sequence]),
        limit: source.one_in(2).then(|| limit(source)),
        from: source.one_in(6).then(|| Position { timestamp: timestamp(source), seq: seq(source) }),
        to: source.one_in(6).then(|| Position { timestamp: timestamp(source), seq: seq(source) }),
        up_to_seq: source.one_in(6).then(|| seq(source)),
    }
}

/// A filter: each of its conditions is there or not, and made of what [`draft`] makes events of. May contradict itself.
#[must_use]
pub fn filter(source: &mut Source<'_>) -> Filter {
    Filter {
        types: source.one_in(3).then(|| (0..source.below(5)).map(|_| queried_type(source)).collect()),
        ids: source.one_in(6).then(|| (0..source.below(8)).map(|_| queried_id(source)).collect()),
        start: source.one_in(4).then(|| timestamp(source)),
        end: source.one_in(4).then(|| timestamp(source)),
        payload: match source.below(8) {
            0..=4 => Vec::new(),
            5 | 6 => Vec::from([payload_filter(source)]),
            _ => Vec::from([payload_filter(source), payload_filter(source)]),
        },
        after_seq: source.one_in(6).then(|| seq(source)),
    }
}

/// A limit: mostly small enough to cut an answer off.
#[must_use]
pub fn limit(source: &mut Source<'_>) -> NonZeroU32 {
    let limit = match source.below(8) {
        0..=5 => u32::try_from(source.below(12)).expect("the bound is small"),
        6 => 100,
        _ => source.pick(&[9_999, u32::MAX - 1]),
    };
    NonZeroU32::MIN.saturating_add(limit)
}

/// A condition on the payload, made of the names and values of [`payload`].
#[must_use]
pub fn payload_filter(source: &mut Source<'_>) -> PayloadFilter {
    let escaped = |name: &str| name.replace('\\', "\\\\").replace('.', "\\.");
    let names: Vec<String> = (0..=source.pick(&[0, 0, 1, 2])).map(|_| escaped(source.pick(&json::NAMES))).collect();
    let path = PayloadPath::parse(&names.join(".")).expect("no name is empty, and dots and backslashes are escaped");
    let operand = Operand::new(&operand(source));
    let test = match source.below(12) {
        0..=2 => Test::Eq(operand),
        3 => Test::Ne(operand),
        4 => Test::Gt(operand),
        5 => Test::Gte(operand),
        6 => Test::Lt(operand),
        7 => Test::Lte(operand),
        8 => Test::Exists(true),
        9 => Test::Exists(false),
        10 => Test::Prefix(part(source)),
        _ => Test::Contains(part(source)),
    };
    PayloadFilter { path, test }
}

/// Usually a type that events may have, sometimes a text that is no type at all.
fn queried_type(source: &mut Source<'_>) -> Box<str> {
    match source.below(10) {
        0..=7 => event_type(source).into(),
        8 => source.pick(&["", "\n", "nobody"]).into(),
        _ => "x".repeat(EVENT_TYPE_BYTES_MAX + 1).into(),
    }
}

/// Usually an id that events may have, sometimes a text that is no id at all.
fn queried_id(source: &mut Source<'_>) -> Box<str> {
    match source.below(10) {
        0..=8 => client_id(source).into(),
        _ => source.pick(&["", "\n", "nobody"]).into(),
    }
}

/// A sequence number: mostly of an event that there may be.
fn seq(source: &mut Source<'_>) -> u64 {
    match source.below(8) {
        0..=5 => source.below(100),
        6 => source.pick(&[0, u64::MAX, u64::MAX - 1]),
        _ => source.below(2_000),
    }
}

/// A text to compare payload values with.
fn operand(source: &mut Source<'_>) -> String {
    match source.below(4) {
        0 => json::number(source),
        1 => {
            source.pick(&["true", "false", "null", "", "01", "+1", "1.", " 1", "-", "NaN", "[]", "{}", "\"a\""]).into()
        }
        _ => source.pick(&json::TEXTS).to_string(),
    }
}

/// The beginning, the middle or the whole of a text that payloads have.
fn part(source: &mut Source<'_>) -> Box<str> {
    let text = source.pick(&json::TEXTS);
    let (from, count) = (source.pick(&[0, 0, 1, 2]), source.pick(&[1, 0, 2, 1_000]));
    text.chars().skip(from).take(count).collect()
}

/// Lets characters pass as long as all of them together have at most so many bytes.
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
    fn a_source_that_ran_dry_gives_the_simplest_event_and_the_simplest_scan() {
        let simplest = draft(&mut Source::bytes(&[]));
        assert_eq!(simplest.event_type, "view");
        assert_eq!(simplest.payload, "null");
        assert_eq!(simplest.id, None);
        assert_eq!(scan(&mut Source::bytes(&[])), Scan::default());
    }

    #[test]
    fn events_are_valid_repeat_themselves_and_reach_the_edges() {
        let mut source = Source::seeded(1);
        let drafts: Vec<Draft> = (0..5_000).map(|_| draft(&mut source)).collect();
        // Making the batch checks that each part is valid.
        assert_eq!(batch(&drafts).len(), drafts.len());

        let hot = drafts.iter().filter(|draft| draft.event_type == "view").count();
        let types: BTreeSet<&str> = drafts.iter().map(|draft| &*draft.event_type).collect();
        assert!(hot > 500 && types.len() > 100, "{hot} of the hottest, {} types", types.len());
        assert!(types.iter().any(|event_type| event_type.len() == EVENT_TYPE_BYTES_MAX));

        let ids: Vec<&str> = drafts.iter().filter_map(|draft| draft.id.as_deref()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert!(distinct.len() > 50 && distinct.len() * 4 < ids.len(), "{} of {} ids", distinct.len(), ids.len());
        assert!(ids.iter().any(|id| id.len() == CLIENT_ID_BYTES_MAX));

        let times: BTreeSet<i64> = drafts.iter().map(|draft| draft.timestamp.as_nanos()).collect();
        assert!(times.contains(&i64::MIN) && times.contains(&i64::MAX) && times.len() < drafts.len() / 2);
    }
}
