//! Cursors, and the other texts of scans.

use argus_core::event::Timestamp;
use argus_core::query::{Operand, PayloadPath, Position, Scan, decode_cursor, encode_cursor};

use super::super::super::{Random, generate};
use super::super::Target;

pub(super) const TARGET: Target = Target {
    name: "cursor",
    about: "only a cursor of this very query is accepted, and scans survive being written and read",
    run: cursor,
    seeds,
    words: &["AQA", "AQE", "AQI", "_", "-", "=", "\\.", "\\\\", "\\[", "."],
    smoke_runs: 2_000,
};

/// The bytes from which the scan and a position are drawn. The rest is a cursor.
const SCAN_BYTES: usize = 64;

/// # Panics
///
/// If a text is accepted that is no cursor of the scan, or if a cursor is not.
fn cursor(data: &[u8]) {
    let (drawn, text) = data.split_at(data.len().min(SCAN_BYTES));
    let mut random = Random::bytes(drawn);
    let nanos = i64::from_ne_bytes(random.number().to_ne_bytes());
    let position = Position { timestamp: Timestamp::from_nanos(nanos), seq: random.number() };
    let scan = generate::scan(&mut random);

    let cursor = encode_cursor(position, &scan);
    assert_eq!(decode_cursor(&cursor, &scan), Ok(position), "{scan:?}");
    // The size of the page, and where it begins, are no part of the query.
    let other = Scan { limit: None, from: Some(position), ..scan.clone() };
    assert_eq!(decode_cursor(&cursor, &other), Ok(position), "{scan:?}");
    let after_seq = Some(scan.filter.after_seq.unwrap_or_default().wrapping_add(1));
    let other = Scan { filter: argus_core::query::Filter { after_seq, ..scan.filter.clone() }, ..scan.clone() };
    assert!(decode_cursor(&cursor, &other).is_err(), "a cursor of {scan:?} is one of {other:?}");

    let text = String::from_utf8_lossy(text);
    if let Ok(position) = decode_cursor(&text, &scan) {
        assert_eq!(encode_cursor(position, &scan), text, "a cursor has one spelling");
    }
    if let Ok(path) = PayloadPath::parse(&text) {
        assert_eq!(PayloadPath::parse(&path.to_string()), Ok(path), "{text:?}");
    }
    assert_eq!(Operand::new(&text).as_str(), text);

    let written = serde_json::to_string(&scan).expect("a scan is data");
    let read: Scan = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(read, scan, "{written}");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut random = Random::seeded(2);
    let mut drawn =
        || -> Vec<u8> { (0..SCAN_BYTES).flat_map(|_| random.number().to_le_bytes().into_iter().take(1)).collect() };
    let position = Position { timestamp: Timestamp::from_nanos(1), seq: 2 };
    let plain = encode_cursor(position, &Scan::default());
    let mut seeds: Vec<Vec<u8>> = (0..8).map(|_| [drawn(), plain.clone().into_bytes()].concat()).collect();
    seeds.push([[0; SCAN_BYTES].as_slice(), plain.as_bytes()].concat());
    seeds.push([[0; SCAN_BYTES].as_slice(), b"a.b\\.c\\\\.\\[0\\]"].concat());
    seeds
}
