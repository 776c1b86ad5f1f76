//! Opaque cursors: a position, valid only for the query that it was created for.
//!
//! A cursor has 30 bytes, encoded as 40 characters of base64url (RFC 4648, section 5) without padding:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | order: 0 by time, ascending; 1 by time, descending; 2 by sequence number |
//! | 8 | timestamp of the position in nanoseconds, signed, big-endian |
//! | 8 | sequence number of the position, big-endian |
//! | 8 | fingerprint of the filter |
//! | 4 | CRC-32 of the bytes before, big-endian |
//!
//! A cursor stays valid across restarts, compaction and deletion, because a position needs no event at it. Fingerprint
//! and checksum are not secret: a forged cursor gives its sender no more than `start` and `after_seq` do.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::hash::Hasher as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher24;
use thiserror::Error;

use super::operand::{Meaning, Operand};
use super::{Filter, Order, PayloadFilter, Position, Scan, Test, TypeTest};
use crate::event::Timestamp;

const VERSION: u8 = 1;
const CURSOR_BYTES: usize = 30;
const CURSOR_CHARS: usize = 40;

// A multiple of three bytes leaves no unused bits in base64, so that each cursor has exactly one spelling.
const _: () = assert!(CURSOR_BYTES.is_multiple_of(3) && CURSOR_BYTES / 3 * 4 == CURSOR_CHARS);

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// The text is not a cursor, or was changed.
    #[error("not a cursor that this service returned")]
    Malformed,
    /// The cursor was created for other filters or another order, or by a version that gave these filters another
    /// meaning.
    #[error("the cursor belongs to a query with other filters, or was made by an earlier version")]
    OtherQuery,
}

