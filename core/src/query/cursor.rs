//! Opaque cursors: a position, bound to the filters that it was made for.
//!
//! A cursor is 30 bytes in base64url (RFC 4648, section 5) without padding, which makes 40 characters:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | order: 0 by time, ascending; 1 by time, descending; 2 by sequence number |
//! | 8 | timestamp of the position in nanoseconds, signed, big-endian |
//! | 8 | sequence number of the position, big-endian |
//! | 8 | fingerprint of the filter |
//! | 4 | CRC-32 of what comes before, big-endian |
//!
//! A position is a place in the total order of all events, whether or not an event is there (still), so that a cursor
//! outlives restarts, compaction and deletion. Neither fingerprint nor checksum is a secret: whoever forges a cursor
//! gets a place that `start` and `after_seq` could have named as well.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;
use thiserror::Error;

use super::{Filter, Order, PayloadFilter, Position, Scan, Test};
use crate::event::Timestamp;

const VERSION: u8 = 1;
const CURSOR_BYTES: usize = 30;
const CURSOR_CHARS: usize = 40;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Whole groups of three bytes leave no unused bits, so that every cursor has one spelling only.
const _: () = assert!(CURSOR_BYTES.is_multiple_of(3) && CURSOR_BYTES / 3 * 4 == CURSOR_CHARS);

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// Not a cursor of ours, or cut or changed on the way.
    #[error("not a cursor that this service gave out")]
    Malformed,
    /// Made by a query with other filters or another order.
    #[error("the cursor belongs to a query with other filters")]
    OtherQuery,
}

/// The cursor for what comes behind `position` in `scan`. The scan's `limit` and `from` do not matter: pages of one walk
/// may differ in size. ASCII, safe in a query string as it is.
#[must_use]
pub fn encode_cursor(position: Position, scan: &Scan) -> String {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    bytes.extend([VERSION, order_byte(scan.order)]);
    bytes.extend(position.timestamp.as_nanos().to_be_bytes());
    bytes.extend(position.seq.to_be_bytes());
    bytes.extend(fingerprint(&scan.filter).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    to_base64url(&bytes)
}

/// The position in a cursor.
///
/// # Errors
///
/// [`CursorError`] where `text` is no cursor, or one of another query.
pub fn decode_cursor(text: &str, scan: &Scan) -> Result<Position, CursorError> {
    let bytes = from_base64url(text).ok_or(CursorError::Malformed)?;
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(CursorError::Malformed)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(CursorError::Malformed);
    }
    let mut rest = content;
    let [version, order] = take(&mut rest)?;
    let timestamp = i64::from_be_bytes(take(&mut rest)?);
    let seq = u64::from_be_bytes(take(&mut rest)?);
    let made_for = u64::from_be_bytes(take(&mut rest)?);
    if version != VERSION || order > order_byte(Order::Sequence) {
        return Err(CursorError::Malformed);
    }
    if order != order_byte(scan.order) || made_for != fingerprint(&scan.filter) {
        return Err(CursorError::OtherQuery);
    }
    Ok(Position { timestamp: Timestamp::from_nanos(timestamp), seq })
}

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

/// A hash of the conditions that does not depend on their order of appearance, nor on repetition. Its key is fixed:
/// cursors outlive the process, and a collision gives nobody more than the right to ask for a position that they could
/// name anyway.
fn fingerprint(filter: &Filter) -> u64 {
    let Filter { types, ids, start, end, payload, after_seq } = filter;
    let mut conditions: Vec<Vec<u8>> = Vec::new();
    if let Some(types) = types {
        // An empty list is a condition too, and matches nothing.
        conditions.push(condition(b'T', &[]));
        conditions.extend(types.iter().map(|name| condition(b't', &[name.as_bytes()])));
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

/// A tag and parts, each behind its length, so that no two lists of parts give the same bytes.
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
    let (test, operand) = match &filter.test {
        Test::Eq(operand) => (b"eq".as_slice(), operand.as_str().as_bytes()),
        Test::Ne(operand) => (b"ne".as_slice(), operand.as_str().as_bytes()),
        Test::Gt(operand) => (b"gt".as_slice(), operand.as_str().as_bytes()),
        Test::Gte(operand) => (b"gte".as_slice(), operand.as_str().as_bytes()),
        Test::Lt(operand) => (b"lt".as_slice(), operand.as_str().as_bytes()),
        Test::Lte(operand) => (b"lte".as_slice(), operand.as_str().as_bytes()),
        Test::Exists(wanted) => {
            exists = [u8::from(*wanted)];
            (b"exists".as_slice(), exists.as_slice())
        }
        Test::Prefix(text) => (b"prefix".as_slice(), text.as_bytes()),
        Test::Contains(text) => (b"contains".as_slice(), text.as_bytes()),
    };
    // Written out, a path reads back as itself and as no other.
    condition(b'p', &[filter.path.to_string().as_bytes(), test, operand])
}

fn to_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(CURSOR_CHARS);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        for shift in [18_u32, 12, 6, 0] {
            let digit = (bits >> shift) & 0x3f;
            text.extend(ALPHABET.get(digit as usize).map(|&byte| char::from(byte)));
        }
    }
    text
}

fn from_base64url(text: &str) -> Option<Vec<u8>> {
    if text.len() != CURSOR_CHARS {
        return None;
    }
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = ALPHABET.iter().position(|other| other == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        let [_, high, middle, low] = bits.to_be_bytes();
        bytes.extend([high, middle, low]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::query::{Operand, PayloadPath};

    fn position() -> Position {
        Position { timestamp: Timestamp::from_nanos(-1), seq: u64::MAX }
    }

    fn filter(path: &str, test: Test) -> PayloadFilter {
        PayloadFilter { path: PayloadPath::parse(path).unwrap(), test }
    }

    fn scans() -> Vec<Scan> {
        let at = Some(Timestamp::from_nanos(5));
        let mut filters = vec![
            Filter::default(),
            Filter { types: Some(vec![]), ..Filter::default() },
            Filter { types: Some(vec!["".into()]), ..Filter::default() },
            Filter { types: Some(vec!["a".into(), "b".into()]), ..Filter::default() },
            Filter { types: Some(vec!["ab".into()]), ..Filter::default() },
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
    fn a_cursor_fits_its_own_scan_only() {
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
    fn order_repetition_limit_and_place_do_not_matter() {
        let one = Scan::from(Filter {
            types: Some(vec!["a".into(), "b".into()]),
            ids: Some(vec!["1".into(), "2".into()]),
            payload: vec![filter("x", Test::Exists(true)), filter("y", Test::Exists(true))],
            ..Filter::default()
        });
        let filter = Filter {
            types: Some(vec!["b".into(), "a".into(), "b".into()]),
            ids: Some(vec!["2".into(), "1".into()]),
            payload: vec![filter("y", Test::Exists(true)), filter("x", Test::Exists(true))],
            ..Filter::default()
        };
        let limit = core::num::NonZeroU32::new(7);
        let other = Scan { filter, limit, from: Some(position()), ..Scan::default() };
        assert_eq!(decode_cursor(&encode_cursor(position(), &one), &other), Ok(position()));
    }

    #[test]
    fn a_cursor_stays_what_it_is() {
        // The fingerprint of no condition is SipHash-2-4 of nothing under the key 0, 1e924b9d737700d7.
        // A cursor in a caller's hands outlives releases: whoever changes these bytes needs a new version.
        let cursor = encode_cursor(position(), &Scan::default());
        assert_eq!(cursor, "AQD_____________________HpJLnXN3ANceZ6_g");
    }

    #[test]
    fn any_change_is_noticed() {
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