/// Creates the cursor for the events of `scan` after `position`. It does not depend on `limit` and `from` of the scan,
/// so pages may differ in size. The text is ASCII and needs no encoding in a query string.
#[must_use]
pub fn encode_cursor(position: Position, scan: &Scan) -> String {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    bytes.extend([VERSION, order_byte(scan.order)]);
    bytes.extend(position.timestamp.as_nanos().to_be_bytes());
    bytes.extend(position.seq.to_be_bytes());
    bytes.extend(fingerprint(&scan.filter).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a cursor.
///
/// # Errors
///
/// [`CursorError`] if `text` is not a cursor, or belongs to another query.
pub fn decode_cursor(text: &str, scan: &Scan) -> Result<Position, CursorError> {
    if text.len() != CURSOR_CHARS {
        return Err(CursorError::Malformed);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(CursorError::Malformed)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(CursorError::Malformed);
    }
    let mut rest = content;
    let [version, order] = take(&mut rest)?;
    let timestamp = i64::from_be_bytes(take(&mut rest)?);
    let seq = u64::from_be_bytes(take(&mut rest)?);
    let filter_fingerprint = u64::from_be_bytes(take(&mut rest)?);
    if version != VERSION || order > order_byte(Order::Sequence) {
        return Err(CursorError::Malformed);
    }
    if order != order_byte(scan.order) || filter_fingerprint != fingerprint(&scan.filter) {
        return Err(CursorError::OtherQuery);
    }
    Ok(Position { timestamp: Timestamp::from_nanos(timestamp), seq })
}

/// Removes the first `N` bytes of `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], CursorError> {
    let (taken, behind) = rest.split_first_chunk::<N>().ok_or(CursorError::Malformed)?;
    *rest = behind;
    Ok(*taken)
}

fn order_byte(order: Order) -> u8 {
    match order {
        Order::TimeAscending => 0,
        Order::TimeDescending => 1,
        Order::Sequence => 2,
    }
}

/// A hash of the conditions, independent of their order and of repetition. Its key is fixed, since cursors outlive the
/// process. A collision does no harm: the caller could reach the same position with `start` and `after_seq`.
fn fingerprint(filter: &Filter) -> u64 {
    let Filter { types, ids, start, end, payload, after_seq } = filter;
    let mut conditions: Vec<Vec<u8>> = Vec::new();
    if let Some(types) = types {
        // An empty list is a condition as well: it matches nothing.
        conditions.push(condition(b'T', &[]));
        conditions.extend(types.iter().map(|test| match test {
            TypeTest::Eq(name) => condition(b't', &[name.as_bytes()]),
            TypeTest::Prefix(prefix) => condition(b'f', &[prefix.as_bytes()]),
        }));
    }
    if let Some(ids) = ids {
        conditions.push(condition(b'I', &[]));
        conditions.extend(ids.iter().map(|id| condition(b'i', &[id.as_bytes()])));
    }
    let bounds = [(b's', start), (b'e', end)].into_iter();
    conditions.extend(
        bounds.filter_map(|(tag, bound)| bound.map(|bound| condition(tag, &[&bound.as_nanos().to_be_bytes()]))),
    );
    conditions.extend(after_seq.map(|seq| condition(b'a', &[&seq.to_be_bytes()])));
    conditions.extend(payload.iter().map(payload_condition));
    conditions.sort_unstable();
    conditions.dedup();
    let mut hasher = SipHasher24::new_with_keys(0, 0);
    for condition in &conditions {
        hasher.write(&(condition.len() as u64).to_be_bytes());
        hasher.write(condition);
    }
    hasher.finish()
}

/// Encodes a condition: a tag, then each part after its length, so that different lists of parts give different bytes.
fn condition(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::from([tag]);
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

fn payload_condition(filter: &PayloadFilter) -> Vec<u8> {
    let exists;
    let (tag, test, operand) = match &filter.test {
        Test::Eq(operand) => (tag(operand), "eq", operand.as_str().as_bytes()),
        Test::Ne(operand) => (tag(operand), "ne", operand.as_str().as_bytes()),
        Test::Gt(operand) => (tag(operand), "gt", operand.as_str().as_bytes()),
        Test::Gte(operand) => (tag(operand), "gte", operand.as_str().as_bytes()),
        Test::Lt(operand) => (tag(operand), "lt", operand.as_str().as_bytes()),
        Test::Lte(operand) => (tag(operand), "lte", operand.as_str().as_bytes()),
        Test::Exists(wanted) => {
            exists = [u8::from(*wanted)];
            (b'p', "exists", exists.as_slice())
        }
        Test::Prefix(text) => (b'p', "prefix", text.as_bytes()),
        Test::Contains(text) => (b'p', "contains", text.as_bytes()),
    };
    // The text of a path is unambiguous: different paths have different texts.
    condition(tag, &[filter.path.to_string().as_bytes(), test.as_bytes(), operand])
}

/// The tag of a condition with an operand. It says what the text of the operand means, so that a cursor never goes on
/// in a query that gives its operand another meaning.
fn tag(operand: &Operand) -> u8 {
    match operand.meaning() {
        Meaning::Plain => b'p',
        Meaning::Quoted(_) => b'q',
        Meaning::Number(_) => b'n',
        Meaning::Literal => b'l',
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::query::{Operand, PayloadPath};

    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    fn position() -> Position {
        Position { timestamp: Timestamp::from_nanos(-1), seq: u64::MAX }
    }

    fn filter(path: &str, test: Test) -> PayloadFilter {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test }
    }

    fn is(name: &str) -> TypeTest {
        TypeTest::Eq(name.into())
    }

    /// The filter for members `a` that equal an operand.
    fn compare(operand: &str) -> Filter {
        Filter { payload: vec![filter("a", Test::Eq(Operand::new(operand)))], ..Filter::default() }
    }

    fn scans() -> Vec<Scan> {
        let at = Some(Timestamp::from_nanos(5));
        let mut filters = vec![
            Filter::default(),
            Filter { types: Some(vec![]), ..Filter::default() },
            Filter { types: Some(vec![is("")]), ..Filter::default() },
            Filter { types: Some(vec![is("a"), is("b")]), ..Filter::default() },
            Filter { types: Some(vec![is("ab")]), ..Filter::default() },
            Filter { types: Some(vec![TypeTest::Prefix("ab".into())]), ..Filter::default() },
            Filter { types: Some(vec![TypeTest::Prefix("".into())]), ..Filter::default() },
            Filter { types: Some(vec![is("a"), TypeTest::Prefix("b".into())]), ..Filter::default() },
            Filter { ids: Some(vec![]), ..Filter::default() },
            Filter { ids: Some(vec!["a".into(), "b".into()]), ..Filter::default() },
            Filter { ids: Some(vec!["ab".into()]), ..Filter::default() },
            Filter { start: at, ..Filter::default() },
            Filter { end: at, ..Filter::default() },
            Filter { after_seq: Some(5), ..Filter::default() },
        ];
        for (path, test) in [
            ("a.b", Test::Eq(Operand::new("1"))),
            ("a", Test::Eq(Operand::new("1"))),
            ("a", Test::Eq(Operand::new("\"1\""))),
            ("a", Test::Eq(Operand::new("x"))),
            ("a", Test::Eq(Operand::new("null"))),
            ("a", Test::Ne(Operand::new("1"))),
            ("a", Test::Gt(Operand::new("1"))),
            ("a", Test::Gte(Operand::new("1"))),
            ("a", Test::Lt(Operand::new("1"))),
            ("a", Test::Lte(Operand::new("1"))),
            ("a", Test::Prefix("1".into())),
            ("a", Test::Contains("1".into())),
            ("a", Test::Exists(true)),
            ("a", Test::Exists(false)),
        ] {
            filters.push(Filter { payload: vec![filter(path, test)], ..Filter::default() });
        }
        let mut scans: Vec<Scan> = filters.into_iter().map(Scan::from).collect();
        scans.push(Scan { order: Order::TimeDescending, ..Scan::default() });
        scans.push(Scan { order: Order::Sequence, ..Scan::default() });
        scans
    }

    #[test]
    fn a_cursor_is_valid_only_for_its_own_query() {
        let scans = scans();
        for (made_by, scan) in scans.iter().enumerate() {
            let cursor = encode_cursor(position(), scan);
            assert_eq!(cursor.len(), CURSOR_CHARS);
            for (used_by, other) in scans.iter().enumerate() {
                let expected = if made_by == used_by { Ok(position()) } else { Err(CursorError::OtherQuery) };
                assert_eq!(decode_cursor(&cursor, other), expected, "{scan:?} and {other:?}");
            }
        }
    }

    #[test]
    fn order_and_repetition_of_filters_limit_and_start_do_not_matter() {
        let one = Scan::from(Filter {
            types: Some(vec![is("a"), is("b")]),
            ids: Some(vec!["1".into(), "2".into()]),
            payload: vec![filter("x", Test::Exists(true)), filter("y", Test::Exists(true))],
            ..Filter::default()
        });
        let filter = Filter {
            types: Some(vec![is("b"), is("a"), is("b")]),
            ids: Some(vec!["2".into(), "1".into()]),
            payload: vec![filter("y", Test::Exists(true)), filter("x", Test::Exists(true))],
            ..Filter::default()
        };
        let limit = core::num::NonZeroU32::new(7);
        let other = Scan { filter, limit, from: Some(position()), ..Scan::default() };
        assert_eq!(decode_cursor(&encode_cursor(position(), &one), &other), Ok(position()));
    }

    #[test]
    fn the_encoding_of_cursors_is_stable() {
        // The fingerprint without conditions is SipHash-2-4 of no bytes with key 0: 1e924b9d737700d7.
        // Callers keep cursors across releases, so changing these bytes requires a new version.
        let cursor = encode_cursor(position(), &Scan::default());
        assert_eq!(cursor, "AQD_____________________HpJLnXN3ANceZ6_g");
        let position = Position { timestamp: Timestamp::from_nanos(1_000_000_000), seq: 1 };
        for (filter, text) in [
            (Filter { types: Some(vec![is("a.b")]), ..Filter::default() }, "AQAAAAAAO5rKAAAAAAAAAAABDRJedUfFNYNOMn39"),
            (compare("x"), "AQAAAAAAO5rKAAAAAAAAAAABZXQOlOtn8N1bfyn_"),
        ] {
            assert_eq!(encode_cursor(position, &filter.into()), text);
        }
    }

    #[test]
    fn a_cursor_depends_on_what_an_operand_means() {
        // Their fingerprints are those of plain texts.
        for (operand, cursor) in
            [("5", "AQAAAAAAO5rKAAAAAAAAAAABER6Yy6fPQSuCdiv3"), ("true", "AQAAAAAAO5rKAAAAAAAAAAAB0WVZ5r4Ryxu46Y73")]
        {
            assert_eq!(decode_cursor(cursor, &compare(operand).into()), Err(CursorError::OtherQuery), "{operand}");
        }
    }

    #[test]
    fn any_changed_character_is_detected() {
        let scan = Scan::default();
        let cursor = encode_cursor(position(), &scan);
        for at in 0..cursor.len() {
            for &digit in ALPHABET {
                let mut changed = cursor.clone().into_bytes();
                if changed.get(at) == Some(&digit) {
                    continue;
                }
                *changed.get_mut(at).unwrap() = digit;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(decode_cursor(&changed, &scan), Err(CursorError::Malformed));
            }
        }
        for text in [
            "",
            "A",
            &cursor[1..],
            &alloc::format!("{cursor}="),
            &alloc::format!("{cursor}AAAA"),
            "éééééééééééééééééééé",
        ] {
            assert_eq!(decode_cursor(text, &scan), Err(CursorError::Malformed), "{text}");
        }
    }
}
